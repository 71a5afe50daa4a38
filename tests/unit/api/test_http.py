"""What is the same for every request."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp.test_utils import TestClient

from hanse.config.model import AgentConfig
from hanse.structs.job import Job
from hanse.testing.region import MemoryRegion
from region.api import app


@pytest.fixture
def config() -> AgentConfig:
    return AgentConfig(http_api_response_headers={"X-Operator": "yes"})


async def test_the_operators_headers_are_on_every_response(client: TestClient) -> None:
    for path in ("/v1/jobs", "/v1/nothing", "/v1/jobs?per_page=x", "/v1/event/stream"):
        async with client.get(path) as response:
            assert response.headers["X-Operator"] == "yes", path
            assert response.headers["X-Content-Type-Options"] == "nosniff", path


async def test_head_gives_the_headers_alone_and_never_follows_a_stream(
    region: MemoryRegion, client: TestClient, job: Callable[..., Job]
) -> None:
    region.state.put(job())
    response = await client.head("/v1/jobs")
    assert (response.status, await response.read()) == (200, b"")
    assert int(response.headers["Content-Length"]) > 2
    response = await client.head("/v1/event/stream")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_method_that_is_not_known_is_told_the_ones_that_are(client: TestClient) -> None:
    response = await client.patch("/v1/job/web")
    allowed = set(response.headers["Allow"].split(", "))
    assert (response.status, allowed) == (405, {"GET", "HEAD", "PUT", "POST", "DELETE"})


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "BODY_S_MAX", 0.05)
    hold = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await hold.wait()

    response = await client.put("/v1/jobs", data=slow())
    hold.set()
    assert response.status == 408


async def test_answers_of_one_revision_are_shared_only_by_the_same_question(
    region: MemoryRegion, client: TestClient, job: Callable[..., Job]
) -> None:
    region.state.put(job("a"), job("b"), job("c", namespace="other"))
    for query, expected in (
        ("", ["a", "b"]),
        ("?namespace=other", ["c"]),
        ("?namespace=*", ["a", "b", "c"]),
        ("?prefix=a", ["a"]),
        ("?reverse=true", ["b", "a"]),
        ("", ["a", "b"]),
    ):
        response = await client.get(f"/v1/jobs{query}")
        assert [item["ID"] for item in await response.json()] == expected
    region.state.put(job("0"))
    assert len(await (await client.get("/v1/jobs")).json()) == 3


async def test_a_mistake_of_ours_is_logged_and_not_shown(
    region: MemoryRegion, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(namespace: str) -> list[Job]:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(region.state, "jobs", broken)
    response = await client.get("/v1/jobs")
    text = await response.text()
    assert (response.status, text) == (500, "internal error; the agent's log has the details")
