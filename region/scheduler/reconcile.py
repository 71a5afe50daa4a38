"""What should change about the instances of one group, nodes apart.

Each index from 0 to count - 1 is held by at most one instance: one that lives, a batch instance
that is done, or a failed one that is not (or not yet) placed anew. Everything else follows: who
holds an index that is no longer wanted stops, who is on a node that is lost or draining is
replaced, who runs an older version is updated in place or replaced, at most `max_parallel` at a
time, and an index that nobody holds is placed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from hanse.structs.allocation import Allocation
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import DesiredUpdates
from hanse.structs.job import Job, TaskGroup, UpdateStrategy
from hanse.structs.taskstate import RescheduleTracker
from region.scheduler import reschedule
from region.scheduler.changes import needs_replacement
from region.scheduler.snapshot import Snapshot

NOT_NEEDED = "alloc not needed due to job update"
JOB_STOPPED = "alloc not needed as job is stopped"
UPDATING = "alloc is being updated due to job update"
MIGRATING = "alloc is being migrated"
LOST = "alloc is lost since its node is down"
RESCHEDULED = "alloc was rescheduled because it failed"

_INACTIVE = frozenset({"successful", "cancelled"})
_HALTED = frozenset({"paused", "failed"})


@dataclass(frozen=True, slots=True)
class Stop:
    """An instance that shall stop, whatever becomes of its replacement."""

    allocation: Allocation
    description: str
    lost: bool = False


class Want(msgspec.Struct, frozen=True, gc=False):
    """An index to be placed: a struct, for there may be tens of thousands."""

    index: int
    previous: Allocation | None = None
    #: The previous one is stopped with this description only if the new one finds a node.
    stop_if_placed: str = ""
    tracker: RescheduleTracker | None = None
    #: Nodes where the instance has just failed.
    avoid: tuple[str, ...] = ()


@dataclass(slots=True)
class Decision:
    """What is to be done about one group."""

    name: str
    #: None if the job no longer has the group.
    group: TaskGroup | None
    wants: list[Want] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    in_place: list[Allocation] = field(default_factory=list)
    #: Failed instances with the time at which they are to be placed anew.
    later: list[tuple[Allocation, int]] = field(default_factory=list)
    #: Instances that stay on their nodes, updated ones included.
    kept: list[Allocation] = field(default_factory=list)
    desired: DesiredUpdates = field(default_factory=DesiredUpdates)
    #: How many instances a new deployment of the group has to bring up; 0 if it needs none.
    rollout: int = 0
    #: Nothing is left to do for the group's part of the deployment.
    settled: bool = False


@dataclass(slots=True)
class _Sorted:
    """The group's allocations by what has to happen to them."""

    live: list[Allocation] = field(default_factory=list)
    done: list[Allocation] = field(default_factory=list)
    #: Failed, and to stay so (or until their time comes).
    failed: list[Allocation] = field(default_factory=list)
    lost: list[Allocation] = field(default_factory=list)
    migrating: list[Allocation] = field(default_factory=list)
    due: list[Allocation] = field(default_factory=list)
    later: list[tuple[Allocation, int]] = field(default_factory=list)


#: Whether an allocation's node still meets the rules of the (new) group.
StillMeets = Callable[[Allocation], bool]


def decide(
    snapshot: Snapshot, name: str, allocations: Iterable[Allocation], still_meets: StillMeets
) -> Decision:
    """What to do about the group of that name."""
    job = snapshot.job
    group = next((g for g in job.task_groups if g.name == name), None) if job else None
    decision = Decision(name, group)
    mine = sorted(allocations, key=lambda a: (a.index, a.create_index, a.id))
    if job is None or group is None or job.stop:
        stopped = job is None or job.stop
        _stop_all(snapshot, decision, mine, JOB_STOPPED if stopped else NOT_NEEDED)
        return decision
    sorted_ = _sort(snapshot, job, group, mine, decision)
    _drop_surplus(job, group, sorted_, decision)
    _decide_group(snapshot, job, group, sorted_, decision, mine, still_meets)
    return decision


def deployment_of(snapshot: Snapshot) -> Deployment | None:
    """The deployment of the version that is to run, unless it is over and done with."""
    found, job = snapshot.deployment, snapshot.job
    if found is None or job is None or found.status in _INACTIVE:
        return None
    same = found.job_version == job.version and found.job_create_index == job.create_index
    return found if same else None


def is_lost(snapshot: Snapshot, allocation: Allocation) -> bool:
    """Whether nothing more will be heard of a running allocation."""
    if allocation.client_terminal:
        return allocation.client_status == "lost"
    if allocation.verdict == "lost":
        return True
    return snapshot.tainted.get(allocation.node_id) in ("down", "gone", "disconnected")


