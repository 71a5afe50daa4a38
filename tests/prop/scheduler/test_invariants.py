"""What holds after every pass, whatever happened before it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hanse.structs.job import Job, Spread, TaskGroup, UpdateStrategy
from hanse.structs.plan import Plan
from hanse.structs.task import Constraint
from hanse.structs.taskstate import DesiredTransition
from region.scheduler.nodes import room_of, usable
from region.scheduler.resources import ask_of
from region.scheduler.schedule import schedule
from tests.unit.scheduler.world import (
    FOREVER,
    ROLLING,
    SECOND_NS,
    World,
    make_group,
    make_job,
    make_node,
    node_id,
    usage_by_node,
)

NODES_MAX = 5
RACK_A = Constraint(l_target="${meta.rack}", r_target="a", operand="=")
ALONE = Constraint(operand="distinct_hosts", r_target="true")
TWO_A_RACK = Constraint(l_target="${meta.rack}", r_target="2", operand="distinct_property")


def group_strategy(name: str) -> st.SearchStrategy[TaskGroup]:
    return st.builds(
        lambda **given: make_group(name, **given),
        count=st.integers(0, 6),
        cpu=st.sampled_from([300, 1000]),
        memory=st.sampled_from([100, 3000]),
        env=st.sampled_from([{}, {"A": "1"}]),
        static=st.sampled_from([{}, {}, {"http": 80}]),
        dynamic=st.sampled_from([(), ("rpc",)]),
        constraints=st.sampled_from([(), (RACK_A,), (ALONE,), (TWO_A_RACK,)]),
        spreads=st.sampled_from([(), (Spread(attribute="${meta.rack}", weight=50),)]),
        reschedule_policy=st.sampled_from([None, FOREVER]),
        update=st.sampled_from([None, ROLLING, UpdateStrategy(max_parallel=0)]),
    )


JOBS = st.builds(
    lambda first, second, kind, stop: make_job(*first, *second, type=kind, stop=stop),
    st.tuples(group_strategy("a")),
    st.one_of(st.just(()), st.tuples(group_strategy("b"))),
    st.sampled_from(["service", "batch"]),
    st.sampled_from([False, False, False, False, True]),
)
NUMBERS = st.integers(1, NODES_MAX)
PICKS = st.integers(0, 50)
STEPS = st.one_of(
    st.tuples(st.just("submit"), JOBS),
    st.tuples(st.just("report"), st.tuples(PICKS, st.sampled_from(["running", "failed"]))),
    st.tuples(st.just("report"), st.tuples(PICKS, st.just("complete"))),
    st.tuples(st.just("healthy"), st.none()),
    st.tuples(st.just("lose"), NUMBERS),
    st.tuples(st.just("return"), NUMBERS),
    st.tuples(st.just("migrate"), PICKS),
    st.tuples(st.just("wait"), st.integers(1, 200)),
    st.tuples(st.just("pause"), st.sampled_from(["running", "paused", "failed"])),
)


def new_world(racks: list[str]) -> World:
    return World(
        make_node(n, cpu=3000, disk=1500, meta={"rack": r}) for n, r in enumerate(racks, 1)
    )


def happen(world: World, kind: str, what: Any) -> None:
    """One thing that the world does to the scheduler."""
    live = world.live()
    running = [a for a in world.allocations.values() if not a.client_terminal]
    match kind:
        case "submit":
            job = what if world.job is None else replace(what, type=world.job.type)
            if job.type == "batch":
                groups = tuple(replace(g, update=None) for g in job.task_groups)
                job = replace(job, task_groups=groups)
            world.submit(job)
        case "report" if running:
            world.report(running[what[0] % len(running)].id, what[1])
        case "healthy":
            world.all_healthy()
        case "lose" if node_id(what) in world.nodes:
            world.lose(node_id(what))
        case "return" if node_id(what) in world.nodes:
            world.tainted.pop(node_id(what), None)
            world.fleet.set_node(world.nodes[node_id(what)])
        case "migrate" if live:
            one = live[what % len(live)]
            world.change(one.id, transition=DesiredTransition(migrate=True))
        case "wait":
            world.now_ns += what * SECOND_NS
        case "pause" if world.deployment is not None and world.deployment.status in (
            "running",
            "paused",
        ):
            world.deployment = replace(world.deployment, status=what)
        case _:
            pass


def check_capacity(world: World) -> None:
    live = [a for a in world.live() if a.node_id not in world.tainted]
    for where, used in usage_by_node(live, world.versions).items():
        room = room_of(world.nodes[where])
        assert used[0] <= room.cpu_mhz
        assert used[1] <= room.memory_mb
        assert used[2] <= room.disk_mb
    ports = Counter((a.node_id, port.value) for a in live for port in a.ports)
    assert all(count == 1 for count in ports.values())


def check_placements(world: World, plan: Plan, before: dict[str, Any]) -> None:
    job = world.job
    assert job is not None
    groups = {g.name: g for g in job.task_groups}
    for placement in plan.placements:
        node, group = world.nodes[placement.node_id], groups[placement.group]
        assert placement.node_id not in world.tainted
        assert 0 <= placement.index < group.count
        assert RACK_A not in group.constraints or node.meta["rack"] == "a"
        asked = {p.label for n in group.networks for p in (*n.reserved_ports, *n.dynamic_ports)}
        assert {port.label for port in placement.ports} == asked
        if placement.previous_id:
            assert before[placement.previous_id].index == placement.index
    live = world.live()
    for group in job.task_groups:
        mine = [a for a in live if a.group == group.name]
        if ALONE in group.constraints:
            current = [a for a in mine if a.job_version == job.version]
            where = Counter(a.node_id for a in current)
            placed = {p.node_id for p in plan.placements if p.group == group.name}
            assert all(where[node] == 1 for node in placed)


def check_counts(world: World, plan: Plan) -> None:
    job = world.job
    assert job is not None
    live = world.live()
    held = Counter((a.group, a.index) for a in live)
    assert all(count == 1 for count in held.values())
    if job.stop:
        assert live == []
        assert plan.placements == ()
        return
    groups = {g.name: g for g in job.task_groups}
    assert all(a.group in groups and a.index < groups[a.group].count for a in live)
    halted = world.deployment is not None and world.deployment.status in ("paused", "failed")
    for name, group in groups.items():
        queued = plan.evaluation.queued_allocations[name]
        present = {
            a.index
            for a in world.allocations.values()
            if a.group == name
            and (
                not a.terminal
                or (a.client_status == "failed" and a.desired_status == "run" and not a.next_id)
                or (
                    job.type == "batch"
                    and (a.client_status, a.desired_status) == ("complete", "run")
                    and a.job_version == job.version
                )
            )
        }
        wanted = set(range(group.count))
        if not halted:
            assert len(wanted - present) <= queued
        if queued:
            check_reason(world, plan, group)


def check_reason(world: World, plan: Plan, group: TaskGroup) -> None:
    """A failure is reported with its reasons, and there really is no room."""
    metric = plan.evaluation.failed_tg_allocs[group.name]
    queued = plan.evaluation.queued_allocations[group.name]
    assert metric.coalesced_failures == queued - 1
    if metric.nodes_evaluated:
        assert metric.nodes_filtered or metric.nodes_exhausted
    assert plan.evaluation.blocked_eval or plan.evaluation.status == "blocked"
    if group.spreads or ALONE in group.constraints or TWO_A_RACK in group.constraints:
        return
    view, ask = world.fleet.snapshot(), ask_of(group)
    stopping = any(c.desired_status == "stop" for c in plan.changes)
    for node in world.nodes.values():
        row = view.row(node.id)
        if row is None or not usable(view.node(row)) or stopping:
            continue
        if RACK_A in group.constraints and node.meta["rack"] != "a":
            continue
        fits = (
            view.free.cpu[row] >= ask.cpu_mhz
            and view.free.memory[row] >= ask.memory_mb
            and view.free.disk[row] >= ask.disk_mb
            and not any(port.value in view.ports(row) for port in ask.static_ports)
        )
        assert not fits


def effects(plan: Plan) -> tuple[Any, ...]:
    changes = [c for c in plan.changes if c.followup_eval_id is None]
    return plan.placements, changes, plan.deployment, plan.ended_deployments


@settings(max_examples=150)
@given(
    racks=st.lists(st.sampled_from("ab"), min_size=1, max_size=NODES_MAX),
    first=JOBS,
    steps=st.lists(STEPS, max_size=12),
)
def test_every_pass_keeps_the_promises(
    racks: list[str], first: Job, steps: list[tuple[str, Any]]
) -> None:
    world = new_world(racks)
    for kind, what in [("submit", first), *steps]:
        happen(world, kind, what)
        snapshot = world.snapshot()
        plan = schedule(snapshot)
        assert schedule(snapshot) == plan
        before = dict(world.allocations)
        world.apply(plan)
        event("placed" if plan.placements else "placed nothing")
        check_capacity(world)
        check_counts(world, plan)
        check_placements(world, plan, before)
        again = schedule(world.snapshot())
        if again.deployment is not None and again.deployment.status == "successful":
            # Instances updated in place were healthy all along.
            world.apply(again)
            again = schedule(world.snapshot())
        assert effects(again) == ((), [], None, ())


@settings(max_examples=60)
@given(
    count=st.integers(1, 6),
    parallel=st.integers(1, 4),
    edits=st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=3),
    reports=st.lists(st.integers(0, 50), max_size=40),
)
def test_a_rollout_never_takes_more_than_max_parallel_down(
    count: int, parallel: int, edits: list[str], reports: list[int]
) -> None:
    world = World(make_node(n) for n in range(1, 4))
    update = replace(ROLLING, max_parallel=parallel)
    world.submit(make_job(make_group(count=count, update=update)))
    world.run()
    world.all_healthy()
    world.run()
    for edit in edits:
        world.submit(make_job(make_group(count=count, update=update, env={"V": edit})))
        for pick in [0, *reports]:
            world.run()
            down = count - sum(a.healthy is True for a in world.live())
            assert down <= parallel
            waiting = [a for a in world.live() if a.healthy is None]
            if waiting:
                world.report(waiting[pick % len(waiting)].id, "running", healthy=True)
    for _ in range(count + 1):
        world.all_healthy()
        world.run()
    assert world.job is not None
    assert [a.job_version for a in world.live()] == [world.job.version] * count
    assert world.deployment is not None
    assert world.deployment.status == "successful"
