"""What to do about the servers' word on this node's allocations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from client.allocrunner.plan import static_ports
from client.checkpoint import JobKey, job_key
from hanse.rpc.messages import Desired
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job, TaskGroup


@dataclass(frozen=True, slots=True)
class Run:
    """A new allocation."""

    allocation: Allocation
    job: Job


@dataclass(frozen=True, slots=True)
class Update:
    """An allocation of ours is wanted differently; None: its job is the one we have."""

    allocation: Allocation
    job: Job | None


@dataclass(frozen=True, slots=True)
class Report:
    """An allocation that we do not have and need not run: say so."""

    status: AllocStatus


@dataclass(frozen=True, slots=True)
class Forget:
    """The servers have forgotten it: stop it and remove all of it."""

    alloc_id: str


@dataclass(frozen=True, slots=True)
class Want:
    """The servers must send these jobs before their allocations can run."""

    jobs: tuple[JobKey, ...]


Action = Run | Update | Report | Forget | Want


def actions(
    desired: Desired, ours: Collection[str], jobs: Callable[[JobKey], Job | None]
) -> list[Action]:
    """What to do, in order: first what ends, so that what begins finds room.

    `ours` are the allocations this node has; `jobs` looks one up that it knows, or was just sent.
    """
    known = {job_key(job): job for job in desired.jobs}
    stops: list[Action] = []
    starts: list[Action] = []
    missing: dict[JobKey, None] = {}
    for allocation in desired.allocations:
        key = (allocation.namespace, allocation.job_id, allocation.job_version)
        job = known.get(key) or jobs(key)
        if allocation.id in ours:
            if allocation.terminal:
                stops.append(Update(allocation, job))
            elif job is None:
                missing[key] = None
            else:
                starts.append(Update(allocation, job))
        elif allocation.desired_status != "run" or allocation.verdict:
            if allocation.client is None or not allocation.client_terminal:
                stops.append(Report(_never_ran(allocation)))
        elif not allocation.client_terminal:
            if job is None:
                missing[key] = None
            else:
                starts.append(Run(allocation, job))
    gone = set(desired.gone)
    if desired.complete:
        gone |= set(ours) - {allocation.id for allocation in desired.allocations}
    forgets: list[Action] = [Forget(alloc_id) for alloc_id in sorted(gone & set(ours))]
    wants: list[Action] = [Want(tuple(missing))] if missing else []
    return [*forgets, *stops, *starts, *wants]


def blockers(
    allocation: Allocation,
    group: TaskGroup,
    living: Collection[str],
    leaving: Mapping[str, tuple[Allocation, TaskGroup]],
) -> frozenset[str]:
    """The allocations on this node that must end before this one can begin.

    Those are its predecessor and whoever holds one of its ports and is to stop. `living` are all
    that have not ended, `leaving` those of them that are to stop.
    """
    static = static_ports(group)
    ports = frozenset(port.value for port in allocation.ports)
    found = {allocation.previous_id} if allocation.previous_id in living else set[str]()
    for alloc_id, (other, other_group) in leaving.items():
        if alloc_id == allocation.id:
            continue
        shared = static & static_ports(other_group)
        taken = ports & frozenset(port.value for port in other.ports)
        if shared or taken:
            found.add(alloc_id)
    return frozenset(found)


def _never_ran(allocation: Allocation) -> AllocStatus:
    return AllocStatus(
        alloc_id=allocation.id,
        client_status="complete",
        client_description="Stopped before the node had it",
    )
