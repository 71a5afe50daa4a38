"""A node agent against a server of ours that speaks the session over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest

from client.agent import Client
from hanse.clock import SystemClock
from hanse.config.model import AgentConfig, ClientConfig
from hanse.rpc.codec import decoder, encode
from hanse.rpc.messages import (
    SERVICE,
    AnswerEnd,
    AnswerFailed,
    AnswerMessage,
    AnswerStart,
    Call,
    CallInput,
    Chunk,
    Desired,
    Heartbeat,
    Hello,
    NodeChanged,
    NodeEventReport,
    NodeMessage,
    Statuses,
    StatusesStored,
    WantJobs,
    Welcome,
)
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import RestartPolicy, Task
from hanse.testing.driver import FakeHost, ScriptedDriver

_read_node = decoder(NodeMessage)
_read_answer = decoder(AnswerMessage)


class CallFailed(Exception):
    """What the node answered instead."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class FakeServer:
    """Keeps what nodes say and lets a test say anything to them."""

    def __init__(self) -> None:
        self.hellos: list[Hello] = []
        self.heartbeats = 0
        self.nodes: list[NodeChanged] = []
        self.reports: list[NodeEventReport] = []
        self.wanted: list[WantJobs] = []
        self.statuses: dict[str, list[AllocStatus]] = {}
        self.batches: list[int] = []
        self.acknowledge = True
        self.port = 0
        self.heartbeat_s = 0.05
        self.servers: tuple[str, ...] = ()
        self._server: Any = None
        self._streams: list[asyncio.Queue[Any]] = []
        self._answers: dict[str, asyncio.Queue[Any]] = {}
        self._inputs: dict[str, list[CallInput]] = {}
        self._moved = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        methods = {
            "Session": grpc.stream_stream_rpc_method_handler(self._session),
            "Answer": grpc.stream_stream_rpc_method_handler(self._answer),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, methods),)
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(grace=None)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(self, message: object) -> None:
        """To every node that is connected."""
        for stream in self._streams:
            stream.put_nowait(message)

    def want(self, *allocations: Allocation, jobs: tuple[Job, ...] = (), **more: Any) -> None:
        self.send(Desired(revision=1, allocations=allocations, jobs=jobs, **more))

    async def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        """Wait for something the node says to make the condition true."""
        async with asyncio.timeout(timeout_s):
            while not (found := condition()):
                self._moved.clear()
                await self._moved.wait()
        return found

    def latest(self, alloc_id: str) -> AllocStatus | None:
        return (self.statuses.get(alloc_id) or [None])[-1]

    async def status(self, alloc_id: str, client_status: str, timeout_s: float = 10.0) -> Any:
        """Wait for an allocation to be reported so."""

        def reached() -> AllocStatus | None:
            status = self.latest(alloc_id)
            return status if status and status.client_status == client_status else None

        return await self.until(reached, timeout_s)

    async def call(
        self, method: str, body: object, inputs: tuple[CallInput, ...] = ()
    ) -> AsyncIterator[bytes]:
        """Ask the node; give the chunks. Raises CallFailed."""
        call_id = f"call-{len(self._answers)}"
        queue = self._answers[call_id] = asyncio.Queue()
        self._inputs[call_id] = list(inputs)
        self.send(Call(id=call_id, method=method, body=encode(body)))
        try:
            while True:
                match await asyncio.wait_for(queue.get(), 10):
                    case Chunk(body=chunk):
                        yield chunk
                    case AnswerFailed(kind=kind, text=text):
                        raise CallFailed(kind, text)
                    case AnswerEnd():
                        return
        finally:
            queue.put_nowait(None)
            del self._inputs[call_id]

    async def ask(self, method: str, body: object, inputs: tuple[CallInput, ...] = ()) -> bytes:
        return b"".join([chunk async for chunk in self.call(method, body, inputs)])

    async def _session(self, requests: AsyncIterator[bytes], context: Any) -> None:
        hello = _read_node(await anext(requests))
        assert isinstance(hello, Hello)
        stream: asyncio.Queue[Any] = asyncio.Queue()
        await context.write(
            encode(Welcome(heartbeat_s=self.heartbeat_s, ttl_s=1, servers=self.servers))
        )
        self._streams.append(stream)
        self.hellos.append(hello)
        self._moved.set()
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(stream, context))
                async for data in requests:
                    self._take(_read_node(data), stream)
                    self._moved.set()
                writer.cancel()
        finally:
            self._streams.remove(stream)

    async def _write(self, stream: asyncio.Queue[Any], context: Any) -> None:
        while True:
            await context.write(encode(await stream.get()))

    def _take(self, message: NodeMessage, stream: asyncio.Queue[Any]) -> None:
        match message:
            case Heartbeat():
                self.heartbeats += 1
            case Statuses(number=number, statuses=statuses):
                self.batches.append(number)
                for status in statuses:
                    self.statuses.setdefault(status.alloc_id, []).append(status)
                if self.acknowledge:
                    stream.put_nowait(StatusesStored(number=number))
            case NodeChanged():
                self.nodes.append(message)
            case NodeEventReport():
                self.reports.append(message)
            case WantJobs():
                self.wanted.append(message)
            case Hello():
                raise AssertionError("a second Hello")

    async def _answer(self, requests: AsyncIterator[bytes], context: Any) -> None:
        start = _read_answer(await anext(requests))
        assert isinstance(start, AnswerStart)
        queue = self._answers[start.call_id]
        for given in self._inputs[start.call_id]:
            await context.write(encode(given))
        async for data in requests:
            message = _read_answer(data)
            queue.put_nowait(message)
            if not isinstance(message, Chunk) or start.call_id not in self._inputs:
                return