def _stop_all(
    snapshot: Snapshot, decision: Decision, mine: list[Allocation], description: str
) -> None:
    for allocation in mine:
        if is_lost(snapshot, allocation):
            _mark_lost(allocation, decision)
        elif not allocation.terminal:
            decision.stops.append(Stop(allocation, description))
    decision.desired = DesiredUpdates(stop=len(decision.stops))
    decision.settled = True


def _mark_lost(allocation: Allocation, decision: Decision) -> None:
    """Record the verdict once."""
    if allocation.desired_status == "run":
        decision.stops.append(Stop(allocation, LOST, lost=True))
    elif not allocation.client_terminal and allocation.verdict != "lost":
        decision.stops.append(Stop(allocation, allocation.desired_description, lost=True))


def _sort(
    snapshot: Snapshot,
    job: Job,
    group: TaskGroup,
    mine: list[Allocation],
    decision: Decision,
) -> _Sorted:
    found = _Sorted()
    batch = job.type == "batch"
    for a in mine:
        older_job = a.job_create_index != job.create_index and bool(a.job_create_index)
        older = older_job or a.job_version < job.version
        complete = a.client_status == "complete"
        if batch and complete and not older and a.desired_status == "run" and not a.next_id:
            found.done.append(a)
        elif is_lost(snapshot, a):
            if a.desired_status == "run" and not older_job:
                found.lost.append(a)
            else:
                _mark_lost(a, decision)
        elif a.desired_status != "run" or complete or a.next_id:
            continue
        elif a.client_status == "failed":
            if not older_job and not (batch and older):
                _sort_failed(snapshot, group, a, found)
        elif older_job:
            decision.stops.append(Stop(a, NOT_NEEDED))
        elif a.transition.migrate:
            found.migrating.append(a)
        else:
            found.live.append(a)
    return found


def _sort_failed(
    snapshot: Snapshot, group: TaskGroup, allocation: Allocation, found: _Sorted
) -> None:
    if allocation.transition.force_reschedule:
        found.due.append(allocation)
        return
    deployment = deployment_of(snapshot)
    if (
        deployment is not None
        and allocation.deployment_id == deployment.id
        and (deployment.status == "failed" or not allocation.transition.reschedule)
    ):
        # A failure during a rollout is first judged by the deployment: it says whether the
        # instance is worth another try (transition.reschedule) or the rollout has failed.
        found.failed.append(allocation)
        return
    due = reschedule.due_at(allocation, group.reschedule_policy)
    if due is None:
        found.failed.append(allocation)
    elif (
        due <= snapshot.now_ns + reschedule.WINDOW_NS
        or allocation.followup_eval_id == snapshot.evaluation.id != ""
    ):
        found.due.append(allocation)
    else:
        found.failed.append(allocation)
        if not allocation.followup_eval_id:
            found.later.append((allocation, due))


def _drop_surplus(job: Job, group: TaskGroup, found: _Sorted, decision: Decision) -> None:
    """Stop who holds an index beyond the count, or one that a better instance holds."""
    held = {a.index for a in found.done}
    for a in found.lost:
        decision.stops.append(Stop(a, LOST, lost=True))
    found.lost = [a for a in found.lost if a.index < group.count]

    def keep(a: Allocation) -> bool:
        if a.index < group.count and a.index not in held:
            held.add(a.index)
            return True
        decision.stops.append(Stop(a, NOT_NEEDED))
        return False

    best = sorted(found.live, key=lambda a: (a.job_version != job.version, a.healthy is not True))
    stay = {a.id for a in best if keep(a)}
    found.live = [a for a in found.live if a.id in stay]
    found.migrating = [a for a in found.migrating if keep(a)]
    found.due = [a for a in found.due if keep(a)]
    found.failed = [a for a in found.failed if keep(a)]
    waiting = {a.id for a in found.failed}
    found.later = [(a, at) for a, at in found.later if a.id in waiting]
    lost: list[Allocation] = []
    for a in found.lost:
        if a.index not in held:
            held.add(a.index)
            lost.append(a)
    found.lost = lost


