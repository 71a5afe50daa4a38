"""Bodies as real clients send them."""

from __future__ import annotations

import json

import pytest

from hanse.errors import Invalid, TooLarge
from hanse.structs.api import JobRegisterRequest
from hanse.structs.job import Job
from region.jobs import decode


def test_keys_match_in_any_case_and_nulls_mean_not_given() -> None:
    job, warnings = decode.decode_body(
        Job, b'{"id":"web","TASKGROUPS":[{"name":"g","Count":3,"Meta":null}],"Meta":{"A":"b"}}'
    )
    assert (job.id, job.task_groups[0].count, job.meta) == ("web", 3, {"A": "b"})
    assert warnings == []


def test_an_unknown_key_is_named_with_its_path() -> None:
    _, warnings = decode.decode_body(Job, b'{"TaskGroups":[{"Bogus":1}]}')
    assert warnings == ["Job.TaskGroups[0]: unknown key 'Bogus' was ignored"]


def test_keys_of_user_maps_are_left_alone() -> None:
    job, warnings = decode.decode_body(
        Job, b'{"TaskGroups":[{"Tasks":[{"Config":{"IMAGE":"x","n":null},"Env":{"id":"1"}}]}]}'
    )
    task = job.task_groups[0].tasks[0]
    assert (task.config, task.env, warnings) == ({"IMAGE": "x", "n": None}, {"id": "1"}, [])


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"Job":{"Priority":"high"}}', "JobRegisterRequest.Job.Priority"),
        (b'{"Job":{"TaskGroups":[{"Count":1.5}]}}', "JobRegisterRequest.Job.TaskGroups[0].Count"),
        (b'{"Job":{"TaskGroups":{}}}', "JobRegisterRequest.Job.TaskGroups"),
        (b'{"Job":[]}', "JobRegisterRequest.Job"),
        (b"[]", "JobRegisterRequest"),
        (b'{"Job":{"Priority":1e400}}', "request body"),
        (b'{"Job":', "request body"),
        (b'{"Job":{"Name":"\xff"}}', "request body"),
        (b"[" * 100_000, "request body"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "request body"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, where: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode.decode_body(JobRegisterRequest, body)
    assert caught.value.where == where


def test_brackets_inside_strings_are_not_nesting() -> None:
    body = json.dumps({"Meta": {"a": "[" * 500 + '"' + "{" * 500}}).encode()
    job, _ = decode.decode_body(Job, body)
    assert len(job.meta["a"]) == 1001


def test_an_empty_body_has_nomads_words() -> None:
    with pytest.raises(Invalid, match=r"^Request body is empty$"):
        decode.decode_body(Job, b"  ")


def test_a_huge_body_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        decode.decode_body(Job, b" " * (decode.BODY_BYTES_MAX + 1))


def test_many_unknown_keys_make_few_warnings() -> None:
    body = json.dumps({f"k{i}": 1 for i in range(1000)}).encode()
    _, warnings = decode.decode_body(Job, body)
    assert len(warnings) == decode.WARNINGS_MAX + 1
    assert warnings[-1] == "and 980 more unknown keys"
