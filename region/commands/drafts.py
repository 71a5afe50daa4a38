"""Pieces that many commands write. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hanse.store import Put
from hanse.structs.allocation import (
    BLOCK_ALLOCATIONS_MAX,
    Allocation,
    AllocChange,
    ChangeBlock,
)
from hanse.structs.evaluation import Evaluation
from hanse.structs.ids import IdStream
from hanse.structs.job import Job
from region.state.codec import encode
from region.state.keys import Keys
from region.state.state import State

#: The priority of evaluations for jobs that are gone.
PRIORITY_DEFAULT = 50


def evaluation_for(
    job: Job,
    eval_id: str,
    trigger: str,
    now_ns: int,
    *,
    priority: int = 0,
    node_id: str = "",
    deployment_id: str = "",
) -> Evaluation:
    """A pending evaluation of a job."""
    return Evaluation(
        id=eval_id,
        namespace=job.namespace,
        priority=priority or job.priority,
        type=job.type,
        triggered_by=trigger,
        job_id=job.id,
        job_modify_index=job.job_modify_index,
        node_id=node_id,
        deployment_id=deployment_id,
        status="pending",
        create_time=now_ns,
        modify_time=now_ns,
    )


def put_eval(keys: Keys, evaluation: Evaluation) -> Put:
    """Its write."""
    return Put(keys.evaluation(evaluation.id), encode(evaluation))


def put_changes(
    keys: Keys, ids: IdStream, changes: Sequence[AllocChange], now_ns: int
) -> Iterator[Put]:
    """Decisions about allocations, in blocks."""
    for start in range(0, len(changes), BLOCK_ALLOCATIONS_MAX):
        chunk = tuple(changes[start : start + BLOCK_ALLOCATIONS_MAX])
        block = ChangeBlock(id=ids.next(), made_ns=now_ns, changes=chunk)
        yield Put(keys.changes(block.id), encode(block))


def job_of(state: State, alloc: Allocation) -> Job:
    """The job of an allocation, or what is left of it: enough for an evaluation."""
    job = state.job(alloc.namespace, alloc.job_id)
    if job is not None:
        return job
    return Job(
        id=alloc.job_id, namespace=alloc.namespace, type="service", priority=PRIORITY_DEFAULT
    )


def evaluations_for_allocs(
    state: State,
    ids: IdStream,
    allocs: Iterable[Allocation],
    trigger: str,
    now_ns: int,
    *,
    node_id: str = "",
) -> list[Evaluation]:
    """One evaluation for each job that has one of the allocations."""
    jobs = {(alloc.namespace, alloc.job_id): alloc for alloc in allocs}
    return [
        evaluation_for(job_of(state, jobs[key]), ids.next(), trigger, now_ns, node_id=node_id)
        for key in sorted(jobs)
    ]


def multi_line(noun: str, lines: Sequence[str]) -> str:
    """Several texts as one, as Nomad's clients expect them; empty if there are none."""
    if not lines:
        return ""
    plural = "" if len(lines) == 1 else "s"
    return f"{len(lines)} {noun}{plural}:\n\n" + "\n".join(f"* {line}" for line in lines)
