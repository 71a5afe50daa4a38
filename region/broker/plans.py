"""A plan as transactions: what is written, and what must still hold. Pure.

Each transaction compares the job and the evaluation with what the pass saw, so a plan made
for a job that has changed since is refused whole, and one whose outcome was unknown can be
made again without doing anything twice. A plan too large for one transaction is written in
several; each but the last also touches the evaluation, so that the next can compare it, and
the last completes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from hanse.store import KeyIs, Put
from hanse.structs.allocation import (
    BLOCK_ALLOCATIONS_MAX,
    ChangeBlock,
    Placed,
    PlacementBlock,
)
from hanse.structs.evaluation import Evaluation
from hanse.structs.ids import IdStream
from hanse.structs.plan import Placement, Plan
from region.broker.queue import Ticket
from region.state.codec import encode
from region.state.keys import Keys
from region.writer import TXN_OPS_MAX

T = TypeVar("T")

#: What one transaction may hold, well under what etcd accepts.
_TXN_BYTES_MAX = 1_000_000
#: Blocks of one transaction: a revision is applied in one go, while nobody else has a turn.
_BLOCKS_MAX = 50

SUPERSEDED = "superseded by evaluation {}"


class Seen(NamedTuple):
    """Revisions of the keys that the pass depended on."""

    job_revision: int
    eval_revision: int
    #: The deployment in the snapshot; "" if there was none.
    deployment_id: str = ""
    deployment_revision: int = 0


class Part(NamedTuple):
    """One transaction of a plan. `evaluation` is what it leaves of the evaluation."""

    compares: tuple[KeyIs, ...]
    writes: tuple[Put, ...]


class Made(NamedTuple):
    """All transactions of a plan, in order; only the first knows the evaluation's revision."""

    parts: tuple[Part, ...]
    eval_key: str


def nothing_new(plan: Plan, ticket: Ticket) -> Evaluation | None:
    """The evaluation as it blocks on, if a pass over a blocked one changed nothing at all."""
    if ticket.evaluation.status != "blocked" or ticket.blocked:
        return None
    blocked = [e for e in (plan.evaluation, *plan.evaluations) if e.status == "blocked"]
    others = [e for e in plan.evaluations if e.status != "blocked"]
    if (
        plan.placements
        or plan.changes
        or plan.deployment
        or plan.ended_deployments
        or others
        or not blocked
    ):
        return None
    return replace(
        ticket.evaluation,
        class_eligibility=blocked[0].class_eligibility,
        escaped_computed_class=blocked[0].escaped_computed_class,
    )


def transactions(
    plan: Plan, ticket: Ticket, seen: Seen, keys: Keys, ids: IdStream, now_ns: int
) -> Made:
    """Everything a plan writes, as few transactions as fit."""
    job_is = KeyIs(keys.job(*ticket.key), seen.job_revision)
    eval_key = keys.evaluation(ticket.evaluation.id)
    head = list(_first_writes(plan, keys, ids, now_ns))
    tail = list(_last_writes(plan, ticket, keys, now_ns))
    touched = Put(eval_key, encode(replace(ticket.evaluation, modify_time=now_ns)))
    room = max(1, min(_BLOCKS_MAX, TXN_OPS_MAX - 1 - len(tail)))
    parts: list[Part] = []
    current: list[Put] = []
    size = sum(len(write.value) for write in tail)
    for write in head:
        if current and (size + len(write.value) > _TXN_BYTES_MAX or len(current) >= room):
            parts.append(Part((job_is,), (*current, touched)))
            current, size = [], sum(len(write.value) for write in tail)
        current.append(write)
        size += len(write.value)
    parts.append(Part((job_is,), (*current, *tail)))
    first = parts[0]
    compares = [*first.compares, KeyIs(eval_key, seen.eval_revision)]
    touched_ids = {d.id for d in (plan.deployment, *plan.ended_deployments) if d is not None}
    if seen.deployment_id in touched_ids:
        compares.append(KeyIs(keys.deployment(seen.deployment_id), seen.deployment_revision))
    parts[0] = first._replace(compares=tuple(compares))
    return Made(tuple(parts), eval_key)


def failed(evaluation: Evaluation, problem: str, now_ns: int) -> Evaluation:
    """The evaluation, given up."""
    return replace(
        evaluation,
        status="failed",
        status_description=problem,
        modify_time=now_ns,
    )


def _first_writes(plan: Plan, keys: Keys, ids: IdStream, now_ns: int) -> Iterator[Put]:
    """The deployment and the stops before the placements that depend on them."""
    if plan.deployment is not None:
        deployment = plan.deployment
        if deployment.create_time == 0:
            deployment = replace(deployment, create_time=now_ns)
        deployment = replace(deployment, modify_time=now_ns)
        yield Put(keys.deployment(deployment.id), encode(deployment))
    for ended in plan.ended_deployments:
        yield Put(keys.deployment(ended.id), encode(replace(ended, modify_time=now_ns)))
    for changes in _chunks(plan.changes, BLOCK_ALLOCATIONS_MAX):
        decided = ChangeBlock(id=ids.next(), made_ns=now_ns, changes=tuple(changes))
        yield Put(keys.changes(decided.id), encode(decided))
    for block in blocks_of(plan, ids, now_ns):
        yield Put(keys.block(block.id), encode(block))


def _last_writes(plan: Plan, ticket: Ticket, keys: Keys, now_ns: int) -> Iterator[Put]:
    done = replace(plan.evaluation, modify_time=now_ns)
    yield Put(keys.evaluation(done.id), encode(done))
    for other in ticket.others:
        settled = replace(
            other,
            status=done.status,
            status_description=done.status_description,
            failed_tg_allocs=done.failed_tg_allocs,
            queued_allocations=done.queued_allocations,
            blocked_eval=done.blocked_eval,
            deployment_id=other.deployment_id or done.deployment_id,
            modify_time=now_ns,
        )
        yield Put(keys.evaluation(other.id), encode(settled))
    for old in ticket.blocked:
        gone = replace(
            old,
            status="canceled",
            status_description=SUPERSEDED.format(done.id),
            modify_time=now_ns,
        )
        yield Put(keys.evaluation(old.id), encode(gone))
    for new in plan.evaluations:
        stamped = replace(new, create_time=new.create_time or now_ns, modify_time=now_ns)
        yield Put(keys.evaluation(new.id), encode(stamped))


def blocks_of(plan: Plan, ids: IdStream, now_ns: int) -> Iterator[PlacementBlock]:
    """The placements, packed by group and deployment."""
    grouped: dict[tuple[str, str], list[Placement]] = {}
    for placement in plan.placements:
        grouped.setdefault((placement.group, placement.deployment_id), []).append(placement)
    for (group, deployment_id), placements in grouped.items():
        for chunk in _chunks(placements, BLOCK_ALLOCATIONS_MAX):
            yield PlacementBlock(
                id=ids.next(),
                namespace=plan.evaluation.namespace,
                job_id=plan.evaluation.job_id,
                job_version=plan.job_version,
                job_create_index=plan.job_create_index,
                group=group,
                eval_id=plan.evaluation.id,
                deployment_id=deployment_id,
                created_ns=now_ns,
                metrics=plan.metrics.get(group),
                placed=tuple(_placed(placement) for placement in chunk),
            )


def _placed(placement: Placement) -> Placed:
    return Placed(
        placement.id,
        placement.index,
        placement.node_id,
        placement.ports,
        placement.previous_id,
        placement.reschedule,
        placement.canary,
    )


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
