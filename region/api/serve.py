"""Listening: addresses, and what one peer may take.

What aiohttp's server leaves open is closed here: connections are counted by address, one that
sends no request within the handshake time is closed, and so is one that does not read what it is
sent.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.web_protocol import RequestHandler

from hanse.clock import Clock
from hanse.config.model import AgentConfig
from hanse.errors import Invalid
from region.api.agent import AgentInfo
from region.api.app import Api, body_bytes_max
from region.api.ports import RegionPort
from region.api.respond import base_headers

log = structlog.get_logger(__name__)

#: Connections of all peers together.
CONNECTIONS_MAX = 16_384
BACKLOG = 1024
KEEPALIVE_S = 75.0
#: How long a peer may leave what it was sent unread.
UNREAD_S_MAX = 60.0
HEADER_LINE_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
SHUTDOWN_S = 3.0
#: How long a refused body is still taken in: a peer that is cut off while it sends may never see
#: why it was refused.
LINGER_S = 1.0

_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 56\r\nConnection: close\r\n\r\n"
    b"Your IP is issuing too many concurrent connections here."
)


class Limiter:
    """How many connections there are, in all and by peer."""

    def __init__(self, *, per_client: int, total: int = CONNECTIONS_MAX) -> None:
        """0 is no limit."""
        self._per_client = per_client
        self._total = total
        self._by_peer: Counter[str] = Counter()
        self.open = 0
        #: How many were turned away.
        self.refused = 0

    def enter(self, peer: str) -> bool:
        """Take one more connection in, if there is room."""
        if self._total and self.open >= self._total:
            self.refused += 1
            return False
        if self._per_client and peer and self._by_peer[peer] >= self._per_client:
            self.refused += 1
            return False
        self._by_peer[peer] += 1
        self.open += 1
        return True

    def leave(self, peer: str) -> None:
        """One is closed."""
        self.open -= 1
        self._by_peer[peer] -= 1
        if self._by_peer[peer] <= 0:
            del self._by_peer[peer]


class GuardedHandler(RequestHandler):
    """One connection, with its deadlines."""

    __slots__ = ("_counted", "_handshake", "_handshake_s", "_limiter", "_peer", "_unread")

    def __init__(self, limiter: Limiter, handshake_s: float, **kwargs: Any) -> None:
        """`handshake_s` is the time for the first request's head; 0 is no limit."""
        super().__init__(**kwargs)
        self._limiter = limiter
        self._handshake_s = handshake_s
        self._peer = ""
        self._counted = False
        self._handshake: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or turn it away."""
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._counted = self._limiter.enter(self._peer)
        super().connection_made(transport)
        if not self._counted:
            if isinstance(transport, asyncio.Transport):
                transport.write(_TOO_MANY)
            self.force_close()
            return
        if self._handshake_s > 0:
            loop = asyncio.get_running_loop()
            self._handshake = loop.call_later(self._handshake_s, self._too_slow)

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Say in one line what was wrong with a request; handlers log their own mistakes."""
        error = kwargs.get("exc_info")
        log.info("bad request", peer=self._peer, error=str(error or args)[:200])

    def handle_error(self, *args: Any, **kwargs: Any) -> web.StreamResponse:
        """What aiohttp says to those who do not speak HTTP, with the headers all answers have."""
        response = super().handle_error(*args, **kwargs)
        response.headers.update(base_headers({}))
        return response

    def _too_slow(self) -> None:
        self._handshake = None
        self.force_close()

    def data_received(self, data: bytes) -> None:
        """Take data in; the first whole request head ends the handshake."""
        super().data_received(data)
        if self._handshake is not None and self._request_count > 0:
            self._handshake.cancel()
            self._handshake = None

    def pause_writing(self) -> None:
        """The peer reads more slowly than it is sent to."""
        super().pause_writing()
        if self._unread is None:
            loop = asyncio.get_running_loop()
            self._unread = loop.call_later(UNREAD_S_MAX, self._not_read)

    def _not_read(self) -> None:
        self._unread = None
        transport = self.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        if self._counted:
            self._counted = False
            self._limiter.leave(self._peer)
        for timer in (self._handshake, self._unread):
            if timer is not None:
                timer.cancel()
        self._handshake = self._unread = None
        super().connection_lost(exc)


class HttpService:
    """The HTTP API as a part of an agent."""

    name = "http"

    def __init__(
        self, region: RegionPort, agent: AgentInfo, config: AgentConfig, clock: Clock
    ) -> None:
        """Nothing listens until `run`."""
        self._handle = Api(region, agent, config).handle
        self._config = config
        self._clock = clock
        self._limiter = Limiter(per_client=config.limits.http_max_conns_per_client)
        self._sockets: list[socket.socket] = []
        #: Set once it listens.
        self.ready = asyncio.Event()

    def bind(self) -> list[tuple[str, int]]:
        """Take the addresses, and say which they are. Raises Invalid when one is taken.

        Called by `run` unless it was called before: whoever must know a port that the system
        chose, calls it first.
        """
        if self._sockets:
            return self.addresses
        hosts = (self._config.addresses.http or self._config.bind_addr).split()
        port = self._config.ports.http
        try:
            for host in hosts or ["127.0.0.1"]:
                self._sockets.append(_bound(host, port))
                if port == 0:
                    port = int(self._sockets[0].getsockname()[1])
        except OSError as error:
            self._close_sockets()
            raise Invalid("http", f"cannot listen on {hosts} port {port}: {error}") from error
        return self.addresses

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [(str(s.getsockname()[0]), int(s.getsockname()[1])) for s in self._sockets]

    async def run(self) -> None:
        """Serve until cancelled; then let requests end, for a short time."""
        self.bind()
        loop = asyncio.get_running_loop()
        body_max = body_bytes_max(self._config)

        def make_request(
            message: Any, payload: Any, protocol: Any, writer: Any, task: Any
        ) -> web.Request:
            return web.Request(
                message, payload, protocol, writer, task, loop, client_max_size=body_max
            )

        # Not an application of aiohttp's: its router would look for the one route there is.
        server = web.Server(
            self._answer, request_factory=cast("Any", make_request), handler_cancellation=True
        )

        def connection() -> GuardedHandler:
            return GuardedHandler(
                self._limiter,
                self._config.limits.http_handshake_timeout_s,
                manager=server,
                loop=loop,
                keepalive_timeout=KEEPALIVE_S,
                access_log=None,
                max_line_size=HEADER_LINE_BYTES_MAX,
                max_field_size=HEADER_LINE_BYTES_MAX,
                max_headers=HEADERS_MAX,
                lingering_time=LINGER_S,
            )

        try:
            async with asyncio.TaskGroup() as group:
                for bound in self._sockets:
                    listener = await loop.create_server(connection, sock=bound, backlog=BACKLOG)
                    group.create_task(listener.serve_forever())
                self.ready.set()
                log.info("http api listening", addresses=self.addresses)
        finally:
            self._close_sockets()
            server.pre_shutdown()
            await server.shutdown(SHUTDOWN_S)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        if "Expect" in request.headers and request.version == HttpVersion11:
            if request.headers["Expect"].lower() != "100-continue":
                raise web.HTTPExpectationFailed(headers=base_headers({}))
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # What follows is the response's, and begins with its head.
            request.writer.output_size = 0
        return await self._handle(request)

    def _close_sockets(self) -> None:
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def services(
    region: RegionPort, agent: AgentInfo, config: AgentConfig, clock: Clock
) -> Sequence[HttpService]:
    """The API's services, for `hanse.service.supervise`."""
    return (HttpService(region, agent, config, clock),)
