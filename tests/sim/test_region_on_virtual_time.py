"""The promises of the control plane, under everything that happens to a cluster."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from hanse.errors import HanseError
from hanse.store import Relisted
from hanse.structs.allocation import Allocation
from hanse.structs.job import UpdateStrategy
from hanse.structs.node import DrainSpec
from region import garbage
from region.broker.capacity import Capacity
from region.scheduler.resources import usage_of
from region.server import Region
from region.state.state import State
from tests.sim.cluster import SimCluster, make_job

SECOND = 10**9
ROLLING = UpdateStrategy(
    max_parallel=1,
    health_check="checks",
    min_healthy_time_ns=SECOND,
    healthy_deadline_ns=30 * SECOND,
    progress_deadline_ns=60 * SECOND,
    auto_revert=True,
)


def live(state: State) -> list[Allocation]:
    return [a for a in state.allocations() if not a.terminal]


def check_capacity(state: State) -> None:
    """No node is over its capacity."""
    cpu: Counter[str] = Counter()
    for alloc in live(state):
        job = state.job_version(alloc.namespace, alloc.job_id, alloc.job_version)
        cpu[alloc.node_id] += usage_of(alloc, job).cpu_mhz
    for node_id, used in cpu.items():
        node = state.node(node_id)
        if node is not None and node.node_resources is not None:
            assert used <= node.node_resources.cpu.cpu_shares, node_id


def check_indexes(state: State) -> None:
    """At most one live allocation has an index."""
    names = Counter(
        (a.namespace, a.job_id, a.job_create_index, a.group, a.index) for a in live(state)
    )
    assert [name for name, n in names.items() if n > 1] == []


def comparable(state: State) -> dict[str, object]:
    """All that users see of a state, but for the table's own indexes."""
    return {
        "jobs": {(j.namespace, j.id): (j, state.job_status(j)) for j in state.jobs()},
        "versions": {j.id: state.job_versions(j.namespace, j.id) for j in state.jobs()},
        "allocs": {a.id: a for a in state.allocations()},
        "evals": {e.id: e for e in state.evaluations()},
        "deployments": {
            d.id: (
                d.status,
                {
                    n: (g.placed_allocs, g.healthy_allocs, g.unhealthy_allocs)
                    for n, g in d.task_groups.items()
                },
            )
            for d in state.deployments()
        },
        "summaries": {
            j.id: {
                n: (g.starting, g.running, g.complete, g.failed, g.lost, g.queued)
                for n, g in summary.summary.items()
                if any((g.starting, g.running, g.complete, g.failed, g.lost, g.queued))
            }
            for j in state.jobs()
            if (summary := state.summary(j.namespace, j.id)) is not None
        },
        "nodes": {n.id: n for n in state.nodes()},
        "by node": {
            n.id: sorted(a.id for a in state.allocations_of_node(n.id)) for n in state.nodes()
        },
    }


def difference(one: object, other: object) -> dict[str, tuple[object, object]]:
    """The fields in which two structs differ."""
    names = getattr(one, "__struct_fields__", ())
    return {
        name: (getattr(one, name), getattr(other, name))
        for name in names
        if getattr(one, name) != getattr(other, name)
    }


async def check_fresh_copy(cluster: SimCluster, region: Region) -> None:
    """A server that lists the store has the same state as one that followed every event."""
    fresh = State(region.name, cluster.clock)
    fresh.apply(Relisted(await cluster.store.list(fresh.keys.prefix)))
    assert fresh.tables.unreadable == {}
    mine, theirs = comparable(region.state), comparable(fresh)
    for table, rows in mine.items():
        assert isinstance(rows, dict)
        other = theirs[table]
        assert isinstance(other, dict)
        assert rows.keys() == other.keys(), table
        for key, row in rows.items():
            assert row == other[key], (table, difference(row, other[key]))


