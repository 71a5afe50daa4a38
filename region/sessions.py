"""The servers' end of the nodes' streams (`hanse.rpc.messages`).

A node's session is one stream. Up come heartbeats, statuses and changes of the node; down go
the allocations it is to run: all of them first, then what changes, found by listening to the
state, so a node is told of its own changes only and several in a row are one message.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, cast

import grpc
import grpc.aio
import structlog
from msgspec.structs import replace

from hanse.clock import Clock
from hanse.errors import Denied, HanseError, Invalid, NotFound, Unavailable
from hanse.rpc.codec import MESSAGE_BYTES_MAX, decoder, encode
from hanse.rpc.messages import (
    SERVICE,
    AnswerMessage,
    AnswerStart,
    Desired,
    Heartbeat,
    Hello,
    NodeChanged,
    NodeEventReport,
    NodeMessage,
    ServerMessage,
    Statuses,
    StatusesStored,
    WantJobs,
    Welcome,
)
from hanse.store import Put
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.ids import uuid_text
from hanse.structs.job import Job
from region.calls import Calls
from region.nodes import drafts
from region.nodes.presence import Presence
from region.nodes.statuses import StatusWriter
from region.state.codec import encode as stored
from region.state.tables import Applied
from region.writer import Draft, Writer

log = structlog.get_logger(__name__)

#: Thousands of nodes may arrive at once, each of which has said Hello long before it is read.
_HELLO_S = 30.0
#: How many nodes are registered at the same time. With more, each would wait longer for the
#: store than a write is tried, and all of them would come again.
_OPENING_MAX = 500
_SESSIONS_MAX = 50_000
_OUTBOX_MAX = 256
_STATUSES_MAX = 50_000
_WANTED_JOBS_MAX = 1_000
#: Beyond this a session forgets the jobs that its node has no allocations of any more.
_JOBS_SENT_MAX = 1_000
#: With more nodes than this each beats less often: one lost beat is forgiven instead of two.
_FEW_NODES = 1_000

_read_node: Callable[[bytes], NodeMessage] = decoder(NodeMessage)
_read_answer: Callable[[bytes], AnswerMessage] = decoder(AnswerMessage)

#: grpc has no types.
_grpc: Any = grpc

JobName = tuple[str, str, int]


class Session:
    """One node's stream: what is still to be sent, and whether it is over."""

    def __init__(self, node_id: str) -> None:
        """Nothing was sent yet."""
        self.node_id = node_id
        self.outbox: deque[ServerMessage] = deque()
        self.dirty: dict[str, None] = {}
        self.jobs_sent: set[JobName] = set()
        self.something = asyncio.Event()
        self.over = asyncio.Event()

    def send(self, message: ServerMessage) -> bool:
        """Have a message sent soon; False if the node does not keep up."""
        if self.over.is_set() or len(self.outbox) >= _OUTBOX_MAX:
            return False
        self.outbox.append(message)
        self.something.set()
        return True

    def stored(self, number: int) -> None:
        """Acknowledge statuses; only the last number matters."""
        if self.outbox and isinstance(self.outbox[-1], StatusesStored):
            self.outbox.pop()
        self.outbox.append(StatusesStored(number=number))
        self.something.set()


