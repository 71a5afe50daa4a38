"""A pool of members in a simulated world: the production machine and codec, no sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from federation.codec import Codec, Drop
from federation.events import (
    Answer,
    Changed,
    Departed,
    Effect,
    Exchange,
    Exchanged,
    Input,
    Join,
    Received,
    Refuted,
    Send,
    Start,
    StateReceived,
    StreamAnswered,
    StreamProbe,
    Verdicts,
    Wake,
)
from federation.keyring import Keyring
from federation.messages import (
    Address,
    Alive,
    Packet,
    State,
    Status,
    StreamMessage,
    StreamPing,
    StreamPong,
)
from federation.profile import LAN, Profile
from federation.regions import Membership, RegionWatch
from federation.swim import Swim
from federation.verdicts import Judgement, Verdict
from hanse.testing.sim import Network, World


@dataclass
class Pool:
    """Members, what they came to believe, and what it cost."""

    seed: int
    profile: Profile = LAN
    #: Whether what happens is folded into the world's trace.
    traced: bool = False
    #: Whether members judge regions, too.
    watching: bool = False
    machines: dict[str, Swim | Membership] = field(default_factory=dict)
    verdicts: list[tuple[float, str, str, Verdict]] = field(default_factory=list)
    world: World = field(init=False)
    network: Network = field(init=False)
    members: dict[str, Swim] = field(default_factory=dict)
    #: Members with a codec speak bytes; the others pass values.
    codecs: dict[str, Codec] = field(default_factory=dict)
    #: When, who, of whom, what, and what before.
    changes: list[tuple[float, str, str, Status | None, Status | None]] = field(
        default_factory=list
    )
    reports: list[tuple[float, str, Effect]] = field(default_factory=list)
    refuted: int = 0
    datagrams: Counter[str] = field(default_factory=Counter)
    at: dict[Address, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    #: What was opened and thrown away, for replaying.
    wire: Callable[[str, str, bytes], None] | None = None
    _tokens: dict[int, tuple[str, Callable[[State], None]]] = field(default_factory=dict)
    _token: int = 0

    def __post_init__(self) -> None:
        self.world = World(self.seed)
        self.network = Network(self.world)

    def add(
        self,
        name: str,
        tags: dict[str, str] | None = None,
        address: Address | None = None,
        incarnation: int = 1,
    ) -> Swim:
        """Start a member that knows nobody."""
        host, port = address or (name, 4648)
        alive = Alive(name, host, port, incarnation, tags or {})
        return self.start(name, Swim(alive, self.world.rng, self.profile))

    def start(self, key: str, member: Swim) -> Swim:
        """Start a member; `key` is its name, unless two of one name are tried."""
        self.members[key] = member
        self.machines[key] = Membership(member, RegionWatch(member)) if self.watching else member
        self.at[member.me.address] = key
        self.down.discard(key)
        self.feed(key, Start())
        return member

    def grown(
        self, names: Iterable[str], tags: Callable[[str], dict[str, str]] | None = None
    ) -> None:
        """Start members that know each other from the beginning."""
        started = [self.add(name, tags(name) if tags else None) for name in names]
        for member in started:
            for other in started:
                if other is not member:
                    member.roster.put(other.me, Status.ALIVE, 0.0)

    def encrypt(self, names: Iterable[str], federation: str, keyring: Keyring) -> None:
        """Have members speak bytes of this federation."""
        fresh = Random(self.world.rng.random()).randbytes
        for name in names:
            self.codecs[name] = Codec(federation, keyring, fresh)

    def join(self, name: str, *others: str) -> None:
        """Have a member ask others in."""
        self.feed(name, Join(tuple(self.members[other].me.address for other in others)))

    def crash(self, *names: str) -> None:
        """Have members vanish without a word."""
        self.down |= set(names)

    # What they believe.

    def believe(self, of: str, among: Iterable[str] | None = None) -> set[Status | None]:
        """What the members that are up believe of one; None: they do not know it."""
        asked = self.members if among is None else among
        return {
            self.members[name].roster.status(of) if of in self.members[name].roster.known else None
            for name in asked
            if name != of and name not in self.down
        }

    def agrees(self) -> bool:
        """Whether all that are up know each other and nobody else, and believe them alive."""
        up = [name for name in self.members if name not in self.down]
        return all(
            self.members[name].size == len(up)
            and not any(
                self.members[name].roster.status(other) is Status.SUSPECT
                for other in self.members[name].roster.known
            )
            for name in up
        )

    def judgement(self, name: str, region: str) -> Judgement:
        """What a watching member says of a region."""
        machine = self.machines[name]
        assert isinstance(machine, Membership)
        return machine.watch.judgements[region]

    def say(self, region: str, among: Iterable[str]) -> set[Verdict]:
        """What watching members say of a region."""
        return {self.judgement(name, region).verdict for name in among}

    def deaths(self) -> list[tuple[float, str, str]]:
        """When who declared whom dead."""
        return [(t, by, of) for t, by, of, status, _ in self.changes if status is Status.DEAD]

    def suspicions(self) -> list[tuple[float, str, str]]:
        """When who began to suspect whom, by itself or on hearsay."""
        return [(t, by, of) for t, by, of, status, _ in self.changes if status is Status.SUSPECT]

    # Performing effects.

    def feed(self, name: str, event: Input) -> None:
        """Give a member an input and do what it wants done."""
        if name in self.down:
            return
        if self.traced:
            self.world.trace((name, event))
        for effect in self.machines[name].handle(event, self.world.now):
            self._perform(name, effect)

    def _perform(self, name: str, effect: Effect) -> None:
        match effect:
            case Send(to, packet):
                self._send(name, to, packet)
            case Wake(delay_s, timer):
                self.world.after(delay_s, partial(self.feed, name, timer))
            case Changed(member, before, after):
                self.changes.append((self.world.now, name, member.name, after, before))
            case Verdicts(changes):
                self.verdicts += [
                    (self.world.now, name, region, judgement.verdict)
                    for region, (_, judgement) in changes.items()
                ]
            case Refuted():
                self.refuted += 1
            case Exchange(to, state):
                self._exchange(name, to, state)
            case Answer(token, state):
                _, answer = self._tokens.pop(token)
                answer(state)
            case StreamProbe(to, seq, target):
                self._stream_probe(name, to, seq, target)
            case Departed():
                self.reports.append((self.world.now, name, effect))
                self.down.add(name)
            case _:
                self.reports.append((self.world.now, name, effect))

    def _send(self, name: str, to: Address, packet: Packet) -> None:
        target = self.at.get(to)
        if target is None:
            return
        self.datagrams[name] += 1
        source = self.members[name].me.address
        codec = self.codecs.get(name)
        if codec is None:
            act = partial(self.feed, target, Received(packet, source))
        else:
            data = codec.seal_packet(packet)
            assert len(data) <= self.profile.packet_bytes_max
            if self.wire is not None:
                self.wire(name, target, data)
            act = partial(self.hear, target, data, source)
        self.network.send(name, target, act)

    def hear(self, name: str, data: bytes, source: Address) -> None:
        """Have a member hear bytes."""
        if (codec := self.codecs.get(name)) is None:
            return
        packet = codec.open_packet(data)
        if isinstance(packet, Packet):
            self.feed(name, Received(packet, source))

    def _over_stream(self, source: str, target: str, said: StreamMessage) -> StreamMessage | None:
        if source not in self.codecs and target not in self.codecs:
            return said
        if source not in self.codecs or target not in self.codecs:
            return None
        got = self.codecs[target].open_stream(self.codecs[source].seal_stream(said))
        return None if isinstance(got, Drop) else got

    def _exchange(self, name: str, to: Address, state: State) -> None:
        target = self.at.get(to)
        if target is None:
            return

        def back(answer: State) -> None:
            got = self._over_stream(target, name, answer)
            if isinstance(got, State):
                deliver = partial(self.feed, name, Exchanged(got))
                self.network.stream(target, name, deliver)

        def there() -> None:
            got = self._over_stream(name, target, state)
            if isinstance(got, State) and target not in self.down:
                self._token += 1
                self._tokens[self._token] = (target, back)
                self.feed(target, StateReceived(got, self._token))

        self.network.stream(name, target, there)

    def _stream_probe(self, name: str, to: Address, seq: int, target: str) -> None:
        asked = self.at.get(to)
        if asked is None or asked in self.down or self.members[asked].me.name != target:
            return
        back = partial(self.feed, name, StreamAnswered(seq))

        def there() -> None:
            if (
                asked in self.down
                or self._over_stream(name, asked, StreamPing(seq, target)) is None
            ):
                return
            if self._over_stream(asked, name, StreamPong(seq)) is not None:
                self.network.stream(asked, name, back)

        self.network.stream(name, asked, there)


def everybody_knows(pool: Pool, of: str, *statuses: Status) -> bool:
    """Whether all that are up believe one of these of a member."""
    return pool.believe(of) <= set(statuses)
