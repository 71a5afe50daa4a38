"""New versions of a job: in place or by replacement, at once or as a rollout."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hanse.structs.job import Job, UpdateStrategy
from hanse.structs.task import Constraint
from region.scheduler.changes import needs_replacement
from region.scheduler.schedule import schedule
from tests.unit.scheduler.world import ROLLING, World, make_group, make_job, make_node


def rolling(count: int = 3, *, env: str = "1", max_parallel: int = 1, **given: Any) -> Job:
    update = replace(ROLLING, max_parallel=max_parallel)
    return make_job(make_group(count=count, env={"V": env}, update=update, **given))


def rolled_out(count: int = 3, **given: Any) -> World:
    """A world where version 0 runs and is healthy."""
    world = World(make_node(n) for n in range(1, 6))
    world.submit(rolling(count, **given))
    world.run()
    world.all_healthy()
    world.run()
    return world


def versions(world: World) -> list[int]:
    return [a.job_version for a in world.live()]


def test_the_first_version_begins_a_deployment_for_all_its_instances() -> None:
    world = World(make_node(n) for n in range(1, 6))
    world.submit(rolling(3))
    plan = world.run()
    assert plan.deployment is not None
    assert (plan.deployment.status, plan.deployment.status_description) == (
        "running",
        "Deployment is running",
    )
    assert plan.deployment.task_groups["web"].desired_total == 3
    assert {a.deployment_id for a in world.live()} == {plan.deployment.id}
    assert plan.evaluation.deployment_id == plan.deployment.id


def test_a_deployment_is_successful_once_all_its_instances_are_healthy() -> None:
    world = World(make_node(n) for n in range(1, 6))
    world.submit(rolling(2))
    world.run()
    first, second = world.live()
    world.report(first.id, "running", healthy=True)
    assert world.run().deployment is None
    world.report(second.id, "running", healthy=True)
    plan = world.run()
    assert plan.deployment is not None
    assert plan.deployment.status_description == "Deployment completed successfully"
    assert world.run().deployment is None


def test_a_rollout_replaces_max_parallel_at_a_time_and_waits_for_health() -> None:
    world = rolled_out(5, max_parallel=2)
    world.submit(rolling(5, env="2", max_parallel=2))
    plan = world.run()
    assert plan.desired["web"].destructive_update == 2
    assert plan.desired["web"].ignore == 3
    assert versions(world) == [1, 1, 0, 0, 0]
    assert world.run().placements == ()
    world.report(world.live()[0].id, "running", healthy=True)
    world.run()
    assert versions(world) == [1, 1, 1, 0, 0]
    world.all_healthy()
    world.run()
    assert versions(world) == [1] * 5
    world.all_healthy()
    last = world.run().deployment
    assert last is not None
    assert last.status == "successful"


def test_replaced_instances_keep_their_index_and_know_each_other() -> None:
    world = rolled_out(1)
    (old,) = world.live()
    world.submit(rolling(1, env="2"))
    world.run()
    (new,) = world.live()
    assert (new.index, new.previous_id) == (old.index, old.id)
    stopped = world.allocations[old.id]
    assert (stopped.next_id, stopped.desired_status) == (new.id, "stop")
    assert stopped.desired_description == "alloc is being updated due to job update"


def test_an_unhealthy_instance_halts_the_rollout() -> None:
    world = rolled_out(3)
    world.submit(rolling(3, env="2"))
    world.run()
    world.report(world.live()[0].id, "running", healthy=False)
    assert world.run().placements == ()
    assert versions(world) == [1, 0, 0]


def test_a_paused_deployment_places_nothing_but_what_is_lost() -> None:
    world = rolled_out(3)
    world.submit(rolling(3, env="2"))
    world.run()
    assert world.deployment is not None
    world.deployment = replace(world.deployment, status="paused")
    world.all_healthy()
    assert world.run().placements == ()
    world.lose(world.live()[2].node_id)
    plan = world.run()
    assert [p.index for p in plan.placements] == [2]


def test_a_failed_deployment_updates_no_further_and_ends_with_the_next_version() -> None:
    world = rolled_out(3)
    world.submit(rolling(3, env="2"))
    world.run()
    assert world.deployment is not None
    world.deployment = replace(world.deployment, status="failed")
    world.all_healthy()
    assert world.run().placements == ()
    world.submit(rolling(3, env="3"))
    plan = world.run()
    assert plan.ended_deployments == ()
    assert plan.deployment is not None
    assert (plan.deployment.job_version, len(plan.placements)) == (2, 1)


def test_a_newer_version_cancels_the_rollout_of_the_older() -> None:
    world = rolled_out(3)
    world.submit(rolling(3, env="2"))
    first = world.run().deployment
    world.submit(rolling(3, env="3"))
    plan = world.run()
    assert first is not None
    (ended,) = plan.ended_deployments
    assert (ended.id, ended.status) == (first.id, "cancelled")
    assert ended.status_description == "Cancelled due to newer version of job"
    assert plan.deployment is not None
    assert plan.deployment.id != first.id


def test_the_instance_that_a_cancelled_rollout_took_down_is_replaced_first() -> None:
    world = rolled_out(3)
    for a in world.live():
        world.change(a.id, deployment_id="old")
    world.submit(rolling(3, env="2"))
    world.run()
    world.submit(rolling(3, env="3"))
    world.run()
    assert versions(world) == [2, 0, 0]


def test_stopping_a_job_stops_all_and_cancels_its_deployment() -> None:
    world = World(make_node(n) for n in range(1, 6))
    world.submit(rolling(3))
    world.run()
    assert world.job is not None
    world.submit(replace(world.job, stop=True))
    plan = world.run()
    assert world.live() == []
    (ended,) = plan.ended_deployments
    assert ended.status_description == "Cancelled because job is stopped"
    assert plan.deployment is None
    assert plan.desired["web"].stop == 3
    again = world.run()
    assert (again.changes, again.placements, again.ended_deployments) == ((), (), ())


def test_without_max_parallel_everything_is_replaced_at_once_and_without_a_deployment() -> None:
    world = rolled_out(3, max_parallel=0)
    assert world.deployments == {}
    world.submit(rolling(3, env="2", max_parallel=0))
    plan = world.run()
    assert versions(world) == [1, 1, 1]
    assert plan.deployment is None


def test_a_changed_count_updates_the_others_in_place() -> None:
    world = rolled_out(3)
    before = {a.id for a in world.live()}
    world.submit(rolling(5))
    plan = world.run()
    assert plan.desired["web"].in_place_update == 3
    assert plan.desired["web"].place == 2
    assert before < {a.id for a in world.live()}
    assert versions(world) == [1] * 5
    assert plan.deployment is not None
    assert plan.deployment.task_groups["web"].desired_total == 5
    assert {a.deployment_id for a in world.live()} == {plan.deployment.id}


def test_a_smaller_count_stops_the_highest_indexes() -> None:
    world = rolled_out(5)
    world.submit(rolling(2))
    plan = world.run()
    assert world.indexes() == [0, 1]
    assert plan.desired["web"].stop == 3
    assert {c.desired_description for c in plan.changes if c.desired_status} == {
        "alloc not needed due to job update"
    }


def test_a_group_that_the_job_no_longer_has_is_stopped() -> None:
    world = World([make_node(1)])
    world.submit(make_job(make_group("web"), make_group("db")))
    world.run()
    world.submit(make_job(make_group("web")))
    world.run()
    assert [a.group for a in world.live()] == ["web"]


def test_an_in_place_update_that_its_node_does_not_allow_becomes_a_replacement() -> None:
    rule = Constraint(l_target="${meta.rack}", r_target="b", operand="=")
    world = World([make_node(1, meta={"rack": "b"}), make_node(2, meta={"rack": "a"})])
    world.submit(rolling(2))
    world.run()
    world.all_healthy()
    world.run()
    world.submit(rolling(2, constraints=(rule,)))
    plan = world.run()
    assert plan.desired["web"].in_place_update == 1
    assert plan.desired["web"].destructive_update == 1
    assert {a.node_id for a in world.live()} == {make_node(1).id}


def test_a_replacement_without_room_leaves_the_old_instance_running() -> None:
    world = World([make_node(1, cpu=1000)])
    world.submit(make_job(make_group(count=2, cpu=500, update=UpdateStrategy(max_parallel=0))))
    world.run()
    world.submit(make_job(make_group(count=2, cpu=700, update=UpdateStrategy(max_parallel=0))))
    plan = world.run()
    assert plan.evaluation.failed_tg_allocs["web"].dimension_exhausted == {"cpu": 1}
    assert plan.evaluation.queued_allocations == {"web": 2}
    assert world.indexes() == [0, 1]
    assert versions(world) == [0, 0]


def test_an_update_may_use_the_room_of_what_it_replaces() -> None:
    world = World([make_node(1, cpu=1000)])
    world.submit(make_job(make_group(count=1, cpu=900, static={"http": 80})))
    world.run()
    world.submit(make_job(make_group(count=1, cpu=1000, static={"http": 80})))
    plan = world.run()
    assert versions(world) == [1]
    assert [port.value for port in plan.placements[0].ports] == [80]


def test_a_dry_run_counts_what_would_be_done() -> None:
    world = rolled_out(3)
    draft = replace(rolling(4, env="2"), version=1)
    plan = schedule(world.snapshot(job=draft, annotate=True))
    annotations = plan.evaluation.plan_annotations
    assert annotations is not None
    updates = annotations.desired_tg_updates["web"]
    assert (updates.place, updates.destructive_update, updates.ignore) == (1, 0, 3)


def test_a_change_that_touches_nothing_running_needs_no_replacement() -> None:
    old = rolling()
    same = replace(old, priority=80, constraints=(Constraint(l_target="a", operand="is_set"),))
    assert not needs_replacement(old, same, "web")


@pytest.mark.parametrize(
    "new",
    [
        make_job(make_group(cpu=501)),
        make_job(make_group(memory=300)),
        make_job(make_group(env={"A": "B"})),
        make_job(make_group(driver="docker")),
        make_job(make_group(static={"http": 80})),
        make_job(make_group(dynamic=("http",))),
        make_job(make_group(meta={"a": "b"})),
        make_job(make_group(), meta={"a": "b"}),
        make_job(make_group(ephemeral_disk=None)),
        make_job(make_group(tasks=())),
    ],
)
def test_what_a_running_task_cannot_change_needs_a_replacement(new: Job) -> None:
    assert needs_replacement(make_job(make_group()), new, "web")
    assert not needs_replacement(new, new, "web")


def test_a_version_that_nobody_knows_any_more_needs_a_replacement() -> None:
    assert needs_replacement(None, make_job(make_group()), "web")


def test_what_a_replacement_leaves_behind_is_used_by_the_same_plan() -> None:
    world = World([make_node(1)])
    world.submit(make_job(make_group("b", static={"http": 80})))
    world.run()
    world.submit(make_job(make_group("a", static={"http": 80}), make_group("b")))
    plan = world.run()
    assert {p.group for p in plan.placements} == {"a", "b"}
    assert plan.evaluation.failed_tg_allocs == {}
