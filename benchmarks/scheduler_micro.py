"""The scheduler by itself: no etcd, no HTTP, plans charged to the fleet as the broker does.

python -m benchmarks.scheduler_micro [--quick]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from benchmarks.report import Row, spread
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job, Spread, TaskGroup
from hanse.structs.node import (
    DriverInfo,
    LegacyNodeCpuResources,
    Node,
    NodeDiskResources,
    NodeMemoryResources,
    NodeResources,
)
from hanse.structs.plan import Plan
from hanse.structs.task import Constraint, Resources, Task
from region.scheduler.fleet import Fleet
from region.scheduler.resources import Usage, ask_of
from region.scheduler.schedule import Snapshot, schedule

NAME = "S"


def node(number: int, *, cpu: int, memory: int) -> Node:
    return Node(
        id=f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-0000{number:08x}",
        name=f"node-{number}",
        datacenter=f"dc{number % 3}",
        node_pool="default",
        status="ready",
        scheduling_eligibility="eligible",
        attributes={"kernel.name": "linux", "kernel.version": f"6.{number % 7}.0"},
        meta={"rack": f"r{number % 50}"},
        drivers={"mock": DriverInfo(detected=True, healthy=True)},
        node_resources=NodeResources(
            cpu=LegacyNodeCpuResources(cpu_shares=cpu),
            memory=NodeMemoryResources(memory_mb=memory),
            disk=NodeDiskResources(disk_mb=10_000_000),
        ),
    )


def fleet_of(size: int, *, cpu: int = 33_000, memory: int = 66_000) -> Fleet:
    fleet = Fleet.empty()
    for number in range(size):
        fleet.set_node(node(number, cpu=cpu, memory=memory))
    return fleet


def job_of(name: str, count: int, *, cpu: int = 100, memory: int = 200, **given: object) -> Job:
    task = Task(name="t", driver="mock", resources=Resources(cpu=cpu, memory_mb=memory))
    group = TaskGroup(name="g", count=count, tasks=(task,), **given)  # type: ignore[arg-type]
    return Job(
        id=name,
        namespace="default",
        type="batch",
        priority=50,
        datacenters=("*",),
        node_pool="default",
        task_groups=(group,),
        create_index=1,
    )


def plan_for(fleet: Fleet, job: Job, seed: int) -> Plan:
    evaluation = Evaluation(
        id=f"e{seed}", namespace="default", job_id=job.id, triggered_by="job-register"
    )
    return schedule(
        Snapshot(
            revision=seed,
            evaluation=evaluation,
            job=job,
            allocations=(),
            fleet=fleet.snapshot(),
            seed=seed,
        )
    )


def usage_in(job: Job) -> Usage:
    ask = ask_of(job.task_groups[0])
    return Usage(ask.cpu_mhz, ask.memory_mb, ask.disk_mb)


def check(plan: Plan, job: Job) -> None:
    """All placed, each index once."""
    count = job.task_groups[0].count
    assert [p.index for p in plan.placements] == list(range(count)), plan.evaluation
    assert not plan.evaluation.failed_tg_allocs


def check_room(fleet: Fleet) -> None:
    """No node over capacity."""
    view = fleet.snapshot()
    assert int(view.free.cpu[: view.size].min()) >= 0
    assert int(view.free.memory[: view.size].min()) >= 0


def bulk(*, quick: bool) -> list[Row]:
    """The two-million-container run's shape: 2,000 jobs of 1,000 on 6,100 nodes."""
    jobs, nodes = (50, 6_100) if quick else (2_000, 6_100)
    fleet = fleet_of(nodes)
    planning = charging = cpu = 0.0
    per_node: Counter[str] = Counter()
    for number in range(jobs):
        job = job_of(f"bulk-{number}", 1_000)
        began, cpu_began = time.perf_counter(), time.process_time()
        plan = plan_for(fleet, job, number)
        planned = time.perf_counter()
        cpu += time.process_time() - cpu_began
        check(plan, job)
        where = [p.node_id for p in plan.placements]
        per_node.update(where)
        checked = time.perf_counter()
        fleet.charge_many(where, usage_in(job))
        planning += planned - began
        charging += time.perf_counter() - checked
    check_room(fleet)
    total = jobs * 1_000
    assert sum(per_node.values()) == total
    rate = total / (planning + charging)
    return [
        Row(
            NAME,
            f"{total:,} placements, {jobs:,} jobs, {nodes:,} nodes",
            f"{planning:.2f} s ({cpu:.2f} s CPU) + {charging:.2f} s charging = {rate:,.0f}/s",
            "a few seconds",
        )
    ]


