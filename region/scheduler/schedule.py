"""From an evaluation and a snapshot to a plan: reconcile, test, rank, and say what was not done.

Pure: the same snapshot and seed give the same plan. Jobs of the types `service` and `batch`; an
evaluation of another type fails with that reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hanse.structs.allocation import Allocation
from hanse.structs.evaluation import AllocMetric, Evaluation, PlanAnnotations
from hanse.structs.ids import IdStream
from hanse.structs.job import Job
from hanse.structs.plan import Plan
from hanse.structs.times import rfc3339
from region.scheduler.board import Board
from region.scheduler.feasible import Feasible, class_eligibility, feasible
from region.scheduler.ledger import Ledger
from region.scheduler.peers import Peers
from region.scheduler.place import Outcome, Pass, place_all, version_of
from region.scheduler.reconcile import Decision, StillMeets, decide
from region.scheduler.resources import group_of, usage_of
from region.scheduler.rollout import Rollout, roll
from region.scheduler.snapshot import Snapshot

__all__ = ["Snapshot", "schedule"]

TYPES = ("service", "batch")

#: Failed instances that are due within this time of each other share a follow-up evaluation.
FOLLOWUP_WINDOW_NS = 5 * 10**9

BLOCKED = "created to place remaining allocations"
DELAYED = "created for delayed rescheduling"


def schedule(snapshot: Snapshot) -> Plan:
    """All that is to be done for the job of the snapshot's evaluation."""
    job = snapshot.job
    if job is not None and job.type not in TYPES:
        why = f'jobs of type "{job.type}" are not supported yet'
        return Plan(
            revision=snapshot.revision,
            evaluation=_closed(snapshot, status="failed", status_description=why),
        )
    ids, ledger = IdStream(snapshot.seed), Ledger()
    decisions = [
        decide(snapshot, name, mine, _still_meets(snapshot, name))
        for name, mine in _by_group(snapshot).items()
    ]
    rollout = roll(snapshot, decisions, ids)
    board = Board(snapshot.fleet, snapshot.seed)
    _note_decided(snapshot, decisions, rollout, ledger)
    followups = _followups(snapshot, decisions, ids, ledger)
    outcomes: dict[str, Outcome] = {}
    pass_: Pass | None = None
    if job is not None and any(decision.wants for decision in decisions):
        pass_ = Pass(snapshot, job, board, ids, ledger, _peers(snapshot, decisions))
        _free_stopped(snapshot, decisions, board)
        outcomes = place_all(pass_, decisions, {d.name: rollout.id_for(d.name) for d in decisions})
    blocked = _blocked(snapshot, outcomes, ids)
    plan_evaluation, more = _evaluations(snapshot, decisions, rollout, outcomes, blocked)
    return Plan(
        revision=snapshot.revision,
        evaluation=plan_evaluation,
        job_version=job.version if job is not None else 0,
        job_create_index=job.create_index if job is not None else 0,
        placements=tuple(pass_.placements) if pass_ is not None else (),
        changes=ledger.changes(),
        deployment=rollout.current if rollout.changed else None,
        ended_deployments=rollout.ended,
        evaluations=(*followups, *more),
        metrics={name: outcome.metric for name, outcome in outcomes.items()},
        desired={d.name: d.desired for d in decisions},
    )


def _by_group(snapshot: Snapshot) -> dict[str, list[Allocation]]:
    """Allocations by group: the job's groups in their order, then those it has no more."""
    job = snapshot.job
    groups: dict[str, list[Allocation]] = {g.name: [] for g in job.task_groups} if job else {}
    for allocation in snapshot.allocations:
        groups.setdefault(allocation.group, []).append(allocation)
    return groups


def _still_meets(snapshot: Snapshot, name: str) -> StillMeets:
    job, group = snapshot.job, group_of(snapshot.job, name)

    def test(allocation: Allocation) -> bool:
        row = snapshot.fleet.row(allocation.node_id)
        if job is None or group is None or row is None:
            return False
        return bool(feasible(snapshot.fleet, job, group).meets[row])

    return test


def _peers(snapshot: Snapshot, decisions: Sequence[Decision]) -> Peers:
    """The instances that are there before anything is placed; replaced ones until they leave."""
    peers = Peers(snapshot.fleet.size)
    for decision in decisions:
        leaving = (w.previous for w in decision.wants if w.stop_if_placed and w.previous)
        for allocation in (*decision.kept, *(a for a in leaving if not a.terminal)):
            row = snapshot.fleet.row(allocation.node_id)
            if row is not None:
                peers.join(decision.name, row)
    return peers


def _free_stopped(snapshot: Snapshot, decisions: Sequence[Decision], board: Board) -> None:
    """Give back the room of what stops anyway."""
    for decision in decisions:
        for stop in decision.stops:
            row = snapshot.fleet.row(stop.allocation.node_id)
            if row is not None and not stop.allocation.terminal:
                version = version_of(snapshot, stop.allocation)
                board.release(row, usage_of(stop.allocation, version))


