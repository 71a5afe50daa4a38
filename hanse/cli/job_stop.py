"""`hanse job stop` and `hanse job start`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.job_source import show_warnings
from hanse.cli.lookup import find_job
from hanse.cli.monitor_eval import name_or_follow
from hanse.errors import Unsupported
from hanse.structs.api import JobRegisterRequest


def run(context: Context) -> int:
    """Stop jobs, one after the other; the worst exit code counts."""
    if context.flags.on("global"):
        raise Unsupported(["-global"])
    return max(_stop(context, said) for said in context.arguments)


def _stop(context: Context, said: str) -> int:
    flags = context.flags
    stub = find_job(context, said)
    if stub.id != said and not flags.on("yes"):
        answer = context.terminal.ask(f'Are you sure you want to stop job "{stub.id}"? [y/N]')
        if answer != "y":
            context.out("Cancelling job stop")
            return 0
    stopped = context.client.jobs.deregister(
        stub.id,
        purge=flags.on("purge"),
        namespace=stub.namespace,
        eval_priority=flags.number("eval-priority"),
        no_shutdown_delay=flags.on("no-shutdown-delay"),
    ).value
    return name_or_follow(context, stopped.eval_id)


def start(context: Context) -> int:
    """Submit stopped jobs again; the worst exit code counts."""
    return max(_start(context, said) for said in context.arguments)


def _start(context: Context, said: str) -> int:
    import msgspec

    stub = find_job(context, said)
    if not stub.stop:
        raise Failed(f'Job "{stub.id}" is not stopped: its status is {stub.status}')
    where = {"namespace": stub.namespace}
    # The stop made a version of its own; what ran is the newest version that is not stopped.
    versions = context.client.jobs.versions(stub.id, **where).value.versions
    job = next((version for version in versions if not version.stop), versions[0])
    request = JobRegisterRequest(job=msgspec.structs.replace(job, stop=False))
    answer = context.client.jobs.register(request, **where).value
    show_warnings(context, answer.warnings)
    return name_or_follow(context, answer.eval_id)
