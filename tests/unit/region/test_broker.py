"""The broker on virtual time: what fails, fails alone, and what is lost is made anew."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hanse.errors import OutOfSpace
from hanse.store import Put, Txn
from hanse.structs.api import JobRegisterResponse, SchedulerConfiguration
from hanse.structs.evaluation import Evaluation
from hanse.structs.node import DrainStrategy
from hanse.structs.plan import Plan
from region.broker import broker as broker_module
from region.broker.broker import Broker
from region.scheduler.schedule import schedule
from region.scheduler.snapshot import Snapshot
from region.state.codec import encode
from region.state.records import NodeState
from tests.sim.cluster import SimCluster, make_job


async def registered(cluster: SimCluster, job_id: str, **fields: object) -> str:
    """Register a job; the id of its evaluation."""
    job = make_job(job_id, **fields)  # type: ignore[arg-type]
    answer = await cluster.attempt(cluster.region.register_job(job))
    assert isinstance(answer, JobRegisterResponse)
    return answer.eval_id


def evaluation(cluster: SimCluster, eval_id: str) -> Evaluation:
    found = cluster.region.state.evaluation(eval_id)
    assert found is not None
    return found


def live(cluster: SimCluster, job_id: str) -> int:
    allocs = cluster.region.state.allocations_of_job("default", job_id)
    return sum(not alloc.terminal for alloc in allocs)


def poisoned(snapshot: Snapshot) -> Plan:
    """A scheduler that cannot bear one job."""
    if snapshot.evaluation.job_id == "poison":
        raise ValueError("cannot bear it")
    plan = schedule(snapshot)
    if snapshot.evaluation.job_id == "unwritable":
        return replace(plan, evaluation=replace(plan.evaluation, priority=2**70))
    return plan


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = dict(Broker.__init__.__kwdefaults__ or {})
    monkeypatch.setattr(Broker.__init__, "__kwdefaults__", {**defaults, "plan": poisoned})


@pytest.mark.usefixtures("poison")
async def test_a_job_that_the_scheduler_cannot_bear_fails_alone() -> None:
    async with SimCluster(1, servers=1) as cluster:
        bad = await registered(cluster, "poison")
        good = await registered(cluster, "good")
        await cluster.clock.run_for(0.5)
        assert evaluation(cluster, good).status == "complete"
        assert live(cluster, "good") == 2
        assert evaluation(cluster, bad).status == "pending"
        await cluster.clock.run_for(10)
        failed = evaluation(cluster, bad)
        assert failed.status == "failed"
        assert failed.status_description == "scheduling failed 3 times: ValueError: cannot bear it"
        cluster.depose()
        await cluster.clock.run_for(10)
        later = await registered(cluster, "later")
        await cluster.clock.run_for(1)
        assert evaluation(cluster, later).status == "complete"
        assert evaluation(cluster, bad) == failed


@pytest.mark.usefixtures("poison")
async def test_a_plan_that_cannot_be_written_fails_alone_and_takes_no_room() -> None:
    async with SimCluster(1, nodes=1, servers=1, cpu_mhz=500) as cluster:
        bad = await registered(cluster, "unwritable", count=2, cpu=200)
        await cluster.clock.run_for(10)
        assert evaluation(cluster, bad).status == "failed"
        good = await registered(cluster, "good", count=2, cpu=200)
        await cluster.clock.run_for(1)
        assert evaluation(cluster, good).status == "complete"
        assert live(cluster, "good") == 2


async def test_a_damaged_value_in_the_store_stops_nothing_else() -> None:
    async with SimCluster(1, servers=1) as cluster:
        keys = cluster.region.state.keys
        node_id = cluster.nodes[0].node.id
        odd = NodeState(status="ready", drain=DrainStrategy(force_deadline="when I say so"))
        writes = (
            Put(keys.node_state(node_id), encode(odd)),
            Put(keys.job("default", "damaged"), b"\x01\xff"),
            Put(keys.evaluation("e-damaged"), b"\x00"),
        )
        await cluster.attempt(cluster.store.commit(Txn((), writes)))
        await cluster.clock.run_for(1)
        good = await registered(cluster, "good")
        await cluster.clock.run_for(1)
        assert evaluation(cluster, good).status == "complete"
        await cluster.restart(0)
        await cluster.clock.run_for(10)
        again = await registered(cluster, "again")
        await cluster.clock.run_for(1)
        assert evaluation(cluster, again).status == "complete"


async def test_a_plan_whose_outcome_is_not_known_is_not_carried_out_twice() -> None:
    for applied in (True, False):
        async with SimCluster(2, servers=1) as cluster:
            eval_id = await registered(cluster, "web", count=3)
            del eval_id
            cluster.store.fail_next_commit(applied=applied)
            await cluster.clock.run_for(2)
            assert live(cluster, "web") == 3
            assert len(list(cluster.region.state.allocations())) == 3


async def test_a_plan_for_a_job_that_changed_meanwhile_is_made_anew() -> None:
    async with SimCluster(3, servers=1) as cluster:
        await registered(cluster, "web", count=1)
        await cluster.clock.run_for(1)
        leader = cluster.leader
        assert leader is not None
        assert leader.broker is not None
        first = cluster._group.create_task(cluster.region.register_job(make_job("web", count=2)))
        second = cluster._group.create_task(cluster.region.register_job(make_job("web", count=4)))
        await cluster.clock.run_for(2)
        assert first.done()
        assert second.done()
        job = cluster.region.state.job("default", "web")
        assert job is not None
        assert live(cluster, "web") == job.task_groups[0].count


async def test_what_finds_no_room_is_placed_when_a_node_joins() -> None:
    async with SimCluster(4, nodes=2, servers=1, cpu_mhz=500) as cluster:
        cluster.nodes[1].up = False
        await cluster.clock.run_for(20)
        eval_id = await registered(cluster, "web", count=4, cpu=200)
        await cluster.clock.run_for(1)
        assert live(cluster, "web") == 2
        done = evaluation(cluster, eval_id)
        assert done.blocked_eval
        assert evaluation(cluster, done.blocked_eval).status == "blocked"
        assert done.queued_allocations == {"g": 2}
        cluster.nodes[1].up = True
        await cluster.clock.run_for(3)
        assert live(cluster, "web") == 4
        assert evaluation(cluster, done.blocked_eval).status == "complete"


async def test_what_finds_no_room_is_placed_when_something_ends() -> None:
    async with SimCluster(5, nodes=1, servers=1, cpu_mhz=500) as cluster:
        await registered(cluster, "first", count=2, cpu=200)
        await cluster.clock.run_for(1)
        await registered(cluster, "second", count=2, cpu=200)
        await cluster.clock.run_for(1)
        assert live(cluster, "second") == 0
        await cluster.attempt(cluster.region.deregister_job("default", "first", purge=False))
        await cluster.clock.run_for(2)
        assert live(cluster, "second") == 2


async def test_a_new_leader_takes_up_what_the_old_one_left() -> None:
    async with SimCluster(6) as cluster:
        cluster.depose()
        eval_id = await registered(cluster, "web", count=3)
        await cluster.clock.run_for(10)
        assert evaluation(cluster, eval_id).status == "complete"
        assert live(cluster, "web") == 3


async def test_an_old_leader_can_store_nothing() -> None:
    async with SimCluster(7) as cluster:
        old = cluster.leader
        assert old is not None
        term = old.candidacy.term
        assert term is not None
        cluster.depose()
        await cluster.clock.run_for(5)
        late = Txn((), (Put(old.state.keys.block("late"), b"x"),), fence=term.fence)
        task = cluster._group.create_task(cluster.store.commit(late))
        await cluster.clock.run_for(1)
        assert task.result().fenced
        assert not task.result().succeeded


async def test_a_paused_broker_schedules_nothing_until_it_goes_on() -> None:
    async with SimCluster(8, servers=1) as cluster:
        paused = SchedulerConfiguration(pause_eval_broker=True)
        await cluster.attempt(cluster.region.set_scheduler_config(paused, None))
        eval_id = await registered(cluster, "web")
        await cluster.clock.run_for(60)
        assert evaluation(cluster, eval_id).status == "pending"
        goes_on = replace(paused, pause_eval_broker=False)
        await cluster.attempt(cluster.region.set_scheduler_config(goes_on, None))
        await cluster.clock.run_for(1)
        assert evaluation(cluster, eval_id).status == "complete"


async def test_a_full_store_delays_plans_and_loses_none() -> None:
    async with SimCluster(9, servers=1) as cluster:
        await registered(cluster, "web")
        for _ in range(3):
            cluster.store.fail_next_commit(OutOfSpace("the quota is used up"))
        await cluster.clock.run_for(60)
        assert live(cluster, "web") == 2


def test_the_limits_leave_room_for_what_is_in_flight() -> None:
    limits = broker_module.LIMITS
    assert limits.weight * limits.commits <= 10_000
