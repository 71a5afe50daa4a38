"""`hanse job revert` and `hanse job tag …`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.job_source import show_warnings
from hanse.cli.lookup import find_job


def revert(context: Context) -> int:
    """Go back to a version, named by number or by tag."""
    stub = find_job(context, context.arguments[0])
    where = {"namespace": stub.namespace}
    said = context.arguments[1]
    if said.isascii() and said.isdigit():
        version = int(said)
    else:
        versions = context.client.jobs.versions(stub.id, **where).value.versions
        tagged = [v for v in versions if v.version_tag is not None and v.version_tag.name == said]
        if not tagged:
            raise Failed(f'Job "{stub.id}" has no version with the tag "{said}"')
        version = tagged[0].version
    answer = context.client.jobs.revert(stub.id, version, **where).value
    show_warnings(context, answer.warnings)
    if not answer.eval_id:
        return 0
    if context.flags.on("detach"):
        context.out(f"Evaluation ID: {answer.eval_id}")
        return 0
    from hanse.cli.monitor_eval import follow

    return follow(context, answer.eval_id)


def tag(context: Context) -> int:
    """Give a version a name."""
    name = _name(context)
    stub = find_job(context, context.arguments[0])
    where = {"namespace": stub.namespace}
    version = context.flags.number("version")
    if version is None:
        version = context.client.jobs.get(stub.id, **where).value.version
    description = context.flags.text("description")
    context.client.jobs.tag(stub.id, name, version=version, description=description, **where)
    context.out(f'Job version {version} tagged with name "{name}"')
    return 0


def untag(context: Context) -> int:
    """Take a version's name away."""
    name = _name(context)
    stub = find_job(context, context.arguments[0])
    context.client.jobs.untag(stub.id, name, namespace=stub.namespace)
    context.out(f'Tag "{name}" removed from job "{stub.id}"')
    return 0


def _name(context: Context) -> str:
    name = context.flags.text("name")
    if not name:
        raise UsageError("-name must be given")
    return name