def check_charges(region: Region) -> None:
    """The leader's fleet is charged with what the state shows, and with nothing else."""
    broker = region.broker
    assert broker is not None
    fresh = Capacity(region.state, region.name)
    for node in region.state.nodes():
        mine, theirs = broker.capacity.view(), fresh.view()
        row, other = mine.row(node.id), theirs.row(node.id)
        assert row is not None
        assert other is not None
        assert mine.free.cpu[row] == theirs.free.cpu[other], node.id


class Trouble:
    """Does one random thing after another, and remembers what was acknowledged."""

    def __init__(self, cluster: SimCluster, seed: int) -> None:
        self.cluster = cluster
        self.rng = Random(seed)
        self.acknowledged: dict[str, int] = {}
        self.stopped: dict[str, bool] = {}
        self.indexes: dict[tuple[str, ...], int] = {}

    async def step(self) -> None:
        act = self.rng.choice(
            [self.register] * 5
            + [self.stop, self.scale, self.node_dies, self.node_returns, self.drain, self.undrain]
            + [self.stop_alloc, self.commit_fails, self.leader_falls, self.compact, self.illness]
            + [self.garbage, self.purge_job, self.ineligible, self.revert, self.server_restarts]
        )
        await act()
        await self.cluster.clock.run_for(self.rng.choice([0.0, 0.01, 0.1, 1.0, 5.0]))
        for region in self.cluster.regions:
            check_capacity(region.state)
            check_indexes(region.state)
        self.check_monotonic()

    def check_monotonic(self) -> None:
        state = self.cluster.region.state
        topics = [("jobs",), ("allocs",), ("evals",), ("deployments",), ("nodes",)]
        topics += [("job", "default", name) for name in self.acknowledged]
        topics += [("job-allocs", "default", name) for name in self.acknowledged]
        for topic in topics:
            index = state.index(topic)
            assert index >= self.indexes.get(topic, 0), topic
            self.indexes[topic] = index

    def some_job(self) -> str | None:
        names = sorted(self.acknowledged)
        return self.rng.choice(names) if names else None

    async def register(self) -> None:
        name = f"job-{self.rng.randrange(6)}"
        kind = "batch" if name in ("job-0", "job-1") else "service"
        job = make_job(
            name,
            count=self.rng.randrange(0, 6),
            cpu=self.rng.choice([100, 200, 300]),
            kind=kind,
            update=ROLLING if kind == "service" and self.rng.random() < 0.6 else None,
        )
        before = self.cluster.region.state.job("default", name)
        answer = await self.cluster.attempt(self.cluster.region.register_job(job))
        if not isinstance(answer, HanseError):
            now = self.cluster.region.state.job("default", name)
            assert now is not None
            assert before is None or now.version >= before.version
            self.acknowledged[name] = now.version
            self.stopped[name] = False

    async def stop(self) -> None:
        name = self.some_job()
        if name is not None:
            answer = await self.cluster.attempt(
                self.cluster.region.deregister_job("default", name, purge=False)
            )
            if not isinstance(answer, HanseError):
                self.stopped[name] = True

    async def purge_job(self) -> None:
        name = self.some_job()
        if name is not None and self.rng.random() < 0.3:
            answer = await self.cluster.attempt(
                self.cluster.region.deregister_job("default", name, purge=True)
            )
            if not isinstance(answer, HanseError):
                del self.acknowledged[name], self.stopped[name]
                for topic in [t for t in self.indexes if name in t]:
                    del self.indexes[topic]

    async def revert(self) -> None:
        name = self.some_job()
        if name is not None:
            version = self.rng.randrange(0, 3)
            answer = await self.cluster.attempt(
                self.cluster.region.revert_job("default", name, version)
            )
            if not isinstance(answer, HanseError):
                self.stopped[name] = False

    async def scale(self) -> None:
        from hanse.structs.api import JobScaleRequest

        name = self.some_job()
        if name is not None:
            request = JobScaleRequest(target={"Group": "g"}, count=self.rng.randrange(0, 5))
            await self.cluster.attempt(self.cluster.region.scale_job("default", name, request))

    async def node_dies(self) -> None:
        self.rng.choice(self.cluster.nodes).up = False

    async def node_returns(self) -> None:
        for node in self.cluster.nodes:
            node.up = True

    async def drain(self) -> None:
        spec = DrainSpec(deadline_ns=self.rng.choice([-1, 0, 20 * SECOND]))
        node = self.rng.choice(self.cluster.nodes).node
        await self.cluster.attempt(self.cluster.region.drain_node(node.id, spec, False, {}))

    async def undrain(self) -> None:
        for node in self.cluster.nodes:
            await self.cluster.attempt(self.cluster.region.drain_node(node.node.id, None, True, {}))

    async def ineligible(self) -> None:
        node = self.rng.choice(self.cluster.nodes).node
        await self.cluster.attempt(self.cluster.region.set_eligibility(node.id, False))

    async def stop_alloc(self) -> None:
        found = sorted(a.id for a in live(self.cluster.region.state))
        if found:
            await self.cluster.attempt(self.cluster.region.stop_allocation(self.rng.choice(found)))

    async def commit_fails(self) -> None:
        if self.rng.random() < 0.5:
            self.cluster.store.late += self.rng.randrange(1, 4)
            return
        for _ in range(self.rng.randrange(1, 4)):
            self.cluster.store.fail_next_commit(applied=self.rng.random() < 0.5)

    async def leader_falls(self) -> None:
        self.cluster.depose()

    async def server_restarts(self) -> None:
        number = self.rng.randrange(len(self.cluster.regions))
        await self.cluster.restart(number)
        await self.cluster.clock.run_for(0.05)

    async def compact(self) -> None:
        self.cluster.store.compact()

    async def illness(self) -> None:
        node = self.rng.choice(self.cluster.nodes)
        node.fail_rate = self.rng.choice([0.0, 0.05])
        node.ill_rate = self.rng.choice([0.0, 0.3])

    async def garbage(self) -> None:
        await self.cluster.attempt(self.cluster.region.collect_garbage())

    async def rest(self) -> None:
        """Let the cluster come to rest: everything is well again, and time passes."""
        for node in self.cluster.nodes:
            node.up, node.fail_rate, node.ill_rate = True, 0.0, 0.0
        await self.cluster.clock.run_for(30)
        await self.undrain()
        await self.cluster.clock.run_for(400)