def _decide_group(
    snapshot: Snapshot,
    job: Job,
    group: TaskGroup,
    found: _Sorted,
    decision: Decision,
    mine: list[Allocation],
    still_meets: StillMeets,
) -> None:
    deployment = deployment_of(snapshot)
    halted = deployment is not None and deployment.status in _HALTED
    replace, in_place, current = _by_version(snapshot, job, group, found, still_meets)
    held = {
        a.index
        for some in (found.live, found.done, found.failed, found.lost, found.migrating, found.due)
        for a in some
    }
    missing = [index for index in range(group.count) if index not in held]
    wants = _wants(snapshot, job, group, found, missing=[] if halted else missing)
    limit = _limit(job, group, deployment, [*found.live, *found.failed], replace)
    limit = len(replace) if limit is None else max(0, limit - len(wants))
    # Replacing an instance that is down anyway takes nobody away from its users.
    replace.sort(key=lambda a: (not a.client_terminal, a.healthy is True, a.index))
    now, waiting = replace[:limit], replace[limit:]
    replaced = {a.id for a in now}
    migrations = _migrations(found.migrating)
    wants += [Want(index=a.index, previous=a, stop_if_placed=UPDATING) for a in now] + migrations
    for a in found.migrating:
        decision.stops.append(Stop(a, MIGRATING))
    decision.wants = sorted(wants, key=lambda want: want.index)
    decision.in_place = in_place
    decision.later = [(a, at) for a, at in found.later if a.id not in replaced]
    decision.kept = [a for a in found.live if a.id not in replaced]
    decision.desired = DesiredUpdates(
        ignore=len(current) + len(waiting) + len(found.done),
        place=len(wants) - len(now) - len(migrations),
        migrate=len(found.migrating),
        stop=sum(stop.description != MIGRATING for stop in decision.stops),
        in_place_update=len(in_place),
        destructive_update=len(now),
        reschedule_now=len(found.due),
        reschedule_later=len(decision.later),
    )
    started = any(_is_of(a, job) for a in mine)
    if _strategy(job, group) and (not started or replace or in_place):
        decision.rollout = len(decision.wants) + len(waiting) + len(in_place)
    decision.settled = not (decision.wants or replace or in_place or decision.later or missing)


def _is_of(allocation: Allocation, job: Job) -> bool:
    return allocation.job_version == job.version and allocation.job_create_index == job.create_index


def _migrations(migrating: list[Allocation]) -> list[Want]:
    return [
        Want(index=a.index, previous=a, tracker=a.reschedule)
        for a in migrating
        if not a.transition.migrate_disable_placement
    ]


def _wants(
    snapshot: Snapshot, job: Job, group: TaskGroup, found: _Sorted, missing: list[int]
) -> list[Want]:
    """What is to be placed, updates and migrations apart."""
    policy = group.reschedule_policy
    return [
        *(Want(index=a.index, previous=a, tracker=a.reschedule) for a in found.lost),
        *(
            Want(
                index=a.index,
                previous=a,
                stop_if_placed=RESCHEDULED,
                tracker=reschedule.tracker_after(a, policy, snapshot.now_ns),
                avoid=(a.node_id,),
            )
            for a in found.due
        ),
        *(Want(index=index) for index in missing),
    ]


def _by_version(
    snapshot: Snapshot, job: Job, group: TaskGroup, found: _Sorted, still_meets: StillMeets
) -> tuple[list[Allocation], list[Allocation], list[Allocation]]:
    """Instances to be replaced, to be updated in place, and those that are as they should be."""
    replace: list[Allocation] = []
    in_place: list[Allocation] = []
    current: list[Allocation] = []
    changed: dict[int, bool] = {}
    for a in [*found.live, *found.failed]:
        if a.job_version == job.version:
            current.append(a)
            continue
        if a.job_version not in changed:
            old = snapshot.versions.get(a.job_version)
            changed[a.job_version] = needs_replacement(old, job, group.name)
        if a.client_terminal or changed[a.job_version] or not still_meets(a):
            replace.append(a)
        else:
            in_place.append(a)
    return replace, in_place, current


def _strategy(job: Job, group: TaskGroup) -> UpdateStrategy | None:
    """How the group is rolled out; None for all at once and without a deployment."""
    update = group.update
    if job.type != "service" or update is None or update.max_parallel <= 0:
        return None
    return update


def _limit(
    job: Job,
    group: TaskGroup,
    deployment: Deployment | None,
    present: list[Allocation],
    replace: list[Allocation],
) -> int | None:
    """How many instances may be down for the update now; None for any number.

    Whoever stays and is not healthy yet is down already, also if an earlier rollout is to blame.
    """
    if deployment is not None and deployment.status in _HALTED:
        return 0
    update = _strategy(job, group)
    if update is None or not replace:
        return None
    leaving = {a.id for a in replace}
    staying = [a for a in present if a.id not in leaving and a.deployment_id]
    if deployment is not None and any(
        a.deployment_id == deployment.id and (a.healthy is False or a.client_terminal)
        for a in staying
    ):
        return 0
    return update.max_parallel - sum(a.healthy is not True for a in staying)
