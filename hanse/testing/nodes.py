"""Nodes without machines: they speak the nodes' protocol over gRPC and run nothing.

Thousands fit into one process, so benchmarks and tests have clusters of any size. A node takes
every allocation that it is given, says that it runs and is healthy, and stops it when told. A
test may have it fail, complete, fall silent or answer calls (`SimulatedNode.behave`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from hanse.clock import Clock
from hanse.rpc.codec import MESSAGE_BYTES_MAX, decoder, encode
from hanse.rpc.messages import (
    ANSWER,
    SESSION,
    AnswerEnd,
    AnswerMessage,
    AnswerStart,
    Call,
    Chunk,
    Desired,
    Heartbeat,
    Hello,
    NodeMessage,
    ServerMessage,
    Statuses,
    StatusesStored,
    Welcome,
)
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.node import (
    DriverInfo,
    LegacyNodeCpuResources,
    Node,
    NodeDiskResources,
    NodeMemoryResources,
    NodeResources,
)
from hanse.structs.taskstate import TaskState
from hanse.structs.times import rfc3339

#: grpc.aio has no complete types.
_aio: Any = grpc.aio

_read: Callable[[bytes], ServerMessage] = decoder(ServerMessage)

#: How long changes are gathered before they are reported, in seconds.
FLUSH_S = 0.05
#: How many nodes of a fleet connect at the same time, and how many share a connection.
_OPENING_MAX = 100
_CHANNEL_NODES = 100
#: The first and the longest wait before a node of a fleet connects again, in seconds.
_BACKOFF_S, _BACKOFF_MAX_S = 0.25, 5.0


def simulated_node(
    number: int, *, cpu_mhz: int = 4_000, memory_mb: int = 8_192, datacenter: str = "dc1"
) -> Node:
    """A registration like that of a small Linux machine; `number` gives its id and name."""
    return Node(
        id=f"{number:08x}-51de-4000-8000-{number:012x}",
        name=f"sim-{number}",
        datacenter=datacenter,
        node_pool="default",
        http_addr="127.0.0.1:4646",
        attributes={
            "kernel.name": "linux",
            "cpu.arch": "amd64",
            "driver.raw_exec": "1",
            "driver.mock": "1",
            "nomad.version": "1.10.0",
            "nomad.service_discovery": "true",
            "unique.hostname": f"sim-{number}",
        },
        drivers={
            name: DriverInfo(detected=True, healthy=True, health_description="Healthy")
            for name in ("raw_exec", "docker", "mock")
        },
        node_resources=NodeResources(
            cpu=LegacyNodeCpuResources(cpu_shares=cpu_mhz, total_cpu_cores=4),
            memory=NodeMemoryResources(memory_mb=memory_mb),
            disk=NodeDiskResources(disk_mb=100_000),
        ),
    )


def well(alloc: Allocation, now_ns: int) -> AllocStatus:
    """What a node reports of an allocation at once: it runs, and it is healthy."""
    return AllocStatus(
        alloc_id=alloc.id,
        client_status="running",
        client_description="Tasks are running",
        task_states={"task": TaskState(state="running", started_at=rfc3339(now_ns))},
        healthy=True if alloc.deployment_id else None,
        healthy_at_ns=now_ns if alloc.deployment_id else 0,
        modified_ns=now_ns,
    )


def ended(alloc_id: str, status: str, now_ns: int) -> AllocStatus:
    """What a node reports of an allocation that is over."""
    return AllocStatus(
        alloc_id=alloc_id,
        client_status=status,
        task_states={"task": TaskState(state="dead", failed=status == "failed")},
        modified_ns=now_ns,
    )


class Disconnected(Exception):
    """The server ended the session; the text is gRPC's status."""


#: What reading and writing raise once a session is over, depending on who notices it first.
_GONE = (Disconnected, grpc.aio.AioRpcError, asyncio.InvalidStateError)


