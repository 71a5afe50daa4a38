"""Which nodes may run a group at all, and why the others may not.

A rule is tested once for each distinct value of its attribute, not once for each node: the
attribute is a column of codes. Columns and results live in the fleet's memo and are brought up
to date by the rows that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from hanse.structs.evaluation import AllocMetric
from hanse.structs.job import Job, TaskGroup
from hanse.structs.node import Node
from hanse.structs.task import Affinity, Constraint
from region.scheduler.fleet import Codes, FleetView, Ints, Mask
from region.scheduler.nodes import has_driver
from region.scheduler.operators import DISTINCT, holds

#: More classes than this are not listed in a blocked evaluation: it then wakes for any node.
CLASSES_LISTED_MAX = 512

#: The pool that all nodes are in.
POOL_ALL = "all"


@dataclass(frozen=True, slots=True)
class Feasible:
    """The answer for one group."""

    #: Rows that meet every rule, whether or not they take allocations now.
    meets: Mask
    #: Rows that may get an allocation.
    open: Mask
    #: How many those are.
    count: int
    #: Some rule is about a `unique.` value, so classes say nothing.
    escaped: bool
    #: The parts of the metrics that do not depend on usage.
    metric: AllocMetric


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute's values over all rows, as numbers into `codes.values`; 0 is "not set"."""

    numbers: Ints
    codes: Codes


def feasible(view: FleetView, job: Job, group: TaskGroup) -> Feasible:
    """Test all nodes, or recall the result for the fleet as it is."""
    rules = tuple(_rules(job, group))
    drivers = tuple(sorted({task.driver for task in group.tasks}))
    key = ("feasible", job.datacenters, job.node_pool, rules, drivers)
    kept = view.memo.get(key)
    if kept is not None and kept[0] == view.generation and isinstance(kept[1], Feasible):
        return kept[1]
    found = _test(view, job, rules, drivers)
    view.memo.put(key, view.generation, found, 2 * view.size)
    return found


def _rules(job: Job, group: TaskGroup) -> Iterator[Constraint]:
    """The rules about single nodes, in the order of their levels."""
    for rule in job.constraints:
        if rule.operand not in DISTINCT:
            yield rule
    for rule in group.constraints:
        if rule.operand not in DISTINCT:
            yield rule
    for task in group.tasks:
        for rule in task.constraints:
            if rule.operand not in DISTINCT:
                yield rule


def _test(
    view: FleetView, job: Job, rules: tuple[Constraint, ...], drivers: tuple[str, ...]
) -> Feasible:
    usable = view.capacity.usable[: view.size]
    pooled = _in_pool(view, job.node_pool)
    in_scope = pooled & _in_datacenters(view, job.datacenters)
    meets, candidates = in_scope.copy(), in_scope & usable
    evaluated = int(np.count_nonzero(candidates))
    by_reason: dict[str, int] = {}
    by_class: dict[str, int] = {}
    tests: list[tuple[str, Mask]] = [
        ("missing drivers", driver_mask(view, driver)) for driver in drivers
    ]
    tests += [(expression(rule), constraint_mask(view, rule)) for rule in rules]
    for reason, passed in tests:
        dropped = candidates & ~passed
        count = int(np.count_nonzero(dropped))
        if count:
            by_reason[reason] = by_reason.get(reason, 0) + count
            for name, number in classes_of(view, dropped).items():
                by_class[name] = by_class.get(name, 0) + number
            candidates &= passed
        meets &= passed
    left = int(np.count_nonzero(candidates))
    metric = AllocMetric(
        nodes_evaluated=evaluated,
        nodes_filtered=evaluated - left,
        nodes_in_pool=int(np.count_nonzero(pooled & usable)),
        node_pool=job.node_pool,
        nodes_available=_available(view, job.datacenters, pooled & usable),
        class_filtered=by_class,
        constraint_filtered=by_reason,
    )
    escaped = any("${" in side and ".unique." in side for r in rules for side in _sides(r))
    return Feasible(meets=meets, open=candidates, count=left, escaped=escaped, metric=metric)


def _sides(rule: Constraint) -> tuple[str, str]:
    return rule.l_target, rule.r_target


def expression(rule: Constraint) -> str:
    """A rule as users read it."""
    return f"{rule.l_target} {rule.operand or '='} {rule.r_target}".strip()


def _in_pool(view: FleetView, pool: str) -> Mask:
    if pool == POOL_ALL:
        return np.ones(view.size, np.bool_)
    pooled: Mask = view.capacity.pool[: view.size] == view.tables.pools.find(pool)
    return pooled


def _in_datacenters(view: FleetView, globs: tuple[str, ...]) -> Mask:
    names = tuple(view.tables.datacenters.values)
    wanted = np.fromiter(
        (any(fnmatchcase(name or "", glob) for glob in globs) for name in names), np.bool_
    )
    if wanted.all():
        return np.ones(view.size, np.bool_)
    return wanted[view.capacity.datacenter[: view.size]]


