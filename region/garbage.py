"""Forgets what is dead and old, and packs what is left.

What may go is decided on the state alone (`pieces`), as small independent pieces, each with the
compares that make it harmless if the state has moved on. Packing changes nothing that anybody
can see: folded decisions and merged reports keep the revisions they were made at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from hanse.config.model import ServerConfig
from hanse.errors import HanseError
from hanse.store import Delete, KeyIs, Put
from hanse.structs.allocation import (
    BLOCK_ALLOCATIONS_MAX,
    Allocation,
    AllocChange,
    ChangeBlock,
    Placed,
    PlacementBlock,
    StatusSegment,
)
from hanse.structs.ids import IdStream
from hanse.structs.job import Job
from region.alarm import give_way
from region.deploy.decide import OVER
from region.state.codec import encode
from region.state.entries import JobEntry
from region.state.packing import unpacked
from region.state.state import State
from region.writer import TXN_OPS_MAX, Fenced, Leading

log = structlog.get_logger(__name__)

SEGMENTS_MAX = 16
CHANGE_BLOCKS_MAX = 256
#: Blocks of changes that are folded in one go: as many again may be written.
_FOLD_MAX = 45
_WRITES_MAX = TXN_OPS_MAX


class Ages(NamedTuple):
    """How old each kind must be, in nanoseconds."""

    job_ns: int
    eval_ns: int
    deployment_ns: int
    node_ns: int

    @classmethod
    def of(cls, config: ServerConfig) -> Ages:
        """What the configuration says."""
        return cls(
            int(config.job_gc_threshold_s * 1e9),
            int(config.eval_gc_threshold_s * 1e9),
            int(config.deployment_gc_threshold_s * 1e9),
            int(config.node_gc_threshold_s * 1e9),
        )


#: For `system gc`: whatever is dead, however young.
ALL = Ages(0, 0, 0, 0)


class Piece(NamedTuple):
    """One transaction's worth."""

    compares: tuple[KeyIs, ...]
    writes: tuple[Put | Delete, ...]


#: Nothing to write: a pause in a long search, so that others get their turn.
PAUSE = Piece((), ())
_PAUSE_EVERY = 50


class Collector:
    """Collects from time to time while this server leads."""

    def __init__(self, leading: Leading, config: ServerConfig) -> None:
        """The ages and the interval are the configuration's."""
        self._leading = leading
        self._ages = Ages.of(config)
        self._interval_s = config.gc_interval_s

    async def run(self) -> None:
        """Collect for ever. Raises Fenced when another server leads."""
        while True:
            await self._leading.clock.sleep(self._interval_s)
            try:
                await collect(self._leading, self._ages)
            except Fenced:
                raise
            except HanseError as error:
                if not error.retryable:
                    raise
                log.warning("garbage not collected", error=str(error))
            except Exception:
                # Something stored is odd. Everything else that leads must go on.
                log.exception("garbage cannot be told from the rest")


async def collect(leading: Leading, ages: Ages) -> int:
    """Collect once; gives how many writes that took."""
    count = 0
    now_ns = leading.clock.wall_ns()
    stages = [
        stage(leading.state, ages, now_ns)
        for stage in (dead_jobs, dead_allocs, dead_evals, dead_deployments, dead_nodes)
    ]
    for stage in (*stages, packed(leading.state, leading.ids(), now_ns)):
        for piece in stage:
            if piece.writes:
                count += len(piece.writes)
                await leading.commit(piece.compares, piece.writes)
            else:
                await give_way()
    if count:
        log.info("garbage collected", writes=count)
    return count


# Jobs.


def dead_jobs(state: State, ages: Ages, now_ns: int) -> Iterator[Piece]:
    """Jobs that are over, with all that belongs to them."""
    for number, entry in enumerate(list(state.tables.jobs.values())):
        if number % _PAUSE_EVERY == 0:
            yield PAUSE
        job = entry.job
        if job is None or state.tables.jobs.get(entry.key) is not entry:
            continue
        if not _job_is_over(state, entry, job):
            continue
        last_ns = max(
            job.submit_time,
            max((state.tables.allocs[i].modify_ns for i in entry.allocs), default=0),
            max((state.tables.evals[i].modify_time for i in entry.evals), default=0),
        )
        if last_ns + ages.job_ns <= now_ns:
            yield from _forget_job(state, entry)


def _job_is_over(state: State, entry: JobEntry, job: Job) -> bool:
    if entry.live or entry.open_evals or not (job.stop or job.type in ("batch", "sysbatch")):
        return False
    if job.periodic is not None or (job.parameterized_job is not None and not job.stop):
        return False
    return all(state.tables.allocs[i].client_terminal for i in entry.allocs)