class Sessions:
    """All sessions of this server, and the gRPC service that opens them."""

    name = "sessions"

    def __init__(
        self,
        writer: Writer,
        presence: Presence,
        statuses: StatusWriter,
        ready: asyncio.Event,
        *,
        servers: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`ready` is set once the state is loaded; until then nodes wait."""
        self._writer = writer
        self._state = writer.state
        self._presence = presence
        self._statuses = statuses
        self._ready = ready
        self._servers = servers
        self._by_node: dict[str, Session] = {}
        self._opening = asyncio.Semaphore(_OPENING_MAX)
        self.calls = Calls(writer.clock)
        self._state.listen(self._heard)

    def __len__(self) -> int:
        """How many nodes are connected."""
        return len(self._by_node)

    def connected(self, node_id: str) -> bool:
        """Whether the node has a session with this server."""
        return node_id in self._by_node

    def tell_servers(self) -> None:
        """Have every connected node know the servers as they are now."""
        ttl_s = self._presence.ttl_s
        news = Welcome(heartbeat_s=ttl_s / 3, ttl_s=ttl_s, servers=tuple(self._servers()))
        for session in self._by_node.values():
            session.send(news)

    def send_away(self) -> int:
        """End every session, for this server is cut off; gives how many. Who comes may stay."""
        for session in self._by_node.values():
            session.over.set()
        return len(self._by_node)

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server serves nodes with."""
        methods = {
            "Session": _grpc.stream_stream_rpc_method_handler(self.session),
            "Answer": _grpc.stream_stream_rpc_method_handler(self.answer),
        }
        return cast(
            "grpc.GenericRpcHandler", _grpc.method_handlers_generic_handler(SERVICE, methods)
        )

    async def call(
        self,
        node_id: str,
        method: str,
        body: bytes,
        inputs: AsyncIterator[bytes] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Ask a node. Raises NotFound when it is not connected, and what `Calls.call` raises."""
        session = self._by_node.get(node_id)
        if session is None:
            raise NotFound("node", text="No path to node")
        # Whoever knows the id may answer, so it does not come from the region's own chance.
        call_id = uuid_text(secrets.randbits(128))
        pieces = self.calls.call(node_id, call_id, method, body, inputs, session.send)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    # The state's side.

    def _heard(self, applied: Applied) -> None:
        """Note what the connected nodes must be told."""
        by_node = self._by_node
        if not by_node:
            return
        for change in applied.changes:
            if change.table != "allocs":
                if change.table == "nodes" and change.new is None:
                    self._purged(change.key)
                continue
            old, new = change.old, change.new
            alloc = new if new is not None else old
            if not isinstance(alloc, Allocation):
                continue
            session = by_node.get(alloc.node_id)
            if session is None:
                continue
            if (
                isinstance(new, Allocation)
                and isinstance(old, Allocation)
                and old.alloc_modify_index == new.alloc_modify_index
            ):
                continue
            session.dirty[alloc.id] = None
            session.something.set()

    def _purged(self, node_id: object) -> None:
        """End the session of a node that was purged; it may come back as a new one."""
        session = self._by_node.get(node_id) if isinstance(node_id, str) else None
        if session is not None:
            session.over.set()

    def _desired(self, session: Session) -> Desired:
        """What changed for a node since it was last told."""
        ids = list(session.dirty)
        session.dirty.clear()
        allocs = [a for a in (self._state.allocation(i) for i in ids) if a is not None]
        known = {alloc.id for alloc in allocs}
        return Desired(
            revision=self._state.revision,
            allocations=tuple(for_node(alloc) for alloc in allocs),
            jobs=self._jobs_for(session, allocs),
            gone=tuple(i for i in ids if i not in known),
        )

    def _all_desired(self, session: Session) -> Desired:
        session.dirty.clear()
        session.jobs_sent.clear()
        allocs = self._state.allocations_of_node(session.node_id)
        return Desired(
            revision=self._state.revision,
            allocations=tuple(for_node(alloc) for alloc in allocs),
            jobs=self._jobs_for(session, allocs),
            complete=True,
        )

    def _jobs_for(self, session: Session, allocs: Iterable[Allocation]) -> tuple[Job, ...]:
        """The jobs that allocations run and the node was not told of yet."""
        jobs: list[Job] = []
        if len(session.jobs_sent) > _JOBS_SENT_MAX:
            held = self._state.allocations_of_node(session.node_id)
            session.jobs_sent &= {(a.namespace, a.job_id, a.job_version) for a in held}
        for alloc in allocs:
            name = (alloc.namespace, alloc.job_id, alloc.job_version)
            if name in session.jobs_sent or alloc.terminal:
                continue
            job = self._state.job_version(*name)
            if job is not None:
                session.jobs_sent.add(name)
                jobs.append(job)
        return tuple(jobs)

    # The streams' side.

    async def session(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Serve one node until either side hangs up. `context` is gRPC's."""
        try:
            session = await self._open(requests, context)
        except HanseError as error:
            await context.abort(_code(error), str(error))
            return
        log.info("node connected", node=session.node_id)
        ended: HanseError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    group.create_task(self._read(session, requests)),
                    group.create_task(self._write(session, context)),
                    group.create_task(_until(session.over)),
                }
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        except* HanseError as errors:
            ended = first_of(errors)
            log.warning("session ended", node=session.node_id, error=str(ended))
        finally:
            session.over.set()
            if self._by_node.get(session.node_id) is session:
                del self._by_node[session.node_id]
            log.info("node disconnected", node=session.node_id)
        if ended is not None:
            await context.abort(_code(ended), str(ended))

    async def _open(self, requests: AsyncIterator[bytes], context: Any) -> Session:
        """Take the node's Hello, register it and take over its session."""
        if len(self._by_node) >= _SESSIONS_MAX:
            raise Unavailable("this server, which has too many nodes,", 0.0)
        try:
            async with asyncio.timeout(_HELLO_S):
                await self._ready.wait()
                hello = _read_node(await anext(requests))
        except (TimeoutError, StopAsyncIteration) as error:
            raise Unavailable("the node", _HELLO_S) from error
        if not isinstance(hello, Hello):
            raise Invalid("message", "a session begins with Hello")
        async with self._opening:
            await self._register(hello)
        node_id = hello.node.id
        before = self._by_node.get(node_id)
        if before is not None:
            before.over.set()
        session = self._by_node[node_id] = Session(node_id)
        self._presence.heard(node_id)
        ttl_s = self._presence.ttl_s
        beat_s = ttl_s * (0.33 if len(self._by_node) < _FEW_NODES else 0.45)
        welcome = Welcome(heartbeat_s=beat_s, ttl_s=ttl_s, servers=tuple(self._servers()))
        await context.write(encode(welcome))
        await context.write(encode(self._all_desired(session)))
        return session

    async def _read(self, session: Session, requests: AsyncIterator[bytes]) -> None:
        """Take what the node says, until it hangs up."""
        node_id = session.node_id
        async for data in requests:
            message = _read_node(data)
            self._presence.heard(node_id)
            match message:
                case Heartbeat():
                    if self._state.node_state(node_id).status != "ready":
                        await self._back(node_id)
                case Statuses(number=number, statuses=statuses):
                    if len(statuses) > _STATUSES_MAX:
                        raise Invalid("statuses", f"there are more than {_STATUSES_MAX}")
                    self._report(session, number, statuses)
                case NodeChanged(node=node):
                    await self._changed(node_id, node)
                case NodeEventReport():
                    await self._event(node_id, message)
                case WantJobs(jobs=jobs):
                    self._want(session, jobs)
                case Hello():
                    raise Invalid("message", "the session is open already")

    def _report(self, session: Session, number: int, statuses: Sequence[AllocStatus]) -> None:
        self._statuses.report(session.node_id, statuses, lambda: session.stored(number))

    def _want(self, session: Session, names: Sequence[JobName]) -> None:
        found = [self._state.job_version(*name) for name in names[:_WANTED_JOBS_MAX]]
        jobs = tuple(job for job in found if job is not None)
        session.send(Desired(revision=self._state.revision, allocations=(), jobs=jobs))

    async def _write(self, session: Session, context: Any) -> None:
        """Send what there is to send, for ever."""
        while True:
            await session.something.wait()
            session.something.clear()
            while session.outbox:
                await context.write(encode(session.outbox.popleft()))
            if session.dirty:
                await context.write(encode(self._desired(session)))

    # Writes on behalf of the node.

    async def _register(self, hello: Hello) -> None:
        writer = self._writer
        await writer.write(lambda: drafts.registration(writer, hello.node, hello.secret))

    async def _back(self, node_id: str) -> None:
        """A node that was given up is heard again."""
        writer = self._writer
        await writer.write(lambda: drafts.heard_again(writer, node_id))

    async def _changed(self, node_id: str, node: Any) -> None:
        if node.id != node_id:
            raise Denied("a node may only change itself")
        writer = self._writer
        await writer.write(lambda: drafts.changed(writer, node))

    async def _event(self, node_id: str, report: NodeEventReport) -> None:
        writer = self._writer
        key = writer.state.keys.node_state(node_id)

        def decide() -> Draft[None]:
            now_ns = writer.clock.wall_ns()
            details = dict(list(report.details.items())[:32])
            state = drafts.with_event(
                writer.state.node_state(node_id), report.subsystem, report.text, now_ns, details
            )
            return Draft((writer.key_is(key),), (Put(key, stored(state)),), "", None)

        await writer.write(decide)

    async def answer(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Take one answer to a call. `context` is gRPC's."""
        try:
            async with asyncio.timeout(_HELLO_S):
                start = _read_answer(await anext(requests))
            if not isinstance(start, AnswerStart):
                raise Invalid("message", "an answer begins with AnswerStart")
            messages = (_read_answer(data) async for data in requests)
            await self.calls.answer(start.call_id, messages, context.write)
        except (TimeoutError, StopAsyncIteration):
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no AnswerStart")
        except HanseError as error:
            await context.abort(_code(error), str(error))


class RpcServer:
    """A service: the port that nodes connect to."""

    name = "rpc"

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        clock: Clock,
        address: str,
        *,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """`address` is "host:port"; with port 0 the system chooses (see `port`)."""
        self._handlers = tuple(handlers)
        self._clock = clock
        self._address = address
        self._credentials = credentials
        self.port = 0
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen and serve for ever."""
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                ("grpc.keepalive_time_ms", 10_000),
                ("grpc.keepalive_timeout_ms", 5_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.so_reuseport", 0),
            ]
        )
        server.add_generic_rpc_handlers(self._handlers)
        try:
            if self._credentials is not None:
                self.port = server.add_secure_port(self._address, self._credentials)
            else:
                self.port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise Invalid("ports.rpc", f"cannot listen on {self._address}") from error
        try:
            await server.start()
            log.info("listening for nodes", address=self._address, port=self.port)
            self.listening.set()
            await server.wait_for_termination()
        finally:
            self.listening.clear()
            await server.stop(grace=0.2)


def for_node(alloc: Allocation) -> Allocation:
    """An allocation as its node gets it: without metrics, and the last report in brief."""
    client = alloc.client
    if client is not None:
        client = AllocStatus(
            alloc_id=client.alloc_id,
            client_status=client.client_status,
            healthy=client.healthy,
            healthy_in=client.healthy_in,
        )
    return replace(alloc, metrics=None, client=client)


def first_of(errors: ExceptionGroup[HanseError]) -> HanseError:
    """One error of a group, however deep."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, ExceptionGroup) else first


def _code(error: HanseError) -> grpc.StatusCode:
    match error.kind:
        case "denied":
            return grpc.StatusCode.PERMISSION_DENIED
        case "invalid" | "too-large":
            return grpc.StatusCode.INVALID_ARGUMENT
        case "not-found":
            return grpc.StatusCode.NOT_FOUND
        case _:
            return grpc.StatusCode.UNAVAILABLE


async def _until(event: asyncio.Event) -> None:
    await event.wait()
