"""`hanse job status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanse.cli.command import Context
from hanse.cli.lookup import find_job
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import (
    alloc_table,
    deployed_table,
    eval_failures,
    failed_groups,
    job_table,
    job_type,
)
from hanse.cli.text import ago, bold, moment, pairs, short_id, table
from hanse.structs.api import AllocListStub, JobListStub, JobSummary
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.times import parse_rfc3339

if TYPE_CHECKING:
    from hanse.structs.deployment import Deployment


def run(context: Context) -> int:
    """List jobs, or show one."""
    if not context.arguments:
        return listing(context)
    stub = find_job(context, context.arguments[0])
    return show(context, stub)


def listing(context: Context) -> int:
    """All jobs."""
    answer = context.client.jobs.list()
    if wants_structured(context):
        return show_structured(context, answer.body)
    if not answer.value:
        context.out("No running jobs")
        return 0
    several = context.client.settings.namespace == "*"
    context.out(job_table(answer.value, namespaces=several, width=context.terminal.width))
    return 0


def show(context: Context, stub: JobListStub) -> int:
    """One job."""
    answer = context.client.jobs.get(stub.id, namespace=stub.namespace)
    if wants_structured(context):
        return show_structured(context, answer.body)
    job = answer.value
    context.out(pairs(_basics(context, job)))
    if context.flags.on("short"):
        return 0
    for section in _sections(context, job):
        context.out(f"\n{section}")
    return 0


def _basics(context: Context, job: Job) -> list[tuple[str, str]]:
    now_ns = context.now_ns()
    rows = [
        ("ID", job.id),
        ("Name", job.name),
        ("Submit Date", moment(job.submit_time)),
        ("Type", job_type(job.type, periodic=False, parameterized=False)),
        ("Priority", str(job.priority)),
        ("Datacenters", ",".join(job.datacenters)),
        ("Namespace", job.namespace),
        ("Node Pool", job.node_pool),
        ("Status", f"{job.status} (stopped)" if job.stop else job.status),
        ("Periodic", "true" if job.periodic is not None else "false"),
        ("Parameterized", "true" if job.parameterized_job is not None else "false"),
    ]
    if context.verbose:
        rows += [
            ("Version", str(job.version)),
            ("Create Index", str(job.create_index)),
            ("Modify Index", str(job.modify_index)),
            ("Job Modify Index", str(job.job_modify_index)),
        ]
    if job.version_tag is not None and job.version_tag.name:
        rows.append(("Version Tag", job.version_tag.name))
    if job.periodic is not None and not job.stop:
        plan = context.client.jobs.plan(job, diff=False, namespace=job.namespace).value
        at_ns = parse_rfc3339(plan.next_periodic_launch)
        launch = f"{moment(at_ns)} ({ago(at_ns, now_ns)})" if at_ns else "none (job stopped)"
        rows.append(("Next Periodic Launch", launch))
    return rows


def _sections(context: Context, job: Job) -> list[str]:
    jobs, verbose, width = context.client.jobs, context.verbose, context.terminal.width
    where = {"namespace": job.namespace}
    summary = jobs.summary(job.id, **where).value
    parent = job.periodic is not None or job.parameterized_job is not None
    if parent:
        return [_children(context, job, summary)]
    evaluations = jobs.evaluations(job.id, **where).value
    deployment = jobs.latest_deployment(job.id, **where).value
    allocs = jobs.allocations(job.id, all=context.flags.on("all-allocs"), **where).value
    sections = [f"{bold('Summary')}\n{summary_table(summary, width=width)}"]
    if context.flags.on("evals"):
        rows = _evaluation_rows(evaluations, verbose=verbose)
        header = "ID,Priority,Triggered By,Node ID,Status,Placement Failures".split(",")
        sections.append(f"{bold('Evaluations')}\n{table(header, rows, width=width)}")
    if failure := placement_failures(evaluations):
        sections.append(f"{bold('Placement Failure')}\n" + "\n".join(failure))
    later = future_rescheduling(evaluations, allocs, context.now_ns(), verbose=verbose)
    if later:
        sections.append(f"{bold('Future Rescheduling Attempts')}\n{later}")
    if deployment is not None:
        sections.append(latest_deployment(deployment, verbose=verbose, width=width))
    if actions := _actions(job):
        header = ["Action Name", "Task Group", "Task"]
        sections.append(f"{bold('Actions')}\n{table(header, actions, width=width)}")
    shown = (
        alloc_table(allocs, now_ns=context.now_ns(), verbose=verbose, width=width)
        if allocs
        else "No allocations placed"
    )
    sections.append(f"{bold('Allocations')}\n{shown}")
    return sections


def summary_table(summary: JobSummary, *, width: int | None = None) -> str:
    """Counts by group."""
    header = "Task Group,Queued,Starting,Running,Failed,Complete,Lost,Unknown".split(",")
    rows = [
        [
            name,
            str(group.queued),
            str(group.starting),
            str(group.running),
            str(group.failed),
            str(group.complete),
            str(group.lost),
            str(group.unknown),
        ]
        for name, group in sorted(summary.summary.items())
    ]
    return table(header, rows, width=width)


def _evaluation_rows(evaluations: Sequence[Evaluation], *, verbose: bool) -> list[list[str]]:
    return [
        [
            short_id(evaluation.id, verbose=verbose),
            str(evaluation.priority),
            evaluation.triggered_by,
            short_id(evaluation.node_id, verbose=verbose),
            evaluation.status,
            eval_failures(evaluation),
        ]
        for evaluation in sorted(evaluations, key=lambda e: (-e.modify_index, e.id))
    ]


def placement_failures(evaluations: Sequence[Evaluation]) -> list[str]:
    """Why instances wait for a place: the blocked evaluation knows. Pure."""
    blocked = [evaluation for evaluation in evaluations if evaluation.status == "blocked"]
    latest = max(blocked, key=lambda evaluation: evaluation.create_index, default=None)
    if latest is None:
        return []
    if latest.failed_tg_allocs:
        return failed_groups(latest.failed_tg_allocs)
    # A blocked evaluation may leave the reasons to the one that made it.
    makers = [e for e in evaluations if latest.id == e.blocked_eval and e.failed_tg_allocs]
    maker = max(makers, key=lambda evaluation: evaluation.modify_index, default=None)
    return failed_groups(maker.failed_tg_allocs) if maker is not None else []


def future_rescheduling(
    evaluations: Sequence[Evaluation],
    allocs: Sequence[AllocListStub],
    now_ns: int,
    *,
    verbose: bool,
) -> str:
    """When failed allocations are placed anew. Pure; empty when none waits.

    An evaluation may outlive what it waits for, such as a version that was taken back.
    """
    groups: dict[str, set[str]] = {}
    for alloc in allocs:
        if alloc.desired_status == "run":
            groups.setdefault(alloc.followup_eval_id, set()).add(alloc.task_group)
    rows = []
    for evaluation in evaluations:
        at_ns = parse_rfc3339(evaluation.wait_until)
        if evaluation.status == "pending" and at_ns > now_ns:
            rows += [
                [group, short_id(evaluation.id, verbose=verbose), ago(at_ns, now_ns)]
                for group in sorted(groups.get(evaluation.id, ()))
            ]
    return table(["Task Group", "Eval ID", "Eval Time"], rows) if rows else ""


def latest_deployment(deployment: Deployment, *, verbose: bool, width: int | None = None) -> str:
    """The job's latest deployment."""
    basics = pairs(
        [
            ("ID", short_id(deployment.id, verbose=verbose)),
            ("Status", deployment.status),
            ("Description", deployment.status_description),
        ]
    )
    deployed = deployed_table(deployment, width=width)
    return f"{bold('Latest Deployment')}\n{basics}\n\n{bold('Deployed')}\n{deployed}"


