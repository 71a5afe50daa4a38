"""A whole region on virtual time: servers, a slow store that fails, and nodes that come and go.

The servers are `region.server.Region` as it is, all but the port; the nodes speak the protocol
to it. One seed decides everything that happens and in which order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

from hanse.config.model import AgentConfig, ServerConfig
from hanse.errors import HanseError, Unavailable
from hanse.rpc.codec import decoder, encode
from hanse.rpc.messages import (
    Desired,
    Heartbeat,
    Hello,
    ServerMessage,
    Statuses,
)
from hanse.store import Txn, TxnResult
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import EphemeralDisk, Job, ReschedulePolicy, TaskGroup, UpdateStrategy
from hanse.structs.node import Node
from hanse.structs.task import LogConfig, Resources, Task
from hanse.testing.clock import HandClock
from hanse.testing.nodes import ended, simulated_node, well
from hanse.testing.store import MemoryStore
from region.server import Region

_read = decoder(ServerMessage)


class SimClock(HandClock):
    """Jumps from one thing that is due to the next."""

    async def settle(self) -> None:
        """Let everything run that can without time passing."""
        loop = asyncio.get_running_loop()
        for _ in range(100_000):
            await asyncio.sleep(0)
            if not loop._ready:  # type: ignore[attr-defined]
                return
        raise AssertionError("the simulation does not come to rest")

    async def run_for(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now() + seconds
        while True:
            await self.settle()
            due = self._sleepers[0][0] if self._sleepers else end
            if due >= end:
                self.advance(max(0.0, end - self.now()))
                await self.settle()
                return
            self.advance(max(0.0, due - self.now()))


class SlowStore(MemoryStore):
    """Commits take time, in order; what fails fails as told."""

    def __init__(self, clock: SimClock, rng: Random) -> None:
        super().__init__(far_behind=300)
        self._clock = clock
        self._rng = rng
        self._turn = asyncio.Lock()
        #: How many commits are answered with "no answer" and carried out seconds later.
        self.late = 0
        self.group: asyncio.TaskGroup | None = None

    async def _carry_out_later(self, txn: Txn) -> None:
        await self._clock.sleep(self._rng.uniform(0.01, 3.0))
        with suppress(HanseError):
            await super().commit(txn)

    async def commit(self, txn: Txn) -> TxnResult:
        if self.late and self.group is not None:
            self.late -= 1
            self.group.create_task(self._carry_out_later(txn))
            await self._clock.sleep(0.3)
            raise Unavailable("the slow store", 0.3)
        async with self._turn:
            await self._clock.sleep(self._rng.uniform(0.0005, 0.004))
            result = await super().commit(txn)
        await self._clock.sleep(self._rng.uniform(0.0001, 0.002))
        return result


class SimNode:
    """A node that runs nothing, dies, comes back, and says what the seed decides."""

    def __init__(self, node: Node, clock: SimClock, rng: Random) -> None:
        self.node = node
        self.clock = clock
        self.rng = rng
        self.up = True
        self.fail_rate = 0.0
        self.ill_rate = 0.0
        self.complete_batch = True
        self.reported: dict[str, AllocStatus] = {}
        self.desired: dict[str, Allocation] = {}
        self.batch: set[str] = set()
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._number = 0

    async def run(self, regions: list[Region]) -> None:
        """Stay connected to whichever server leads, while up."""
        while True:
            leader = next((r for r in regions if r.is_leader), None)
            if not self.up or leader is None:
                await self.clock.sleep(0.5)
                continue
            self._outbox = asyncio.Queue()
            self._say(Hello(node=self.node, secret="s" + self.node.id))
            for status in self.reported.values():
                self._report(status)
            async with asyncio.TaskGroup() as group:
                session = group.create_task(leader.sessions.session(self._requests(), self))
                beat = group.create_task(self._beat(leader))
                work = group.create_task(self._work())
                await asyncio.wait({session, beat}, return_when=asyncio.FIRST_COMPLETED)
                for task in (session, beat, work):
                    task.cancel()

    # The session's context, as gRPC gives it.

    async def write(self, data: bytes) -> None:
        match _read(data):
            case Desired() as desired:
                if desired.complete:
                    self.desired.clear()
                self.desired.update({a.id: a for a in desired.allocations})
                for gone in desired.gone:
                    self.desired.pop(gone, None)
                for job in desired.jobs:
                    if job.type == "batch":
                        self.batch.add(job.id)
            case _:
                pass

    async def abort(self, code: object, text: str) -> None:
        raise AssertionError(f"refused: {code} {text}")

    async def _requests(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._outbox.get()

    async def _beat(self, leader: Region) -> None:
        while self.up and leader.is_leader:
            self._say(Heartbeat())
            await self.clock.sleep(2.0)

    async def _work(self) -> None:
        while True:
            await self.clock.sleep(self.rng.uniform(0.05, 0.4))
            for alloc in list(self.desired.values()):
                self._look_at(alloc)

    def _look_at(self, alloc: Allocation) -> None:
        now_ns = self.clock.wall_ns()
        last = self.reported.get(alloc.id)
        status = last.client_status if last is not None else "pending"
        if status in ("complete", "failed"):
            return
        if alloc.desired_status != "run":
            if last is not None or alloc.client is None:
                self._report(ended(alloc.id, "complete", now_ns))
        elif status == "pending":
            report = well(alloc, now_ns)
            if self.rng.random() < self.ill_rate and alloc.deployment_id:
                report = _with_health(report, False)
            self._report(report)
        elif self.rng.random() < self.fail_rate:
            self._report(ended(alloc.id, "failed", now_ns))
        elif alloc.job_id in self.batch and self.complete_batch and self.rng.random() < 0.3:
            self._report(ended(alloc.id, "complete", now_ns))

    def _report(self, status: AllocStatus) -> None:
        self.reported[status.alloc_id] = status
        self._number += 1
        self._say(Statuses(number=self._number, statuses=(status,)))

    def _say(self, message: object) -> None:
        self._outbox.put_nowait(encode(message))


def _with_health(status: AllocStatus, healthy: bool) -> AllocStatus:
    return AllocStatus(
        alloc_id=status.alloc_id,
        client_status="running",
        healthy=healthy,
        healthy_at_ns=status.modified_ns,
        modified_ns=status.modified_ns,
    )


def make_job(
    job_id: str,
    *,
    count: int = 2,
    cpu: int = 200,
    kind: str = "service",
    update: UpdateStrategy | None = None,
) -> Job:
    """A small job."""
    reschedule = ReschedulePolicy(
        delay_ns=5 * 10**9,
        delay_function="constant",
        unlimited=kind == "service",
        attempts=0 if kind == "service" else 3,
        interval_ns=0 if kind == "service" else 3600 * 10**9,
        max_delay_ns=10 * 10**9,
    )
    return Job(
        id=job_id,
        type=kind,
        task_groups=(
            TaskGroup(
                name="g",
                count=count,
                update=update,
                reschedule_policy=reschedule,
                ephemeral_disk=EphemeralDisk(size_mb=10),
                tasks=(
                    Task(
                        name="t",
                        driver="mock",
                        resources=Resources(cpu=cpu, memory_mb=64),
                        log_config=LogConfig(max_files=1, max_file_size_mb=1),
                    ),
                ),
            ),
        ),
    )


class SimCluster:
    """Servers, nodes and a store."""

    def __init__(
        self, seed: int, *, nodes: int = 6, servers: int = 2, cpu_mhz: int = 1_000
    ) -> None:
        self.rng = Random(seed)
        self.clock = SimClock()
        self.store = SlowStore(self.clock, self.rng)
        self.regions: list[Region] = []
        self._servers = servers
        self.nodes = [
            SimNode(simulated_node(i, cpu_mhz=cpu_mhz), self.clock, Random(self.rng.random()))
            for i in range(nodes)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._running: dict[int, list[asyncio.Task[None]]] = {}

    def new_region(self, number: int) -> Region:
        """One server, not started."""
        config = AgentConfig(
            name=f"server-{number}",
            server=ServerConfig(gc_interval_s=120, eval_gc_threshold_s=300, job_gc_threshold_s=600),
        )
        return Region(self.store, config, self.clock, rng=Random(self.rng.random()))

    async def __aenter__(self) -> SimCluster:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self.store.group = self._group
        for number in range(self._servers):
            self.regions.append(self.new_region(number))
            self._start(number)
        await self.clock.run_for(1.0)
        for node in self.nodes:
            self._tasks.append(self._group.create_task(node.run(self.regions)))
        await self.clock.run_for(2.0)
        return self

    def _start(self, number: int) -> None:
        self._running[number] = [
            self._group.create_task(service.run(), name=service.name)
            for service in self.regions[number].services()
            if service.name != "rpc"
        ]

    async def restart(self, number: int) -> None:
        """End a server in the middle of whatever it does; another takes its place."""
        for task in self._running[number]:
            task.cancel()
        await self.clock.settle()
        self.regions[number] = self.new_region(number)
        self._start(number)

    async def __aexit__(self, *error: object) -> None:
        for task in (*self._tasks, *(t for tasks in self._running.values() for t in tasks)):
            task.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    def leader(self) -> Region | None:
        """The server that leads."""
        return next((r for r in self.regions if r.is_leader), None)

    @property
    def region(self) -> Region:
        """Some server: commands need no leader."""
        return self.regions[0]

    def depose(self) -> None:
        """End the leader's lease."""
        leader = self.leader
        if leader is not None:
            term = leader.candidacy.term
            assert term is not None
            self.store.expire_lease(term.leader.lease)

    async def attempt(self, command: object) -> object:
        """Carry out a command while time passes; None if it failed in an expected way."""
        task = self._group.create_task(_caught(command))  # type: ignore[arg-type]
        while not task.done():
            await self.clock.run_for(0.01)
        return task.result()


async def _caught(command: object) -> object:
    try:
        return await command  # type: ignore[misc]
    except HanseError as error:
        return error
