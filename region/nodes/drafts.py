"""What changes of nodes write. Pure, but for the state they are decided on."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from hanse.errors import Denied, Invalid, NotFound
from hanse.store import KeyIs, Put
from hanse.structs.allocation import Allocation
from hanse.structs.evaluation import Evaluation
from hanse.structs.ids import IdStream
from hanse.structs.node import Node, NodeEvent
from hanse.structs.times import rfc3339
from region.commands.drafts import evaluations_for_allocs
from region.scheduler.nodes import computed_class
from region.state.codec import encode
from region.state.records import NODE_EVENTS_MAX, NodeRecord, NodeState
from region.state.state import State
from region.writer import Draft, Writer

_NODE_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAME_BYTES_MAX = 255
_TEXT_BYTES_MAX = 4096
_ATTRIBUTES_MAX = 2_000


def hashed(secret: str) -> str:
    """What is kept of a node's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_secret(record: NodeRecord | None, secret: str) -> None:
    """Raise Denied unless the node is new, or the secret is the one it registered with."""
    if record is None:
        return
    if not hmac.compare_digest(record.secret_sha256, hashed(secret)):
        raise Denied("node secret ID does not match")


def check_node(node: Node) -> None:
    """Raise Invalid unless a registration can be stored and shown."""
    if _NODE_ID.fullmatch(node.id) is None:
        raise Invalid("node ID", "must be a UUID")
    for what, text in (
        ("name", node.name),
        ("datacenter", node.datacenter),
        ("node_class", node.node_class),
        ("node_pool", node.node_pool),
        ("http_addr", node.http_addr),
    ):
        if len(text.encode()) > _NAME_BYTES_MAX:
            raise Invalid(f"node {what}", f"is longer than {_NAME_BYTES_MAX} bytes")
    if len(node.attributes) + len(node.meta) > _ATTRIBUTES_MAX:
        raise Invalid("node attributes", f"there are more than {_ATTRIBUTES_MAX}")


def registration(writer: Writer, node: Node, secret: str) -> Draft[None]:
    """A node that registers, changed, or came back. Raises Denied, Invalid."""
    check_node(node)
    before = writer.state.node_record(node.id)
    check_secret(before, secret)
    record = NodeRecord(node=_kept(node), secret_sha256=hashed(secret))
    key = writer.state.keys.node(node.id)
    writes = [Put(key, encode(record))] if record != before else []
    return _returned(writer, record, writes)


def _returned(writer: Writer, record: NodeRecord, writes: list[Put]) -> Draft[None]:
    state, now_ns, node = writer.state, writer.clock.wall_ns(), record.node
    keys, before = state.keys, state.node_record(node.id)
    old = state.node_state(node.id)
    new = ready(old, now_ns, known=before is not None)
    if new != old:
        writes.append(Put(keys.node_state(node.id), encode(new)))
    compares = (writer.key_is(keys.node(node.id)), writer.key_is(keys.node_state(node.id)))
    return Draft(compares, tuple(writes), "", None)


def heard_again(writer: Writer, node_id: str) -> Draft[None]:
    """A node that was down, or whose state was never written, is ready again."""
    record = writer.state.node_record(node_id)
    if record is None:
        raise NotFound("node", text="node not found")
    return _returned(writer, record, [])


def changed(writer: Writer, node: Node) -> Draft[None]:
    """A node whose fingerprint changed. Raises Invalid, and NotFound if it was purged."""
    check_node(node)
    keys, before = writer.state.keys, writer.state.node_record(node.id)
    if before is None:
        raise NotFound("node", text="node not found")
    record = replace(before, node=_kept(node))
    key = keys.node(node.id)
    writes = (Put(key, encode(record)),) if record != before else ()
    return Draft((writer.key_is(key),), writes, "", None)


def _kept(node: Node) -> Node:
    """A registration without what the servers decide, and with the class they give it."""
    bare = replace(
        node,
        secret_id="",
        status="",
        status_description="",
        status_updated_at=0,
        scheduling_eligibility="",
        drain_strategy=None,
        last_drain=None,
        events=(),
        create_index=0,
        modify_index=0,
        node_pool=node.node_pool or "default",
    )
    return replace(bare, computed_class=computed_class(bare))


def ready(state: NodeState, now_ns: int, *, known: bool) -> NodeState:
    """A node's state once it is heard; the same object if it was ready already."""
    if state.status == "ready":
        return state
    text = "Node re-registered" if known else "Node registered"
    return replace(
        with_event(state, "Cluster", text, now_ns),
        status="ready",
        status_description="",
        status_updated_s=now_ns // 10**9,
    )


def with_event(
    state: NodeState,
    subsystem: str,
    text: str,
    now_ns: int,
    details: dict[str, str] | None = None,
) -> NodeState:
    """The state with one more event; old ones fall out."""
    event = NodeEvent(
        message=text[:_TEXT_BYTES_MAX],
        subsystem=subsystem[:_NAME_BYTES_MAX],
        details=details or {},
        timestamp=rfc3339(now_ns),
    )
    return replace(state, events=(*state.events, event)[-NODE_EVENTS_MAX:])


def silent(
    state: State, node_ids: Sequence[str], now_ns: int
) -> tuple[tuple[KeyIs, ...], tuple[Put, ...]]:
    """Nodes that were not heard in time are down. Their jobs are another matter (`stranded`)."""
    keys = state.keys
    compares: list[KeyIs] = []
    writes: list[Put] = []
    for node_id in node_ids:
        old = state.node_state(node_id)
        new = replace(
            with_event(old, "Cluster", "Node heartbeat missed", now_ns),
            status="down",
            status_description="heartbeat missed",
            status_updated_s=now_ns // 10**9,
        )
        key = keys.node_state(node_id)
        compares.append(KeyIs(key, state.stored_revision(key)))
        writes.append(Put(key, encode(new)))
    return tuple(compares), tuple(writes)


def stranded(state: State, node_ids: Iterable[str], ids: IdStream, now_ns: int) -> list[Evaluation]:
    """Evaluations for jobs with allocations that may run on nodes that are down or gone.

    Jobs that have a pending evaluation are left out: it will see the node as it is.
    """
    affected: list[Allocation] = []
    for node_id in node_ids:
        node = state.node(node_id)
        if node is not None and node.status != "down":
            continue
        for alloc in state.allocations_of_node(node_id):
            entry = state.tables.jobs.get((alloc.namespace, alloc.job_id))
            waiting = entry is not None and any(
                state.tables.evals[i].status == "pending" for i in entry.evals
            )
            if not alloc.client_terminal and not waiting:
                affected.append(alloc)
    return evaluations_for_allocs(state, ids, affected, "node-update", now_ns)
