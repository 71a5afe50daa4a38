"""`hanse node pool …`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.cli.node_status import more
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import job_table, node_table
from hanse.cli.text import bold, pairs, table
from hanse.sdk.transport import Query


def page(context: Context) -> dict[str, Query]:
    """The flags of a page, as query parameters."""
    flags = context.flags
    return {
        "filter": flags.text("filter"),
        "per_page": flags.number("per-page"),
        "next_token": flags.text("page-token"),
    }


def listing(context: Context) -> int:
    """List node pools."""
    answer = context.client.nodes.pools(**page(context))
    if wants_structured(context):
        return show_structured(context, answer.body)
    rows = [[pool.name, pool.description] for pool in answer.value]
    context.out(table(["Name", "Description"], rows, width=context.terminal.width))
    more(context, answer.next_token)
    return 0


def info(context: Context) -> int:
    """Show a node pool."""
    answer = context.client.nodes.pool(context.arguments[0])
    if wants_structured(context):
        return show_structured(context, answer.body)
    pool = answer.value
    context.out(pairs([("Name", pool.name), ("Description", pool.description)]) + "\n")
    if pool.meta:
        context.out(f"{bold('Metadata')}\n{pairs(sorted(pool.meta.items()))}\n")
    else:
        context.out("No metadata\n")
    config = pool.scheduler_configuration
    if config:
        rows = [
            ("Scheduler Algorithm", str(config.get("SchedulerAlgorithm") or "")),
            ("Memory Oversubscription", str(config.get("MemoryOversubscriptionEnabled") or "")),
        ]
        context.out(f"{bold('Scheduler Configuration')}\n{pairs(rows)}")
    else:
        context.out("No scheduler configuration")
    return 0


def nodes(context: Context) -> int:
    """List the nodes of a pool."""
    answer = context.client.nodes.pool_nodes(context.arguments[0], **page(context))
    if wants_structured(context):
        return show_structured(context, answer.body)
    width = context.terminal.width
    shown = node_table(answer.value, verbose=context.verbose, width=width)
    context.out(shown if answer.value else "No nodes found")
    more(context, answer.next_token)
    return 0


def jobs(context: Context) -> int:
    """List the jobs of a pool."""
    answer = context.client.nodes.pool_jobs(context.arguments[0], **page(context))
    if wants_structured(context):
        return show_structured(context, answer.body)
    several = context.client.settings.namespace == "*"
    shown = job_table(answer.value, namespaces=several, width=context.terminal.width)
    context.out(shown if answer.value else "No jobs found")
    more(context, answer.next_token)
    return 0
