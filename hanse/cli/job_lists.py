"""`hanse job allocs` and `hanse job deployments`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.cli.lookup import find_job
from hanse.cli.monitor_deployment import body
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import alloc_table, deployment_table


def allocations(context: Context) -> int:
    """List a job's allocations."""
    stub = find_job(context, context.arguments[0])
    answer = context.client.jobs.allocations(
        stub.id, namespace=stub.namespace, all=context.flags.on("all")
    )
    if wants_structured(context):
        return show_structured(context, answer.body)
    if not answer.value:
        context.out("No allocations placed")
        return 0
    shown = alloc_table(
        answer.value,
        now_ns=context.now_ns(),
        verbose=context.verbose,
        width=context.terminal.width,
    )
    context.out(shown)
    return 0


def deployments(context: Context) -> int:
    """List a job's deployments, or show the latest."""
    stub = find_job(context, context.arguments[0])
    jobs, where = context.client.jobs, {"namespace": stub.namespace}
    if context.flags.on("latest"):
        latest = jobs.latest_deployment(stub.id, **where)
        if wants_structured(context):
            return show_structured(context, latest.body)
        found = latest.value
        context.out("No deployment found" if found is None else body(context, found))
        return 0
    answer = jobs.deployments(stub.id, all=context.flags.on("all"), **where)
    if wants_structured(context):
        return show_structured(context, answer.body)
    if not answer.value:
        context.out("No deployments found")
        return 0
    width = context.terminal.width
    context.out(deployment_table(answer.value, verbose=context.verbose, width=width))
    return 0
