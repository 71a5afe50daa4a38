"""What one scheduling pass gets to see, read from the state."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from hanse.structs.allocation import Allocation
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from region.scheduler.fleet import FleetView
from region.scheduler.snapshot import Snapshot, Taint
from region.state.packing import unpacked
from region.state.state import State


def snapshot_of(
    state: State,
    evaluation: Evaluation,
    fleet: FleetView,
    *,
    now_ns: int,
    seed: int,
    job: Job | None = None,
) -> Snapshot:
    """The state as far as the evaluation's job is concerned; `job` replaces the stored one."""
    key = (evaluation.namespace, evaluation.job_id)
    stored = state.job(*key)
    allocations = [_readable(alloc) for alloc in state.allocations_of_job(*key)]
    deployments = state.deployments_of_job(*key)
    return Snapshot(
        revision=state.revision,
        evaluation=evaluation,
        job=job or stored,
        versions=versions_of(state, job or stored, allocations),
        allocations=allocations,
        deployment=deployments[0] if deployments else None,
        fleet=fleet,
        tainted=tainted(state, allocations),
        config=state.scheduler_config,
        now_ns=now_ns,
        seed=seed,
        annotate=job is not None,
    )


def _readable(alloc: Allocation) -> Allocation:
    """The allocation, with its task states unpacked if the scheduler may look at them."""
    if alloc.client is None or alloc.client_status != "failed" or alloc.next_id:
        return alloc
    return replace(alloc, client=unpacked(alloc.client))


def versions_of(
    state: State, current: Job | None, allocations: Iterable[Allocation]
) -> dict[int, Job]:
    """The versions that allocations run, the current one left out."""
    found: dict[int, Job] = {}
    for alloc in allocations:
        number = alloc.job_version
        if number in found or (current is not None and number == current.version):
            continue
        job = state.job_version(alloc.namespace, alloc.job_id, number)
        if job is not None:
            found[number] = job
    return found


def tainted(state: State, allocations: Iterable[Allocation]) -> dict[str, Taint]:
    """Nodes of live allocations that are not well, and what ails them."""
    found: dict[str, Taint] = {}
    for alloc in allocations:
        if alloc.client_terminal or alloc.node_id in found:
            continue
        taint = taint_of(state, alloc.node_id)
        if taint is not None:
            found[alloc.node_id] = taint
    return found


def taint_of(state: State, node_id: str) -> Taint | None:
    """What ails a node; None if it is well."""
    node = state.node(node_id)
    if node is None:
        return "gone"
    if node.status == "down":
        return "down"
    if node.status == "disconnected":
        return "disconnected"
    return "drain" if node.drain_strategy is not None else None
