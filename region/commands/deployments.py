"""Fail, pause, promote deployments, and say which allocations are well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from hanse.errors import Invalid, NotFound
from hanse.store import Put
from hanse.structs.allocation import AllocChange
from hanse.structs.deployment import Deployment, DeploymentUpdateResponse
from hanse.structs.ids import IdStream
from region.commands.drafts import evaluation_for, put_changes, put_eval
from region.commands.jobs import History
from region.deploy import decide, drafts
from region.state.state import State
from region.writer import Draft, Writer

_GO_ON = decide.Decision(evaluate=True)


async def fail(writer: Writer, deployment_id: str, history: History) -> DeploymentUpdateResponse:
    """Give a deployment up, and with auto_revert go back. Raises NotFound, Invalid."""
    ids = writer.ids()

    def draft() -> Draft[tuple[str, int | None]]:
        deployment = active(writer.state, deployment_id, "can't fail terminal deployment")
        facts = drafts.facts_of(writer.state, deployment, writer.clock.wall_ns())
        decision = decide.failed(facts, decide.FAILED_BY_USER, list(deployment.task_groups))
        made = drafts.decided(writer, facts, decision, ids, history)
        to = decision.revert_to.version if decision.revert_to is not None else None
        return Draft(made.compares, made.writes, made.marker, (made.result, to))

    (eval_id, reverted_to), revision = await writer.write(draft)
    return _answer(eval_id, revision, reverted_to)


async def pause(writer: Writer, deployment_id: str, paused: bool) -> DeploymentUpdateResponse:
    """Hold a deployment or go on with it. Raises NotFound, Invalid."""

    def change(deployment: Deployment) -> Deployment:
        if paused:
            return replace(deployment, status="paused", status_description=decide.PAUSED)
        waits = any(
            g.desired_canaries and not g.promoted and not g.auto_promote
            for g in deployment.task_groups.values()
        )
        text = decide.NEEDS_PROMOTION if waits else decide.RUNNING
        return replace(deployment, status="running", status_description=text)

    what = "pause" if paused else "resume"
    refused = f"can't {what} terminal deployment"
    return await _change(writer, deployment_id, refused, change, evaluate=not paused)


async def promote(
    writer: Writer, deployment_id: str, groups: Sequence[str] | None
) -> DeploymentUpdateResponse:
    """Let canaries take over; None is those of all groups. Raises NotFound, Invalid."""

    def change(deployment: Deployment) -> Deployment:
        for name in groups or ():
            if name not in deployment.task_groups:
                raise Invalid("Groups", f'the deployment has no group "{name}"')
        chosen = set(groups) if groups is not None else None
        after = drafts.promoted(deployment, chosen)
        if after == deployment:
            raise Invalid("", "no canaries to promote")
        return replace(after, status_description=decide.RUNNING)

    refused = "can't promote terminal deployment"
    return await _change(writer, deployment_id, refused, change, evaluate=True)


async def set_health(
    writer: Writer,
    deployment_id: str,
    healthy: Sequence[str],
    unhealthy: Sequence[str],
    history: History,
) -> DeploymentUpdateResponse:
    """Say which allocations of a deployment are well; one that is not makes it fail.

    Raises NotFound, Invalid.
    """
    ids = writer.ids()

    def draft() -> Draft[tuple[str, int | None]]:
        state, now_ns = writer.state, writer.clock.wall_ns()
        refused = "can't set health of allocations for a terminal deployment"
        deployment = active(state, deployment_id, refused)
        if not healthy and not unhealthy:
            raise Invalid("", "must specify at least one healthy/unhealthy allocation ID")
        changes: list[AllocChange] = []
        failing: list[str] = []
        for well, alloc_ids in ((True, healthy), (False, unhealthy)):
            for alloc_id in alloc_ids:
                alloc = state.allocation(alloc_id)
                if alloc is None:
                    raise NotFound("allocation", text=f'Unknown allocation "{alloc_id}"')
                if alloc.deployment_id != deployment_id:
                    raise Invalid("", f'alloc "{alloc_id}" is not part of the deployment')
                changes.append(AllocChange(alloc_id=alloc_id, healthy=well))
                failing += () if well else (alloc.group,)
        facts = drafts.facts_of(state, deployment, now_ns)
        decision = decide.failed(facts, decide.UNHEALTHY, failing) if failing else _GO_ON
        made = drafts.decided(writer, facts, decision, ids, history)
        writes = (*put_changes(state.keys, ids, changes, now_ns), *made.writes)
        to = decision.revert_to.version if decision.revert_to is not None else None
        return Draft(made.compares, writes, made.marker, (made.result, to))

    (eval_id, reverted_to), revision = await writer.write(draft)
    return _answer(eval_id, revision, reverted_to)


def active(state: State, deployment_id: str, refused: str) -> Deployment:
    """A deployment that is not over. Raises NotFound, and Invalid with `refused`."""
    deployment = state.deployment(deployment_id)
    if deployment is None:
        raise NotFound("deployment", text="deployment not found")
    if drafts.is_over(deployment):
        raise Invalid("", refused)
    return deployment


async def _change(
    writer: Writer,
    deployment_id: str,
    refused: str,
    change: Callable[[Deployment], Deployment],
    *,
    evaluate: bool,
) -> DeploymentUpdateResponse:
    ids: IdStream = writer.ids()
    eval_id = ids.next() if evaluate else ""

    def draft() -> Draft[None]:
        state, now_ns = writer.state, writer.clock.wall_ns()
        deployment = active(state, deployment_id, refused)
        writes: list[Put] = [drafts.put_deployment(state.keys, change(deployment), now_ns)]
        marker = ""
        if eval_id:
            writes.append(_evaluation(state, deployment, eval_id, now_ns))
            marker = state.keys.evaluation(eval_id)
        compare = writer.key_is(state.keys.deployment(deployment_id))
        return Draft((compare,), tuple(writes), marker, None)

    _, revision = await writer.write(draft)
    return _answer(eval_id, revision)


def _evaluation(state: State, deployment: Deployment, eval_id: str, now_ns: int) -> Put:
    job = state.job(deployment.namespace, deployment.job_id)
    if job is None:
        raise NotFound("job", text="job not found")
    evaluation = evaluation_for(
        job,
        eval_id,
        "deployment-watcher",
        now_ns,
        priority=deployment.eval_priority,
        deployment_id=deployment.id,
    )
    return put_eval(state.keys, evaluation)


def _answer(
    eval_id: str, revision: int, reverted_to: int | None = None
) -> DeploymentUpdateResponse:
    return DeploymentUpdateResponse(
        eval_id=eval_id,
        eval_create_index=revision if eval_id else 0,
        deployment_modify_index=revision,
        reverted_job_version=reverted_to,
    )
