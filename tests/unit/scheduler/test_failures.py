"""What happens to instances that fail, finish, move or are lost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hanse.structs.job import Job, ReschedulePolicy
from hanse.structs.task import Constraint
from hanse.structs.taskstate import DesiredTransition, RescheduleEvent, RescheduleTracker
from hanse.structs.times import rfc3339
from region.scheduler import reschedule
from tests.unit.scheduler.world import (
    FOREVER,
    ROLLING,
    SECOND_NS,
    World,
    make_group,
    make_job,
    make_node,
)

ONCE = ReschedulePolicy(
    attempts=1,
    interval_ns=24 * 3600 * SECOND_NS,
    delay_ns=5 * SECOND_NS,
    delay_function="constant",
)


def world_with(job: Job, nodes: int = 3) -> World:
    world = World(make_node(n) for n in range(1, nodes + 1))
    world.submit(job)
    world.run()
    for a in world.live():
        world.report(a.id, "running")
    return world


def test_a_failed_instance_is_placed_anew_after_its_delay_on_another_node() -> None:
    world = world_with(make_job(make_group(count=2, reschedule_policy=FOREVER)))
    failed = world.live()[0]
    world.report(failed.id, "failed")
    plan = world.run()
    assert plan.placements == ()
    assert plan.desired["web"].reschedule_later == 1
    (later,) = plan.evaluations
    assert (later.status, later.triggered_by) == ("pending", "alloc-failure")
    assert later.wait_until == rfc3339(world.now_ns + 30 * SECOND_NS)
    assert world.allocations[failed.id].followup_eval_id == later.id
    assert world.run().evaluations == ()

    world.now_ns += 30 * SECOND_NS
    plan = world.run(eval_id=later.id, triggered_by="alloc-failure")
    (placement,) = plan.placements
    assert (placement.index, placement.previous_id) == (failed.index, failed.id)
    assert placement.node_id != failed.node_id
    assert plan.desired["web"].reschedule_now == 1
    assert placement.reschedule is not None
    (event,) = placement.reschedule.events
    assert (event.prev_alloc_id, event.prev_node_id) == (failed.id, failed.node_id)
    assert (event.delay_ns, event.reschedule_time) == (30 * SECOND_NS, world.now_ns)
    old = world.allocations[failed.id]
    assert old.desired_description == "alloc was rescheduled because it failed"
    assert (old.desired_status, old.next_id) == ("stop", placement.id)
    assert world.run().placements == ()


def test_failures_close_in_time_share_an_evaluation() -> None:
    world = world_with(make_job(make_group(count=3, reschedule_policy=FOREVER)))
    for number, a in enumerate(world.live()):
        world.now_ns += number * 3 * SECOND_NS
        world.report(a.id, "failed")
    plan = world.run()
    assert [e.wait_until for e in plan.evaluations] == [
        rfc3339(world.now_ns + (30 - 9) * SECOND_NS),
        rfc3339(world.now_ns + 30 * SECOND_NS),
    ]


def test_an_instance_without_attempts_left_stays_failed_and_holds_its_index() -> None:
    world = world_with(make_job(make_group(reschedule_policy=ONCE)))
    world.report(world.live()[0].id, "failed")
    world.now_ns += 5 * SECOND_NS
    assert len(world.run().placements) == 1
    world.report(world.live()[0].id, "failed")
    world.now_ns += 60 * SECOND_NS
    plan = world.run()
    assert (plan.placements, plan.evaluations, plan.changes) == ((), (), ())


def test_an_operator_may_force_another_attempt() -> None:
    world = world_with(make_job(make_group()))
    (failed,) = world.live()
    world.report(failed.id, "failed")
    assert world.run().placements == ()
    world.change(failed.id, transition=DesiredTransition(force_reschedule=True))
    assert len(world.run().placements) == 1
    assert world.run().placements == ()


def test_a_rescheduled_instance_that_finds_no_room_stays_as_it_is() -> None:
    world = world_with(make_job(make_group(reschedule_policy=ONCE)), nodes=1)
    (failed,) = world.live()
    world.report(failed.id, "failed")
    world.now_ns += 5 * SECOND_NS
    world.fleet.set_node(make_node(1, status="down"))
    plan = world.run()
    assert plan.evaluation.queued_allocations == {"web": 1}
    assert world.allocations[failed.id].desired_status == "run"
    world.fleet.set_node(make_node(1))
    assert len(world.run().placements) == 1


def test_during_a_rollout_the_deployment_decides_whether_to_try_again() -> None:
    world = world_with(make_job(make_group(reschedule_policy=FOREVER, update=ROLLING)))
    (failed,) = world.live()
    world.report(failed.id, "failed", healthy=False)
    world.now_ns += 60 * SECOND_NS
    plan = world.run()
    assert (plan.placements, plan.evaluations) == ((), ())
    world.change(failed.id, transition=DesiredTransition(reschedule=True))
    (placement,) = world.run().placements
    assert placement.deployment_id == failed.deployment_id != ""


def test_instances_on_a_dead_node_are_lost_and_replaced() -> None:
    world = world_with(make_job(make_group(count=3)))
    gone = world.live()[1]
    world.lose(gone.node_id)
    plan = world.run()
    (placement,) = plan.placements
    assert (placement.index, placement.previous_id) == (gone.index, gone.id)
    old = world.allocations[gone.id]
    assert (old.client_status, old.desired_status) == ("lost", "stop")
    assert old.desired_description == "alloc is lost since its node is down"
    assert world.indexes() == [0, 1, 2]
    assert world.run().changes == ()


def test_a_stopping_instance_on_a_dead_node_is_lost_without_a_replacement() -> None:
    world = world_with(make_job(make_group(count=1)))
    (old,) = world.live()
    world.submit(make_job(make_group(count=0)))
    world.run()
    world.lose(old.node_id)
    plan = world.run()
    assert plan.placements == ()
    assert world.allocations[old.id].client_status == "lost"
    assert world.run().changes == ()


def test_a_node_that_is_gone_and_a_report_of_loss_count_as_well() -> None:
    world = world_with(make_job(make_group(count=2)))
    first, second = world.live()
    world.lose(first.node_id, "gone")
    world.fleet.remove_node(first.node_id)
    world.report(second.id, "lost")
    assert [p.index for p in world.run().placements] == [0, 1]
    assert world.run().placements == ()


def test_a_draining_node_loses_only_those_that_are_told_to_go() -> None:
    world = world_with(make_job(make_group(count=2)))
    first, _ = world.live()
    world.tainted = {a.node_id: "drain" for a in world.live()}
    for a in world.live():
        world.fleet.set_node(replace(world.nodes[a.node_id], scheduling_eligibility="ineligible"))
    assert world.run().changes == ()
    world.change(first.id, transition=DesiredTransition(migrate=True))
    plan = world.run()
    (placement,) = plan.placements
    assert (placement.previous_id, placement.index) == (first.id, first.index)
    assert placement.node_id not in world.tainted
    assert plan.desired["web"].migrate == 1
    moved = world.allocations[first.id]
    assert (moved.desired_status, moved.next_id) == ("stop", placement.id)
    assert moved.desired_description == "alloc is being migrated"
    assert world.run().changes == ()


def test_an_instance_told_to_go_for_good_is_not_replaced_at_once() -> None:
    world = world_with(make_job(make_group(count=1)))
    (only,) = world.live()
    leave = DesiredTransition(migrate=True, migrate_disable_placement=True)
    world.change(only.id, transition=leave)
    plan = world.run()
    assert (plan.placements, world.live()) == ((), [])


def test_a_finished_service_instance_is_placed_anew() -> None:
    world = world_with(make_job(make_group(count=1)))
    world.report(world.live()[0].id, "complete")
    assert len(world.run().placements) == 1
    assert world.run().placements == ()


def test_a_finished_batch_instance_is_done() -> None:
    world = world_with(make_job(make_group(count=2), type="batch"))
    world.report(world.live()[0].id, "complete")
    plan = world.run()
    assert (plan.placements, plan.changes) == ((), ())
    world.lose(world.live()[0].node_id)
    assert [p.index for p in world.run().placements] == [1]


def test_a_finished_batch_instance_on_a_dead_node_is_still_done() -> None:
    world = world_with(make_job(make_group(count=1), type="batch"))
    (only,) = world.live()
    world.report(only.id, "complete")
    world.lose(only.node_id)
    plan = world.run()
    assert (plan.placements, plan.changes) == ((), ())


def test_a_batch_instance_that_ends_because_it_was_moved_is_not_done() -> None:
    world = world_with(make_job(make_group(count=1), type="batch"))
    (old,) = world.live()
    world.change(old.id, transition=DesiredTransition(migrate=True))
    world.run()
    world.report(old.id, "complete")
    plan = world.run()
    assert (plan.changes, plan.placements) == ((), ())
    assert world.indexes() == [0]


def test_a_new_version_of_a_batch_job_runs_again() -> None:
    world = world_with(make_job(make_group(count=2), type="batch"))
    for a in world.live():
        world.report(a.id, "complete")
    world.submit(make_job(make_group(count=2, env={"A": "1"}), type="batch"))
    assert len(world.run().placements) == 2


def test_a_failed_batch_instance_has_the_attempts_of_its_policy() -> None:
    world = world_with(make_job(make_group(reschedule_policy=ONCE), type="batch"))
    for expected in (1, 0):
        world.report(max(world.allocations.values(), key=lambda a: a.create_index).id, "failed")
        world.now_ns += 6 * SECOND_NS
        assert len(world.run().placements) == expected


def test_two_instances_with_one_index_become_one() -> None:
    world = world_with(make_job(make_group(count=2)))
    first, second = world.live()
    world.change(second.id, index=first.index)
    world.report(second.id, "running", healthy=True)
    world.run()
    assert world.indexes() == [0, 1]
    assert world.allocations[second.id].desired_status == "run"
    assert world.allocations[first.id].desired_status == "stop"


def test_instances_of_an_earlier_job_of_the_same_name_are_stopped() -> None:
    world = world_with(make_job(make_group(count=1), create_index=5))
    (old,) = world.live()
    world.job = None
    world.submit(make_job(make_group(count=1), create_index=9))
    world.run()
    assert world.allocations[old.id].desired_status == "stop"
    assert [a.job_create_index for a in world.live()] == [9]


def test_the_room_of_an_earlier_job_is_not_given_away_by_the_measure_of_the_new_one() -> None:
    world = world_with(make_job(make_group(count=1, cpu=1000), create_index=5), nodes=1)
    world.job = None
    world.submit(make_job(make_group(count=2, cpu=2000), create_index=9))
    plan = world.run()
    assert len(plan.placements) == 1
    assert plan.evaluation.queued_allocations == {"web": 1}


def test_distinct_hosts_holds_across_groups_if_the_job_says_so() -> None:
    alone = Constraint(operand="distinct_hosts", r_target="true")
    job = make_job(make_group("a", count=2), make_group("b", count=2), constraints=(alone,))
    world = world_with(job, nodes=3)
    assert len({a.node_id for a in world.live()}) == len(world.live()) == 3
    plan = world.run()
    metric = plan.evaluation.failed_tg_allocs["b"]
    assert metric.constraint_filtered == {"distinct_hosts": 3}
    assert (metric.nodes_filtered, metric.nodes_exhausted) == (3, 0)


def test_a_later_group_sees_the_ports_and_room_an_earlier_one_took() -> None:
    job = make_job(
        make_group("a", static={"http": 8080}, cpu=3000), make_group("b", static={"x": 8080})
    )
    world = world_with(job, nodes=1)
    assert [a.group for a in world.live()] == ["a"]


DELAYS = [
    ("constant", [5, 5, 5, 5]),
    ("exponential", [5, 10, 20, 40, 60, 60]),
    ("fibonacci", [5, 5, 10, 15, 25, 40, 60]),
]


@pytest.mark.parametrize(("function", "expected"), DELAYS)
def test_delays_grow_as_their_function_says(function: str, expected: list[int]) -> None:
    policy = ReschedulePolicy(
        delay_ns=5 * SECOND_NS,
        delay_function=function,
        max_delay_ns=60 * SECOND_NS,
        unlimited=True,
    )
    world = world_with(make_job(make_group(reschedule_policy=policy)))
    (a,) = world.live()
    world.report(a.id, "failed")
    found: list[int] = []
    for _ in expected:
        failed = world.allocations[a.id]
        found.append(reschedule.delay_ns(failed, policy) // SECOND_NS)
        tracker = reschedule.tracker_after(failed, policy, world.now_ns)
        world.change(a.id, reschedule=tracker)
    assert found == expected
    assert len(reschedule.events_of(world.allocations[a.id])) == min(
        len(expected), reschedule.EVENTS_MAX
    )


def test_a_long_good_run_starts_the_delays_anew() -> None:
    policy = ReschedulePolicy(
        delay_ns=5 * SECOND_NS,
        delay_function="exponential",
        max_delay_ns=60 * SECOND_NS,
        unlimited=True,
    )
    world = world_with(make_job(make_group(reschedule_policy=policy)))
    (a,) = world.live()
    event = RescheduleEvent(reschedule_time=world.now_ns - 61 * SECOND_NS, delay_ns=60 * SECOND_NS)
    world.change(a.id, reschedule=RescheduleTracker(events=(event,)))
    world.report(a.id, "failed")
    assert reschedule.delay_ns(world.allocations[a.id], policy) == 5 * SECOND_NS
