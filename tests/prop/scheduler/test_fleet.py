"""The columns always say what a plain dictionary would, and views never change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.structs.node import (
    Node,
    NodeReservedCpuResources,
    NodeReservedNetworkResources,
    NodeReservedResources,
)
from region.scheduler.fleet import Fleet, FleetView, weight_of
from region.scheduler.nodes import room_of, usable
from region.scheduler.resources import Usage
from tests.unit.scheduler.world import make_node, node_id

NUMBERS = st.integers(1, 3)
PORTS = st.sampled_from([22, 80, 20000, 31999])


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    keeps = NodeReservedResources(
        cpu=NodeReservedCpuResources(cpu_shares=draw(st.integers(0, 500))),
        networks=NodeReservedNetworkResources(
            reserved_host_ports=draw(st.sampled_from(["", "22", "22,20000-20010"]))
        ),
    )
    return make_node(
        draw(NUMBERS),
        cpu=draw(st.integers(0, 5000)),
        memory=draw(st.integers(0, 5000)),
        datacenter=draw(st.sampled_from(["dc1", "dc2"])),
        status=draw(st.sampled_from(["ready", "down"])),
        reserved_resources=draw(st.sampled_from([None, keeps])),
    )


USAGES = st.builds(
    Usage,
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(0, 500),
    st.lists(PORTS, unique=True, min_size=1, max_size=3).map(tuple),
)
STEPS = st.one_of(
    st.tuples(st.just("set"), nodes()),
    st.tuples(st.just("remove"), NUMBERS.map(node_id)),
    st.tuples(st.just("charge"), st.tuples(NUMBERS.map(node_id), USAGES)),
    st.tuples(
        st.just("many"), st.tuples(st.lists(st.integers(1, 30).map(node_id), max_size=60), USAGES)
    ),
    st.tuples(st.just("release"), st.integers(0, 100)),
    st.tuples(st.just("view"), st.none()),
    st.tuples(st.just("anew"), st.none()),
)


def facts(view: FleetView) -> dict[str, Any]:
    """All that a view says, by node."""
    found: dict[str, Any] = {}
    masks = {port: view.port_taken(port) for port in (22, 80, 443, 20000, 20001, 31999)}
    for row in range(view.size):
        node = view.capacity.nodes[row]
        if node is None:
            continue
        found[node.id] = (
            node,
            int(view.free.cpu[row]),
            int(view.free.memory[row]),
            int(view.free.disk[row]),
            int(view.free.ports[row]),
            view.ports(row),
            {port for port, mask in masks.items() if mask[row]},
            bool(view.capacity.usable[row]),
            view.tables.datacenters.values[view.capacity.datacenter[row]],
            float(view.free.cpu_weight[row]),
        )
        assert view.row(node.id) == row
    return found


def expected(registered: dict[str, Node], charges: list[tuple[str, Usage]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in registered.values():
        room = room_of(node)
        mine = [usage for where, usage in charges if where == node.id]
        held = frozenset(port for usage in mine for port in usage.ports)
        dynamic = set(range(room.dynamic_min, room.dynamic_max + 1)) - room.reserved_ports
        cpu = room.cpu_mhz - sum(usage.cpu_mhz for usage in mine)
        found[node.id] = (
            node,
            cpu,
            room.memory_mb - sum(usage.memory_mb for usage in mine),
            room.disk_mb - sum(usage.disk_mb for usage in mine),
            len(dynamic - held),
            held,
            (held | room.reserved_ports) & {22, 80, 443, 20000, 20001, 31999},
            usable(node),
            node.datacenter,
            weight_of(cpu, room.cpu_mhz),
        )
    return found


@settings(max_examples=200)
@given(st.lists(STEPS, min_size=4, max_size=40))
def test_the_fleet_is_what_was_registered_less_what_was_charged(
    steps: list[tuple[str, Any]],
) -> None:
    fleet = Fleet.empty()
    registered: dict[str, Node] = {}
    charges: list[tuple[str, Usage]] = []
    views: list[tuple[FleetView, dict[str, Any]]] = []
    for kind, what in steps:
        match kind:
            case "set":
                fleet.set_node(what)
                registered[what.id] = what
            case "remove":
                fleet.remove_node(what)
                registered.pop(what, None)
            case "charge":
                fleet.charge(*what)
                charges.append(what)
            case "many":
                usage = replace(what[1], ports=())
                fleet.charge_many(what[0], usage)
                charges += [(where, usage) for where in what[0]]
            case "release" if charges:
                fleet.release(*charges.pop(what % len(charges)))
            case "anew":
                fleet.start_anew()
            case _:
                view = fleet.snapshot()
                views.append((view, facts(view)))
    assert facts(fleet.snapshot()) == expected(registered, charges)
    for view, before in views:
        assert facts(view) == before


def test_a_fleet_that_grows_and_shrinks_by_thousands_keeps_its_count() -> None:
    fleet = Fleet.empty()
    for number in range(1, 4001):
        fleet.set_node(make_node(number))
    fleet.charge(node_id(7), Usage(100, 100, 0, (80,)))
    for number in range(1, 3001):
        fleet.remove_node(node_id(number))
    view = fleet.snapshot()
    assert view.size < 3000
    assert int(np.count_nonzero(view.capacity.usable[: view.size])) == 1000
    fleet.set_node(make_node(7))
    row = fleet.snapshot().row(node_id(7))
    assert row is not None
    assert fleet.snapshot().free.cpu[row] == 3900
    assert fleet.snapshot().ports(row) == {80}
    assert fleet.snapshot().port_taken(80)[row]
