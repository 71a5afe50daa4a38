"""Membership and failure detection, as a state machine that does no I/O.

Theory of operation
-------------------
SWIM (Das, Gupta, Motivala 2002) with the three parts of Lifeguard (Dadgar, Phillips, Currey 2018).

*Probing.* Each period we ping one member, in an order shuffled anew each round, so that each is
probed within 2n - 1 periods. Without an answer in time, `helpers` others are asked to ping it for
us and a stream is tried. Still none at the period's end: it is *suspect*.

*Suspicion.* A suspect has a while to object; then it is *dead*. The while is long for a lone
accuser and shrinks as others confirm (`federation.suspicion`). Who is pinged while suspect is told
so in the same packet (the buddy system), and objects under a higher incarnation, which only it may
raise.

*Local health.* Whoever cannot hear others may be deaf itself. Helpers that heard nothing say so
(`Nack`); missing nacks, failed probes and having to object to our own death each make us slower to
accuse; answers make us quicker.

*Hearsay.* Claims ride on probes and, while there are any, on gossip of their own, each a number of
times that grows with the logarithm of the members. A death that we can contradict with our own
ears, since the member spoke to us within the shortest suspicion, is taken as an accusation: a
half-deaf member then cannot bury healthy ones.

*Exchange.* On joining and now and then, two members exchange all they know over a stream; a death
learnt so is an accusation, too, so that the dead may object. A dead member that speaks to us is
told that it is dead, in its own and everybody's interest: after a long cut both sides object to
their deaths at once and are one pool again.

The machine is fed inputs with the time and answers with effects. It reads no clock, owns no socket
and draws randomness only from the `Random` it is given, so a seed and a list of inputs replay any
run.

Left out: a datagram of another federation never gets here (`federation.codec`), verdicts on whole
regions are `federation.regions`, and joining again and again until it works is the caller's
business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from federation import profile as rules
from federation.beliefs import Beliefs, check_length
from federation.broadcasts import size
from federation.events import (
    AckOverdue,
    Answer,
    Departed,
    Effect,
    Exchange,
    Exchanged,
    ForceLeave,
    GossipDue,
    Input,
    Join,
    Leave,
    LeaveOver,
    ProbeDue,
    PushPullDue,
    Received,
    ReconnectDue,
    RelayOverdue,
    Send,
    SetTags,
    Start,
    StateReceived,
    StreamAnswered,
    StreamOnly,
    StreamProbe,
    SuspicionExpired,
    Wake,
)
from federation.messages import (
    GONE,
    Ack,
    Address,
    Alive,
    Claim,
    Dead,
    Left,
    Message,
    Nack,
    Packet,
    Ping,
    PingReq,
    Status,
    Suspect,
)
from federation.roundtrip import RoundTrip

#: What the envelope takes of a packet, and the frame around sender, region, message and claims.
ENVELOPE_BYTES = 64
#: Between two exchanges begun because somebody believed dead spoke.
_REVIVE_S = 0.5
#: Probes made for others at one time; more are not made. No honest pool comes near.
_RELAYS_MAX = 256


class Member(Struct, frozen=True):
    """One member as seen from here."""

    alive: Alive
    status: Status
    #: When its status became this, where it is not alive.
    since: float | None = None
    round_trip: RoundTrip | None = None
    #: When it last spoke to us itself.
    heard: float | None = None


@dataclass(slots=True)
class _Probe:
    seq: int
    target: str
    sent: float
    acked: bool = False
    by_stream: bool = False
    asked: int = 0
    nacks: int = 0


@dataclass(slots=True)
class Swim(Beliefs):
    """One member's view of all, and its part in the protocol."""

    _probe: _Probe | None = None
    #: Probes made for others: who asked, and under which number.
    _relays: dict[int, tuple[Address, int]] = field(default_factory=dict)
    _stream_only: set[str] = field(default_factory=set)
    _revived: float = float("-inf")

    # What others may ask.

    def members(self) -> Iterator[Member]:
        """Return all members, ourselves included, by name."""
        mine = Status.LEFT if self.leaving else Status.ALIVE
        everybody = {self.me.name: self.me, **self.roster.known}
        for name in sorted(everybody):
            if name == self.me.name:
                yield Member(self.me, mine)
                continue
            status = self.roster.status(name)
            since = None if status is Status.ALIVE else self.roster.since(name)
            yield Member(
                everybody[name], status, since, self._round_trips.get(name), self._heard.get(name)
            )

    # The only way in.

    def handle(self, event: Input, now: float) -> list[Effect]:
        """Take one input to completion, at this time; seconds that never go back."""
        self._now = now
        match event:
            case Received(packet, source):
                self._on_packet(packet, source)
            case ProbeDue():
                self._on_probe_due()
            case AckOverdue(seq):
                self._on_ack_overdue(seq)
            case RelayOverdue(seq):
                if (asker := self._relays.pop(seq, None)) is not None:
                    self._send(asker[0], Nack(asker[1]))
            case GossipDue():
                self._on_gossip_due()
            case SuspicionExpired(name, serial):
                self._on_suspicion_expired(name, serial)
            case _:
                self._handle_rarer(event)
        done, self._out = self._out, []
        return done

    def _handle_rarer(self, event: Input) -> None:
        match event:
            case PushPullDue():
                self._on_push_pull_due()
            case ReconnectDue():
                self._on_reconnect_due()
            case Start():
                self._on_start()
            case Join(addresses):
                for address in addresses:
                    self._out.append(Exchange(address, self.state(join=True)))
            case StateReceived(state, token):
                if self._merge(state):
                    self._out.append(Answer(token, self.state(join=False)))
            case Exchanged(state):
                self._merge(state)
            case StreamAnswered(seq):
                if self._probe is not None and self._probe.seq == seq:
                    self._probe.by_stream = True
            case SetTags(tags):
                changed = replace(self.me, tags=tags, incarnation=self.me.incarnation + 1)
                check_length(changed)
                self.me = changed
                self._tell(self.me)
            case _:
                self._handle_leaving(event)

    def _handle_leaving(self, event: Input) -> None:
        match event:
            case Leave():
                if not self.leaving:
                    self.leaving = True
                    self._tell(Left(self.me.name, self.me.incarnation, self.me.name))
                    alone = self.roster.present == 0
                    self._out.append(Wake(0.0 if alone else self.profile.leave_s, LeaveOver()))
            case LeaveOver():
                self._out.append(Departed())
            case ForceLeave(name, prune):
                alive = self.roster.known.get(name)
                if alive is not None:
                    self._on_left(Left(name, alive.incarnation, self.me.name, prune))
            case _:
                pass

    def _on_start(self) -> None:
        every = self.profile
        # Spread, so that members started together do not do everything together.
        for delay_s, timer in (
            (every.probe_s, ProbeDue()),
            (every.push_pull_s, PushPullDue()),
            (every.reconnect_s, ReconnectDue()),
        ):
            self._out.append(Wake(delay_s * self.rng.random(), timer))

    # Sending.

    def _send(self, to: Address, message: Message | None, name: str = "") -> None:
        """Send a message with as much news as fits; to a doubted member, the doubt first."""
        first = self.doubt_of(name)
        room = self.profile.packet_bytes_max - ENVELOPE_BYTES
        room -= len(self.me.name.encode()) + len(self.me.region.encode())
        if message is not None:
            room -= size(message)
        if first:
            room -= size(first[0])
        news: tuple[Claim, ...] = ()
        if len(self._news):
            news = self._news.take(room, rules.retransmits(self.profile, self.size))
        if message is not None or first or news:
            packet = Packet(self.me.name, self.me.region, message, first + news)
            self._out.append(Send(to, packet))

    def _on_gossip_due(self) -> None:
        self._gossiping = False
        everybody = self.roster.pick(self.profile.fanout, lambda _: True)
        dead = sorted(self.roster.lately_dead(self._now, self.profile.gossip_to_the_dead_s))
        if dead:
            everybody.append(self.rng.choice(dead))
        for name in everybody:
            if len(self._news):
                self._send(self.roster.known[name].address, None, name)
        if len(self._news) and everybody:
            self._gossiping = True
            self._out.append(Wake(self.profile.gossip_s, GossipDue()))

    # Probing.

    def _on_probe_due(self) -> None:
        self._conclude_probe()
        self._out.append(Wake(self.profile.probe_s * (self.health + 1), ProbeDue()))
        target = self.roster.next_to_probe()
        if target is None or self.leaving:
            return
        self._seq += 1
        self._probe = _Probe(self._seq, target, self._now)
        self._send(self.roster.known[target].address, Ping(self._seq, target), target)
        self._out.append(Wake(self._patience_s(target), AckOverdue(self._seq)))

    def _patience_s(self, target: str) -> float:
        known = self._round_trips.get(target)
        wait = self.profile.ack_s
        if known is not None:
            wait = min(wait, max(self.profile.ack_min_s, known.patience_s))
        return wait * (self.health + 1)

    def _on_ack_overdue(self, seq: int) -> None:
        probe = self._probe
        alive = self.roster.known.get(probe.target) if probe is not None else None
        if probe is None or alive is None or probe.seq != seq or probe.acked:
            return
        helpers = self.roster.pick(
            self.profile.helpers,
            lambda name: name != alive.name and self.roster.status(name) is Status.ALIVE,
        )
        probe.asked = len(helpers)
        for name in helpers:
            request = PingReq(seq, alive.name, alive.host, alive.port)
            self._send(self.roster.known[name].address, request, name)
        self._out.append(StreamProbe(alive.address, seq, alive.name))

    def _conclude_probe(self) -> None:
        probe, self._probe = self._probe, None
        if probe is None:
            return
        if probe.acked:
            self._stream_only.discard(probe.target)
            self._feel(-1)
        elif probe.by_stream:
            if probe.target not in self._stream_only:
                self._stream_only.add(probe.target)
                self._out.append(StreamOnly(probe.target))
        else:
            self._feel(max(0, probe.asked - probe.nacks) if probe.asked else 1)
            alive = self.roster.known.get(probe.target)
            if alive is not None and self.roster.status(probe.target) not in GONE:
                self._on_suspect(Suspect(probe.target, alive.incarnation, self.me.name))

    def _on_packet(self, packet: Packet, source: Address) -> None:
        sender = packet.sender
        if sender == self.me.name:
            return
        if sender in self.roster.known:
            self._heard[sender] = self._now
            if self.roster.status(sender) is Status.DEAD and not self.leaving:
                self._revive(sender)
        for claim in packet.claims:
            self._on_claim(claim)
        match packet.message:
            case Ping(seq, target):
                if target == self.me.name:
                    self._send(source, Ack(seq), sender)
            case PingReq():
                self._on_ping_req(packet.message, source)
            case Ack(seq):
                self._on_ack(seq, sender)
            case Nack(seq):
                if self._probe is not None and self._probe.seq == seq:
                    self._probe.nacks += 1
            case _:
                pass

    def _on_ping_req(self, request: PingReq, source: Address) -> None:
        if len(self._relays) >= _RELAYS_MAX:
            return
        self._seq += 1
        self._relays[self._seq] = (source, request.seq)
        address = (request.host, request.port)
        self._send(address, Ping(self._seq, request.target), request.target)
        wait = self.profile.nack_share * (self.profile.probe_s - self.profile.ack_s)
        self._out.append(Wake(wait, RelayOverdue(self._seq)))

    def _on_ack(self, seq: int, sender: str) -> None:
        probe = self._probe
        if probe is not None and probe.seq == seq:
            if sender == probe.target and not probe.acked:
                self.measure(sender, self._now - probe.sent)
            probe.acked = True
        elif (asker := self._relays.pop(seq, None)) is not None:
            self._send(asker[0], Ack(asker[1]))

    def _revive(self, name: str) -> None:
        """Tell a member that speaks though it is dead; exchange everything, but not all at once."""
        alive = self.roster.known[name]
        claim = Dead(name, alive.incarnation, self.me.name)
        self._out.append(Send(alive.address, Packet(self.me.name, self.me.region, None, (claim,))))
        if self._now - self._revived >= _REVIVE_S:
            self._revived = self._now
            self._out.append(Exchange(alive.address, self.state(join=False)))

    def _on_push_pull_due(self) -> None:
        again = rules.push_pull_every_s(self.profile, self.size)
        self._out.append(Wake(again, PushPullDue()))
        for name in self.roster.pick(1, lambda name: self.roster.status(name) is Status.ALIVE):
            self._out.append(Exchange(self.roster.known[name].address, self.state(join=False)))

    def _on_reconnect_due(self) -> None:
        self._out.append(Wake(self.profile.reconnect_s, ReconnectDue()))
        for name in self.roster.expire(
            self._now, self.profile.reconnect_for_s, self.profile.tombstone_s
        ):
            self._forget(name)
            self._stream_only.discard(name)
        dead = [name for name in self.roster.gone() if self.roster.status(name) is Status.DEAD]
        # Together, all members try about one dead member each period for each that is dead.
        if dead and self.rng.random() < len(dead) / self.size:
            alive = self.roster.known[self.rng.choice(dead)]
            self._out.append(Exchange(alive.address, self.state(join=False)))
