"""Judging deployments."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.deployment import Deployment, DeploymentState
from hanse.structs.job import Job, TaskGroup
from hanse.structs.taskstate import DesiredTransition
from hanse.structs.times import rfc3339
from region.deploy.decide import NOTHING, Decision, Facts, decide, failed

SECOND = 10**9
NOW = 1_000 * SECOND
JOB = Job(id="web", create_index=3, version=1, task_groups=(TaskGroup(name="g", count=2),))
STABLE = replace(JOB, version=0, task_groups=(TaskGroup(name="g", count=5),))


def group(**fields: object) -> DeploymentState:
    given = {
        "desired_total": 2,
        "progress_deadline_ns": 60 * SECOND,
        "require_progress_by": rfc3339(NOW + 60 * SECOND),
        **fields,
    }
    return DeploymentState(**given)  # type: ignore[arg-type]


def deployment(state: DeploymentState | None = None, **fields: object) -> Deployment:
    return Deployment(
        id="d1",
        job_id="web",
        job_version=1,
        job_create_index=3,
        task_groups={"g": state or group()},
        **{"status": "running", **fields},  # type: ignore[arg-type]
    )


def alloc(alloc_id: str, healthy: bool | None, *, index: int = 10, **fields: object) -> Allocation:
    status = AllocStatus(alloc_id=alloc_id, client_status="running", healthy=healthy)
    return Allocation(
        id=alloc_id,
        namespace="default",
        job_id="web",
        job_version=1,
        group="g",
        index=0,
        node_id="n",
        eval_id="e",
        deployment_id="d1",
        client=status,
        client_modify_index=index,
        **fields,  # type: ignore[arg-type]
    )


def facts(*allocs: Allocation, **fields: object) -> Facts:
    given = {
        "deployment": deployment(),
        "job": JOB,
        "allocations": allocs,
        "evaluated_index": 5,
        "stable": STABLE,
        "now_ns": NOW,
        **fields,
    }
    return Facts(**given)  # type: ignore[arg-type]


def test_all_healthy_is_success() -> None:
    decision = decide(facts(alloc("a", True), alloc("b", True)))
    assert decision == Decision(
        status="successful", description="Deployment completed successfully"
    )


def test_an_instance_that_was_healthy_and_is_over_does_not_count() -> None:
    gone = alloc("b", True, desired_status="stop")
    assert decide(facts(alloc("a", True), gone)).status == ""


def test_a_healthy_instance_that_no_evaluation_has_seen_lets_the_rollout_go_on() -> None:
    decision = decide(facts(alloc("a", True)))
    assert decision.evaluate
    assert not decide(facts(alloc("a", True), evaluated_index=10)).evaluate


def test_nothing_is_evaluated_when_all_are_placed() -> None:
    assert not decide(facts(alloc("a", True), alloc("b", None))).evaluate


def test_the_watcher_wakes_at_the_progress_deadline() -> None:
    assert decide(facts(alloc("a", None))).wake_at_ns == NOW + 60 * SECOND


def test_no_progress_until_the_deadline_is_failure() -> None:
    late = deployment(group(require_progress_by=rfc3339(NOW)))
    decision = decide(facts(alloc("a", None), deployment=late))
    assert decision == Decision(status="failed", description="Failed due to progress deadline")


def test_an_unhealthy_instance_may_be_replaced_while_there_is_time() -> None:
    decision = decide(facts(alloc("a", False)))
    assert (decision.status, decision.replace, decision.evaluate) == ("", ("a",), True)
    allowed = alloc("a", False, transition=DesiredTransition(reschedule=True))
    assert decide(facts(allowed)).replace == ()
    replaced = alloc("a", False, next_id="b")
    assert decide(facts(replaced)).replace == ()


def test_without_a_progress_deadline_the_first_unhealthy_instance_is_failure() -> None:
    strict = deployment(group(progress_deadline_ns=0, require_progress_by=rfc3339(0)))
    decision = decide(facts(alloc("a", False), deployment=strict))
    assert decision == Decision(status="failed", description="Failed due to unhealthy allocations")


def test_with_auto_revert_a_failure_goes_back_to_the_stable_version() -> None:
    late = deployment(group(auto_revert=True, require_progress_by=rfc3339(NOW)))
    decision = decide(facts(deployment=late))
    assert decision == Decision(
        status="failed",
        description="Failed due to progress deadline - rolling back to job version 0",
        revert_to=STABLE,
    )


def test_there_may_be_nothing_to_go_back_to() -> None:
    late = deployment(group(auto_revert=True))
    none = failed(facts(deployment=late, stable=None), "Why", ["g"])
    assert none.description == "Why - no stable job version to auto revert to"
    same = failed(facts(deployment=late, stable=replace(JOB, version=0)), "Why", ["g"])
    assert same.description == (
        "Why - not rolling back to stable job version 0 as current job has same specification"
    )
    assert (none.revert_to, same.revert_to) == (None, None)


def test_a_job_that_is_gone_stopped_or_another_cancels() -> None:
    for job in (None, replace(JOB, stop=True), replace(JOB, create_index=9)):
        decision = decide(facts(alloc("a", True), alloc("b", True), job=job))
        assert decision == Decision(
            status="cancelled", description="Cancelled because job is stopped"
        )


def test_a_deployment_that_is_over_or_paused_is_left_alone() -> None:
    late = group(require_progress_by=rfc3339(NOW))
    for status in ("failed", "successful", "cancelled", "paused"):
        found = decide(facts(alloc("a", False), deployment=deployment(late, status=status)))
        assert found == NOTHING


def test_canaries_wait_to_be_promoted_beyond_the_deadline() -> None:
    waits = group(desired_canaries=1, desired_total=1, require_progress_by=rfc3339(NOW))
    canary = alloc("a", True, canary=True)
    assert decide(facts(canary, deployment=deployment(waits))).status == ""
    promotes = replace(waits, auto_promote=True)
    assert decide(facts(canary, deployment=deployment(promotes))).promote
    done = replace(waits, promoted=True)
    assert decide(facts(canary, deployment=deployment(done))).status == "successful"
