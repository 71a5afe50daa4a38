"""What users ask of a region, and the sentences they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from msgspec.structs import replace

from hanse.errors import Denied, HanseError, Invalid, NotFound
from hanse.structs.allocation import AllocStatus
from hanse.structs.api import (
    JobDeregisterResponse,
    JobPlanResponse,
    JobRegisterResponse,
    JobScaleRequest,
    JobSubmission,
    SchedulerConfiguration,
)
from hanse.structs.deployment import Deployment, DeploymentUpdateResponse
from hanse.structs.job import Job, JobVersionTag, UpdateStrategy
from hanse.structs.node import DrainSpec
from hanse.structs.task import ScalingPolicy
from hanse.testing.nodes import ended
from region.server import Region
from tests.sim.cluster import SimCluster, make_job

SECOND = 10**9
ROLLING = UpdateStrategy(
    max_parallel=1,
    health_check="checks",
    min_healthy_time_ns=SECOND,
    healthy_deadline_ns=30 * SECOND,
    progress_deadline_ns=60 * SECOND,
    auto_revert=True,
)
T = TypeVar("T")


@pytest.fixture
async def cluster() -> AsyncIterator[SimCluster]:
    async with SimCluster(1, nodes=3, servers=1) as running:
        yield running


async def ask(cluster: SimCluster, command: object, kind: type[T]) -> T:
    """Carry out a command that must succeed, and let what follows happen."""
    answer = await cluster.attempt(command)
    if isinstance(answer, HanseError):
        raise answer
    assert isinstance(answer, kind)
    await cluster.clock.run_for(1)
    return answer


async def refused(cluster: SimCluster, command: object, kind: type[HanseError]) -> str:
    """Carry out a command that must fail; what it says."""
    revision = await cluster.store.revision()
    answer = await cluster.attempt(command)
    assert isinstance(answer, kind), answer
    assert await cluster.store.revision() == revision
    return str(answer)


def region(cluster: SimCluster) -> Region:
    return cluster.region


def job(cluster: SimCluster, job_id: str = "web") -> Job:
    found = region(cluster).state.job("default", job_id)
    assert found is not None
    return found


async def register(cluster: SimCluster, given: Job, **options: object) -> JobRegisterResponse:
    command = region(cluster).register_job(given, **options)  # type: ignore[arg-type]
    return await ask(cluster, command, JobRegisterResponse)


async def test_registering_answers_with_the_indexes_that_reads_show(cluster: SimCluster) -> None:
    answer = await register(cluster, make_job("web"))
    stored = job(cluster)
    assert (stored.version, stored.create_index) == (0, answer.job_modify_index)
    assert stored.job_modify_index == answer.job_modify_index == answer.eval_create_index
    evaluation = region(cluster).state.evaluation(answer.eval_id)
    assert evaluation is not None
    assert (evaluation.triggered_by, evaluation.status) == ("job-register", "complete")
    assert evaluation.create_index == answer.eval_create_index


async def test_the_same_spec_again_is_no_new_version_but_is_evaluated(cluster: SimCluster) -> None:
    first = await register(cluster, make_job("web"))
    again = await register(cluster, make_job("web"))
    assert again.job_modify_index == first.job_modify_index
    assert again.eval_id != first.eval_id
    assert again.eval_create_index > first.eval_create_index
    assert job(cluster).version == 0


async def test_enforce_index_says_what_is_wrong_as_nomad_does(cluster: SimCluster) -> None:
    def enforced(index: int) -> object:
        return region(cluster).register_job(
            make_job("web", count=1), enforce_index=True, job_modify_index=index
        )

    assert await refused(cluster, enforced(7), Invalid) == (
        "Enforcing job modify index 7: job does not exist"
    )
    answer = await ask(cluster, enforced(0), JobRegisterResponse)
    index = answer.job_modify_index
    assert await refused(cluster, enforced(0), Invalid) == (
        "Enforcing job modify index 0: job already exists"
    )
    assert await refused(cluster, enforced(index + 1), Invalid) == (
        f"Enforcing job modify index {index + 1}: job exists with conflicting job modify index: "
        f"{index}"
    )
    await ask(cluster, enforced(index), JobRegisterResponse)


async def test_two_registrations_at_once_are_two_versions(cluster: SimCluster) -> None:
    tasks = [
        cluster._group.create_task(region(cluster).register_job(make_job("web", count=n)))
        for n in range(1, 5)
    ]
    await cluster.clock.run_for(3)
    indexes = {task.result().job_modify_index for task in tasks}
    assert len(indexes) == 4
    assert job(cluster).version == 3


async def test_a_registration_is_tried_again_while_the_store_is_away(cluster: SimCluster) -> None:
    for applied in (True, False, True):
        cluster.store.fail_next_commit(applied=applied)
    answer = await register(cluster, make_job("web"))
    assert job(cluster).version == 0
    evaluation = region(cluster).state.evaluation(answer.eval_id)
    assert evaluation is not None
    assert evaluation.create_index == answer.eval_create_index == answer.job_modify_index


async def test_six_versions_are_kept_and_those_that_somebody_needs(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=0))
    await ask(cluster, region(cluster).set_job_stable("default", "web", 0, True), int)
    await register(cluster, make_job("web", count=0, cpu=101))
    tagged = region(cluster).tag_version("default", "web", None, "good", "the one")
    tag = await ask(cluster, tagged, JobVersionTag)
    for cpu in range(102, 112):
        await register(cluster, make_job("web", count=0, cpu=cpu))
    versions = region(cluster).state.job_versions("default", "web")
    assert [v.version for v in versions] == [11, 10, 9, 8, 7, 6, 1, 0]
    assert versions[-1].stable
    assert versions[-2].version_tag == tag


async def test_counts_and_resources_can_be_kept(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=1, cpu=100))
    await register(
        cluster,
        replace(make_job("web", count=2, cpu=200), meta={"a": "b"}),
        preserve_counts=True,
        preserve_resources=True,
    )
    (group,) = job(cluster).task_groups
    assert (group.count, job(cluster).version) == (1, 1)
    assert group.tasks[0].resources is not None
    assert group.tasks[0].resources.cpu == 100


async def test_a_type_cannot_be_changed_while_the_job_runs(cluster: SimCluster) -> None:
    await register(cluster, make_job("web"))
    command = region(cluster).register_job(make_job("web", kind="batch"))
    assert "cannot be changed" in await refused(cluster, command, Invalid)


async def test_sources_are_kept_unless_they_are_too_large(cluster: SimCluster) -> None:
    small = JobSubmission(source="job {}", format="hcl2")
    await register(cluster, make_job("web"), submission=small)
    kept = region(cluster).state.submission("default", "web", 0)
    assert kept is not None
    assert (kept.source, kept.version, kept.job_id) == ("job {}", 0, "web")
    large = JobSubmission(source="x" * 1_000_001, format="hcl2")
    answer = await register(cluster, make_job("web", count=1), submission=large)
    assert "is not kept" in answer.warnings
    assert region(cluster).state.submission("default", "web", 1) is None


async def test_registration_can_be_switched_off(cluster: SimCluster) -> None:
    off = SchedulerConfiguration(reject_job_registration=True)
    await ask(cluster, region(cluster).set_scheduler_config(off, None), tuple)
    said = await refused(cluster, region(cluster).register_job(make_job("web")), Denied)
    assert said.startswith("Job registration, dispatch, and scale are disabled")


async def test_settings_are_compared_and_swapped(cluster: SimCluster) -> None:
    spread = SchedulerConfiguration(scheduler_algorithm="spread")
    done = await ask(cluster, region(cluster).set_scheduler_config(spread, 0), tuple)
    assert done[0] is True
    again = await ask(cluster, region(cluster).set_scheduler_config(spread, 0), tuple)
    assert again[0] is False
    assert region(cluster).state.scheduler_config.scheduler_algorithm == "spread"
    odd = SchedulerConfiguration(scheduler_algorithm="odd")
    await refused(cluster, region(cluster).set_scheduler_config(odd, None), Invalid)


async def test_stopping_is_a_version_and_purging_leaves_nothing(cluster: SimCluster) -> None:
    await register(cluster, make_job("web"))
    stopped = region(cluster).deregister_job("default", "web", purge=False)
    answer = await ask(cluster, stopped, JobDeregisterResponse)
    assert (job(cluster).stop, job(cluster).version) == (True, 1)
    assert job(cluster).job_modify_index == answer.job_modify_index
    assert region(cluster).state.job_status(job(cluster)) == "dead"
    purged = region(cluster).deregister_job("default", "web", purge=True)
    await ask(cluster, purged, JobDeregisterResponse)
    state = region(cluster).state
    assert state.job("default", "web") is None
    assert state.job_versions("default", "web") == []
    missing = region(cluster).deregister_job("default", "web", purge=False)
    assert await refused(cluster, missing, NotFound) == "job not found"


async def test_a_purged_job_stops_running(cluster: SimCluster) -> None:
    await register(cluster, make_job("web"))
    await ask(
        cluster, region(cluster).deregister_job("default", "web", purge=True), JobDeregisterResponse
    )
    await cluster.clock.run_for(3)
    allocs = region(cluster).state.allocations_of_job("default", "web")
    assert [(a.desired_status, a.client_status) for a in allocs] == [("stop", "complete")] * 2


async def test_shutdown_delays_can_be_skipped(cluster: SimCluster) -> None:
    await register(cluster, make_job("web"))
    command = region(cluster).deregister_job("default", "web", purge=False, no_shutdown_delay=True)
    await ask(cluster, command, JobDeregisterResponse)
    allocs = region(cluster).state.allocations_of_job("default", "web")
    assert [a.transition.no_shutdown_delay for a in allocs] == [True, True]


async def test_reverting_registers_an_older_version_anew(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", cpu=100))
    await register(cluster, make_job("web", cpu=200))
    await ask(cluster, region(cluster).revert_job("default", "web", 0), JobRegisterResponse)
    (group,) = job(cluster).task_groups
    assert group.tasks[0].resources is not None
    assert (job(cluster).version, group.tasks[0].resources.cpu) == (2, 100)


async def test_what_cannot_be_reverted_to_is_said(cluster: SimCluster) -> None:
    await register(cluster, make_job("web"))

    def revert(version: int, prior: int | None = None) -> object:
        return region(cluster).revert_job("default", "web", version, enforce_prior=prior)

    assert await refused(cluster, revert(0), Invalid) == "can't revert to current version"
    assert await refused(cluster, revert(5), NotFound) == (
        'job "web" in namespace "default" at version 5 not found'
    )
    assert await refused(cluster, revert(0, prior=3), Invalid) == (
        "Current job has version 0; enforcing version 3"
    )


async def test_scaling_changes_the_count_and_is_remembered(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=1))
    request = JobScaleRequest(target={"Group": "g"}, count=3, message="more")
    answer = await ask(
        cluster, region(cluster).scale_job("default", "web", request), JobRegisterResponse
    )
    assert (job(cluster).task_groups[0].count, job(cluster).version) == (3, 1)
    (event,) = region(cluster).state.scaling_events("default", "web")["g"]
    assert (event.count, event.previous_count, event.message) == (3, 1, "more")
    assert event.eval_id == answer.eval_id
    note = JobScaleRequest(target={"Group": "g"}, message="only a note", error=True)
    await ask(cluster, region(cluster).scale_job("default", "web", note), JobRegisterResponse)
    events = region(cluster).state.scaling_events("default", "web")["g"]
    assert [e.message for e in events] == ["only a note", "more"]
    assert job(cluster).version == 1


async def test_scaling_keeps_within_its_limits(cluster: SimCluster) -> None:
    given = make_job("web", count=2)
    policy = ScalingPolicy(min=1, max=3, enabled=True)
    await register(
        cluster, replace(given, task_groups=(replace(given.task_groups[0], scaling=policy),))
    )

    def scale(**fields: object) -> object:
        request = JobScaleRequest(**{"target": {"Group": "g"}, **fields})  # type: ignore[arg-type]
        return region(cluster).scale_job("default", "web", request)

    assert await refused(cluster, scale(count=0), Invalid) == (
        "group count was less than scaling policy minimum: 0 < 1"
    )
    assert await refused(cluster, scale(count=4), Invalid) == (
        "group count was greater than scaling policy maximum: 4 > 3"
    )
    assert await refused(cluster, scale(count=-1), Invalid) == (
        "scaling action count can't be negative"
    )
    await refused(cluster, scale(count=2, error=True), Invalid)
    await refused(cluster, scale(count=2, target={"Group": "no"}), Invalid)
    await refused(cluster, scale(count=2, enforce_index=True, job_modify_index=1), Invalid)
    missing = region(cluster).scale_job("default", "no", JobScaleRequest(target={"Group": "g"}))
    assert await refused(cluster, missing, NotFound) == 'job "no" not found'


async def test_scaling_waits_for_a_deployment(cluster: SimCluster) -> None:
    for node in cluster.nodes:
        node.ill_rate = 1.0
    await register(cluster, make_job("web", update=ROLLING))
    request = JobScaleRequest(target={"Group": "g"}, count=1)
    command = region(cluster).scale_job("default", "web", request)
    assert await refused(cluster, command, Invalid) == (
        "job scaling blocked due to active deployment"
    )


async def test_tags_name_one_version_each(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=1))
    await register(cluster, make_job("web", count=2))
    this = region(cluster)
    await ask(cluster, this.tag_version("default", "web", 0, "old", ""), JobVersionTag)
    said = await refused(cluster, this.tag_version("default", "web", 1, "old", ""), Invalid)
    assert said == 'tag "old" already exists on a different version of job "web"'
    await ask(cluster, this.untag_version("default", "web", "old"), int)
    said = await refused(cluster, this.untag_version("default", "web", "old"), NotFound)
    assert said == 'tag "old" not found on job "web"'


async def test_planning_says_what_would_happen_and_changes_nothing(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=2))
    revision = await cluster.store.revision()
    plan = await ask(
        cluster, region(cluster).plan_job(make_job("web", count=4), diff=True), JobPlanResponse
    )
    assert plan.job_modify_index == job(cluster).job_modify_index
    assert plan.annotations is not None
    updates = plan.annotations.desired_tg_updates["g"]
    assert (updates.place, updates.ignore + updates.in_place_update) == (2, 2)
    assert plan.diff is not None
    assert plan.diff.type == "Edited"
    big = await ask(
        cluster, region(cluster).plan_job(make_job("web", cpu=999_999), diff=False), JobPlanResponse
    )
    assert list(big.failed_tg_allocs) == ["g"]
    assert await cluster.store.revision() == revision


async def test_a_stopped_allocation_is_replaced(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=1))
    (old,) = region(cluster).state.allocations_of_job("default", "web")
    await ask(cluster, region(cluster).stop_allocation(old.id), tuple)
    await cluster.clock.run_for(1)
    by_status = {
        a.desired_status: a for a in region(cluster).state.allocations_of_job("default", "web")
    }
    assert by_status["stop"].id == old.id
    assert by_status["run"].previous_id == old.id
    said = await refused(cluster, region(cluster).stop_allocation("no"), NotFound)
    assert said == "allocation not found"


async def test_a_failed_allocation_is_placed_anew_after_its_delay(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=1))
    (old,) = region(cluster).state.allocations_of_job("default", "web")
    node = next(n for n in cluster.nodes if n.node.id == old.node_id)
    node._report(ended(old.id, "failed", cluster.clock.wall_ns()))
    await cluster.clock.run_for(2)
    assert len(region(cluster).state.allocations_of_job("default", "web")) == 1
    await cluster.clock.run_for(6)
    new = [a for a in region(cluster).state.allocations_of_job("default", "web") if a.id != old.id]
    assert [(a.previous_id, a.client_status) for a in new] == [(old.id, "running")]


async def test_evaluating_can_force_failed_allocations_to_be_placed_now(
    cluster: SimCluster,
) -> None:
    await register(cluster, make_job("web", count=1))
    (old,) = region(cluster).state.allocations_of_job("default", "web")
    node = next(n for n in cluster.nodes if n.node.id == old.node_id)
    node._report(ended(old.id, "failed", cluster.clock.wall_ns()))
    await cluster.clock.run_for(1)
    command = region(cluster).evaluate_job("default", "web", force_reschedule=True)
    await ask(cluster, command, JobRegisterResponse)
    assert len(region(cluster).state.allocations_of_job("default", "web")) == 2


def deployments(cluster: SimCluster) -> list[Deployment]:
    return region(cluster).state.deployments_of_job("default", "web")


async def test_a_rollout_succeeds_and_marks_the_version_stable(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=3, update=ROLLING))
    await cluster.clock.run_for(5)
    (deployment,) = deployments(cluster)
    assert (deployment.status, deployment.status_description) == (
        "successful",
        "Deployment completed successfully",
    )
    assert job(cluster).stable


async def test_a_rollout_goes_one_by_one(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=3, update=ROLLING))
    await cluster.clock.run_for(5)
    for node in cluster.nodes:
        node.ill_rate = 1.0
    await register(cluster, make_job("web", count=3, cpu=210, update=ROLLING))
    await cluster.clock.run_for(5)
    newest = deployments(cluster)[0]
    assert newest.status == "running"
    old = [a for a in region(cluster).state.allocations() if a.job_version == 0 and not a.terminal]
    assert len(old) == 2


async def test_a_rollout_without_progress_fails_and_goes_back(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=2, cpu=200, update=ROLLING))
    await cluster.clock.run_for(5)
    for node in cluster.nodes:
        node.ill_rate = 1.0
    await register(cluster, make_job("web", count=2, cpu=210, update=ROLLING))
    await cluster.clock.run_for(55)
    for node in cluster.nodes:
        node.ill_rate = 0.0
    await cluster.clock.run_for(60)
    texts = {d.job_version: d.status_description for d in deployments(cluster)}
    assert texts[1] == "Failed due to progress deadline - rolling back to job version 0"
    assert job(cluster).version == 2
    (group,) = job(cluster).task_groups
    assert group.tasks[0].resources is not None
    assert group.tasks[0].resources.cpu == 200
    live = [a for a in region(cluster).state.allocations() if not a.terminal]
    assert [a.job_version for a in live] == [2, 2]


async def test_a_deployment_can_be_failed_paused_and_resumed_by_hand(cluster: SimCluster) -> None:
    for node in cluster.nodes:
        node.ill_rate = 1.0
    await register(cluster, make_job("web", update=ROLLING))
    (deployment,) = deployments(cluster)
    this, d_id = region(cluster), deployment.id
    await ask(cluster, this.pause_deployment(d_id, True), DeploymentUpdateResponse)
    assert deployments(cluster)[0].status_description == "Deployment is paused"
    await ask(cluster, this.pause_deployment(d_id, False), DeploymentUpdateResponse)
    assert deployments(cluster)[0].status_description == "Deployment is running"
    said = await refused(cluster, this.promote_deployment(d_id, None), Invalid)
    assert said == "no canaries to promote"
    answer = await ask(cluster, this.fail_deployment(d_id), DeploymentUpdateResponse)
    assert answer.reverted_job_version is None
    assert deployments(cluster)[0].status_description == (
        "Deployment marked as failed - no stable job version to auto revert to"
    )
    assert await refused(cluster, this.fail_deployment(d_id), Invalid) == (
        "can't fail terminal deployment"
    )
    assert await refused(cluster, this.pause_deployment(d_id, True), Invalid) == (
        "can't pause terminal deployment"
    )
    assert await refused(cluster, this.fail_deployment("no"), NotFound) == "deployment not found"


async def test_health_can_be_set_by_hand(cluster: SimCluster) -> None:
    for node in cluster.nodes:
        node.ill_rate = 1.0
    await register(cluster, make_job("web", count=1, update=ROLLING))
    (deployment,) = deployments(cluster)
    allocs = region(cluster).state.allocations_of_deployment(deployment.id)
    command = region(cluster).set_allocation_health(deployment.id, [a.id for a in allocs], [])
    await ask(cluster, command, DeploymentUpdateResponse)
    assert deployments(cluster)[0].status == "successful"


async def test_a_drained_node_is_left_one_by_one_and_then_done(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=6, cpu=100))
    node_id = region(cluster).state.allocations_of_job("default", "web")[0].node_id
    await cluster.clock.run_for(15)
    before = len(region(cluster).state.allocations_of_node(node_id))
    assert before > 1
    spec = DrainSpec(deadline_ns=3600 * SECOND)
    await ask(cluster, region(cluster).drain_node(node_id, spec, False, {"why": "disk"}), tuple)
    node = region(cluster).state.node(node_id)
    assert node is not None
    assert node.drain_strategy is not None
    assert node.scheduling_eligibility == "ineligible"
    live = [a for a in region(cluster).state.allocations_of_node(node_id) if not a.terminal]
    assert len(live) == before - 1
    await cluster.clock.run_for(120)
    node = region(cluster).state.node(node_id)
    assert node is not None
    assert (node.drain_strategy, node.scheduling_eligibility) == (None, "ineligible")
    assert node.last_drain is not None
    assert (node.last_drain.status, node.last_drain.meta) == ("complete", {"why": "disk"})
    assert [e.message for e in node.events][-2:] == [
        "Node drain strategy set",
        "Node drain complete",
    ]
    running = [
        a for a in region(cluster).state.allocations_of_job("default", "web") if not a.terminal
    ]
    assert len(running) == 6
    assert all(a.node_id != node_id for a in running)


async def test_a_draining_node_cannot_be_made_eligible_until_the_drain_is_called_off(
    cluster: SimCluster,
) -> None:
    cluster.nodes[0].complete_batch = False
    await register(cluster, make_job("long", count=3, cpu=600, kind="batch"))
    for node in cluster.nodes:
        node.complete_batch = False
    found = [a for a in region(cluster).state.allocations() if not a.terminal]
    node_id = found[0].node_id
    this = region(cluster)
    await ask(cluster, this.drain_node(node_id, DrainSpec(), False, {}), tuple)
    said = await refused(cluster, this.set_eligibility(node_id, True), Invalid)
    assert "while it is draining" in said
    await ask(cluster, this.drain_node(node_id, None, True, {}), tuple)
    found_node = this.state.node(node_id)
    assert found_node is not None
    assert found_node.drain_strategy is None
    assert found_node.scheduling_eligibility == "eligible"
    assert found_node.last_drain is not None
    assert found_node.last_drain.status == "canceled"


async def test_what_runs_on_a_node_that_dies_is_lost_and_replaced_within_the_ttl(
    cluster: SimCluster,
) -> None:
    await register(cluster, make_job("web", count=1))
    (old,) = region(cluster).state.allocations_of_job("default", "web")
    node = next(n for n in cluster.nodes if n.node.id == old.node_id)
    node.up = False
    await cluster.clock.run_for(13)
    found = {a.id: a for a in region(cluster).state.allocations_of_job("default", "web")}
    assert found[old.id].client_status == "lost"
    assert [a.client_status for a in found.values() if a.id != old.id] == ["running"]
    dead = region(cluster).state.node(old.node_id)
    assert dead is not None
    assert dead.status == "down"
    node.up = True
    await cluster.clock.run_for(5)
    back = region(cluster).state.node(old.node_id)
    assert back is not None
    assert (back.status, back.events[-1].message) == ("ready", "Node re-registered")


async def test_a_purged_node_is_gone_and_what_it_ran_is_replaced(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=1))
    (old,) = region(cluster).state.allocations_of_job("default", "web")
    node = next(n for n in cluster.nodes if n.node.id == old.node_id)
    node.up = False
    answer = await ask(cluster, region(cluster).purge_node(old.node_id), tuple)
    await cluster.clock.run_for(2)
    assert len(answer[0]) == 1
    assert region(cluster).state.node(old.node_id) is None
    live = [a for a in region(cluster).state.allocations_of_job("default", "web") if not a.terminal]
    assert [a.node_id != old.node_id for a in live] == [True]
    said = await refused(cluster, region(cluster).purge_node(old.node_id), NotFound)
    assert said == "node not found"


async def test_a_follower_is_as_fresh_as_the_store_when_asked_to_be() -> None:
    async with SimCluster(3, nodes=1) as cluster:
        one, two = cluster.regions
        registered = await cluster.attempt(one.register_job(make_job("web")))
        assert isinstance(registered, JobRegisterResponse)
        await cluster.attempt(two.barrier(cluster.clock.now() + 5))
        assert two.state.job("default", "web") is not None


async def test_garbage_that_is_dead_goes_and_nothing_else(cluster: SimCluster) -> None:
    await register(cluster, make_job("gone"))
    await register(cluster, make_job("stays"))
    await ask(
        cluster,
        region(cluster).deregister_job("default", "gone", purge=False),
        JobDeregisterResponse,
    )
    await cluster.clock.run_for(3)
    await cluster.attempt(region(cluster).collect_garbage())
    await cluster.clock.run_for(1)
    state = region(cluster).state
    assert [j.id for j in state.jobs()] == ["stays"]
    assert {a.job_id for a in state.allocations()} == {"stays"}
    assert {e.job_id for e in state.evaluations()} == {"stays"}


async def test_a_batch_job_that_has_run_does_not_run_again_after_garbage_collection(
    cluster: SimCluster,
) -> None:
    await register(cluster, make_job("once", kind="batch", count=2))
    await cluster.clock.run_for(20)
    assert region(cluster).state.job_status(job(cluster, "once")) == "dead"
    await cluster.clock.run_for(400)
    assert len(region(cluster).state.allocations_of_job("default", "once")) == 2
    await cluster.clock.run_for(600)
    assert region(cluster).state.job("default", "once") is None
    assert list(region(cluster).state.allocations()) == []


async def test_reports_of_a_node_are_merged_without_a_trace(cluster: SimCluster) -> None:
    await register(cluster, make_job("web", count=3, cpu=100))
    state = region(cluster).state
    for number in range(60):
        for alloc in state.allocations_of_job("default", "web"):
            node = next(n for n in cluster.nodes if n.node.id == alloc.node_id)
            node._report(
                AllocStatus(
                    alloc_id=alloc.id, client_status="running", client_description=str(number)
                )
            )
        await cluster.clock.run_for(0.1)
    before = {a.id: a for a in state.allocations()}
    segments = [len(entry.segments) for entry in state.tables.nodes.values()]
    assert max(segments) > 16
    await cluster.attempt(region(cluster).collect_garbage())
    await cluster.clock.run_for(1)
    assert max(len(entry.segments) for entry in state.tables.nodes.values()) == 1
    assert {a.id: a for a in state.allocations()} == before
