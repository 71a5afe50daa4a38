"""`hanse node eligibility`, `node config` and `node meta …`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.cli.flags import UsageError
from hanse.cli.lookup import find_node
from hanse.cli.node_status import own_node
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.text import bold, pairs


def named_node(context: Context) -> str:
    """The id of the node that the argument or -self names. Raises UsageError and Failed."""
    if context.flags.on("self") == bool(context.arguments):
        raise UsageError("This command takes either a node or -self")
    if context.flags.on("self"):
        return own_node(context)
    return find_node(context, context.arguments[0]).id


def either(context: Context) -> bool:
    """Whether it is -enable rather than -disable. Raises UsageError unless it is one of them."""
    enable, disable = context.flags.on("enable"), context.flags.on("disable")
    if enable == disable:
        raise UsageError("Either -enable or -disable must be given, not both")
    return enable


def eligibility(context: Context) -> int:
    """Say whether a node takes new allocations."""
    enable = either(context)
    node_id = named_node(context)
    context.client.nodes.eligibility(node_id, eligible=enable)
    state = "eligible for scheduling" if enable else "ineligible for scheduling"
    context.out(f'Node "{node_id}" scheduling eligibility set: {state}')
    return 0


def config(context: Context) -> int:
    """Show or replace the servers that a client knows."""
    from hanse.sdk.transport import target_of

    flags = context.flags
    if flags.on("servers") == flags.on("update-servers"):
        raise UsageError("Either -servers or -update-servers must be given, not both")
    if flags.on("servers"):
        for server in context.client.read(tuple[str, ...], "/v1/agent/servers").value:
            context.out(server)
        return 0
    if not context.arguments:
        raise UsageError("-update-servers takes the addresses of servers")
    query = target_of("/v1/agent/servers", {"address": context.arguments})
    context.client.raw("PUT", query)
    return 0


def meta_apply(context: Context) -> int:
    """Set or remove metadata of a node."""
    changes: dict[str, str | None] = {}
    for key in filter(None, context.flags.text("unset").split(",")):
        changes[key.strip()] = None
    for text in context.arguments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"metadata is key=value, not {text!r}")
        changes[key] = value
    if not changes:
        raise UsageError("nothing to set or to unset")
    context.client.nodes.set_meta(_meta_node(context), changes)
    return 0


def meta_read(context: Context) -> int:
    """Show metadata of a node."""
    answer = context.client.nodes.meta(_meta_node(context))
    if wants_structured(context):
        return show_structured(context, answer.body)
    meta = answer.value
    dynamic = [(key, value or "<unset>") for key, value in sorted(meta.dynamic.items())]
    for title, rows in (
        ("All Meta", sorted(meta.meta.items())),
        ("Dynamic Meta", dynamic),
        ("Static Meta", sorted(meta.static.items())),
    ):
        context.out(bold(title))
        context.out((pairs(rows) if rows else "<none>") + "\n")
    return 0


def _meta_node(context: Context) -> str:
    said = context.flags.text("node-id")
    return find_node(context, said).id if said else ""
