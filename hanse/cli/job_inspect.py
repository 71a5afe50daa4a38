"""`hanse job inspect`."""

from __future__ import annotations

import msgspec

from hanse.cli.command import Context, Failed
from hanse.cli.lookup import find_job
from hanse.cli.output import pretty, show_structured, wants_structured
from hanse.sdk.transport import ApiError


def run(context: Context) -> int:
    """Show a job as JSON, or the source it was submitted from."""
    flags = context.flags
    if (flags.on("hcl") or flags.on("with-vars")) and wants_structured(context):
        raise Failed("-hcl excludes -json and -t")
    stub = find_job(context, context.arguments[0])
    where = {"namespace": stub.namespace}
    version = flags.number("version")
    if flags.on("hcl") or flags.on("with-vars"):
        return _source(context, stub.id, stub.namespace, version)
    body = context.client.jobs.get(stub.id, **where).body
    if version is not None:
        versions = msgspec.json.decode(context.client.jobs.versions(stub.id, **where).body)
        found = [job for job in versions["Versions"] or () if job["Version"] == version]
        if not found:
            raise Failed(f'Job "{stub.id}" has no version {version}')
        body = msgspec.json.encode(found[0])
    if wants_structured(context):
        return show_structured(context, body)
    context.out(pretty(b'{"Job":' + body + b"}"))
    return 0


def _source(context: Context, job_id: str, namespace: str, version: int | None) -> int:
    jobs = context.client.jobs
    if version is None:
        version = jobs.get(job_id, namespace=namespace).value.version
    try:
        submission = jobs.submission(job_id, version, namespace=namespace).value
    except ApiError as error:
        raise Failed(f"Error reading the source of the job: {error}") from error
    if context.flags.on("with-vars"):
        for name, value in sorted(submission.variable_flags.items()):
            context.out(f"# -var {name}={value}")
        for line in submission.variables.splitlines():
            context.out(f"# {line}")
    context.terminal.verbatim(submission.source.encode())
    return 0