def _forget_job(state: State, entry: JobEntry) -> Iterator[Piece]:
    keys = state.keys
    job_key = keys.job(*entry.key)
    writes: list[Put | Delete] = [
        Delete(job_key),
        Delete(keys.job_extra(*entry.key)),
        Delete(keys.job_versions(*entry.key), prefix=True),
        Delete(keys.submissions(*entry.key), prefix=True),
    ]
    writes += [Delete(keys.evaluation(i)) for i in entry.evals]
    writes += [Delete(keys.deployment(i)) for i in entry.deployments]
    first = Piece((KeyIs(job_key, state.stored_revision(job_key)),), tuple(writes[:_WRITES_MAX]))
    yield first
    # What is left of a job that is gone goes with the allocations and evaluations below.


# Allocations.


def dead_allocs(state: State, ages: Ages, now_ns: int) -> Iterator[Piece]:
    """Allocations that nothing depends on any more, block by block."""
    tables, keys = state.tables, state.keys
    for number, (block_id, block) in enumerate(list(tables.blocks.items())):
        if number % _PAUSE_EVERY == 0:
            yield PAUSE
        held = [tables.allocs[i] for i in block.alloc_ids if i in tables.allocs]
        kept = [a for a in held if not _alloc_may_go(state, a, ages, now_ns)]
        if len(kept) == len(held) and held:
            continue
        key = keys.block(block_id)
        compare = KeyIs(key, state.stored_revision(key))
        if not kept:
            yield Piece((compare,), (Delete(key),))
        elif len(kept) * 2 <= len(block.alloc_ids) and _alike(kept):
            yield Piece((compare,), (Put(key, encode(_block_of(block_id, kept))),))


def _alloc_may_go(state: State, alloc: Allocation, ages: Ages, now_ns: int) -> bool:
    if not alloc.client_terminal:
        return False
    job = state.job(alloc.namespace, alloc.job_id)
    if job is None or job.create_index != alloc.job_create_index:
        return True
    if alloc.modify_ns + ages.eval_ns > now_ns:
        return False
    entry = state.tables.deployments.get(alloc.deployment_id)
    deployment = entry.stored if entry is not None else None
    if deployment is not None and deployment.status not in OVER:
        return False
    # A batch instance that has run must be remembered, or it would run again; a failed one that
    # was not replaced carries the count of its attempts.
    return job.stop or alloc.desired_status != "run" or bool(alloc.next_id)


def _alike(allocs: Sequence[Allocation]) -> bool:
    """Whether one block can still say everything about all of them."""
    return len({(a.job_version, a.eval_id, a.deployment_id) for a in allocs}) == 1


def _block_of(block_id: str, kept: Sequence[Allocation]) -> PlacementBlock:
    """A block with what is left in it. What was decided since is in blocks of changes."""
    first = kept[0]
    return PlacementBlock(
        id=block_id,
        namespace=first.namespace,
        job_id=first.job_id,
        job_version=first.job_version,
        job_create_index=first.job_create_index,
        group=first.group,
        eval_id=first.eval_id,
        deployment_id=first.deployment_id,
        created_ns=first.create_ns,
        metrics=first.metrics,
        placed=tuple(
            Placed(a.id, a.index, a.node_id, a.ports, a.previous_id, a.reschedule, a.canary)
            for a in kept
        ),
    )


# The rest.


def dead_evals(state: State, ages: Ages, now_ns: int) -> Iterator[Piece]:
    """Evaluations that are over and have no allocations left."""
    doomed = [
        e.id
        for e in state.evaluations()
        if e.status in ("complete", "failed", "canceled")
        and e.modify_time + ages.eval_ns <= now_ns
        and e.id not in state.tables.eval_allocs
    ]
    for start in range(0, len(doomed), _WRITES_MAX):
        chunk = doomed[start : start + _WRITES_MAX]
        yield Piece((), tuple(Delete(state.keys.evaluation(i)) for i in chunk))


def dead_deployments(state: State, ages: Ages, now_ns: int) -> Iterator[Piece]:
    """Deployments that are over and have no live allocation."""
    doomed: list[str] = []
    for deployment_id, entry in list(state.tables.deployments.items()):
        stored = entry.stored
        if stored is None or stored.status not in OVER:
            continue
        live = any(not state.tables.allocs[i].terminal for i in entry.allocs)
        if not live and stored.modify_time + ages.deployment_ns <= now_ns:
            doomed.append(deployment_id)
    for start in range(0, len(doomed), _WRITES_MAX):
        chunk = doomed[start : start + _WRITES_MAX]
        yield Piece((), tuple(Delete(state.keys.deployment(i)) for i in chunk))


