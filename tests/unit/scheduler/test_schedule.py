"""Whole passes: what a user sees of placing, and of not placing."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from hanse.structs.api import SchedulerConfiguration
from hanse.structs.job import Job, Spread, SpreadTarget
from hanse.structs.node import (
    NodeNetworkAddress,
    NodeNetworkResource,
    NodeReservedNetworkResources,
    NodeReservedResources,
)
from hanse.structs.task import Affinity, Constraint, NetworkResource, Port
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


def test_a_node_without_disk_is_exhausted() -> None:
    world = World([make_node(1, disk=299)])
    world.submit(make_job(make_group()))
    metric = world.run().evaluation.failed_tg_allocs["web"]
    assert metric.dimension_exhausted == {"disk": 1}


def test_dynamic_ports_run_out() -> None:
    node = make_node(1)
    assert node.node_resources is not None
    few = replace(node.node_resources, min_dynamic_port=20000, max_dynamic_port=20002)
    keeps = NodeReservedResources(
        networks=NodeReservedNetworkResources(reserved_host_ports="20001")
    )
    world = World([replace(node, node_resources=few, reserved_resources=keeps)])
    world.submit(make_job(make_group(count=3, dynamic=("http",))))
    plan = world.run()
    assert {p.ports[0].value for p in plan.placements} == {20000, 20002}
    metric = plan.evaluation.failed_tg_allocs["web"]
    assert metric.dimension_exhausted == {"network: dynamic port selection failed": 1}


def test_ports_are_bound_to_the_address_of_the_default_network() -> None:
    network = NodeNetworkResource(
        addresses=(
            NodeNetworkAddress(alias="public", address="198.51.100.1"),
            NodeNetworkAddress(alias="default", address="10.0.0.1"),
        )
    )
    node = make_node(1)
    assert node.node_resources is not None
    world = World(
        [replace(node, node_resources=replace(node.node_resources, node_networks=(network,)))]
    )
    ports = NetworkResource(
        reserved_ports=(Port(label="https", value=443, to=8443),),
        dynamic_ports=(Port(label="http", to=-1),),
    )
    world.submit(make_job(make_group(networks=(ports,))))
    https, http = world.run().placements[0].ports
    assert (https.label, https.value, https.to, https.host_ip) == ("https", 443, 8443, "10.0.0.1")
    assert (http.label, http.to, http.host_ip) == ("http", http.value, "10.0.0.1")
    assert 20000 <= http.value <= 32000


def test_affinities_and_spreads_are_shown_in_the_scores() -> None:
    world = World(make_node(n, meta={"rack": "ab"[n % 2]}) for n in range(1, 5))
    likes_b = Affinity(l_target="${meta.rack}", r_target="b", operand="=", weight=100)
    even = Spread(attribute="${meta.rack}", weight=100)
    world.submit(make_job(make_group(count=2, affinities=(likes_b,), spreads=(even,))))
    plan = world.run()
    best = plan.metrics["web"].score_meta_data[0]
    assert best.scores["node-affinity"] == 1.0
    assert best.scores["allocation-spread"] == 1.0
    assert best.norm_score > plan.metrics["web"].score_meta_data[-1].norm_score
    racks = [world.nodes[p.node_id].meta["rack"] for p in plan.placements]
    assert racks == ["b", "a"]


def test_a_target_gets_its_percentage() -> None:
    world = World(make_node(n, datacenter=f"dc{n % 3}") for n in range(9))
    spread = Spread(
        attribute="${node.datacenter}",
        weight=100,
        spread_target=(SpreadTarget(value="dc0", percent=50),),
    )
    world.submit(make_job(make_group(count=20, spreads=(spread,))))
    where = Counter(world.nodes[p.node_id].datacenter for p in world.run().placements)
    assert where == {"dc0": 10, "dc1": 5, "dc2": 5}


def test_a_distinct_property_limits_each_value() -> None:
    world = World(make_node(n, meta={"rack": "ab"[n % 2]} if n else {}) for n in range(5))
    rule = Constraint(l_target="${meta.rack}", r_target="2", operand="distinct_property")
    world.submit(make_job(make_group(count=5, constraints=(rule,))))
    plan = world.run()
    where = Counter(world.nodes[p.node_id].meta.get("rack") for p in plan.placements)
    assert where == {"a": 2, "b": 2}
    metric = plan.evaluation.failed_tg_allocs["web"]
    assert metric.constraint_filtered == {"${meta.rack} distinct_property 2": 5}


def test_plans_do_not_depend_on_the_order_in_which_nodes_registered() -> None:
    nodes = [make_node(n, cpu=3000 + 100 * n) for n in range(1, 20)]
    plans = []
    for order in (nodes, nodes[::-1]):
        world = World(order)
        world.submit(make_job(make_group(count=30)))
        plans.append([(p.index, p.node_id) for p in world.run().placements])
    assert plans[0] == plans[1]
