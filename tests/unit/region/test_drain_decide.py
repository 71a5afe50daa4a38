"""Who leaves a draining node, and when."""

from __future__ import annotations

from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job, MigrateStrategy, TaskGroup
from hanse.structs.node import DrainStrategy
from hanse.structs.taskstate import DesiredTransition
from hanse.structs.times import rfc3339
from region.drain.decide import Decision, Facts, decide

SECOND = 10**9
NOW = 1_000 * SECOND
MIGRATE = MigrateStrategy(max_parallel=1, min_healthy_time_ns=10 * SECOND)


def job(kind: str = "service", count: int = 3, parallel: int = 1) -> Job:
    migrate = MigrateStrategy(max_parallel=parallel, min_healthy_time_ns=10 * SECOND)
    group = TaskGroup(name="g", count=count, migrate=migrate)
    return Job(id="web", namespace="default", type=kind, task_groups=(group,))


def alloc(
    alloc_id: str,
    node_id: str = "n1",
    *,
    since_ns: int = 0,
    status: str = "running",
    **fields: object,
) -> Allocation:
    return Allocation(
        id=alloc_id,
        namespace="default",
        job_id="web",
        job_version=0,
        group="g",
        index=0,
        node_id=node_id,
        eval_id="e",
        client=AllocStatus(alloc_id=alloc_id, client_status=status, modified_ns=since_ns),
        **fields,  # type: ignore[arg-type]
    )


def facts(*allocs: Allocation, of: Job | None = None, deadline_ns: int = 0) -> Facts:
    strategy = DrainStrategy(force_deadline=rfc3339(deadline_ns))
    one = of or job()
    return Facts(
        draining={"n1": strategy},
        on_nodes=[a for a in allocs if a.node_id == "n1" and not a.client_terminal],
        jobs={("default", "web"): one},
        of_jobs={("default", "web"): allocs},
        now_ns=NOW,
    )


def leaving(decision: Decision) -> list[str]:
    return [a.id for a in decision.migrate]


def test_one_leaves_at_a_time_while_all_are_well() -> None:
    decision = decide(facts(alloc("a"), alloc("b"), alloc("c", "n2")))
    assert leaving(decision) == ["a"]
    assert decision.done == ()


def test_the_next_waits_until_the_replacement_is_well() -> None:
    left = alloc("a", transition=DesiredTransition(migrate=True))
    young = alloc("new", "n2", since_ns=NOW - 3 * SECOND)
    decision = decide(facts(left, alloc("b"), alloc("c", "n2"), young))
    assert leaving(decision) == []
    assert decision.wake_at_ns == NOW + 7 * SECOND
    old = alloc("new", "n2", since_ns=NOW - 10 * SECOND)
    assert leaving(decide(facts(left, alloc("b"), alloc("c", "n2"), old))) == ["b"]


def test_max_parallel_leave_together() -> None:
    allocs = [alloc(name) for name in "abc"]
    assert leaving(decide(facts(*allocs, of=job(parallel=2)))) == ["a", "b"]
    assert leaving(decide(facts(*allocs, of=job(parallel=9)))) == ["a", "b", "c"]


def test_nobody_leaves_while_too_few_are_well() -> None:
    sick = alloc("b", "n2", status="failed")
    assert leaving(decide(facts(alloc("a"), sick, alloc("c", "n2")))) == []


def test_batch_instances_stay_until_the_deadline() -> None:
    batch = job("batch")
    early = decide(facts(alloc("a"), of=batch, deadline_ns=NOW + 5 * SECOND))
    assert (leaving(early), early.wake_at_ns) == ([], NOW + 5 * SECOND)
    assert leaving(decide(facts(alloc("a"), of=batch, deadline_ns=NOW))) == ["a"]


def test_at_the_deadline_everything_leaves() -> None:
    allocs = [alloc(name) for name in "abc"]
    assert leaving(decide(facts(*allocs, deadline_ns=NOW - 1))) == ["a", "b", "c"]


def test_a_node_is_done_when_nothing_runs_there_any_more() -> None:
    stopping = alloc("a", desired_status="stop", transition=DesiredTransition(migrate=True))
    assert decide(facts(stopping)).done == ()
    stopped = alloc("a", desired_status="stop", status="complete")
    assert decide(facts(stopped)).done == ("n1",)


def test_system_jobs_neither_leave_nor_hold_the_node_up() -> None:
    decision = decide(facts(alloc("a"), of=job("system")))
    assert decision == Decision(done=("n1",))
