"""Membership on the network: datagrams and streams on one port, and the clock.

Performs what `federation.regions.Membership` decides. Whatever comes from outside is bounded: the
size of datagrams and frames, the streams at one time and how long one may take. A stream or a
datagram that fails is nothing but a message lost, which the protocol expects.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import structlog

from federation.codec import STREAM_BYTES_MAX, Codec, Drop
from federation.events import (
    Answer,
    Changed,
    Departed,
    Effect,
    Exchange,
    Exchanged,
    ForceLeave,
    Input,
    Join,
    Leave,
    NameTaken,
    Received,
    Refuted,
    RegionTaken,
    Send,
    SetTags,
    Start,
    StateReceived,
    StreamAnswered,
    StreamOnly,
    StreamProbe,
    Verdicts,
    Wake,
)
from federation.keyring import Keyring
from federation.messages import (
    Address,
    Alive,
    KeyringAsked,
    KeyringTold,
    State,
    Status,
    StreamMessage,
    StreamPing,
    StreamPong,
)
from federation.profile import WAN, Profile
from federation.regions import Membership, RegionWatch, WatchProfile
from federation.swim import Member, Swim
from federation.verdicts import Judgement
from hanse.clock import Clock
from hanse.errors import HanseError, Invalid, Unavailable

log = structlog.get_logger(__name__)

#: Streams opened, and served, at one time; more are not opened, or closed unread.
STREAMS_MAX = 64
#: Of those served, so many of one address, so that one stranger cannot have them all.
STREAMS_OF_ONE_MAX = 16
#: What one exchange may take, from connecting to the last byte.
STREAM_S = 10.0
_LENGTH_BYTES = 4
_BIND_TRIES = 20


class StreamFailed(Unavailable):
    """A member was not reached, or broke off. It may have heard what we said."""

    def __init__(self, peer: str, why: str) -> None:
        """Name the peer's address and what happened."""
        HanseError.__init__(self, f"{peer}: {why}")
        self.peer = peer


Listener = Callable[[Changed | Verdicts], None]


@dataclass(frozen=True, kw_only=True)
class GossipSettings:
    """What one member is and where it listens."""

    name: str
    region: str
    #: Names the federation; members of another one are strangers.
    federation: str
    bind_host: str
    #: 0 lets the system choose.
    bind_port: int
    #: What others reach us at, an IP address; the bind address if empty.
    advertise_host: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    keyring: Keyring = field(default_factory=Keyring)
    join: tuple[Address, ...] = ()
    #: Whoever is alone tries `join` again this often, for ever.
    retry_join_s: float = 30.0
    profile: Profile = WAN
    watch: WatchProfile = field(default_factory=WatchProfile)


