"""Paths and their handlers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import Invalid
from region.api.router import Router
from region.api.routes import endpoints

ROUTER = Router(
    (method, path, path)
    for method, path in [
        ("GET", "/v1/jobs"),
        ("GET", "/v1/job/{job_id+}"),
        ("GET", "/v1/job/{job_id+}/plan"),
        ("GET", "/v1/job/{job_id+}/versions"),
        ("GET", "/v1/job/{job_id+}/versions/{tag}/tag"),
        ("GET", "/v1/job/{job_id+}/dispatch/payload"),
        ("GET", "/v1/deployment/{id}"),
        ("GET", "/v1/deployment/allocations/{id}"),
    ]
)


@pytest.mark.parametrize(
    ("path", "pattern", "arguments"),
    [
        ("/v1/jobs", "/v1/jobs", {}),
        ("/v1/jobs/", "/v1/jobs", {}),
        ("/v1/job/a", "/v1/job/{job_id+}", {"job_id": "a"}),
        ("/v1/job/a/b/plan", "/v1/job/{job_id+}/plan", {"job_id": "a/b"}),
        ("/v1/job/a%2Fplan", "/v1/job/{job_id+}", {"job_id": "a/plan"}),
        ("/v1/job/plan", "/v1/job/{job_id+}", {"job_id": "plan"}),
        (
            "/v1/job/a/versions/v1/tag",
            "/v1/job/{job_id+}/versions/{tag}/tag",
            {"job_id": "a", "tag": "v1"},
        ),
        ("/v1/job/a/tag", "/v1/job/{job_id+}", {"job_id": "a/tag"}),
        ("/v1/deployment/x", "/v1/deployment/{id}", {"id": "x"}),
        ("/v1/deployment/allocations/x", "/v1/deployment/allocations/{id}", {"id": "x"}),
    ],
)
def test_the_longest_suffix_decides(path: str, pattern: str, arguments: dict[str, str]) -> None:
    match = ROUTER.match(path)
    assert match is not None
    assert (match.handlers["GET"], match.arguments) == (pattern, arguments)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/job", "/v1/job/", "/v2/jobs"])
def test_an_unknown_path_leads_nowhere(path: str) -> None:
    assert ROUTER.match(path) is None


@pytest.mark.parametrize("path", ["/v1/job/%ff", "/v1/job/a%00", "/v1/job/a%0a"])
def test_broken_escapes_and_control_characters_are_refused(path: str) -> None:
    with pytest.raises(Invalid):
        ROUTER.match(path)


@given(st.text(alphabet="a/%2Fplanversotg.~", max_size=60))
def test_any_path_is_matched_or_refused_or_unknown(rest: str) -> None:
    try:
        match = ROUTER.match("/v1/job/" + rest)
    except Invalid:
        return
    assert match is None or all(value is not None for value in match.arguments.values())


def test_no_two_handlers_have_the_same_method_and_path() -> None:
    found = [(endpoint.method, endpoint.path) for endpoint in endpoints()]
    assert len(found) == len(set(found))
    Router((method, path, path) for method, path in found)
