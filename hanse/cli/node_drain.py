"""`hanse node drain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hanse.cli.command import Context
from hanse.cli.flags import UsageError
from hanse.cli.monitor_eval import Lines
from hanse.cli.node_actions import either, named_node
from hanse.structs.node import Node

if TYPE_CHECKING:
    from hanse.sdk.types import AllocationDetail

_DEADLINE_NS = 3600 * 10**9
_FORCE_NS = -1
_WAIT = "2s"
_OVER = frozenset({"complete", "failed", "lost"})


def run(context: Context) -> int:
    """Empty a node, or stop doing so."""
    flags = context.flags
    if flags.on("monitor") and not (flags.on("enable") or flags.on("disable")):
        node_id = named_node(context)
        Lines(context).info(f'Monitoring node "{node_id}": Ctrl-C to detach monitoring')
        return monitor(context, node_id)
    enable = either(context)
    spec = drain_spec(context) if enable else None
    meta = flags.pairs("meta")
    if flags.text("m"):
        meta["message"] = flags.text("m")
    if flags.on("keep-ineligible") and enable:
        raise UsageError("-keep-ineligible goes with -disable")
    node_id = named_node(context)
    if not _confirmed(context, node_id, enable=enable):
        context.out("Cancelling drain update")
        return 0
    eligible = not enable and not flags.on("keep-ineligible")
    context.client.nodes.drain(node_id, spec, eligible=eligible, meta=meta)
    if not enable or flags.on("detach"):
        state = "set" if enable else "unset"
        context.out(f'Node "{node_id}" drain strategy {state}')
        return 0
    lines = Lines(context)
    lines.info("Ctrl-C to stop monitoring: will not cancel the node drain")
    lines.plain(f'Node "{node_id}" drain strategy set')
    return monitor(context, node_id)


def drain_spec(context: Context) -> dict[str, object]:
    """How the node is to be drained, in the API's words. Raises UsageError."""
    flags = context.flags
    named = [n for n in ("deadline", "no-deadline", "force") if flags.given(n)]
    if len(named) > 1:
        raise UsageError(" and ".join(f"-{name}" for name in named) + " exclude each other")
    deadline = flags.number("deadline")
    if deadline is not None and deadline <= 0:
        raise UsageError("-deadline takes a duration above 0; see -force and -no-deadline")
    if flags.on("force"):
        deadline = _FORCE_NS
    elif flags.on("no-deadline"):
        deadline = 0
    elif deadline is None:
        deadline = _DEADLINE_NS
    return {"Deadline": deadline, "IgnoreSystemJobs": flags.on("ignore-system")}


def _confirmed(context: Context, node_id: str, *, enable: bool) -> bool:
    said = context.argument(0, node_id)
    if said == node_id or context.flags.on("yes"):
        return True
    verb = "enable" if enable else "disable"
    question = f'Are you sure you want to {verb} drain mode for node "{node_id}"? [y/N]'
    return context.terminal.ask(question) == "y"


def monitor(context: Context, node_id: str) -> int:
    """Follow a drain until the node is empty."""
    lines = Lines(context)
    nodes = context.client.nodes
    ignore_system = False
    known: dict[str, AllocationDetail] = {}
    before: Node | None = None
    index = 0
    while True:
        answer = nodes.get(node_id)
        node = answer.value
        if before is None and node.drain_strategy is None:
            lines.info("No drain strategy set")
            return 0
        if node.drain_strategy is not None:
            ignore_system = node.drain_strategy.ignore_system_jobs
        allocs = nodes.allocations(node_id, namespace="*", index=index, wait=_WAIT)
        index = max(allocs.index, 1)
        for line in changes(known, allocs.value):
            lines.plain(line)
        known = {alloc.id: alloc for alloc in allocs.value}
        if before is not None and before.drain_strategy != node.drain_strategy:
            if node.drain_strategy is None:
                return _complete(lines, node, known)
            lines.plain(f'Node "{node_id}" drain updated: {_how(node)}')
        if before is not None and before.status != node.status and node.status == "down":
            lines.plain(f'Node "{node_id}" down')
        if node.drain_strategy is None and not _left(known, ignore_system=ignore_system):
            return _complete(lines, node, known)
        before = node


def _how(node: Node) -> str:
    strategy = node.drain_strategy
    if strategy is None:
        return "no drain"
    if strategy.deadline_ns < 0:
        return "force"
    return f"force deadline {strategy.force_deadline}" if strategy.deadline_ns else "no deadline"


def _left(known: Mapping[str, AllocationDetail], *, ignore_system: bool) -> list[str]:
    return [
        alloc.id
        for alloc in known.values()
        if alloc.client_status not in _OVER
        and not (ignore_system and alloc.job is not None and alloc.job.type == "system")
    ]


def _complete(lines: Lines, node: Node, known: Mapping[str, AllocationDetail]) -> int:
    drained = node.last_drain is None or node.last_drain.status != "canceled"
    if not drained:
        lines.info(f'Drain of node "{node.id}" was cancelled')
        return 1
    lines.info(f"Drain complete for node {node.id}")
    if not _left(known, ignore_system=False):
        lines.info(f'All allocations on node "{node.id}" have stopped')
    return 0


def changes(known: Mapping[str, AllocationDetail], allocs: Sequence[AllocationDetail]) -> list[str]:
    """What to tell about the allocations of a node since the last look. Pure."""
    lines: list[str] = []
    for alloc in sorted(allocs, key=lambda alloc: (alloc.name, alloc.id)):
        old = known.get(alloc.id)
        if old is None:
            # Those that were there when the drain began are not news.
            continue
        if alloc.desired_transition.migrate and not old.desired_transition.migrate:
            lines.append(f'Alloc "{alloc.id}" marked for migration')
        if alloc.desired_status == "stop" and old.desired_status != "stop":
            lines.append(f'Alloc "{alloc.id}" draining')
        if alloc.client_status != old.client_status:
            change = f"{old.client_status} -> {alloc.client_status}"
            lines.append(f'Alloc "{alloc.id}" status {change}')
    return lines
