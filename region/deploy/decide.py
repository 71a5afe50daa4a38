"""What is to become of a deployment, decided on values.

The scheduler begins deployments, places their instances in batches and cancels them; what is
here judges: enough are healthy, one is not, nothing moved for too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanse.structs.allocation import Allocation
from hanse.structs.deployment import Deployment, DeploymentState
from hanse.structs.job import Job
from hanse.structs.times import parse_rfc3339

RUNNING = "Deployment is running"
NEEDS_PROMOTION = "Deployment is running but requires manual promotion"
PAUSED = "Deployment is paused"
SUCCESSFUL = "Deployment completed successfully"
JOB_STOPPED = "Cancelled because job is stopped"
UNHEALTHY = "Failed due to unhealthy allocations"
NO_PROGRESS = "Failed due to progress deadline"
FAILED_BY_USER = "Deployment marked as failed"

#: Statuses after which nothing more happens.
OVER = frozenset({"failed", "successful", "cancelled"})


@dataclass(frozen=True, slots=True)
class Facts:
    """All a decision may depend on."""

    #: With its counts.
    deployment: Deployment
    #: The job as it is now; None if it was purged.
    job: Job | None
    #: Those of the deployment.
    allocations: Sequence[Allocation]
    #: When the newest evaluation of the job was made.
    evaluated_index: int
    #: The newest stable version of the job other than the deployment's, if any is kept.
    stable: Job | None
    now_ns: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do; all defaults is nothing, until `wake_at_ns` at the latest (0: no deadline)."""

    status: str = ""
    description: str = ""
    #: The version to register anew.
    revert_to: Job | None = None
    #: Groups whose canaries take over.
    promote: bool = False
    #: Unhealthy allocations that may be replaced.
    replace: tuple[str, ...] = ()
    #: The scheduler is to look at the job: more may be placed.
    evaluate: bool = False
    wake_at_ns: int = 0


NOTHING = Decision()


def decide(facts: Facts) -> Decision:
    """The next step of a deployment. What a step changes leads to the next one."""
    deployment, job = facts.deployment, facts.job
    if deployment.status in OVER:
        return NOTHING
    if job is None or job.stop or job.create_index != deployment.job_create_index:
        return Decision(status="cancelled", description=JOB_STOPPED)
    if deployment.status != "running":
        return NOTHING
    sick = [a for a in facts.allocations if a.healthy is False]
    failing = [
        name
        for name, group in deployment.task_groups.items()
        if group.progress_deadline_ns == 0 and any(a.group == name for a in sick)
    ]
    if failing:
        return failed(facts, UNHEALTHY, failing)
    if all(_done(facts, name, group) for name, group in deployment.task_groups.items()):
        return Decision(status="successful", description=SUCCESSFUL)
    late, wake_at_ns = _late(facts)
    if late:
        return failed(facts, NO_PROGRESS, late)
    promotes = [g for g in deployment.task_groups.values() if g.desired_canaries]
    if (
        promotes
        and all(g.auto_promote for g in promotes)
        and not all(g.promoted for g in promotes)
        and all(_canaries_well(facts, n, g) for n, g in deployment.task_groups.items())
    ):
        return Decision(promote=True, evaluate=True, wake_at_ns=wake_at_ns)
    replaceable = tuple(
        a.id
        for a in sick
        if not a.next_id and not a.transition.reschedule and a.desired_status == "run"
    )
    return Decision(
        replace=replaceable,
        evaluate=bool(replaceable) or _may_go_on(facts),
        wake_at_ns=wake_at_ns,
    )


def failed(facts: Facts, why: str, groups: Sequence[str]) -> Decision:
    """The deployment has failed; with auto_revert in one of the groups, go back."""
    deployment, job = facts.deployment, facts.job
    reverts = any(deployment.task_groups[name].auto_revert for name in groups)
    if not reverts or job is None:
        return Decision(status="failed", description=why)
    stable = facts.stable
    if stable is None:
        text = f"{why} - no stable job version to auto revert to"
        return Decision(status="failed", description=text)
    if same_work(stable, job):
        text = (
            f"{why} - not rolling back to stable job version {stable.version} as current job "
            "has same specification"
        )
        return Decision(status="failed", description=text)
    text = f"{why} - rolling back to job version {stable.version}"
    return Decision(status="failed", description=text, revert_to=stable)


def same_work(one: Job, other: Job) -> bool:
    """Whether two versions ask for the same."""
    return (
        one.task_groups == other.task_groups
        and one.type == other.type
        and one.priority == other.priority
        and one.datacenters == other.datacenters
        and one.constraints == other.constraints
        and one.affinities == other.affinities
        and one.spreads == other.spreads
        and one.meta == other.meta
        and one.node_pool == other.node_pool
    )


def _healthy(facts: Facts, group: str) -> int:
    """Instances of a group that are well now."""
    return sum(a.group == group and a.healthy is True and not a.terminal for a in facts.allocations)


def _done(facts: Facts, name: str, group: DeploymentState) -> bool:
    if group.desired_canaries and not group.promoted:
        return False
    return _healthy(facts, name) >= group.desired_total


def _canaries_well(facts: Facts, name: str, group: DeploymentState) -> bool:
    well = sum(
        a.group == name and a.canary and a.healthy is True and not a.terminal
        for a in facts.allocations
    )
    return well >= group.desired_canaries


def _late(facts: Facts) -> tuple[list[str], int]:
    """Groups that should have moved by now, and when the next one should have."""
    late: list[str] = []
    wake_at_ns = 0
    for name, group in facts.deployment.task_groups.items():
        due_ns = parse_rfc3339(group.require_progress_by)
        if not due_ns or _done(facts, name, group):
            continue
        if group.desired_canaries and not group.promoted and _canaries_well(facts, name, group):
            continue
        if due_ns <= facts.now_ns:
            late.append(name)
        elif not wake_at_ns or due_ns < wake_at_ns:
            wake_at_ns = due_ns
    return late, wake_at_ns


def _may_go_on(facts: Facts) -> bool:
    """Whether an instance became healthy that no evaluation has seen, and some are missing."""
    news = any(
        a.healthy is True
        and max(a.client_modify_index, a.alloc_modify_index) > facts.evaluated_index
        for a in facts.allocations
    )
    if not news:
        return False
    live: dict[str, int] = {}
    for alloc in facts.allocations:
        if not alloc.terminal:
            live[alloc.group] = live.get(alloc.group, 0) + 1
    groups = facts.deployment.task_groups
    return any(live.get(name, 0) < group.desired_total for name, group in groups.items())
