"""What decisions about deployments write. Pure, but for the state they are decided on."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.store import Delete, KeyIs, Put
from hanse.structs.allocation import AllocChange
from hanse.structs.deployment import Deployment
from hanse.structs.ids import IdStream
from hanse.structs.job import Job
from hanse.structs.taskstate import DesiredTransition
from region.commands.drafts import evaluation_for, put_changes, put_eval
from region.commands.jobs import History, Registration, draft_registration
from region.deploy.decide import OVER, Decision, Facts
from region.state.codec import encode
from region.state.keys import Keys
from region.state.state import State
from region.writer import Draft, Writer


def facts_of(state: State, deployment: Deployment, now_ns: int) -> Facts:
    """What a decision about a deployment depends on, read from the state."""
    key = (deployment.namespace, deployment.job_id)
    evaluations = state.evaluations_of_job(*key)
    return Facts(
        deployment=deployment,
        job=state.job(*key),
        allocations=state.allocations_of_deployment(deployment.id),
        evaluated_index=max((e.create_index for e in evaluations), default=0),
        stable=latest_stable(state, deployment),
        now_ns=now_ns,
    )


def latest_stable(state: State, deployment: Deployment) -> Job | None:
    """The newest stable version of a job beside the one that is being deployed."""
    key = (deployment.namespace, deployment.job_id)
    extra, _ = state.job_extra(*key)
    for version in sorted(extra.stable, reverse=True):
        if version != deployment.job_version:
            found = state.job_version(*key, version)
            if found is not None and not found.stop:
                return found
    return None


def put_deployment(keys: Keys, deployment: Deployment, now_ns: int) -> Put:
    """Its write. Counts need not be taken out: nobody reads them from there."""
    return Put(keys.deployment(deployment.id), encode(replace(deployment, modify_time=now_ns)))


def decided(
    writer: Writer,
    facts: Facts,
    decision: Decision,
    ids: IdStream,
    history: History,
) -> Draft[str]:
    """A decision as a write; its result is the id of the evaluation that follows, if any."""
    state, keys, deployment, job = writer.state, writer.state.keys, facts.deployment, facts.job
    key = keys.deployment(deployment.id)
    compares: list[KeyIs] = []
    writes: list[Put | Delete] = []
    eval_id = ids.next()
    changed = deployment
    if decision.status:
        changed = replace(changed, status=decision.status, status_description=decision.description)
    if decision.promote:
        changed = promoted(changed, None)
    if changed is not deployment:
        compares.append(writer.key_is(key))
        writes.append(put_deployment(keys, changed, facts.now_ns))
    if decision.status == "successful":
        stable = mark_stable(state, deployment)
        if stable is not None:
            compares += (writer.key_is(stable.key), writer.key_is(_job_key(state, deployment)))
            writes.append(stable)
    if decision.replace:
        may = DesiredTransition(reschedule=True)
        changes = [AllocChange(alloc_id=i, transition=may) for i in decision.replace]
        writes += put_changes(keys, ids, changes, facts.now_ns)
    if decision.revert_to is not None:
        draft = reverted(writer, decision.revert_to, history, eval_id)
        compares += draft.compares
        writes += draft.writes
    elif job is not None and (decision.evaluate or decision.status == "failed"):
        evaluation = evaluation_for(
            job,
            eval_id,
            "deployment-watcher",
            facts.now_ns,
            priority=deployment.eval_priority,
            deployment_id=deployment.id,
        )
        writes.append(put_eval(keys, evaluation))
    else:
        eval_id = ""
    marker = keys.evaluation(eval_id) if eval_id else ""
    return Draft(tuple(compares), tuple(writes), marker, eval_id)


def reverted(writer: Writer, to: Job, history: History, eval_id: str) -> Draft[int]:
    """An older version, registered anew."""
    asked = Registration(
        submission=writer.state.submission(to.namespace, to.id, to.version),
        trigger="deployment-watcher",
    )
    return draft_registration(writer, to, asked, history, eval_id)


def mark_stable(state: State, deployment: Deployment) -> Put | None:
    """The write that marks a deployment's version as one to go back to; None if it is already."""
    key = (deployment.namespace, deployment.job_id)
    job = state.job(*key)
    extra, _ = state.job_extra(*key)
    version = deployment.job_version
    if (
        job is None
        or job.create_index != deployment.job_create_index
        or version in extra.stable
        or state.job_version(*key, version) is None
    ):
        return None
    kept = {held.version for held in state.job_versions(*key)}
    stable = tuple(sorted({*extra.stable, version} & kept))
    return Put(state.keys.job_extra(*key), encode(replace(extra, stable=stable)))


def promoted(deployment: Deployment, groups: set[str] | None) -> Deployment:
    """The deployment with its canaries promoted; None is those of all groups."""
    changed = {
        name: replace(group, promoted=True)
        if group.desired_canaries and (groups is None or name in groups)
        else group
        for name, group in deployment.task_groups.items()
    }
    return replace(deployment, task_groups=changed)


def _job_key(state: State, deployment: Deployment) -> str:
    return state.keys.job(deployment.namespace, deployment.job_id)


def is_over(deployment: Deployment) -> bool:
    """Nothing more happens to it."""
    return deployment.status in OVER