def _actions(job: Job) -> list[list[str]]:
    return [
        [action.name, group.name, task.name]
        for group in job.task_groups
        for task in group.tasks
        for action in task.actions
    ]


def _children(context: Context, job: Job, summary: JobSummary) -> str:
    counts = summary.children
    parts: list[str] = []
    if job.parameterized_job is not None:
        wanted = job.parameterized_job
        rows = [
            [
                wanted.payload or "optional",
                ", ".join(wanted.meta_required),
                ", ".join(wanted.meta_optional),
            ]
        ]
        header = ["Payload", "Required Metadata", "Optional Metadata"]
        parts.append(f"{bold('Parameterized Job')}\n{table(header, rows)}")
    if counts is not None:
        title = "Parameterized Job Summary" if job.parameterized_job else "Children Job Summary"
        rows = [[str(counts.pending), str(counts.running), str(counts.dead)]]
        parts.append(f"{bold(title)}\n{table(['Pending', 'Running', 'Dead'], rows)}")
    children = context.client.jobs.list(prefix=f"{job.id}/", namespace=job.namespace).value
    title = "Dispatched Jobs" if job.parameterized_job else "Previously Launched Jobs"
    rows = [[child.id, child.status] for child in children if child.parent_id == job.id]
    none = "No instances of this job were launched"
    parts.append(f"{bold(title)}\n{table(['ID', 'Status'], rows) if rows else none}")
    return "\n\n".join(parts)
