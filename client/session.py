"""The node's stream to a server of its region, kept up for ever.

One stream carries everything small: heartbeats, statuses and changes of the node up, desired
allocations and calls down. When it breaks, the next server is tried after a pause that grows and
is jittered, so that the nodes of a dead server do not arrive at the others in one instant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from client.outbox import Outbox
from hanse.clock import Clock
from hanse.errors import HanseError, Unavailable
from hanse.rpc.codec import MESSAGE_BYTES_MAX, decoder, encode
from hanse.rpc.messages import (
    SESSION,
    Call,
    Desired,
    Heartbeat,
    Hello,
    NodeChanged,
    NodeMessage,
    ServerMessage,
    StatusesStored,
    WantJobs,
    Welcome,
)
from hanse.structs.node import Node

log = structlog.get_logger(__name__)

#: How long a status waits for others to go with it.
QUIET_S = 0.01
WELCOME_S = 10.0
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0
#: Messages that wait for a session; older changes of the node are superseded anyway.
QUEUE_MAX = 1000

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # Reconnecting is ours to pace, and each session starts from a fresh connection.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),
    # A server that is cut off or stopped is noticed within seconds; servers allow these pings.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)

#: grpc has no types.
_aio: Any = grpc.aio

_read_message: Callable[[bytes], ServerMessage] = decoder(ServerMessage)


class Listener(Protocol):
    """Takes what servers say."""

    def desired(self, message: Desired) -> tuple[tuple[str, str, int], ...]:
        """Do as told; the answer names the jobs that must be sent first."""
        ...

    def call(self, channel: grpc.aio.Channel, call: Call) -> None:
        """Answer a call on this connection. Never blocks."""
        ...


class Session:
    """The stream, whichever server it goes to."""

    name = "client.session"

    def __init__(
        self,
        *,
        servers: Callable[[], list[str]],
        node: Callable[[], Node],
        secret: str,
        outbox: Outbox,
        listener: Listener,
        clock: Clock,
        rng: Random,
    ) -> None:
        """`servers` gives the configured ones; those that servers tell of are added."""
        self._configured = servers
        self._told: tuple[str, ...] = ()
        self._node = node
        self._secret = secret
        self._outbox = outbox
        self._listener = listener
        self._clock = clock
        self._rng = rng
        self._queue: deque[NodeMessage] = deque(maxlen=QUEUE_MAX)
        self._wake = asyncio.Event()
        self._welcomed = False
        #: The server the node is registered with now, "" while there is none.
        self.server = ""

    def send(self, message: NodeMessage) -> None:
        """Queue a message for the servers."""
        self._queue.append(message)
        self._wake.set()

    def statuses_wait(self) -> None:
        """The outbox has something."""
        self._wake.set()

    async def run(self) -> None:
        """Keep a session for ever."""
        failures = 0
        turn = self._rng.randrange(1 << 16)
        while True:
            servers = self._servers()
            self._welcomed = False
            if servers:
                server = servers[turn % len(servers)]
                try:
                    await self._talk(server)
                except (grpc.aio.AioRpcError, HanseError, OSError) as error:
                    log.warning("session ended", server=server, error=_text(error))
                self.server = ""
                turn += 1
            failures = failures + 1 if servers and not self._welcomed else 0
            pause_s = min(PAUSE_MAX_S, PAUSE_MIN_S * 2 ** min(failures, 10))
            await self._clock.sleep(pause_s * (0.5 + self._rng.random()))

    def _servers(self) -> list[str]:
        return list(dict.fromkeys([*self._configured(), *self._told]))

    async def _talk(self, server: str) -> None:
        async with grpc.aio.insecure_channel(server, options=OPTIONS) as channel:
            stream = channel.stream_stream(
                SESSION, request_serializer=encode, response_deserializer=_read_message
            )()
            try:
                async with asyncio.timeout(WELCOME_S):
                    node = self._node()
                    await stream.write(Hello(node=node, secret=self._secret))
                    welcome = await stream.read()
            except TimeoutError as error:
                raise Unavailable(f"server {server}", WELCOME_S) from error
            if not isinstance(welcome, Welcome):
                log.warning("not welcome", server=server, reason=await stream.details())
                return
            self._welcomed = True
            self.server = server
            self._told = welcome.servers
            log.info("session open", server=server, ttl_s=welcome.ttl_s)
            self._drop_old_news(node)
            self._outbox.reconnect()
            self._wake.set()
            await self._exchange(channel, stream, welcome.heartbeat_s)

    def _drop_old_news(self, said: Node) -> None:
        """Of changes before the hello nothing need be said; of one since, once."""
        news: list[NodeMessage] = [
            message for message in self._queue if not isinstance(message, NodeChanged)
        ]
        if self._node() != said:
            news.append(NodeChanged(node=self._node()))
        self._queue = deque(news, maxlen=QUEUE_MAX)

    async def _exchange(self, channel: grpc.aio.Channel, stream: Any, heartbeat_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write(stream))
            pulse = group.create_task(self._beat(heartbeat_s))
            try:
                while (message := await stream.read()) is not _aio.EOF:
                    self._on_message(channel, message)
            except grpc.aio.AioRpcError as error:
                log.info("session broke", error=_text(error))
            finally:
                writer.cancel()
                pulse.cancel()
                stream.cancel()

    def _on_message(self, channel: grpc.aio.Channel, message: ServerMessage) -> None:
        match message:
            case Desired():
                wanted = self._listener.desired(message)
                if wanted:
                    self.send(WantJobs(jobs=wanted))
            case StatusesStored(number=number):
                self._outbox.acknowledge(number)
                self._wake.set()
            case Call():
                self._listener.call(channel, message)
            case Welcome():
                self._told = message.servers

    async def _beat(self, heartbeat_s: float) -> None:
        while True:
            await self._clock.sleep(heartbeat_s)
            self.send(Heartbeat())

    async def _write(self, stream: Any) -> None:
        """The only one to write: gRPC allows one write at a time."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await stream.write(self._queue.popleft())
                if self._outbox.waiting:
                    await self._clock.sleep(QUIET_S)
                while (batch := self._outbox.take()) is not None:
                    await stream.write(batch)
        except grpc.aio.AioRpcError as error:
            log.debug("cannot write", error=_text(error))
        except asyncio.InvalidStateError:
            log.debug("stream is closed")


def _text(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)
