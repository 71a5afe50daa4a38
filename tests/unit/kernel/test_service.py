"""The supervisor and the reconciler, on a clock we turn by hand."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing

from hanse.errors import Invalid, Unavailable
from hanse.service import Reconciler, supervise


class HandClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall_ns(self) -> int:
        return int(self._now * 10**9)

    async def sleep(self, delay_s: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + delay_s, future))
        await future

    async def advance(self, by_s: float) -> None:
        self._now += by_s
        for due, future in self._sleepers:
            if due <= self._now and not future.done():
                future.set_result(None)
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_reconciler_steps_at_once_then_each_period_then_when_woken() -> None:
    clock, stop = HandClock(), asyncio.Event()
    steps: list[float] = []

    async def step() -> None:
        steps.append(clock.now())

    loop = Reconciler("things", step, clock, period_s=30.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(supervise([loop], stop))
        await settle()
        await clock.advance(30.0)
        await clock.advance(5.0)
        loop.wake()
        loop.wake()
        await settle()
        stop.set()
    assert steps == [0.0, 30.0, 35.0]


async def test_a_retryable_failure_is_logged_and_tried_again() -> None:
    clock, stop = HandClock(), asyncio.Event()
    tries: list[float] = []

    async def step() -> None:
        tries.append(clock.now())
        if len(tries) == 1:
            raise Unavailable("etcd", waited_s=2.0)

    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            group.create_task(supervise([Reconciler("leases", step, clock)], stop))
            await settle()
            await clock.advance(30.0)
            stop.set()
    assert tries == [0.0, 30.0]
    assert [e["error"] for e in logs if e["event"] == "step failed"] == [
        "etcd did not answer within 2 s"
    ]


async def test_any_other_failure_takes_the_process_down() -> None:
    async def step() -> None:
        raise Invalid("job.hcl:3:1", "count must not be negative")

    with pytest.raises(ExceptionGroup) as caught:
        await supervise([Reconciler("jobs", step, HandClock())], asyncio.Event())
    assert caught.group_contains(Invalid, match="count must not be negative")


async def test_services_stop_in_turn_the_last_one_first() -> None:
    ended: list[str] = []

    class Slow:
        def __init__(self, name: str) -> None:
            self.name = name

        async def run(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await settle()
                ended.append(self.name)

    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervise([Slow("store"), Slow("leadership"), Slow("api")], stop))
        await settle()
        stop.set()
    assert ended == ["api", "leadership", "store"]