async def check_rest(cluster: SimCluster, trouble: Trouble) -> None:
    leader = cluster.leader
    assert leader is not None
    state = leader.state
    for region in cluster.regions:
        assert region.state.revision == state.revision
        await check_fresh_copy(cluster, region)
    check_capacity(state)
    check_indexes(state)
    check_charges(leader)
    waiting = [e for e in state.evaluations() if e.status == "pending"]
    assert [e for e in waiting if e.wait_until.startswith("0001")] == []
    for name in trouble.acknowledged:
        job = state.job("default", name)
        if job is None:
            # Only garbage collection may forget it, and only if it was over.
            assert trouble.stopped[name] or name in ("job-0", "job-1"), name
            continue
        assert job.stop == trouble.stopped[name] or job.version > trouble.acknowledged[name], name
        running = [a for a in state.allocations_of_job("default", name) if not a.terminal]
        if job.stop:
            assert running == [], name
        elif job.type == "service":
            blocked = any(e.status == "blocked" for e in state.evaluations_of_job("default", name))
            failed = any(
                d.status == "failed" for d in state.deployments_of_job("default", name)[:1]
            )
            wanted = job.task_groups[0].count
            assert len(running) == wanted or blocked or failed, (name, len(running), wanted)


@pytest.fixture(autouse=True)
def pack_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what was packed is most of what there is."""
    monkeypatch.setattr(garbage, "CHANGE_BLOCKS_MAX", 3)
    monkeypatch.setattr(garbage, "SEGMENTS_MAX", 2)


@pytest.mark.parametrize("seed", range(12))
async def test_the_promises_hold_whatever_happens(seed: int) -> None:
    async with SimCluster(seed) as cluster:
        trouble = Trouble(cluster, seed)
        for _ in range(60):
            await trouble.step()
        await trouble.rest()
        await check_rest(cluster, trouble)