@dataclass(frozen=True, slots=True)
class KeyringReport:
    """What members answered about their keys, by name of the member."""

    told: dict[str, KeyringTold]
    failed: dict[str, str]


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams on; a socket's errors are lost messages."""

    def __init__(self, gossip: Gossip) -> None:
        self._gossip = gossip

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take one datagram, of anybody."""
        self._gossip.datagram(data, (addr[0], addr[1]))


class Gossip:
    """One member of the pool. Made by `open_gossip`; a service that runs until cancelled."""

    name = "gossip"

    def __init__(
        self,
        settings: GossipSettings,
        listening: tuple[socket.socket, socket.socket],
        *,
        clock: Clock,
        rng: Random,
        fresh: Callable[[int], bytes],
    ) -> None:
        """Take the bound sockets, stream and datagram, of one port."""
        self._settings = settings
        self._clock = clock
        self._stream_socket, self._datagram_socket = listening
        host = settings.advertise_host or settings.bind_host
        port = self._stream_socket.getsockname()[1]
        # Later than in any earlier life, where the clock is right; where not, the first exchange
        # tells us what we were and we outbid it.
        incarnation = clock.wall_ns() // 10**9
        tags = {**settings.tags, "region": settings.region}
        me = Alive(settings.name, host, port, incarnation, tags)
        self._swim = Swim(me, rng, settings.profile)
        self._watch = RegionWatch(self._swim, settings.watch)
        self._machine = Membership(self._swim, self._watch)
        self._codec = Codec(settings.federation, settings.keyring, fresh)
        self._listeners: list[Listener] = []
        self._answers: dict[int, State] = {}
        self._tokens = 0
        self._open = 0
        self._serving: Counter[str] = Counter()
        self._departed = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self.unsent: Counter[str] = Counter()

    # What others ask.

    @property
    def address(self) -> Address:
        """Where we listen, as others know it."""
        return self._swim.me.address

    @property
    def dropped(self) -> Counter[Drop]:
        """What came and was thrown away, by reason."""
        return self._codec.dropped

    @property
    def serving(self) -> int:
        """How many streams of others are open."""
        return self._serving.total()

    def members(self) -> Iterator[Member]:
        """Return all members, ourselves included, by name."""
        return self._swim.members()

    def regions(self) -> dict[str, Judgement]:
        """Return what is said of each region."""
        return dict(self._watch.judgements)

    def listen(self, listener: Listener) -> None:
        """Tell of changes from now on; called within the event loop, must not block."""
        self._listeners.append(listener)

    # What others want done.

    async def join(self, addresses: Sequence[Address]) -> tuple[int, list[str]]:
        """Exchange everything with each address. Return how many answered, and what failed."""
        state = self._swim.state(join=True)
        failures: list[str] = []
        for address in addresses:
            try:
                answer = await self._ask(address, state)
            except HanseError as error:
                failures.append(str(error))
                continue
            if isinstance(answer, State):
                self._feed(Exchanged(answer))
            else:
                failures.append(f"{_text(address)} did not answer with its state")
        return len(addresses) - len(failures), failures

    async def leave(self) -> None:
        """Say goodbye, and return when the word has had its time to spread."""
        self._feed(Leave())
        await self._departed.wait()

    def force_leave(self, name: str, *, prune: bool = False) -> None:
        """Send a dead member away. Raises Invalid for a name that nobody has."""
        if name not in self._swim.roster.known:
            raise Invalid("node", f"no member is called {name!r}")
        self._feed(ForceLeave(name, prune))

    def set_tags(self, tags: dict[str, str]) -> None:
        """Change what we say of ourselves. Raises ValueError when it is too long."""
        self._feed(SetTags({**tags, "region": self._settings.region}))

    async def keyring(self, change: KeyringAsked) -> KeyringReport:
        """Change or list the keys of all members that are up, ourselves included."""
        report = KeyringReport({}, {})
        mine = self._on_keyring_asked(change)
        report.told[self._swim.me.name] = mine
        others = [m for m in self.members() if m.alive.name != self._swim.me.name]

        async def ask(alive: Alive) -> None:
            try:
                answer = await self._ask(alive.address, change)
            except HanseError as error:
                report.failed[alive.name] = str(error)
                return
            if isinstance(answer, KeyringTold):
                report.told[alive.name] = answer
            else:
                report.failed[alive.name] = "did not answer"

        async with asyncio.TaskGroup() as group:
            for member in others:
                match member.status:
                    case Status.LEFT:
                        pass
                    case Status.DEAD:
                        report.failed[member.alive.name] = "is dead"
                    case Status.ALIVE | Status.SUSPECT:
                        group.create_task(ask(member.alive))
        return report

    # Running.

    async def run(self) -> None:
        """Take part until cancelled; then close everything at once, without a goodbye."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), sock=self._datagram_socket
        )
        server = await asyncio.start_server(
            self._serve, sock=self._stream_socket, limit=2**16, backlog=STREAMS_MAX
        )
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._feed(Start())
                await self._keep_joining()
        finally:
            self._group = None
            for timer in self._timers:
                timer.cancel()
            server.close()
            self._transport.close()

    async def _keep_joining(self) -> None:
        while True:
            if self._settings.join and self._swim.roster.present == 0:
                self._feed(Join(self._settings.join))
            await self._clock.sleep(self._settings.retry_join_s)

    def _feed(self, event: Input) -> None:
        for effect in self._machine.handle(event, self._clock.now()):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, packet):
                self._send(to, self._codec.seal_packet(packet))
            case Wake(delay_s, timer):
                self._wake(delay_s, timer)
            case Exchange(to, state):
                self._spawn(self._exchange(to, state))
            case StreamProbe(to, seq, target):
                self._spawn(self._stream_probe(to, seq, target))
            case Answer(token, state):
                self._answers[token] = state
            case Departed():
                self._departed.set()
            case Changed() | Verdicts():
                self._tell(effect)
            case NameTaken() | RegionTaken() | Refuted() | StreamOnly():
                _log_report(effect)

    def _tell(self, change: Changed | Verdicts) -> None:
        match change:
            case Changed(member, before, after):
                log.info(
                    "member changed", member=member.name, before=before, after=after or "forgotten"
                )
            case Verdicts(changes):
                for region, (verdict, now) in changes.items():
                    log.info("region judged", about=region, before=verdict, verdict=now.verdict)
        for listener in self._listeners:
            listener(change)

    def _wake(self, delay_s: float, timer: Input) -> None:
        if self._group is None:
            return

        def fire() -> None:
            self._timers.discard(handle)
            self._feed(timer)

        handle = asyncio.get_running_loop().call_later(delay_s, fire)
        self._timers.add(handle)

    # Datagrams.

    def _send(self, to: Address, data: bytes) -> None:
        # A name would be looked up here and now, and stop everything.
        if self._transport is None or not _is_address(to[0]):
            self.unsent["no address"] += 1
            return
        try:
            self._transport.sendto(data, to)
        except OSError as error:
            self.unsent[type(error).__name__] += 1

    def datagram(self, data: bytes, source: Address) -> None:
        """Take one datagram, of anybody."""
        packet = self._codec.open_packet(data)
        if not isinstance(packet, Drop):
            self._feed(Received(packet, source))

    # Streams.

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._group is None or self._open >= STREAMS_MAX:
            work.close()
            self.unsent["too many streams"] += 1
            return
        self._group.create_task(work)

    async def _exchange(self, to: Address, state: State) -> None:
        try:
            answer = await self._ask(to, state)
        except HanseError as error:
            log.debug("exchange failed", address=_text(to), error=str(error))
            return
        if isinstance(answer, State):
            self._feed(Exchanged(answer))

    async def _stream_probe(self, to: Address, seq: int, target: str) -> None:
        with suppress(HanseError):
            if await self._ask(to, StreamPing(seq, target)) == StreamPong(seq):
                self._feed(StreamAnswered(seq))

    async def _ask(self, to: Address, message: StreamMessage) -> StreamMessage:
        """Open a stream, say one thing, hear one thing. Raises StreamFailed."""
        self._open += 1
        try:
            async with asyncio.timeout(STREAM_S):
                reader, writer = await asyncio.open_connection(*to, limit=2**16)
                try:
                    await _write(writer, self._codec.seal_stream(message))
                    answer = self._codec.open_stream(await _read(reader))
                finally:
                    writer.close()
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            why = "took too long" if isinstance(error, TimeoutError) else str(error)
            raise StreamFailed(_text(to), why or type(error).__name__) from error
        finally:
            self._open -= 1
        if isinstance(answer, Drop):
            raise StreamFailed(_text(to), f"its answer is not taken: {answer}")
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            if self._serving.total() >= STREAMS_MAX or self._serving[host] >= STREAMS_OF_ONE_MAX:
                self.unsent["too many streams"] += 1
                return
            self._serving[host] += 1
            try:
                async with asyncio.timeout(STREAM_S):
                    asked = self._codec.open_stream(await _read(reader))
                    answer = None if isinstance(asked, Drop) else self._answer(asked)
                    if answer is not None:
                        await _write(writer, self._codec.seal_stream(answer))
            finally:
                self._serving[host] -= 1
                if not self._serving[host]:
                    del self._serving[host]
        except (OSError, TimeoutError, EOFError, ValueError):
            self.unsent["stream broken"] += 1
        finally:
            writer.close()

    def _answer(self, asked: StreamMessage) -> StreamMessage | None:
        match asked:
            case State():
                self._tokens += 1
                self._feed(StateReceived(asked, self._tokens))
                return self._answers.pop(self._tokens, None)
            case StreamPing(seq, target):
                return StreamPong(seq) if target == self._swim.me.name else None
            case KeyringAsked():
                return self._on_keyring_asked(asked)
            case StreamPong() | KeyringTold():
                return None

    def _on_keyring_asked(self, asked: KeyringAsked) -> KeyringTold:
        ring = self._codec.keyring
        if ring.primary is None:
            return KeyringTold((), "gossip is not encrypted")
        try:
            match asked.change:
                case "install":
                    ring = ring.install(asked.key)
                case "use":
                    ring = ring.use(asked.key)
                case "remove":
                    ring = ring.remove(asked.key)
                case "list":
                    pass
        except Invalid as error:
            return KeyringTold(ring.keys, str(error))
        if ring != self._codec.keyring:
            self._codec.keyring = ring
            log.info("gossip keys changed", change=asked.change, keys=repr(ring))
        return KeyringTold(ring.keys)


