"""Drain nodes, set their eligibility, purge them, and look at their jobs again."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from hanse.errors import Invalid, NotFound
from hanse.store import Delete, Put
from hanse.structs.node import DrainMetadata, DrainSpec, DrainStrategy, Node
from hanse.structs.times import rfc3339
from region.commands.drafts import evaluations_for_allocs, put_eval
from region.nodes.drafts import with_event
from region.state.codec import encode
from region.state.records import NodeState
from region.state.state import State
from region.writer import Draft, Writer

Change = Callable[[NodeState, int], NodeState]


async def drain(
    writer: Writer,
    node_id: str,
    spec: DrainSpec | None,
    mark_eligible: bool,
    meta: dict[str, str],
) -> tuple[list[str], int]:
    """Drain a node, or with None stop draining it. Gives evaluations and the index."""
    if spec is None:
        return await _change(
            writer, node_id, lambda s, ns: undrained(s, mark_eligible, meta, ns), mark_eligible
        )
    return await _change(writer, node_id, lambda s, ns: drained(s, spec, meta, ns), False)


async def set_eligibility(writer: Writer, node_id: str, eligible: bool) -> tuple[list[str], int]:
    """Allow or forbid new placements. Gives evaluations and the index."""

    def change(state: NodeState, now_ns: int) -> NodeState:
        wanted = "eligible" if eligible else "ineligible"
        if eligible and state.drain is not None:
            raise Invalid(
                "", "can not set node's scheduling eligibility to eligible while it is draining"
            )
        if state.eligibility == wanted:
            return state
        text = f"Node marked as {wanted} for scheduling"
        return replace(with_event(state, "Cluster", text, now_ns), eligibility=wanted)

    return await _change(writer, node_id, change, eligible)


async def purge(writer: Writer, node_id: str) -> tuple[list[str], int]:
    """Forget a node; what it ran is lost. Gives evaluations and the index."""

    def decide() -> Draft[None]:
        state, keys = writer.state, writer.state.keys
        the_node(state, node_id)
        # Its reports stay until garbage collection takes the allocations they are about.
        writes = (Delete(keys.node(node_id)), Delete(keys.node_state(node_id)))
        return Draft((writer.key_is(keys.node(node_id)),), writes, "", None)

    await writer.write(decide)
    return await _evaluate_jobs(writer, node_id)


async def evaluate(writer: Writer, node_id: str) -> tuple[list[str], int]:
    """Look at the jobs of a node again. Gives evaluations and the index."""
    return await _change(writer, node_id, lambda state, _: state, True)


def the_node(state: State, node_id: str) -> Node:
    """A node. Raises NotFound."""
    node = state.node(node_id)
    if node is None:
        raise NotFound("node", text="node not found")
    return node


async def _change(
    writer: Writer, node_id: str, change: Change, evaluate_jobs: bool
) -> tuple[list[str], int]:

    def decide() -> Draft[None]:
        state, keys, now_ns = writer.state, writer.state.keys, writer.clock.wall_ns()
        the_node(state, node_id)
        key = keys.node_state(node_id)
        old = state.node_state(node_id)
        new = change(old, now_ns)
        writes: list[Put] = [Put(key, encode(new))] if new != old else []
        compare = writer.key_is(key)
        return Draft((compare,), tuple(writes), "", None)

    _, revision = await writer.write(decide)
    if not evaluate_jobs:
        return [], revision
    return await _evaluate_jobs(writer, node_id)


async def _evaluate_jobs(writer: Writer, node_id: str) -> tuple[list[str], int]:
    state, now_ns = writer.state, writer.clock.wall_ns()
    live = [a for a in state.allocations_of_node(node_id) if not a.client_terminal]
    evaluations = evaluations_for_allocs(
        state, writer.ids(), live, "node-update", now_ns, node_id=node_id
    )
    revision = await writer.write_all([put_eval(state.keys, e) for e in evaluations])
    return [e.id for e in evaluations], revision


def drained(state: NodeState, spec: DrainSpec, meta: dict[str, str], now_ns: int) -> NodeState:
    """A node's state with a drain begun, or an earlier one given new terms."""
    now = rfc3339(now_ns)
    before = state.drain
    started = before.started_at if before is not None else now
    force_ns = 0 if spec.deadline_ns == 0 else now_ns + max(0, spec.deadline_ns)
    strategy = DrainStrategy(
        deadline_ns=spec.deadline_ns,
        ignore_system_jobs=spec.ignore_system_jobs,
        force_deadline=rfc3339(force_ns),
        started_at=started,
    )
    text = "Node drain strategy set" if before is None else "Node drain strategy updated"
    return replace(
        with_event(state, "Drain", text, now_ns),
        drain=strategy,
        eligibility="ineligible",
        last_drain=DrainMetadata(started_at=started, updated_at=now, status="draining", meta=meta),
    )


def undrained(
    state: NodeState, mark_eligible: bool, meta: dict[str, str], now_ns: int
) -> NodeState:
    """A node's state with its drain called off."""
    last = state.last_drain
    if state.drain is not None:
        state = with_event(state, "Drain", "Node drain strategy unset", now_ns)
        if last is not None:
            last = replace(
                last, status="canceled", updated_at=rfc3339(now_ns), meta=meta or last.meta
            )
    eligibility = "eligible" if mark_eligible else state.eligibility
    return replace(state, drain=None, last_drain=last, eligibility=eligibility)


def drain_complete(state: NodeState, now_ns: int) -> NodeState:
    """A node's state once nothing is left on it. It stays ineligible."""
    last = state.last_drain
    if last is not None:
        last = replace(last, status="complete", updated_at=rfc3339(now_ns))
    done = with_event(state, "Drain", "Node drain complete", now_ns)
    return replace(done, drain=None, last_drain=last)