def dead_nodes(state: State, ages: Ages, now_ns: int) -> Iterator[Piece]:
    """Nodes that are down and have nothing to run; reports of nodes that are gone."""
    keys = state.keys
    for node_id, entry in list(state.tables.nodes.items()):
        if entry.record is None:
            if not entry.allocs and entry.segments:
                gone = KeyIs(keys.node(node_id), 0)
                yield Piece((gone,), (Delete(keys.statuses(node_id), prefix=True),))
            continue
        old = entry.state.status_updated_s * 10**9 + ages.node_ns <= now_ns
        live = any(not state.tables.allocs[i].client_terminal for i in entry.allocs)
        if entry.state.status == "down" and old and not live:
            state_key = keys.node_state(node_id)
            yield Piece(
                (KeyIs(state_key, state.stored_revision(state_key)),),
                (Delete(keys.node(node_id)), Delete(state_key)),
            )


# Packing.


def packed(state: State, ids: IdStream, now_ns: int) -> Iterator[Piece]:
    """Many small values made few: reports of a node, and decisions."""
    yield from _merged_reports(state, now_ns)
    yield from _folded_decisions(state, ids, now_ns)


def _merged_reports(state: State, now_ns: int) -> Iterator[Piece]:
    for number, (node_id, entry) in enumerate(list(state.tables.nodes.items())):
        if number % _PAUSE_EVERY == 0:
            yield PAUSE
        if len(entry.segments) <= SEGMENTS_MAX:
            continue
        statuses = tuple(
            replace(unpacked(alloc.client), reported_index=alloc.client_modify_index)
            for alloc in state.allocations_of_node(node_id)
            if alloc.client is not None
        )
        sequences = list(entry.segments)[: _WRITES_MAX - 1]
        merged = f"{now_ns:016x}merged"
        writes: list[Put | Delete] = [
            Delete(state.keys.status(node_id, sequence)) for sequence in sequences
        ]
        segment = StatusSegment(node_id=node_id, statuses=statuses)
        writes.append(Put(state.keys.status(node_id, merged), encode(segment)))
        yield Piece((), tuple(writes))


def _folded_decisions(state: State, ids: IdStream, now_ns: int) -> Iterator[Piece]:
    """Blocks of changes whose allocations are gone go; many blocks become few."""
    tables, keys = state.tables, state.keys
    empty: list[str] = []
    full: list[tuple[int, str]] = []
    for block_id, block in tables.change_blocks.items():
        if any(i in tables.allocs for i in block.alloc_ids):
            full.append((block.revision, block_id))
        else:
            empty.append(block_id)
    for start in range(0, len(empty), _WRITES_MAX):
        chunk = empty[start : start + _WRITES_MAX]
        yield Piece((), tuple(Delete(keys.changes(i)) for i in chunk))
    if len(full) <= CHANGE_BLOCKS_MAX:
        return
    full.sort()
    sizes = [len(tables.change_blocks[i].alloc_ids) for _, i in full]
    small = [i for (_, i), size in zip(full, sizes, strict=True) if size < BLOCK_ALLOCATIONS_MAX]
    for start in range(0, len(small), _FOLD_MAX):
        chunk = small[start : start + _FOLD_MAX]
        yield _fold(state, chunk, ids, now_ns)


def _fold(state: State, block_ids: Sequence[str], ids: IdStream, now_ns: int) -> Piece:
    """All that was decided so far about the allocations of some blocks, as few blocks."""
    tables, keys = state.tables, state.keys
    alloc_ids: dict[str, None] = {}
    for block_id in block_ids:
        alloc_ids |= dict.fromkeys(tables.change_blocks[block_id].alloc_ids)
    changes = [everything_decided(tables.allocs[i]) for i in alloc_ids if i in tables.allocs]
    writes: list[Put | Delete] = [Delete(keys.changes(i)) for i in block_ids]
    for start in range(0, len(changes), BLOCK_ALLOCATIONS_MAX):
        chunk = tuple(changes[start : start + BLOCK_ALLOCATIONS_MAX])
        block = ChangeBlock(id=ids.next(), made_ns=now_ns, changes=chunk)
        writes.append(Put(keys.changes(block.id), encode(block)))
    return Piece((), tuple(writes))


def everything_decided(alloc: Allocation) -> AllocChange:
    """One change that does what all decisions about an allocation did."""
    return AllocChange(
        alloc_id=alloc.id,
        desired_status=alloc.desired_status,
        desired_description=alloc.desired_description,
        verdict=alloc.verdict,
        transition=alloc.transition,
        followup_eval_id=alloc.followup_eval_id,
        next_id=alloc.next_id,
        job_version=alloc.job_version,
        deployment_id=alloc.deployment_id,
        eval_id=alloc.eval_id,
        healthy=alloc.healthy_override,
        reschedule=alloc.reschedule,
        made_index=alloc.alloc_modify_index,
        made_ns=alloc.modify_ns,
    )
