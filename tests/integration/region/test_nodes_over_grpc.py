"""Nodes that connect over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import Any

import grpc
import grpc.aio
import pytest
from msgspec.structs import replace

from hanse.clock import SystemClock
from hanse.config.model import AgentConfig, Ports, ServerConfig
from hanse.errors import HanseError, NotFound, Unavailable
from hanse.rpc.codec import decoder, encode
from hanse.rpc.messages import (
    ANSWER,
    SESSION,
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
    ServerMessage,
    Statuses,
    StatusesStored,
    WantJobs,
    Welcome,
)
from hanse.structs.allocation import AllocStatus
from hanse.testing.nodes import SimulatedFleet, SimulatedNode, open_channel, simulated_node
from hanse.testing.store import MemoryStore
from region.server import Region
from tests.sim.cluster import make_job

read: Callable[[bytes], ServerMessage] = decoder(ServerMessage)
NODE = simulated_node(1)
CLOCK = SystemClock()


async def eventually(check: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = CLOCK.now() + within_s
    while not check():
        assert CLOCK.now() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(ttl_s: float = 30.0) -> AsyncIterator[Region]:
    config = AgentConfig(
        bind_addr="127.0.0.1", ports=Ports(rpc=0), server=ServerConfig(heartbeat_ttl_s=ttl_s)
    )
    region = Region(MemoryStore(), config, CLOCK, rng=Random(1))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service.run()) for service in region.services()]
        await region.rpc.listening.wait()
        await eventually(lambda: region.broker is not None)
        yield region
        for task in tasks:
            task.cancel()


class Wire:
    """A node that speaks by hand."""

    def __init__(self, region: Region) -> None:
        self.channel = open_channel(f"127.0.0.1:{region.rpc.port}")
        self.call: Any = self.channel.stream_stream(SESSION)()

    async def say(self, message: object) -> None:
        await self.call.write(encode(message))

    async def hear(self, kind: type[Any]) -> Any:
        """The next message of a kind; others are passed over."""
        async with asyncio.timeout(10):
            while True:
                data = await self.call.read()
                assert data is not grpc.aio.EOF, await self.call.details()  # type: ignore[attr-defined]
                message = read(data)
                if isinstance(message, kind):
                    return message

    async def hello(self, secret: str = "s") -> Desired:
        await self.say(Hello(node=NODE, secret=secret))
        self.welcome = await self.hear(Welcome)
        first: Desired = await self.hear(Desired)
        return first

    async def refused(self) -> grpc.StatusCode:
        async with asyncio.timeout(10):
            code: grpc.StatusCode = await self.call.code()
            return code

    async def close(self) -> None:
        self.call.cancel()
        await self.channel.close()


async def test_a_node_registers_runs_what_it_is_told_and_reports() -> None:
    async with running() as region:
        wire = Wire(region)
        first = await wire.hello()
        assert (first.complete, first.allocations) == (True, ())
        assert wire.welcome.ttl_s == 30.0
        node = region.state.node(NODE.id)
        assert node is not None
        assert (node.status, node.scheduling_eligibility, node.secret_id) == (
            "ready",
            "eligible",
            "",
        )
        await region.register_job(make_job("web", count=1))
        desired = await wire.hear(Desired)
        (alloc,) = desired.allocations
        assert not desired.complete
        assert [job.id for job in desired.jobs] == ["web"]
        await wire.say(
            Statuses(number=7, statuses=(AllocStatus(alloc_id=alloc.id, client_status="running"),))
        )
        assert await wire.hear(StatusesStored) == StatusesStored(number=7)
        stored = region.state.allocation(alloc.id)
        assert stored is not None
        assert stored.client_status == "running"
        await region.deregister_job("default", "web", purge=False)
        told = await wire.hear(Desired)
        assert [(a.id, a.desired_status) for a in told.allocations] == [(alloc.id, "stop")]
        assert told.jobs == ()
        await wire.close()


async def test_a_node_that_comes_back_hears_all_it_is_to_run() -> None:
    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        await region.register_job(make_job("web", count=2))
        await wire.hear(Desired)
        await wire.close()
        again = Wire(region)
        first = await again.hello()
        assert first.complete
        assert len(first.allocations) == 2
        assert [job.id for job in first.jobs] == ["web"]
        await again.say(WantJobs(jobs=(("default", "web", 0), ("default", "no", 3))))
        wanted = await again.hear(Desired)
        assert [job.id for job in wanted.jobs] == ["web"]
        assert not wanted.complete
        await again.close()


async def test_another_secret_is_refused_and_the_node_stays_as_it_is() -> None:
    async with running() as region:
        wire = Wire(region)
        await wire.hello("right")
        before = region.state.node(NODE.id)
        thief = Wire(region)
        await thief.say(Hello(node=replace(NODE, name="mine now"), secret="wrong"))
        assert await thief.refused() == grpc.StatusCode.PERMISSION_DENIED
        assert region.state.node(NODE.id) == before
        assert region.sessions.connected(NODE.id)
        await thief.close()
        await wire.close()


@pytest.mark.parametrize(
    "first",
    [
        b"\xc1",
        encode(Heartbeat()),
        encode(Hello(node=replace(NODE, id="../../etc/passwd"), secret="s")),
        encode(Hello(node=replace(NODE, name="x" * 300), secret="s")),
    ],
)
async def test_nonsense_is_refused(first: bytes) -> None:
    async with running() as region:
        wire = Wire(region)
        await wire.call.write(first)
        assert await wire.refused() == grpc.StatusCode.INVALID_ARGUMENT
        assert list(region.state.nodes()) == []
        await wire.close()


async def test_a_node_cannot_speak_for_another() -> None:
    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        await region.register_job(make_job("web", count=1))
        (alloc,) = (await wire.hear(Desired)).allocations
        other = Wire(region)
        await other.say(Hello(node=simulated_node(2), secret="s2"))
        await other.hear(Welcome)
        lie = AllocStatus(alloc_id=alloc.id, client_status="failed")
        await other.say(Statuses(number=1, statuses=(lie,)))
        await other.hear(StatusesStored)
        stored = region.state.allocation(alloc.id)
        assert stored is not None
        assert stored.client_status == "pending"
        await other.say(NodeChanged(node=replace(NODE, name="evil")))
        assert await other.refused() == grpc.StatusCode.PERMISSION_DENIED
        found = region.state.node(NODE.id)
        assert found is not None
        assert found.name == NODE.name
        await other.close()
        await wire.close()


async def test_changes_and_events_of_a_node_are_seen() -> None:
    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        changed = replace(NODE, attributes={**NODE.attributes, "driver.docker": "1"})
        await wire.say(NodeChanged(node=changed))
        await wire.say(NodeEventReport(subsystem="Driver", text="docker is healthy"))

        def seen() -> bool:
            node = region.state.node(NODE.id)
            return node is not None and node.events[-1].message == "docker is healthy"

        await eventually(seen)
        node = region.state.node(NODE.id)
        assert node is not None
        assert node.attributes["driver.docker"] == "1"
        assert node.status == "ready"
        await wire.close()


async def test_a_node_that_connects_twice_has_one_session() -> None:
    async with running() as region:
        one, two = Wire(region), Wire(region)
        await one.hello()
        await two.hello()
        assert await one.refused() == grpc.StatusCode.OK
        assert region.sessions.connected(NODE.id)
        assert len(region.sessions) == 1
        await one.close()
        await two.close()
        await eventually(lambda: len(region.sessions) == 0)


async def test_a_silent_node_goes_down_and_is_ready_when_it_speaks_again() -> None:
    async with running(ttl_s=1.0) as region:
        wire = Wire(region)
        await wire.hello()
        await eventually(lambda: [n.status for n in region.state.nodes()] == ["down"])
        await wire.say(Heartbeat())
        await eventually(lambda: [n.status for n in region.state.nodes()] == ["ready"])
        await wire.close()


async def answered(
    region: Region, wire: Wire, answer: Callable[[Any, Call], Any], **options: Any
) -> list[bytes]:
    """Call the node, which answers by `answer(stream, call)`."""
    pieces: list[bytes] = []

    async def ask() -> None:
        stream = region.call_node(NODE.id, "NodeStats", b"body", **options)
        async with aclosing(stream) as answers:  # type: ignore[type-var]
            pieces.extend([piece async for piece in answers])

    async def reply() -> None:
        call = await wire.hear(Call)
        assert (call.method, call.body) == ("NodeStats", b"body")
        stream: Any = wire.channel.stream_stream(ANSWER)()
        await stream.write(encode(AnswerStart(call_id=call.id)))
        await answer(stream, call)

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask())
        replying = group.create_task(reply())
        await asyncio.wait({asking})
        replying.cancel()
    return pieces


async def test_a_call_brings_the_nodes_answer_and_takes_input_along() -> None:
    async def echo(stream: Any, call: Call) -> None:
        read_input = decoder(CallInput)
        while True:
            given = read_input(await stream.read())
            if given.closed:
                break
            await stream.write(encode(Chunk(body=b"<" + given.body + b">")))
        from hanse.rpc.messages import AnswerEnd

        await stream.write(encode(AnswerEnd()))
        await stream.done_writing()

    async def inputs() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        assert await answered(region, wire, echo, inputs=inputs()) == [b"<one>", b"<two>"]
        await wire.close()


async def test_what_a_node_refuses_is_told_to_who_asked() -> None:
    async def refuse(stream: Any, call: Call) -> None:
        refusal: AnswerMessage = AnswerFailed(kind="not-found", text='unknown task name "x"')
        await stream.write(encode(refusal))
        await stream.done_writing()

    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        with pytest.raises(ExceptionGroup) as caught:
            await answered(region, wire, refuse)
        (error,) = caught.value.exceptions
        assert isinstance(error, NotFound)
        assert str(error) == 'unknown task name "x"'
        await wire.close()


async def test_a_node_that_hangs_up_in_the_middle_is_unavailable() -> None:
    async def half(stream: Any, call: Call) -> None:
        await stream.write(encode(Chunk(body=b"half")))
        await stream.done_writing()

    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        with pytest.raises(ExceptionGroup) as caught:
            await answered(region, wire, half)
        assert isinstance(caught.value.exceptions[0], Unavailable)
        await wire.close()


async def test_who_stops_listening_ends_the_answer() -> None:
    async with running() as region:
        wire = Wire(region)
        await wire.hello()
        ended = asyncio.Event()

        async def for_ever() -> None:
            call = await wire.hear(Call)
            stream: Any = wire.channel.stream_stream(ANSWER)()
            await stream.write(encode(AnswerStart(call_id=call.id)))
            try:
                while True:
                    await stream.write(encode(Chunk(body=b"x" * 10_000)))
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                ended.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever())
            stream = region.call_node(NODE.id, "NodeStats", b"")
            async with aclosing(stream) as answers:  # type: ignore[type-var]
                async for piece in answers:
                    assert piece == b"x" * 10_000
                    break
            async with asyncio.timeout(10):
                await ended.wait()
        await wire.close()


async def test_there_is_no_path_to_a_node_that_is_not_connected() -> None:
    async with running() as region:
        with pytest.raises(NotFound, match=r"^No path to node$"):
            async for _ in region.call_node(NODE.id, "NodeStats", b""):
                pass


async def test_an_answer_to_no_call_is_refused() -> None:
    async with running() as region:
        channel = open_channel(f"127.0.0.1:{region.rpc.port}")
        stream: Any = channel.stream_stream(ANSWER)()
        await stream.write(encode(AnswerStart(call_id="guessed")))
        async with asyncio.timeout(10):
            assert await stream.code() == grpc.StatusCode.NOT_FOUND
        await channel.close()


async def test_three_hundred_simulated_nodes_run_a_job_that_is_spread_over_them() -> None:
    async with running() as region, asyncio.TaskGroup() as group:
        nodes = [SimulatedNode(simulated_node(n), CLOCK) for n in range(300)]
        fleet = SimulatedFleet(nodes, f"127.0.0.1:{region.rpc.port}")
        task = group.create_task(fleet.run())
        await fleet.synced()
        await region.register_job(make_job("web", count=600))

        def all_run() -> bool:
            summary = region.state.summary("default", "web")
            return summary is not None and summary.summary["g"].running == 600

        await eventually(all_run)
        assert sum(len(node.desired) for node in nodes) == 600
        pieces = [p async for p in region.call_node(nodes[7].node.id, "NodeStats", b"")]
        assert pieces == [b"{}"]
        task.cancel()


def test_errors_of_nodes_keep_their_kind() -> None:
    from region.calls import failure

    kinds = ["invalid", "not-found", "denied", "unsupported", "driver-failed", "made-up"]
    errors: list[HanseError] = [failure(kind, "text") for kind in kinds]
    assert [e.kind for e in errors] == [*kinds[:5], "driver-failed"]
    assert {str(e) for e in errors} == {"text"}
