"""Blocking queries, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from hanse.config.model import AgentConfig
from hanse.structs.job import Job
from hanse.testing.agent import MemoryAgent
from hanse.testing.clock import HandClock
from hanse.testing.region import MemoryRegion
from region.api.app import build_app

MakeJob = Callable[..., Job]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def region(clock: HandClock) -> MemoryRegion:
    return MemoryRegion(clock)


@pytest.fixture
async def client(region: MemoryRegion) -> AsyncIterator[TestClient]:
    app = build_app(region, MemoryAgent(region.clock), config=AgentConfig())
    async with TestClient(TestServer(app, handler_cancellation=True)) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until it holds; a test that never sees it runs into its time limit."""
    while not condition():  # noqa: ASYNC110 - the state under test has no event
        await asyncio.sleep(0)


async def test_a_query_waits_for_its_own_object_and_for_no_other(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    index = region.state.put(job("a"), job("b"))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.get(f"/v1/job/a?index={index}"))
        await until(lambda: region.state.waiting == 1)
        region.state.put(job("b", priority=60))
        await asyncio.sleep(0)
        assert region.state.waiting == 1
        changed = region.state.put(job("a", priority=70))
        response = await waiting
    assert (await response.json())["Priority"] == 70
    assert response.headers["X-Nomad-Index"] == str(changed)


async def test_a_query_whose_index_is_old_is_answered_at_once(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    index = region.state.put(job("a"))
    response = await client.get(f"/v1/jobs?index={index - 1}")
    assert response.headers["X-Nomad-Index"] == str(index)


@pytest.mark.parametrize(("wait", "wait_s"), [("10s", 10), ("1h", 300), ("", 300)])
async def test_a_query_that_waits_in_vain_is_answered_after_its_time_with_the_same_index(
    region: MemoryRegion, client: TestClient, clock: HandClock, job: MakeJob, wait: str, wait_s: int
) -> None:
    index = region.state.put(job("a"))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.get(f"/v1/jobs?index={index}&wait={wait}"))
        await until(lambda: clock.sleeping == 1)
        clock.advance(wait_s - 0.1)
        await asyncio.sleep(0)
        assert region.state.waiting == 1
        clock.advance(wait_s / 16 + 0.2)
        response = await waiting
    assert (response.status, response.headers["X-Nomad-Index"]) == (200, str(index))


async def test_a_query_for_what_is_not_there_waits_for_it_to_appear(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.get("/v1/job/later?index=1"))
        await until(lambda: region.state.waiting == 1)
        region.state.put(job("later"))
        response = await waiting
    assert (await response.json())["ID"] == "later"


async def test_a_client_that_goes_away_no_longer_waits(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    index = region.state.put(job("a"))
    waiting = asyncio.ensure_future(client.get(f"/v1/jobs?index={index}"))
    await until(lambda: region.state.waiting == 1)
    waiting.cancel()
    await until(lambda: region.state.waiting == 0)


async def test_many_who_wait_for_one_job_share_one_answer(
    region: MemoryRegion, client: TestClient, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    asked = region.state.job

    def counted(namespace: str, job_id: str) -> Job | None:
        made.append(job_id)
        return asked(namespace, job_id)

    index = region.state.put(job("a"))
    monkeypatch.setattr(region.state, "job", counted)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.get(f"/v1/job/a?index={index}")) for _ in range(50)]
        await until(lambda: region.state.waiting == 50)
        region.state.put(job("a", priority=70))
        answers = [await (await task).json() for task in tasks]
    assert {answer["Priority"] for answer in answers} == {70}
    assert made == ["a"]