def open_gossip(
    settings: GossipSettings, *, clock: Clock, rng: Random, fresh: Callable[[int], bytes]
) -> Gossip:
    """Bind a stream and a datagram socket to one port, and return the member that uses them.

    Raises Invalid when the port is taken, ValueError when the tags are too long.
    """
    return Gossip(settings, _bound(settings), clock=clock, rng=rng, fresh=fresh)


def _bound(settings: GossipSettings) -> tuple[socket.socket, socket.socket]:
    host = settings.bind_host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With port 0, what is free for streams may be taken for datagrams: then another one.
    for remaining in reversed(range(1 if settings.bind_port else _BIND_TRIES)):
        streams = socket.socket(family, socket.SOCK_STREAM)
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        try:
            streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            streams.bind((host, settings.bind_port))
            datagrams.bind((host, streams.getsockname()[1]))
            # From now on whoever connects waits for `run` and is not refused.
            streams.listen(STREAMS_MAX)
        except OSError as error:
            streams.close()
            datagrams.close()
            if not remaining:
                where = f"{host} port {settings.bind_port}"
                raise Invalid("ports.serf", f"cannot listen at {where}: {error}") from error
            continue
        for one in (streams, datagrams):
            one.setblocking(False)
        return streams, datagrams
    raise AssertionError("the last try returns or raises")


async def _read(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if length > STREAM_BYTES_MAX:
        raise ValueError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
    await writer.drain()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _log_report(report: NameTaken | RegionTaken | Refuted | StreamOnly) -> None:
    match report:
        case NameTaken(name, address):
            log.error("member name taken", member=name, address=_text(address))
        case RegionTaken(region, name, address):
            log.error("region name taken", about=region, member=name, address=_text(address))
        case Refuted(by):
            log.warning("taken for gone, objected", by=by)
        case StreamOnly(name):
            log.warning("datagrams do not reach member, streams do", member=name)