def timed(what: Callable[[], object], times: int) -> list[float]:
    found: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return found


def small(size: int, *, quick: bool) -> list[Row]:
    """One instance at a time, each charged before the next, on a fleet that is partly used."""
    fleet = fleet_of(size)
    random = np.random.default_rng(1)
    names = [node(number, cpu=1, memory=1).id for number in range(size)]
    for at in random.permutation(size)[: size // 2].tolist():
        fleet.charge(names[at], Usage(int(random.integers(1, 20_000)), 1_000, 0))
    took: list[float] = []
    for number in range(50 if quick else 500):
        job = job_of(f"small-{number}", 1)
        began = time.perf_counter()
        plan = plan_for(fleet, job, number)
        fleet.charge(plan.placements[0].node_id, usage_in(job))
        took.append(time.perf_counter() - began)
        check(plan, job)
    check_room(fleet)
    views = timed(lambda: (fleet.charge(names[0], Usage(1, 1, 1)), fleet.snapshot()), 50)
    goal = "< 1 ms" if size >= 100_000 else ""
    return [
        Row(NAME, f"one instance on {size:,} nodes, charged", spread(took), goal),
        Row(NAME, f"view of {size:,} nodes after a change", spread(views), "<= 1 ms"),
    ]


def rules(size: int) -> list[Row]:
    """A rule tested on all nodes for the first time, and again after one node changed."""
    fleet = fleet_of(size)
    rule = Constraint(l_target="${attr.kernel.version}", r_target=">= 6.3", operand="version")
    job = job_of("rules", 1, constraints=(rule,))
    (first,) = timed(lambda: plan_for(fleet, job, 1), 1)
    fleet.set_node(node(7, cpu=1, memory=1))
    (again,) = timed(lambda: plan_for(fleet, job, 2), 1)
    cached = timed(lambda: plan_for(fleet, job, 3), 20)
    check(plan_for(fleet, job, 4), job)
    return [
        Row(
            NAME,
            f"a version rule on {size:,} nodes",
            f"first {first * 1e3:.1f} ms, a node changed {again * 1e3:.1f} ms, "
            f"then {spread(cached)}",
        )
    ]


def spreads(size: int, count: int) -> list[Row]:
    """Instances coupled by a spread, chosen one after the other."""
    fleet = fleet_of(size)
    job = job_of("spread", count, spreads=(Spread(attribute="${meta.rack}", weight=50),))
    began = time.perf_counter()
    plan = plan_for(fleet, job, 1)
    took = time.perf_counter() - began
    check(plan, job)
    racks = Counter(
        fleet.snapshot().node(_row(fleet, p.node_id)).meta["rack"] for p in plan.placements
    )
    assert max(racks.values()) - min(racks.values()) <= 1
    return [Row(NAME, f"{count:,} over 50 racks, {size:,} nodes", f"{took * 1e3:.0f} ms")]


def _row(fleet: Fleet, node_id: str) -> int:
    row = fleet.snapshot().row(node_id)
    assert row is not None
    return row


def run(*, quick: bool = False) -> list[Row]:
    """All of it."""
    return [
        *bulk(quick=quick),
        *small(100, quick=quick),
        *small(10_000, quick=quick),
        *small(100_000, quick=quick),
        *rules(10_000 if quick else 100_000),
        *spreads(6_100, 1_000),
    ]


def main() -> int:
    for row in run(quick="--quick" in sys.argv):
        print(f"{row.what:52} {row.measured:64} {row.goal}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
