"""`hanse namespace …`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.text import bold, pairs, table


def listing(context: Context) -> int:
    """List namespaces."""
    answer = context.client.namespaces()
    if wants_structured(context):
        return show_structured(context, answer.body)
    rows = [[namespace.name, namespace.description] for namespace in answer.value]
    context.out(table(["Name", "Description"], rows, width=context.terminal.width))
    return 0


def status(context: Context) -> int:
    """Show a namespace."""
    answer = context.client.namespace(context.arguments[0])
    if wants_structured(context):
        return show_structured(context, answer.body)
    namespace = answer.value
    may = namespace.capabilities
    rows = [
        ("Name", namespace.name),
        ("Description", namespace.description),
        ("Quota", namespace.quota),
        ("EnabledDrivers", ",".join(may.enabled_task_drivers) if may else "*"),
        ("DisabledDrivers", ",".join(may.disabled_task_drivers) if may else ""),
        ("EnabledNetworkModes", ",".join(may.enabled_network_modes) if may else "*"),
        ("DisabledNetworkModes", ",".join(may.disabled_network_modes) if may else ""),
    ]
    context.out(pairs(rows))
    if namespace.meta:
        context.out(f"\n{bold('Metadata')}\n{pairs(sorted(namespace.meta.items()))}")
    return 0


def inspect(context: Context) -> int:
    """Show a namespace as JSON."""
    return show_structured(context, context.client.namespace(context.arguments[0]).body)