class Bench:
    """A state folder, a host with fake tasks, a server; agents come and go before them."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.folder = folder
        self.server = server
        self.clock = SystemClock()
        self.host = FakeHost(self.clock)
        self.driver = ScriptedDriver(self.host)
        self.client: Client | None = None
        self.config = AgentConfig(
            data_dir=str(folder), client=ClientConfig(enabled=True, meta={"rack": "r1"})
        )

    @asynccontextmanager
    async def agent(self, **config: Any) -> AsyncIterator[Client]:
        """An agent, registered; cancelled at the end as if its process were told to stop."""
        client = Client(
            msgspec.structs.replace(self.config, **config),
            {"fake": self.driver},
            self.clock,
            servers=lambda: [self.server.address],
        )
        hellos = len(self.server.hellos)
        self.client = client
        task = asyncio.create_task(client.run())
        try:
            await self.server.until(lambda: len(self.server.hellos) > hellos)
            yield client
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def bench(tmp_path: Path, server: FakeServer) -> Bench:
    return Bench(tmp_path, server)


def job(name: str = "web", *, kind: str = "service", version: int = 0, **group: Any) -> Job:
    tasks = group.pop("tasks", (Task(name="main", driver="fake"),))
    group.setdefault(
        "restart_policy", RestartPolicy(attempts=0, interval_ns=10**12, delay_ns=0, mode="fail")
    )
    return Job(
        id=name,
        name=name,
        namespace="default",
        type=kind,
        version=version,
        task_groups=(TaskGroup(name="g", count=1, tasks=tasks, **group),),
    )


def alloc(job: Job, alloc_id: str = "a1", **more: Any) -> Allocation:
    return Allocation(
        id=alloc_id,
        namespace="default",
        job_id=job.id,
        job_version=job.version,
        group="g",
        index=0,
        node_id="n",
        eval_id="e",
        **more,
    )


@pytest.fixture
def make_job() -> Callable[..., Job]:
    return job


@pytest.fixture
def make_alloc() -> Callable[..., Allocation]:
    return alloc


@pytest.fixture
async def another_server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
