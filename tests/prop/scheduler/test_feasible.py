"""Feasibility over columns gives what testing every node by itself gives."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.structs.job import Job
from hanse.structs.node import DriverInfo, Node
from hanse.structs.task import Constraint
from region.scheduler.feasible import class_eligibility, feasible
from region.scheduler.fleet import Fleet
from region.scheduler.nodes import computed_class
from tests.unit.scheduler.world import make_group, make_job, make_node

VALUES = ["", "1", "2", "10", "1.5", "a", "b", "a,b", "b, c"]
NAMES = [
    "${attr.x}",
    "${attr.y}",
    "${meta.x}",
    "${node.class}",
    "${node.datacenter}",
    "${node.unique.name}",
    "${attr.unique.z}",
    "${nothing}",
    "a",
]
OPERANDS = [
    *("= == is != not > >= < <= regexp set_contains set_contains_all".split()),
    *("set_contains_any is_set is_not_set".split()),
]


@st.composite
def nodes(draw: st.DrawFn, number: int) -> Node:
    def some(*keys: str) -> dict[str, str]:
        return draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(VALUES) for k in keys}))

    info = DriverInfo(detected=draw(st.booleans()), healthy=draw(st.booleans()))
    return make_node(
        number,
        datacenter=draw(st.sampled_from(["eu-1", "eu-2", "us-1"])),
        node_pool=draw(st.sampled_from(["default", "gpu"])),
        node_class=draw(st.sampled_from(["", "big"])),
        attributes=some("x", "y", "unique.z"),
        meta=some("x"),
        drivers=draw(st.sampled_from([{}, {"raw_exec": info}])),
        status=draw(st.sampled_from(["ready", "ready", "down"])),
        scheduling_eligibility=draw(st.sampled_from(["eligible", "eligible", "ineligible"])),
    )


FLEETS = st.integers(0, 8).flatmap(lambda n: st.tuples(*(nodes(i) for i in range(1, n + 1))))
RULES = st.builds(
    lambda left, right, operand: Constraint(l_target=left, r_target=right, operand=operand),
    st.sampled_from(NAMES),
    st.sampled_from(VALUES + NAMES),
    st.sampled_from(OPERANDS),
)
JOBS = st.builds(
    lambda rules, more, pool, dcs: make_job(
        make_group(constraints=more[:1], task_constraints=more[1:]),
        constraints=rules,
        node_pool=pool,
        datacenters=dcs,
    ),
    st.lists(RULES, max_size=2).map(tuple),
    st.lists(RULES, max_size=2).map(tuple),
    st.sampled_from(["default", "gpu", "all", "none"]),
    st.sampled_from([("*",), ("eu-*",), ("us-1", "eu-2"), ("nowhere",)]),
)


def value(node: Node, text: str) -> str | None:
    """A second reading of the targets."""
    match = re.fullmatch(r"\$\{(?:(attr|meta)\.(.+)|(.+))\}", text)
    if match is None:
        return text
    if match[1] is not None:
        return (node.attributes if match[1] == "attr" else node.meta).get(match[2])
    return {
        "node.class": node.node_class,
        "node.datacenter": node.datacenter,
        "node.unique.name": node.name,
    }.get(match[3])


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def passes(node: Node, rule: Constraint) -> bool:
    """A second meaning of the operators, written apart from the first."""
    left, right, operand = value(node, rule.l_target), value(node, rule.r_target), rule.operand
    if operand in ("!=", "not"):
        return left != right
    if operand in ("is_set", "is_not_set"):
        return (left is None) == (operand == "is_not_set")
    if left is None or right is None:
        return False
    if operand in ("=", "==", "is"):
        return left == right
    if operand == "regexp":
        return re.search(re.escape(right) if right.startswith("$") else right, left) is not None
    if operand.startswith("set_contains"):
        has, asked = ([x.strip() for x in side.split(",")] for side in (left, right))
        return (any if operand.endswith("any") else all)(x in has for x in asked)
    a, b = number(left), number(right)
    pair = (a, b) if a is not None and b is not None else (left, right)
    return {
        ">": pair[0] > pair[1],  # type: ignore[operator]
        ">=": pair[0] >= pair[1],  # type: ignore[operator]
        "<": pair[0] < pair[1],  # type: ignore[operator]
        "<=": pair[0] <= pair[1],  # type: ignore[operator]
    }[operand]


def suits(node: Node, job: Job) -> bool:
    """Whether the node meets all rules, apart from taking allocations now."""
    (group,) = job.task_groups
    (task,) = group.tasks
    info = node.drivers.get("raw_exec")
    return (
        job.node_pool in ("all", node.node_pool)
        and any(fnmatchcase(node.datacenter, glob) for glob in job.datacenters)
        and info is not None
        and info.detected
        and info.healthy
        and all(
            passes(node, rule) for rule in (*job.constraints, *group.constraints, *task.constraints)
        )
    )


def takes(node: Node) -> bool:
    return node.status == "ready" and node.scheduling_eligibility == "eligible"


@settings(max_examples=120)
@given(fleet_nodes=FLEETS, job=JOBS, data=st.data())
def test_columns_say_what_each_node_says(
    fleet_nodes: tuple[Node, ...], job: Job, data: st.DataObject
) -> None:
    fleet = Fleet.empty()
    for node in fleet_nodes:
        fleet.set_node(node)
    (group,) = job.task_groups
    for _ in range(2):
        view = fleet.snapshot()
        found = feasible(view, job, group)
        present = {view.node_id(row): row for row in range(view.size)}
        ours = {n.id: n for n in fleet_nodes}
        assert {i for i, row in present.items() if found.meets[row]} == {
            n.id for n in ours.values() if suits(n, job)
        }
        good = {n.id for n in ours.values() if suits(n, job) and takes(n)}
        assert {i for i, row in present.items() if found.open[row]} == good
        assert found.count == len(good)
        assert found.metric.nodes_filtered == found.metric.nodes_evaluated - len(good)
        assert sum(found.metric.constraint_filtered.values()) == found.metric.nodes_filtered
        eligible = class_eligibility(view, found)
        if eligible is not None:
            for n in ours.values():
                assert eligible[computed_class(n)] == suits(n, job)
        # Some nodes register anew: what was remembered must follow.
        changed = [
            data.draw(nodes(i)) if data.draw(st.booleans()) else n
            for i, n in enumerate(fleet_nodes, 1)
        ]
        for n in changed:
            fleet.set_node(n)
        fleet_nodes = tuple(changed)