def _note_decided(
    snapshot: Snapshot, decisions: Sequence[Decision], rollout: Rollout, ledger: Ledger
) -> None:
    job = snapshot.job
    for decision in decisions:
        for stop in decision.stops:
            ledger.note(
                stop.allocation.id,
                desired_status="stop",
                desired_description=stop.description,
                **({"verdict": "lost"} if stop.lost else {}),
            )
        for allocation in decision.in_place:
            ledger.note(
                allocation.id,
                job_version=job.version if job is not None else None,
                deployment_id=rollout.id_for(decision.name),
                eval_id=snapshot.evaluation.id,
            )


def _followups(
    snapshot: Snapshot, decisions: Sequence[Decision], ids: IdStream, ledger: Ledger
) -> list[Evaluation]:
    """An evaluation for each time at which failed instances are to be placed anew."""
    due = sorted(
        ((at, allocation) for d in decisions for allocation, at in d.later),
        key=lambda entry: (entry[0], entry[1].id),
    )
    found: list[Evaluation] = []
    since = 0
    for at, allocation in due:
        if not found or at > since + FOLLOWUP_WINDOW_NS:
            since = at
            found.append(
                _follower(
                    snapshot,
                    id=ids.next(),
                    triggered_by="alloc-failure",
                    status="pending",
                    status_description=DELAYED,
                    wait_until=rfc3339(at),
                )
            )
        ledger.note(allocation.id, followup_eval_id=found[-1].id)
    return found


def _follower(snapshot: Snapshot, **fields: object) -> Evaluation:
    """A new evaluation that follows from this one."""
    job, evaluation = snapshot.job, snapshot.evaluation
    base = Evaluation(
        namespace=evaluation.namespace,
        priority=evaluation.priority,
        type=job.type if job is not None else evaluation.type,
        job_id=evaluation.job_id,
        job_modify_index=evaluation.job_modify_index,
        deployment_id=evaluation.deployment_id,
        previous_eval=evaluation.id,
        create_time=snapshot.now_ns,
        modify_time=snapshot.now_ns,
    )
    return replace(base, **fields)


def _blocked(snapshot: Snapshot, outcomes: dict[str, Outcome], ids: IdStream) -> Evaluation | None:
    """What waits for room: this evaluation again if it waited before, else a new one."""
    failed = {name: o.metric for name, o in outcomes.items() if o.left}
    if not failed or snapshot.job is None:
        return None
    classes, escaped = _classes(snapshot, snapshot.job, failed)
    waited = snapshot.evaluation.triggered_by == "queued-allocs"
    base = (
        snapshot.evaluation
        if waited
        else _follower(snapshot, id=ids.next(), triggered_by="queued-allocs")
    )
    return replace(
        base,
        status="blocked",
        status_description=BLOCKED,
        class_eligibility=classes,
        escaped_computed_class=escaped,
        snapshot_index=snapshot.revision,
        modify_time=snapshot.now_ns,
        **({} if waited else {"failed_tg_allocs": failed}),
    )


def _classes(
    snapshot: Snapshot, job: Job, failed: dict[str, AllocMetric]
) -> tuple[dict[str, bool], bool]:
    """Which classes of nodes could run any of the failed groups; nothing if classes say nothing."""
    classes: dict[str, bool] = {}
    for group in job.task_groups:
        if group.name not in failed:
            continue
        found: Feasible = feasible(snapshot.fleet, job, group)
        eligible = class_eligibility(snapshot.fleet, found)
        if eligible is None:
            return {}, True
        for name, ok in eligible.items():
            classes[name] = classes.get(name, False) or ok
    return classes, False


def _evaluations(
    snapshot: Snapshot,
    decisions: Sequence[Decision],
    rollout: Rollout,
    outcomes: dict[str, Outcome],
    blocked: Evaluation | None,
) -> tuple[Evaluation, tuple[Evaluation, ...]]:
    """This evaluation as it is to be stored, and the blocked one if it is another."""
    job = snapshot.job
    queued = {d.name: 0 for d in decisions if d.group is not None and job and not job.stop}
    queued |= {name: len(outcome.left) for name, outcome in outcomes.items()}
    annotations = None
    if snapshot.annotate or snapshot.evaluation.annotate_plan:
        annotations = PlanAnnotations(desired_tg_updates={d.name: d.desired for d in decisions})
    deployment_id = rollout.current.id if rollout.current is not None else ""
    done = replace(
        _closed(snapshot, status="complete", status_description=""),
        deployment_id=deployment_id or snapshot.evaluation.deployment_id,
        queued_allocations=queued,
        failed_tg_allocs={name: o.metric for name, o in outcomes.items() if o.left},
        plan_annotations=annotations,
    )
    if blocked is None:
        return done, ()
    if blocked.id == done.id:
        return (
            replace(
                done,
                status="blocked",
                status_description=BLOCKED,
                class_eligibility=blocked.class_eligibility,
                escaped_computed_class=blocked.escaped_computed_class,
            ),
            (),
        )
    return replace(done, blocked_eval=blocked.id), (blocked,)


def _closed(snapshot: Snapshot, **fields: object) -> Evaluation:
    return replace(
        snapshot.evaluation,
        snapshot_index=snapshot.revision,
        modify_time=snapshot.now_ns,
        **fields,
    )
