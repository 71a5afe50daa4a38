"""Deployments, as the scheduler sees them: begun, extended, cancelled, completed.

Failing one (and going back to the version before) is the deployment watcher's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from hanse.structs.deployment import Deployment, DeploymentState
from hanse.structs.ids import IdStream
from hanse.structs.job import Job, TaskGroup, UpdateStrategy
from region.scheduler.reconcile import Decision, deployment_of
from region.scheduler.snapshot import Snapshot

RUNNING = "Deployment is running"
SUCCESSFUL = "Deployment completed successfully"
JOB_STOPPED = "Cancelled because job is stopped"
NEWER_VERSION = "Cancelled due to newer version of job"

_OVER = frozenset({"successful", "cancelled", "failed"})


@dataclass(frozen=True, slots=True)
class Rollout:
    """What becomes of the job's deployments."""

    #: The one that placements of this plan belong to.
    current: Deployment | None = None
    #: Whether `current` is new or differs from what is stored.
    changed: bool = False
    ended: tuple[Deployment, ...] = ()

    def id_for(self, group: str) -> str:
        """The deployment that new instances of the group belong to."""
        if self.current is None or self.current.status in _OVER:
            return ""
        return self.current.id if group in self.current.task_groups else ""


def roll(snapshot: Snapshot, decisions: Sequence[Decision], ids: IdStream) -> Rollout:
    """Begin, extend, cancel or complete."""
    job, latest = snapshot.job, snapshot.deployment
    ended = _ended(snapshot, latest)
    if job is None or job.stop:
        return Rollout(ended=ended)
    present = deployment_of(snapshot)
    begun = {
        decision.name: _state(decision.group, decision.rollout)
        for decision in decisions
        if decision.group is not None
        and decision.rollout
        and (present is None or decision.name not in present.task_groups)
    }
    if present is None:
        if not begun:
            return Rollout(ended=ended)
        return Rollout(_new(snapshot, job, begun, ids), changed=True, ended=ended)
    if begun and present.status not in _OVER:
        return Rollout(replace(present, task_groups={**present.task_groups, **begun}), changed=True)
    if present.status == "running" and _complete(present, decisions):
        done = replace(present, status="successful", status_description=SUCCESSFUL)
        return Rollout(done, changed=True)
    return Rollout(present)


def _ended(snapshot: Snapshot, latest: Deployment | None) -> tuple[Deployment, ...]:
    """The latest deployment, cancelled if it is for something that is not wanted any more."""
    if latest is None or latest.status in _OVER:
        return ()
    job = snapshot.job
    if job is None or job.stop:
        why = JOB_STOPPED
    elif deployment_of(snapshot) is None:
        why = NEWER_VERSION
    else:
        return ()
    return (
        replace(latest, status="cancelled", status_description=why, modify_time=snapshot.now_ns),
    )


def _state(group: TaskGroup, total: int) -> DeploymentState:
    update = group.update or UpdateStrategy()
    return DeploymentState(
        auto_revert=update.auto_revert,
        auto_promote=update.auto_promote,
        progress_deadline_ns=update.progress_deadline_ns,
        desired_total=total,
    )


def _new(
    snapshot: Snapshot, job: Job, groups: dict[str, DeploymentState], ids: IdStream
) -> Deployment:
    return Deployment(
        id=ids.next(),
        namespace=job.namespace,
        job_id=job.id,
        job_version=job.version,
        job_modify_index=job.modify_index,
        job_spec_modify_index=job.job_modify_index,
        job_create_index=job.create_index,
        task_groups=groups,
        status="running",
        status_description=RUNNING,
        eval_priority=snapshot.evaluation.priority or job.priority,
        create_time=snapshot.now_ns,
        modify_time=snapshot.now_ns,
    )


def _complete(deployment: Deployment, decisions: Sequence[Decision]) -> bool:
    by_name = {decision.name: decision for decision in decisions}
    for name, state in deployment.task_groups.items():
        decision = by_name.get(name)
        if decision is None or not decision.settled:
            return False
        healthy = sum(a.deployment_id == deployment.id and a.healthy is True for a in decision.kept)
        if healthy < state.desired_total:
            return False
    return True
