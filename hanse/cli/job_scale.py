"""`hanse job scale`, `hanse job scaling-events` and `hanse job eval`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.job_source import show_warnings
from hanse.cli.lookup import find_job
from hanse.cli.monitor_eval import name_or_follow
from hanse.cli.tables import yes
from hanse.cli.text import moment, short_id, table
from hanse.structs.api import JobScaleStatus


def run(context: Context) -> int:
    """Change a group's count."""
    *named, said = context.arguments[1:]
    if not (said.isascii() and said.isdigit()):
        raise UsageError(f"the count must be a whole number, not {said!r}")
    stub = find_job(context, context.arguments[0])
    where = {"namespace": stub.namespace}
    if named:
        group = named[0]
    else:
        groups = context.client.jobs.get(stub.id, **where).value.task_groups
        if len(groups) != 1:
            names = ", ".join(g.name for g in groups)
            raise Failed(f"The job has several groups; name one of them: {names}")
        group = groups[0].name
    answer = context.client.jobs.scale(
        stub.id,
        group,
        int(said),
        "submitted using the Hanse CLI",
        check_index=context.flags.number("check-index"),
        **where,
    ).value
    show_warnings(context, answer.warnings)
    if not answer.eval_id or context.flags.on("detach"):
        context.out("Job scale successful")
    return name_or_follow(context, answer.eval_id)


def evaluate(context: Context) -> int:
    """Evaluate a job again."""
    stub = find_job(context, context.arguments[0])
    force = context.flags.on("force-reschedule")
    answer = context.client.jobs.evaluate(
        stub.id, force_reschedule=force, namespace=stub.namespace
    ).value
    return name_or_follow(context, answer.eval_id)


def events(context: Context) -> int:
    """List the changes of a job's counts."""
    stub = find_job(context, context.arguments[0])
    status = context.client.jobs.scale_status(stub.id, namespace=stub.namespace).value
    rows = event_rows(status, verbose=context.verbose)
    if not rows:
        context.out("No events")
        return 0
    header = "Task Group,Count,PrevCount,Error,Message,Eval ID,Date".split(",")
    context.out(table(header, rows, width=context.terminal.width))
    return 0


def event_rows(status: JobScaleStatus, *, verbose: bool) -> list[list[str]]:
    """Scaling events of all groups, newest first. Pure."""
    found = sorted(
        ((event.time, name, event) for name, g in status.task_groups.items() for event in g.events),
        key=lambda row: (-row[0], row[1]),
    )
    return [
        [
            name,
            "" if event.count is None else str(event.count),
            str(event.previous_count),
            yes(event.error),
            event.message,
            short_id(event.eval_id or "", verbose=verbose),
            moment(at_ns),
        ]
        for at_ns, name, event in found
    ]
