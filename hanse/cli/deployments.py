"""`hanse deployment …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli.command import Context
from hanse.cli.lookup import find_deployment
from hanse.cli.monitor_deployment import body, follow_deployment
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import deployment_table

if TYPE_CHECKING:
    from hanse.structs.deployment import DeploymentUpdateResponse


def listing(context: Context) -> int:
    """List deployments."""
    answer = context.client.deployments.list(filter=context.flags.text("filter"))
    if wants_structured(context):
        return show_structured(context, answer.body)
    if not answer.value:
        context.out("No deployments found")
        return 0
    width = context.terminal.width
    context.out(deployment_table(answer.value, verbose=context.verbose, width=width))
    return 0


def status(context: Context) -> int:
    """Show a deployment, or follow it."""
    found = find_deployment(context, context.arguments[0])
    if context.flags.on("monitor"):
        return follow_deployment(context, found.id)
    return show(context, found.id)


def show(context: Context, deployment_id: str) -> int:
    """One deployment."""
    answer = context.client.deployments.get(deployment_id)
    if context.flags.given("t") or context.flags.given("json"):
        return show_structured(context, answer.body)
    context.out(body(context, answer.value))
    return 0


def fail(context: Context) -> int:
    """Give a deployment up."""
    found = find_deployment(context, context.arguments[0])
    answer = context.client.deployments.fail(found.id).value
    text = f'Deployment "{found.id}" failed'
    if answer.reverted_job_version is not None:
        text += f". Auto-reverted to job version {answer.reverted_job_version}."
    context.out(text)
    return _then(context, answer)


def pause(context: Context) -> int:
    """Hold a deployment."""
    found = find_deployment(context, context.arguments[0])
    context.client.deployments.pause(found.id, pause=True)
    context.out(f'Deployment "{found.id}" paused')
    return 0


def resume(context: Context) -> int:
    """Let a deployment go on."""
    found = find_deployment(context, context.arguments[0])
    answer = context.client.deployments.pause(found.id, pause=False).value
    context.out(f'Deployment "{found.id}" resumed')
    return _then(context, answer)


def promote(context: Context) -> int:
    """Accept the canaries."""
    found = find_deployment(context, context.arguments[0])
    groups = context.flags.texts("group")
    return _then(context, context.client.deployments.promote(found.id, groups).value)


def _then(context: Context, answer: DeploymentUpdateResponse) -> int:
    if not answer.eval_id:
        return 0
    if context.flags.on("detach"):
        context.out(f"Evaluation ID: {answer.eval_id}")
        return 0
    from hanse.cli.monitor_eval import follow

    return follow(context, answer.eval_id)
