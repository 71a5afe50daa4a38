"""`hanse job plan`."""

from __future__ import annotations

from collections.abc import Mapping

from hanse.cli.command import Context, Failed
from hanse.cli.job_diff import job_diff
from hanse.cli.job_source import read_job, show_warnings, use_region_of
from hanse.cli.output import show_structured
from hanse.cli.tables import reasons
from hanse.cli.text import ago, bold, green, moment, plural, table, yellow
from hanse.errors import HanseError
from hanse.structs.api import JobPlanResponse
from hanse.structs.evaluation import AllocMetric, DesiredUpdates
from hanse.structs.times import parse_rfc3339

_ERROR = 255


def run(context: Context) -> int:
    """Show what submitting the job would change."""
    try:
        source = read_job(context)
        use_region_of(context, source)
        wants_diff = context.flags.on("diff", default=True)
        answer = context.client.jobs.plan(source.job, diff=wants_diff)
    except Failed as failure:
        raise Failed(failure.text, _ERROR) from failure
    except HanseError as error:
        raise Failed(f"Error during plan: {error}", _ERROR) from error
    if context.flags.on("json-output") or context.flags.text("t"):
        show_structured(context, answer.body)
        return exit_code(answer.value)
    plan = answer.value
    if plan.diff is not None and wants_diff:
        context.out(job_diff(plan.diff, verbose=context.verbose) + "\n")
    kind = str(source.job.get("Type") or "service")
    context.out(bold("Scheduler dry-run:"))
    context.out("\n".join(dry_run(plan, kind, context.now_ns())) + "\n")
    show_warnings(context, plan.warnings)
    if preempted := _preempted(plan):
        context.out(f"{bold('Preemptions:')}\n\n{preempted}\n")
    context.out(_how_to_submit(context, plan.job_modify_index))
    return exit_code(plan)


def exit_code(plan: JobPlanResponse) -> int:
    """1 when allocations would be created or destroyed, else 0. Pure."""
    if plan.annotations is None:
        return 0
    return int(any(_changes(updates) for updates in plan.annotations.desired_tg_updates.values()))


def _changes(updates: DesiredUpdates) -> bool:
    counts = (
        updates.place,
        updates.stop,
        updates.migrate,
        updates.destructive_update,
        updates.canary,
    )
    return any(counts)


def dry_run(plan: JobPlanResponse, kind: str, now_ns: int) -> list[str]:
    """What the scheduler would do, in sentences. Pure."""
    lines: list[str] = []
    if plan.failed_tg_allocs:
        everywhere = " on all nodes" if kind in ("system", "sysbatch") else ""
        failed = f"- WARNING: Failed to place all allocations{everywhere}."
        lines.append(yellow(bold(failed)))
        lines += _failures(plan.failed_tg_allocs)
    else:
        lines.append(green(bold("- All tasks successfully allocated.")))
    rolling = [e for e in plan.created_evals if e.triggered_by == "rolling-update"]
    if rolling:
        from hanse.durations import format_duration

        wait = format_duration(rolling[0].wait_ns)
        lines.append(green(f"- Rolling update, next evaluation will be in {wait}."))
    if at_ns := parse_rfc3339(plan.next_periodic_launch):
        when = f"{moment(at_ns)} ({ago(at_ns, now_ns)})"
        lines.append(green(f"- If submitted now, next periodic launch would be at {when}."))
    return lines


def _failures(failures: Mapping[str, AllocMetric]) -> list[str]:
    lines = []
    for name, metric in sorted(failures.items()):
        count = plural(metric.coalesced_failures + 1, "allocation")
        lines.append(yellow(f'  Task Group "{name}" (failed to place {count}):'))
        lines += [yellow(f"    {line}") for line in reasons(metric)]
    return lines


def _preempted(plan: JobPlanResponse) -> str:
    allocs = plan.annotations.preempted_allocs if plan.annotations is not None else ()
    rows = [
        [str(alloc.get("ID", "")), str(alloc.get("JobID", "")), str(alloc.get("TaskGroup", ""))]
        for alloc in allocs
        if isinstance(alloc, dict)
    ]
    return table(["Alloc ID", "Job ID", "Task Group"], rows) if rows else ""


def _how_to_submit(context: Context, index: int) -> str:
    flags = context.flags
    said = [f"-var={_quoted(text)}" for text in flags.texts("var")]
    said += [f"-var-file={_quoted(text)}" for text in flags.texts("var-file")]
    said += ["-json"] if flags.on("json") else []
    command = " ".join(
        ["hanse job run", f"-check-index {index}", *said, _quoted(context.arguments[0])]
    )
    return (
        f"Job Modify Index: {index}\n"
        f"To submit the job with version verification run:\n\n{command}\n\n"
        "With -check-index the job is only submitted if nobody has changed it since this plan:\n"
        "if its modify index is another one by then, nothing happens, and it should be planned\n"
        "again."
    )


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
