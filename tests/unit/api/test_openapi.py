"""The OpenAPI document."""

from typing import Any

import msgspec
from aiohttp.test_utils import TestClient

from region.api.openapi import document
from region.api.routes import endpoints


def operations(made: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for group in ("paths", "x-endless-paths")
        for path, methods in made[group].items()
        for method, operation in methods.items()
    ]


async def test_the_document_is_served(client: TestClient) -> None:
    response = await client.get("/v1/openapi.json")
    made = await response.json()
    assert (made["openapi"], made["info"]["version"]) == ("3.1.0", "0.1.0")
    assert made == msgspec.json.decode(msgspec.json.encode(document(endpoints(), "0.1.0")))


def test_every_handler_is_in_it_once_and_says_what_it_does() -> None:
    made = operations(document(endpoints(), "1"))
    names = [operation["operationId"] for _, _, operation in made]
    assert len(names) == len(set(names))
    shown = [endpoint for endpoint in endpoints() if not endpoint.hidden]
    writes = sum(endpoint.method == "PUT" for endpoint in shown)
    assert len(made) == len(shown) + writes
    assert all(operation["summary"].endswith((".", ".")) for _, _, operation in made)


def test_every_hole_of_a_path_is_a_parameter() -> None:
    for path, _, operation in operations(document(endpoints(), "1")):
        holes = {part.strip("{}") for part in path.split("/") if part.startswith("{")}
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert holes == named


def test_every_reference_leads_somewhere() -> None:
    made = document(endpoints(), "1")
    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        if isinstance(value, list):
            return set().union(*map(references, value))
        return set()

    found = references(made["paths"])
    assert found
    assert references(made) <= known


def test_what_blocks_or_never_ends_is_not_where_a_fuzzer_would_wait_for_it() -> None:
    made = document(endpoints(), "1")
    assert set(made["x-endless-paths"]) == {"/v1/event/stream", "/v1/agent/monitor"}
    for operations_of in made["paths"].values():
        for operation in operations_of.values():
            assert "index" not in {p["name"] for p in operation["parameters"] if p["in"] == "query"}
    assert {"index", "wait", "stale", "region"} <= set(made["components"]["parameters"])
