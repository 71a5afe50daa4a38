"""Which allocations leave draining nodes now, decided on values.

A service group loses at most `max_parallel` healthy instances at a time: as many may leave as
are well beyond its count less that number. Batch instances are left to end by themselves.
When the deadline has passed, everything leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, MigrateStrategy, TaskGroup
from hanse.structs.node import DrainStrategy
from hanse.structs.times import parse_rfc3339

MIGRATE_DEFAULT = MigrateStrategy(max_parallel=1, min_healthy_time_ns=10 * 10**9)


@dataclass(frozen=True, slots=True)
class Facts:
    """All a decision may depend on."""

    #: The nodes that are being drained.
    draining: Mapping[str, DrainStrategy]
    #: Live allocations on those nodes.
    on_nodes: Sequence[Allocation]
    #: The jobs of those, by namespace and ID; without those that are gone.
    jobs: Mapping[tuple[str, str], Job]
    #: All allocations of those jobs.
    of_jobs: Mapping[tuple[str, str], Sequence[Allocation]]
    now_ns: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What leaves, which nodes are done, and when to look again (0: when something changes)."""

    migrate: tuple[Allocation, ...] = ()
    done: tuple[str, ...] = ()
    wake_at_ns: int = 0


def decide(facts: Facts) -> Decision:
    """The next step of all drains."""
    chosen: list[Allocation] = []
    wakes: list[int] = []
    waiting: dict[tuple[str, str, str], list[Allocation]] = {}
    busy: set[str] = set()
    for alloc in sorted(facts.on_nodes, key=lambda a: (a.node_id, a.id)):
        job = facts.jobs.get((alloc.namespace, alloc.job_id))
        if job is not None and job.type in ("system", "sysbatch"):
            continue
        busy.add(alloc.node_id)
        if alloc.transition.migrate or alloc.desired_status != "run":
            continue
        due_ns = forced_at_ns(facts.draining[alloc.node_id])
        if due_ns and due_ns <= facts.now_ns:
            chosen.append(alloc)
            continue
        if due_ns:
            wakes.append(due_ns)
        if job is not None and job.type == "service":
            waiting.setdefault((alloc.namespace, alloc.job_id, alloc.group), []).append(alloc)
    forced = {alloc.id for alloc in chosen}
    for (namespace, job_id, group), candidates in waiting.items():
        job = facts.jobs[namespace, job_id]
        everyone = facts.of_jobs[namespace, job_id]
        allowed, wake_ns = _allowed(job, group, everyone, forced, facts.now_ns)
        chosen += candidates[:allowed]
        if wake_ns:
            wakes.append(wake_ns)
    done = tuple(sorted(node_id for node_id in facts.draining if node_id not in busy))
    return Decision(tuple(chosen), done, min(wakes, default=0))


def forced_at_ns(strategy: DrainStrategy) -> int:
    """When everything leaves; 0 is never."""
    return parse_rfc3339(strategy.force_deadline)


def _allowed(
    job: Job, name: str, everyone: Sequence[Allocation], forced: set[str], now_ns: int
) -> tuple[int, int]:
    """How many instances of a group may leave now, and when more may be well."""
    group = next((g for g in job.task_groups if g.name == name), None)
    if group is None:
        return len(everyone), 0
    migrate = group.migrate or MIGRATE_DEFAULT
    well = 0
    wakes: list[int] = []
    for alloc in everyone:
        if alloc.group != name or alloc.terminal or alloc.transition.migrate or alloc.id in forced:
            continue
        at_ns = well_at_ns(alloc, migrate)
        if at_ns is not None and at_ns <= now_ns:
            well += 1
        elif at_ns is not None:
            wakes.append(at_ns)
    return max(0, well - _needed(group, migrate)), min(wakes, default=0)


def _needed(group: TaskGroup, migrate: MigrateStrategy) -> int:
    return group.count - max(1, migrate.max_parallel)


def well_at_ns(alloc: Allocation, migrate: MigrateStrategy) -> int | None:
    """From when on an instance counts as well; None if it does not run, or is ill."""
    if alloc.client_status != "running" or alloc.healthy is False:
        return None
    if alloc.healthy:
        return 0
    if alloc.deployment_id:
        return None
    since_ns = alloc.client.modified_ns if alloc.client is not None else 0
    return since_ns + migrate.min_healthy_time_ns
