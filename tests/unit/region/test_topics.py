"""Blocking queries."""

import asyncio

from hanse.store import Batch, KeyValue
from hanse.structs.job import Job
from hanse.testing.clock import HandClock
from region.state.codec import encode
from region.state.state import State


def put(state: State, job_id: str, revision: int) -> Batch:
    key = state.keys.job("default", job_id)
    value = encode(Job(id=job_id, namespace="default"))
    return Batch(revision, (KeyValue(key, value, revision, revision, 1),))


async def test_only_those_are_woken_whose_object_changed_and_each_once() -> None:
    clock = HandClock()
    state = State("global", clock)
    state.apply(put(state, "a", 5))
    state.apply(put(state, "b", 6))
    woken: list[str] = []

    async def wait(job_id: str) -> None:
        await state.wait_changed([("job", "default", job_id)], 6, clock.now() + 300)
        woken.append(job_id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(job_id)) for job_id in ["a"] * 200 + ["b"] * 200]
        await asyncio.sleep(0)
        state.apply(put(state, "a", 7))
        state.apply(put(state, "a", 8))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woken == ["a"] * 200
        for task in tasks:
            task.cancel()
    assert len(state.waiters) == 0


async def test_a_change_that_is_known_already_is_not_waited_for() -> None:
    clock = HandClock()
    state = State("global", clock)
    state.apply(put(state, "a", 5))
    await state.wait_changed([("job", "default", "a")], 4, clock.now() + 300)
    assert state.index(("job", "default", "a")) == 5


async def test_a_deadline_ends_the_wait() -> None:
    clock = HandClock()
    state = State("global", clock)
    state.apply(put(state, "a", 5))
    async with asyncio.TaskGroup() as group:
        deadlines = group.create_task(state.waiters.run())
        waiter = group.create_task(state.wait_changed([("jobs",)], 5, clock.now() + 10.0))
        for _ in range(99):
            clock.advance(0.1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not waiter.done()
        for _ in range(3):
            clock.advance(0.1)
            for _ in range(4):
                await asyncio.sleep(0)
        assert waiter.done()
        deadlines.cancel()


async def test_what_is_missing_can_be_waited_for() -> None:
    clock = HandClock()
    state = State("global", clock)
    state.apply(put(state, "a", 5))
    topic = ("job", "default", "new")
    before = state.index(topic)
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(state.wait_changed([topic], before, clock.now() + 300))
        await asyncio.sleep(0)
        state.apply(put(state, "a", 6))
        await asyncio.sleep(0)
        assert not waiter.done()
        state.apply(put(state, "new", 7))
        await waiter
    assert state.index(topic) == 7
