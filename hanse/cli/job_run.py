"""`hanse job run`."""

from __future__ import annotations

import msgspec

from hanse.cli.command import Context, Failed
from hanse.cli.job_source import read_job, show_warnings, use_region_of
from hanse.cli.output import pretty
from hanse.cli.text import ago, moment
from hanse.structs.times import parse_rfc3339


def run(context: Context) -> int:
    """Submit a job and follow what becomes of it."""
    from hanse.sdk.transport import ApiError

    flags = context.flags
    source = read_job(context)
    if flags.on("output"):
        context.out(pretty(msgspec.json.encode({"Job": source.job})))
        return 0
    use_region_of(context, source)
    body: dict[str, object] = {
        "Job": source.job,
        "Submission": source.submission,
        "PreserveCounts": flags.on("preserve-counts"),
        "PreserveResources": flags.on("preserve-resources"),
        "PolicyOverride": flags.on("policy-override"),
        "EvalPriority": flags.number("eval-priority") or 0,
    }
    if (index := flags.number("check-index")) is not None:
        body |= {"EnforceIndex": True, "JobModifyIndex": index}
    try:
        answer = context.client.jobs.register(body).value
    except ApiError as error:
        if "Enforcing job modify index" in error.text:
            raise Failed(f"{error.text}\nJob not updated") from error
        raise Failed(f"Error submitting job: {error}") from error
    show_warnings(context, answer.warnings)
    if not answer.eval_id:
        return _without_evaluation(context, source.id, periodic=bool(source.job.get("Periodic")))
    if flags.on("detach"):
        context.out(f"Job registration successful\nEvaluation ID: {answer.eval_id}")
        return 0
    from hanse.cli.monitor_eval import follow

    return follow(context, answer.eval_id)


def _without_evaluation(context: Context, job_id: str, *, periodic: bool) -> int:
    context.out("Job registration successful")
    if periodic:
        plan = context.client.jobs.get(job_id).value
        launch = context.client.jobs.plan(plan, diff=False).value.next_periodic_launch
        at_ns = parse_rfc3339(launch)
        if at_ns:
            now_ns = context.now_ns()
            context.out(f"Approximate next launch time: {moment(at_ns)} ({ago(at_ns, now_ns)})")
    return 0
