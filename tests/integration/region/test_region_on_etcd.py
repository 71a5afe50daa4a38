"""A region on a real etcd: what is acknowledged is there again after a crash."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hanse.clock import SystemClock
from hanse.config.model import AgentConfig, Ports, ServerConfig
from hanse.errors import Conflict, NoLeader, Unavailable
from hanse.store import Put, Txn
from hanse.testing.nodes import simulated_node
from region.server import Region
from region.state.codec import encode
from region.state.keys import Keys
from region.state.records import NodeRecord, NodeState
from region.store.client import EtcdStore
from tests.sim.cluster import make_job
from tests.sim.test_region_on_virtual_time import comparable

CLOCK = SystemClock()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@dataclass
class Etcd:
    """One member, which a test may kill and start again."""

    binary: Path
    folder: Path
    address: str
    peer: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                self.binary,
                "--name=one",
                f"--data-dir={self.folder}",
                f"--listen-client-urls=http://{self.address}",
                f"--advertise-client-urls=http://{self.address}",
                f"--listen-peer-urls=http://{self.peer}",
                f"--initial-advertise-peer-urls=http://{self.peer}",
                f"--initial-cluster=one=http://{self.peer}",
                "--log-level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def etcd(etcd_binary: Path, tmp_path: Path) -> Iterator[Etcd]:
    member = Etcd(etcd_binary, tmp_path / "etcd", free_address(), free_address())
    member.start()
    try:
        yield member
    finally:
        member.kill()


@asynccontextmanager
async def running(etcd: Etcd, name: str = "one") -> AsyncIterator[Region]:
    """A server, with its scheduler in a thread as in the agent. It ends without goodbye."""
    store = EtcdStore([etcd.address], clock=CLOCK)
    config = AgentConfig(
        name=name,
        bind_addr="127.0.0.1",
        ports=Ports(rpc=0),
        server=ServerConfig(heartbeat_ttl_s=60.0),
    )
    with ThreadPoolExecutor(1) as executor:
        region = Region(store, config, CLOCK, executor=executor)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(service.run()) for service in (store, *region.services())]
            await region.ready.wait()
            await eventually(lambda: region.known_leader)
            yield region
            for task in tasks:
                task.cancel()


async def eventually(check: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = CLOCK.now() + within_s
    while not check():
        assert CLOCK.now() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


async def add_nodes(region: Region, count: int) -> None:
    keys: Keys = region.state.keys
    for start in range(0, count, 50):
        writes: list[Put] = []
        for number in range(start, min(count, start + 50)):
            node = simulated_node(number)
            writes.append(Put(keys.node(node.id), encode(NodeRecord(node=node, secret_sha256=""))))
            writes.append(Put(keys.node_state(node.id), encode(NodeState(status="ready"))))
        await region._store.commit(Txn((), tuple(writes)))
    await region.barrier(CLOCK.now() + 10)


async def complete(region: Region, eval_id: str) -> None:
    """Wait for an evaluation's end the way a blocking query does."""
    async with asyncio.timeout(30):
        while True:
            evaluation = region.state.evaluation(eval_id)
            assert evaluation is not None
            if evaluation.status != "pending":
                assert evaluation.status == "complete"
                return
            topic = ("eval", eval_id)
            await region.state.wait_changed([topic], evaluation.modify_index, CLOCK.now() + 10)


async def test_a_restarted_server_has_the_state_it_had(etcd: Etcd) -> None:
    async with running(etcd) as region:
        await add_nodes(region, 100)
        answers = [await region.register_job(make_job(f"job-{n}", count=n * 30)) for n in range(5)]
        for answer in answers:
            await complete(region, answer.eval_id)
        before = comparable(region.state)
        assert len(list(region.state.allocations())) == 300
    async with running(etcd) as region:
        assert comparable(region.state) == before
        again = await region.register_job(make_job("job-1", count=35))
        await complete(region, again.eval_id)
        live = [a for a in region.state.allocations_of_job("default", "job-1") if not a.terminal]
        assert sorted(a.index for a in live) == list(range(35))


async def test_no_acknowledged_job_is_lost_when_etcd_is_killed(etcd: Etcd) -> None:
    async with running(etcd) as region:
        await add_nodes(region, 10)
        acknowledged: list[str] = []

        async def submit(worker: int) -> None:
            for number in range(40):
                job_id = f"job-{worker}-{number}"
                try:
                    answer = await region.register_job(make_job(job_id, count=1, cpu=1))
                except (Unavailable, NoLeader):
                    continue
                assert answer.eval_id
                acknowledged.append(job_id)

        async def trouble() -> None:
            for _ in range(3):
                await asyncio.sleep(0.3)
                etcd.kill()
                await asyncio.sleep(0.2)
                etcd.start()
                await asyncio.sleep(0.5)

        async with asyncio.TaskGroup() as group:
            group.create_task(trouble())
            for worker in range(4):
                group.create_task(submit(worker))
        await region.barrier(CLOCK.now() + 10)
        stored = {job.id for job in region.state.jobs()}
        assert set(acknowledged) <= stored
        assert len(acknowledged) > 100

        def settled() -> bool:
            return all(e.status == "complete" for e in region.state.evaluations())

        await eventually(settled)
        counts = [
            len([a for a in region.state.allocations_of_job("default", j) if not a.terminal])
            for j in sorted(stored)
        ]
        assert counts == [1] * len(stored)


async def test_writers_of_one_job_on_two_servers_take_turns(etcd: Etcd) -> None:
    async with running(etcd) as one, running(etcd, "two") as two:

        async def submit(region: Region, cpu: int) -> int:
            """The version that one registration became."""
            while True:
                try:
                    answer = await region.register_job(make_job("web", count=0, cpu=cpu))
                except Conflict:
                    continue
                return answer.job_modify_index

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(submit(one if n % 2 else two, 100 + n)) for n in range(20)]
        indexes = {task.result() for task in tasks}
        assert len(indexes) == 20
        await one.barrier(CLOCK.now() + 10)
        job = one.state.job("default", "web")
        assert job is not None
        assert job.version == 19
        assert job.job_modify_index == max(indexes)
