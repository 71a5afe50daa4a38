"""`hanse alloc stop`, `restart`, `signal` and `checks`."""

from __future__ import annotations

from hanse.cli.alloc_choice import choose_task
from hanse.cli.command import Context
from hanse.cli.lookup import find_alloc
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.text import moment, pairs
from hanse.durations import SECOND_NS


def stop(context: Context) -> int:
    """Stop an allocation; another one takes its place."""
    stub = find_alloc(context, context.arguments[0])
    answer = context.client.allocations.stop(
        stub.id,
        # The scheduler would leave a batch allocation that was stopped as it is.
        reschedule=stub.job_type in ("batch", "sysbatch"),
        no_shutdown_delay=context.flags.on("no-shutdown-delay"),
        namespace=stub.namespace,
    ).value
    if context.flags.on("detach"):
        context.out(answer.eval_id)
        return 0
    from hanse.cli.monitor_eval import follow

    return follow(context, answer.eval_id)


def restart(context: Context) -> int:
    """Restart an allocation's tasks where they are."""
    task = _task(context)
    stub = find_alloc(context, context.arguments[0])
    context.client.allocations.restart(
        stub.id, task, all_tasks=context.flags.on("all-tasks"), namespace=stub.namespace
    )
    return 0


def signal(context: Context) -> int:
    """Send a signal to an allocation's tasks."""
    task = _task(context)
    stub = find_alloc(context, context.arguments[0])
    name = context.flags.text("s", "SIGKILL")
    context.client.allocations.signal(stub.id, name, task, namespace=stub.namespace)
    return 0


def _task(context: Context) -> str:
    """The task named, checked against those there are; empty when none is."""
    if not (context.flags.text("task") or context.argument(1)):
        return ""
    stub = find_alloc(context, context.arguments[0])
    alloc = context.client.allocations.get(stub.id, namespace=stub.namespace).value
    return choose_task(context, alloc, context.argument(1))


def checks(context: Context) -> int:
    """Show the last results of an allocation's checks."""
    stub = find_alloc(context, context.arguments[0])
    answer = context.client.allocations.checks(stub.id, namespace=stub.namespace)
    if wants_structured(context):
        return show_structured(context, answer.body)
    results = sorted(answer.value.values(), key=lambda c: (c.group, c.task, c.service, c.check))
    if not results:
        context.out("No checks found")
        return 0
    parts = []
    for check in results:
        rows = [
            ("ID", check.id),
            ("Name", check.check),
            ("Group", check.group),
            ("Task", check.task or "(group)"),
            ("Service", check.service),
            ("Status", check.status),
        ]
        if check.status_code:
            rows.append(("StatusCode", str(check.status_code)))
        rows += [
            ("Mode", check.mode),
            ("Timestamp", moment(check.timestamp * SECOND_NS)),
            ("Output", check.output),
        ]
        parts.append(pairs(rows))
    context.out("\n\n".join(parts))
    return 0
