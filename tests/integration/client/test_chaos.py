"""Agents that die at any moment, losing all that was not written: no task runs twice or is left."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest

from hanse.structs.task import RestartPolicy, Task
from hanse.testing.driver import FakeTask


class Watched(dict[str, FakeTask]):
    """The host's tasks; notes each second copy of one that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.doubles: list[str] = []

    def __setitem__(self, task_id: str, task: FakeTask) -> None:
        for other in self.values():
            same = (other.spec.allocation_id, other.spec.name) == (
                task.spec.allocation_id, task.spec.name,
            )  # fmt: skip
            ended = other.exit is not None or (
                other.ends_at is not None and asyncio.get_running_loop().time() >= other.ends_at
            )
            if same and not ended:
                self.doubles.append(f"{other.spec.id} and {task_id}")
        super().__setitem__(task_id, task)


def jobs(make_job: Any, rng: Random) -> list[Any]:
    policy = RestartPolicy(attempts=50, interval_ns=10**13, delay_ns=5 * 10**6, mode="fail")
    scripts: list[dict[str, Any]] = [
        {},
        {"run_for": 0.02, "exit_code": 1},
        {"run_for": 0.03},
        {"start_block_for": 0.02},
        {"answer_block_for": 0.02},
        {"start_error": "busy", "start_error_recoverable": True},
        {"ignore_signals": True},
    ]
    found = []
    for number, script in enumerate(scripts):
        tasks = (
            Task(name="main", driver="fake", config=script, kill_timeout_ns=10**7),
            Task(name="side", driver="fake", config=rng.choice(scripts), kill_timeout_ns=10**7),
        )
        kind = rng.choice(["service", "batch"])
        found.append(make_job(f"j{number}", kind=kind, tasks=tasks, restart_policy=policy))
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_whenever_the_agent_dies_nothing_runs_twice_or_is_left(
    seed: int, bench: Any, make_job: Any, make_alloc: Any
) -> None:
    rng = Random(seed)
    bench.host.tasks = watched = Watched()
    all_jobs = jobs(make_job, rng)
    wanted = {f"a{n}": make_alloc(job, f"a{n}") for n, job in enumerate(all_jobs)}

    def tell() -> None:
        bench.server.want(*wanted.values(), jobs=tuple(all_jobs), complete=True)

    for _ in range(12):
        async with bench.agent() as client:
            tell()
            await asyncio.sleep(rng.random() * 0.08)
            if rng.random() < 0.3:
                name = rng.choice(list(wanted))
                wanted[name] = msgspec.structs.replace(wanted[name], desired_status="stop")
                tell()
                await asyncio.sleep(rng.random() * 0.03)
            # As a kill would: what waits to be written is lost.
            client.world.checkpoint.lose_what_waits()
            bench.host.agent_killed = True
        bench.host.agent_killed = False
    async with bench.agent():
        wanted = {
            name: msgspec.structs.replace(each, desired_status="stop")
            for name, each in wanted.items()
        }
        tell()
        for name in wanted:
            await bench.server.until(lambda name=name: _ended(bench, name))
        await bench.server.until(lambda: not bench.host.tasks)
    assert watched.doubles == []
    assert bench.host.living() == []
    assert max(Counter(bench.host.starts).values()) == 1, "an attempt was started twice"


def _ended(bench: Any, name: str) -> bool:
    status = bench.server.latest(name)
    return status is not None and status.client_status in ("complete", "failed")
