"""Follow a deployment to its end: a view that renews itself on a terminal, blocks in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli.command import Context
from hanse.cli.monitor_eval import PLACEMENT_FAILED, Lines
from hanse.cli.tables import deployed_table, deployment_pairs
from hanse.cli.text import bold, green, indented, plural, red, short_id, yellow
from hanse.structs.deployment import Deployment

if TYPE_CHECKING:
    from hanse.sdk.client import Client

_OVER = frozenset({"successful", "failed", "cancelled"})
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_S = 0.1
_FRAMES_A_LOOK = 8
_WAIT = "10s"
_INDENT = "    "


def follow_deployment(
    context: Context, deployment_id: str, client: Client | None = None, *, unplaced: bool = False
) -> int:
    """Show a deployment until it is over. Returns the exit code: 0, or 1 if it is not successful.

    With `unplaced`, some of its instances wait for capacity: then it also ends, with 2, once all
    that could be placed is healthy; whether more will ever come nobody knows.
    """
    client = client or context.client
    last = _watch(context, client, deployment_id, unplaced=unplaced)
    if last.status == "failed":
        return _after_failure(context, client, last) or 1
    if last.status not in _OVER:
        return PLACEMENT_FAILED
    return 0 if last.status == "successful" else 1


def _after_failure(context: Context, client: Client, failed: Deployment) -> int:
    """A rollback is a deployment of its own: it is shown as well, and changes nothing about 1."""
    if "rolling back" not in failed.status_description:
        return 1
    newer = client.jobs.latest_deployment(failed.job_id, namespace=failed.namespace).value
    if newer is not None and newer.id != failed.id:
        Lines(context).plain("The job goes back to a version that was stable")
        _watch(context, client, newer.id, unplaced=False)
    return 1


def waits_for_capacity(deployment: Deployment) -> bool:
    """All that is placed is healthy, and less is placed than is wanted. Pure."""
    states = deployment.task_groups.values()
    return all(state.healthy_allocs >= state.placed_allocs for state in states) and any(
        state.placed_allocs < max(state.desired_total, state.desired_canaries) for state in states
    )


def _ended(deployment: Deployment, *, unplaced: bool) -> bool:
    return deployment.status in _OVER or (unplaced and waits_for_capacity(deployment))


def _watch(context: Context, client: Client, deployment_id: str, *, unplaced: bool) -> Deployment:
    shown = short_id(deployment_id, verbose=context.verbose)
    title = f'Monitoring deployment "{shown}"'
    lines = Lines(context)
    if context.terminal.interactive:
        lines.info(title)
        return _live(context, client, deployment_id, unplaced=unplaced)
    before = ""
    index = 0
    while True:
        answer = client.deployments.get(deployment_id, index=index, wait=_WAIT)
        deployment, index = answer.value, max(answer.index, 1)
        text = body(context, deployment)
        if text != before:
            lines.info(title)
            context.out(indented(text, _INDENT) + "\n")
            before = text
        if _ended(deployment, unplaced=unplaced):
            context.out(_headline(context, deployment, ""))
            return deployment


def _live(context: Context, client: Client, deployment_id: str, *, unplaced: bool) -> Deployment:
    context.out()
    frame = 0
    while True:
        deployment = client.deployments.get(deployment_id).value
        text = indented(body(context, deployment), _INDENT)
        if _ended(deployment, unplaced=unplaced):
            context.terminal.live(f"{_headline(context, deployment, '')}\n{text}", last=True)
            return deployment
        for _ in range(_FRAMES_A_LOOK):
            spinner = _FRAMES[frame % len(_FRAMES)]
            context.terminal.live(f"{_headline(context, deployment, spinner)}\n{text}")
            context.sleep(_FRAME_S)
            frame += 1


def _headline(context: Context, deployment: Deployment, spinner: str) -> str:
    name = f'Deployment "{short_id(deployment.id, verbose=context.verbose)}"'
    if deployment.status == "successful":
        return f"  {green('✓')} {name} successful"
    if deployment.status in _OVER:
        return f"  {red('!')} {name} {deployment.status}"
    if spinner:
        return f"  {spinner} {name} in progress..."
    missing = sum(
        max(0, state.desired_total - state.placed_allocs)
        for state in deployment.task_groups.values()
    )
    return f"  {yellow('!')} {name} waits for capacity: {plural(missing, 'allocation')} not placed"


def body(context: Context, deployment: Deployment) -> str:
    """What `deployment status` shows."""
    width = context.terminal.width
    return (
        deployment_pairs(deployment, verbose=context.verbose)
        + f"\n\n{bold('Deployed')}\n"
        + deployed_table(deployment, width=width and width - len(_INDENT))
    )
