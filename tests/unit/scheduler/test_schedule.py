"""Whole passes: what a user sees of placing, and of not placing."""

from __future__ import annotations

from hanse.structs.api import SchedulerConfiguration
from hanse.structs.job import Job
from hanse.structs.task import Constraint
from region.scheduler.schedule import schedule
from tests.unit.scheduler.world import World, make_group, make_job, make_node, node_id


def test_a_job_gets_all_its_instances() -> None:
    world = World(make_node(n) for n in range(1, 4))
    world.submit(make_job(make_group(count=7)))
    plan = world.run()
    assert world.indexes() == list(range(7))
    assert plan.evaluation.status == "complete"
    assert plan.evaluation.queued_allocations == {"web": 0}
    assert plan.evaluation.failed_tg_allocs == {}
    assert plan.evaluations == ()
    assert plan.desired["web"].place == 7


def test_instances_of_a_small_job_go_to_different_nodes() -> None:
    world = World(make_node(n) for n in range(1, 4))
    world.submit(make_job(make_group(count=3)))
    world.run()
    assert len({a.node_id for a in world.live()}) == 3


def test_packing_prefers_the_fuller_node_and_spreading_the_emptier() -> None:
    for algorithm, expected in (("binpack", node_id(1)), ("spread", node_id(2))):
        world = World([make_node(1), make_node(2)])
        world.config = SchedulerConfiguration(scheduler_algorithm=algorithm)
        world.submit(make_job(make_group(count=1)))
        world.run()
        other = make_job(make_group(count=1), id="other")
        plan = schedule(world.snapshot(job=other, allocations=[]))
        assert [p.node_id for p in plan.placements] == [expected]


def test_what_finds_no_room_is_reported_with_the_reason_and_waits() -> None:
    world = World([make_node(1, node_class="big")])
    world.submit(make_job(make_group(count=5, static={"https": 443}, dynamic=("http",))))
    plan = world.run()
    assert world.indexes() == [0]
    metric = plan.evaluation.failed_tg_allocs["web"]
    assert metric.dimension_exhausted == {"network: reserved port collision https=443": 1}
    assert metric.class_exhausted == {"big": 1}
    assert (metric.nodes_evaluated, metric.nodes_exhausted, metric.nodes_filtered) == (1, 1, 0)
    assert metric.coalesced_failures == 3
    assert plan.evaluation.queued_allocations == {"web": 4}
    (blocked,) = plan.evaluations
    assert (blocked.status, blocked.triggered_by) == ("blocked", "queued-allocs")
    assert plan.evaluation.blocked_eval == blocked.id
    assert blocked.previous_eval == plan.evaluation.id
    assert list(blocked.class_eligibility.values()) == [True]


def test_a_blocked_evaluation_that_still_fails_waits_on_as_itself() -> None:
    world = World([make_node(1)])
    world.submit(make_job(make_group(count=100)))
    world.run()
    plan = world.run(eval_id="waiting", triggered_by="queued-allocs")
    assert plan.evaluations == ()
    assert (plan.evaluation.id, plan.evaluation.status) == ("waiting", "blocked")
    assert plan.evaluation.class_eligibility


def test_filtered_nodes_are_counted_by_reason() -> None:
    windows = Constraint(l_target="${attr.kernel.name}", r_target="windows", operand="=")
    nodes = [
        make_node(1),
        make_node(2, datacenter="dc2"),
        make_node(3, drivers={}),
        make_node(4, status="down"),
        make_node(5, node_pool="gpu"),
    ]
    world = World(nodes)
    world.submit(make_job(make_group(), datacenters=("dc1", "dc3"), constraints=(windows,)))
    metric = world.run().evaluation.failed_tg_allocs["web"]
    assert metric.nodes_available == {"dc1": 2, "dc3": 0}
    assert metric.constraint_filtered == {
        "missing drivers": 1,
        "${attr.kernel.name} = windows": 1,
    }
    assert (metric.nodes_evaluated, metric.nodes_filtered) == (2, 2)
    assert (metric.nodes_in_pool, metric.node_pool) == (3, "default")


def test_a_job_of_an_unknown_type_fails_its_evaluation() -> None:
    world = World([make_node(1)])
    world.submit(make_job(make_group(), type="system"))
    plan = world.run()
    assert plan.evaluation.status == "failed"
    assert plan.evaluation.status_description == 'jobs of type "system" are not supported yet'
    assert plan.placements == ()


def test_a_purged_job_stops_all_its_instances() -> None:
    world = World([make_node(1)])
    world.submit(make_job(make_group(count=2)))
    world.run()
    nothing: Job | None = None
    plan = world.run(job=nothing)
    assert [c.desired_status for c in plan.changes] == ["stop", "stop"]
    assert world.live() == []
