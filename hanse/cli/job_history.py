"""`hanse job history`."""

from __future__ import annotations

import msgspec

from hanse.cli.command import Context, Failed
from hanse.cli.job_diff import job_diff
from hanse.cli.lookup import find_job
from hanse.cli.output import pretty, show_structured, wants_structured
from hanse.cli.tables import yes
from hanse.cli.text import indented, moment, pairs
from hanse.structs.api import JobDiff
from hanse.structs.job import Job


def run(context: Context) -> int:
    """Show a job's versions, newest first."""
    flags = context.flags
    stub = find_job(context, context.arguments[0])
    with_diffs = flags.on("p", default=True) and not flags.on("full")
    against = flags.given("diff-tag") or flags.given("diff-version")
    answer = context.client.jobs.versions(
        stub.id,
        namespace=stub.namespace,
        diffs=with_diffs or against,
        diff_tag=flags.text("diff-tag"),
        diff_version=_text(flags.number("diff-version")),
    )
    if wants_structured(context):
        return show_structured(context, answer.body)
    versions, diffs = answer.value.versions, answer.value.diffs
    wanted = flags.number("version")
    shown = [
        (job, diffs[at] if at < len(diffs) else None)
        for at, job in enumerate(versions)
        if wanted in (None, job.version)
    ]
    if not shown:
        raise Failed(f'Job "{stub.id}" has no version {wanted}')
    context.out("\n\n".join(_version(context, job, diff) for job, diff in shown))
    return 0


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _version(context: Context, job: Job, diff: JobDiff | None) -> str:
    if context.flags.on("full"):
        basics = pairs(_basics(job))
        return f"{basics}\n{pretty(msgspec.json.encode({'Job': job}))}"
    text = pairs(_basics(job))
    if diff is not None and diff.type not in ("", "None"):
        text += "\nDiff        =\n" + indented(job_diff(diff), "")
    return text


def _basics(job: Job) -> list[tuple[str, str]]:
    rows = [
        ("Version", str(job.version)),
        ("Stable", yes(job.stable)),
        ("Submit Date", moment(job.submit_time)),
    ]
    if job.version_tag is not None and job.version_tag.name:
        rows.append(("Tag Name", job.version_tag.name))
        if job.version_tag.description:
            rows.append(("Tag Description", job.version_tag.description))
    return rows