class SimulatedNode:
    """One node. `run` connects and stays connected."""

    def __init__(
        self, node: Node, clock: Clock, *, secret: str = "", behave: object = None
    ) -> None:
        """`behave(alloc, now_ns)`, if given, decides the first report instead of `well`."""
        self.node = node
        self.secret = secret or f"secret-{node.id}"
        self.clock = clock
        self.behave: Any = behave or well
        #: What it was told to run, by id.
        self.desired: dict[str, Allocation] = {}
        #: What it last reported.
        self.reported: dict[str, AllocStatus] = {}
        self.calls: list[Call] = []
        #: What it answers to every call.
        self.answer: Sequence[bytes] = (b"{}",)
        self.welcome: Welcome | None = None
        self.synced = asyncio.Event()
        #: It is there and says nothing while this is set.
        self.mute = False
        self.stored = 0
        self._number = 0
        self._waiting: dict[str, AllocStatus] = {}
        self._something = asyncio.Event()
        #: A stream takes one message at a time.
        self._writing = asyncio.Lock()

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Be a node until cancelled; raises Disconnected when the server hangs up."""
        session: Any = channel.stream_stream(SESSION)
        call = session()
        self.synced.clear()
        try:
            await call.write(encode(Hello(node=self.node, secret=self.secret)))
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(call, channel, group))
                others = [group.create_task(self._write(call)), group.create_task(self._beat(call))]
                try:
                    await reading
                finally:
                    for task in others:
                        task.cancel()
        except* _GONE as errors:
            raise Disconnected(str(errors.exceptions[0])) from errors
        finally:
            call.cancel()

    def report(self, *statuses: AllocStatus) -> None:
        """Have statuses sent soon."""
        for status in statuses:
            self._waiting[status.alloc_id] = status
            self.reported[status.alloc_id] = status
        self._something.set()

    async def _read(self, call: Any, channel: Any, group: asyncio.TaskGroup) -> None:
        while True:
            data = await call.read()
            if data is _aio.EOF:
                raise Disconnected(f"{await call.code()}: {await call.details()}")
            match _read(data):
                case Welcome() as welcome:
                    self.welcome = welcome
                case Desired() as desired:
                    self._take(desired)
                case StatusesStored(number=number):
                    self.stored = max(self.stored, number)
                case Call() as asked:
                    self.calls.append(asked)
                    group.create_task(self._reply(asked, channel))

    def _take(self, desired: Desired) -> None:
        if desired.complete:
            self.desired.clear()
        for gone in desired.gone:
            self.desired.pop(gone, None)
            self.reported.pop(gone, None)
        now_ns = self.clock.wall_ns()
        for alloc in desired.allocations:
            self.desired[alloc.id] = alloc
            last = self.reported.get(alloc.id)
            over = alloc.client_terminal or (
                last is not None and last.client_status in ("complete", "failed", "lost")
            )
            if over:
                continue
            if alloc.desired_status != "run":
                self.report(ended(alloc.id, "complete", now_ns))
            elif last is None:
                status = self.behave(alloc, now_ns)
                if status is not None:
                    self.report(status)
        if desired.complete:
            self.synced.set()

    async def _write(self, call: Any) -> None:
        while True:
            await self._something.wait()
            await self.clock.sleep(FLUSH_S)
            self._something.clear()
            statuses = tuple(self._waiting.values())
            self._waiting.clear()
            if statuses and not self.mute:
                self._number += 1
                message = Statuses(number=self._number, statuses=statuses)
                async with self._writing:
                    await call.write(encode(message))

    async def _beat(self, call: Any) -> None:
        while True:
            await self.clock.sleep(self.welcome.heartbeat_s if self.welcome is not None else 0.2)
            if not self.mute:
                async with self._writing:
                    await call.write(encode(Heartbeat()))

    async def _reply(self, asked: Call, channel: Any) -> None:
        messages: list[AnswerMessage] = [
            AnswerStart(call_id=asked.id),
            *(Chunk(body=piece) for piece in self.answer),
            AnswerEnd(),
        ]

        async def pieces() -> AsyncIterator[bytes]:
            for message in messages:
                yield encode(message)

        async for _ in channel.stream_stream(ANSWER)(pieces()):
            pass


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel to a server for as many nodes as share it (about a hundred is good)."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


class SimulatedFleet:
    """Many nodes in one task group, a hundred to a connection.

    Like real ones they do not all arrive in one instant, and come back when a session ends.
    """

    def __init__(self, nodes: Sequence[SimulatedNode], address: str) -> None:
        """`address` is "host:port" of a server's RPC."""
        self.nodes = nodes
        self._address = address
        self._opening = asyncio.Semaphore(_OPENING_MAX)

    async def run(self) -> None:
        """Run all nodes until cancelled."""
        channels = [open_channel(self._address) for _ in range(0, len(self.nodes), _CHANNEL_NODES)]
        try:
            async with asyncio.TaskGroup() as group:
                for number, node in enumerate(self.nodes):
                    group.create_task(self._stay(node, channels[number // _CHANNEL_NODES]))
        finally:
            for channel in channels:
                await channel.close()

    async def _stay(self, node: SimulatedNode, channel: grpc.aio.Channel) -> None:
        """Keep a node connected for ever."""
        failures = 0
        while True:
            async with asyncio.TaskGroup() as group:
                await self._opening.acquire()
                running = group.create_task(self._session(node, channel))
                synced = group.create_task(node.synced.wait())
                await asyncio.wait((running, synced), return_when=asyncio.FIRST_COMPLETED)
                self._opening.release()
                failures = 0 if synced.done() else failures + 1
                await running
                synced.cancel()
            await node.clock.sleep(min(_BACKOFF_MAX_S, _BACKOFF_S * 2**failures))

    async def _session(self, node: SimulatedNode, channel: grpc.aio.Channel) -> None:
        with contextlib.suppress(Disconnected):
            await node.run(channel)

    async def synced(self) -> None:
        """Return when every node has been told what to run."""
        for node in self.nodes:
            await node.synced.wait()


#: What a node may say; for tests that speak the protocol by hand.
Said = NodeMessage