def _available(view: FleetView, globs: tuple[str, ...], ready: Mask) -> dict[str, int]:
    """Ready nodes by datacenter; a datacenter named outright is there even with none."""
    found = {glob: 0 for glob in globs if not set(glob) & set("*?[")}
    counts = np.bincount(view.capacity.datacenter[: view.size][ready]).tolist()
    for number, count in enumerate(counts):
        name = view.tables.datacenters.values[number] or ""
        if count and any(fnmatchcase(name, glob) for glob in globs):
            found[name] = count
    return found


def classes_of(view: FleetView, rows: Mask) -> dict[str, int]:
    """How many of the rows each node class has; nodes without a class are not counted."""
    counts = np.bincount(view.capacity.node_class[: view.size][rows]).tolist()
    names = view.tables.node_classes.values
    return {name: count for name, count in zip(names, counts, strict=False) if count and name}


def class_eligibility(view: FleetView, found: Feasible) -> dict[str, bool] | None:
    """Whether nodes of each computed class could run the group; None if there are too many."""
    names = view.tables.computed_classes.values
    if found.escaped or len(names) > CLASSES_LISTED_MAX:
        return None
    numbers = view.capacity.computed_class[: view.size]
    passed = np.bincount(numbers[found.meets], minlength=len(names))
    known = np.bincount(numbers, minlength=len(names))
    return {
        name: bool(ok)
        for name, ok, some in zip(names, passed, known, strict=False)
        if name and some
    }


def constraint_mask(view: FleetView, rule: Constraint | Affinity) -> Mask:
    """The rows where the rule holds."""
    left, right = target(rule.l_target), target(rule.r_target)
    if left is None and right is None:
        return np.full(view.size, holds(rule.operand, rule.l_target, rule.r_target))
    if left is not None and right is not None:
        return _both_sides(column(view, left), column(view, right), rule.operand)
    name = left or right or ""
    values = column(view, name)
    known = tuple(values.codes.values)
    if left is not None:
        passed = [holds(rule.operand, value, rule.r_target) for value in known]
    else:
        passed = [holds(rule.operand, rule.l_target, value) for value in known]
    return np.array(passed, np.bool_)[values.numbers]


def _both_sides(left: Column, right: Column, operand: str) -> Mask:
    width = len(right.codes.values)
    pairs, place = np.unique(
        left.numbers.astype(np.int64) * width + right.numbers, return_inverse=True
    )
    passed = [
        holds(operand, left.codes.values[pair // width], right.codes.values[pair % width])
        for pair in pairs.tolist()
    ]
    return np.array(passed, np.bool_)[place]


def driver_mask(view: FleetView, driver: str) -> Mask:
    """The rows where the driver is there and healthy."""
    there: Mask = column(view, f"driver:{driver}").numbers != 0
    return there


def target(text: str) -> str | None:
    """The name in `${name}`, or None for a plain value."""
    return text[2:-1] if text.startswith("${") and text.endswith("}") else None


def column(view: FleetView, name: str) -> Column:
    """The attribute's column, made or brought up to date."""
    read = reader(name, view.region)
    kept = view.memo.get(("column", name))
    if kept is not None and isinstance(kept[1], Column):
        generation, known = kept[0], kept[1]
        if generation == view.generation:
            return known
        rows = view.changed_since(generation)
        if rows is not None:
            numbers = np.zeros(view.size, np.int32)
            numbers[: len(known.numbers)] = known.numbers
            return _filled(view, name, read, Column(numbers, known.codes), sorted(set(rows)))
    fresh = Column(np.zeros(view.size, np.int32), Codes(None))
    return _filled(view, name, read, fresh, range(view.size))


def _filled(
    view: FleetView,
    name: str,
    read: Callable[[Node], str | None],
    into: Column,
    rows: list[int] | range,
) -> Column:
    nodes = view.capacity.nodes
    for row in rows:
        node = nodes[row]
        into.numbers[row] = into.codes.number(read(node)) if node is not None else 0
    view.memo.put(("column", name), view.generation, into, 4 * view.size)
    return into


def reader(name: str, region: str) -> Callable[[Node], str | None]:
    """How the attribute is read from a node; an unknown name is set on none."""
    if name in _FIXED:
        return _FIXED[name]
    if name == "node.region":
        return lambda _: region
    kind, _, key = name.partition(".")
    if kind == "attr":
        return lambda node: node.attributes.get(key)
    if kind == "meta":
        return lambda node: node.meta.get(key)
    if name.startswith("driver:"):
        driver = name.removeprefix("driver:")
        return lambda node: "true" if has_driver(node, driver) else None
    return lambda _: None


_FIXED: dict[str, Callable[[Node], str | None]] = {
    "node.unique.id": lambda node: node.id,
    "node.unique.name": lambda node: node.name,
    "node.datacenter": lambda node: node.datacenter,
    "node.class": lambda node: node.node_class,
    "node.pool": lambda node: node.node_pool,
}
