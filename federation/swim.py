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
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from federation import profile as rules
from federation.broadcasts import Broadcasts, size
from federation.events import (
    AckOverdue,
    Answer,
    Changed,
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
    NameTaken,
    ProbeDue,
    PushPullDue,
    Received,
    ReconnectDue,
    Refuted,
    RegionTaken,
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
    Entry,
    Left,
    Message,
    Nack,
    Packet,
    Ping,
    PingReq,
    State,
    Status,
    Suspect,
)
from federation.profile import WAN, Profile
from federation.roster import Roster
from federation.roundtrip import RoundTrip, measured
from federation.suspicion import Suspicion

#: What an envelope, the sender's name and region and a message take of a packet at most.
ENVELOPE_BYTES = 192
#: Longest claim about ourselves; it must fit any packet with room for others.
ALIVE_BYTES_MAX = 900
#: An incarnation nobody gets to by objecting: told one near it, we keep silent.
_INCARNATION_MAX = 2**53 - 1
#: Between two exchanges begun because somebody believed dead spoke.
_REVIVE_S = 0.5
#: Reported conflicts remembered, so that each is reported once.
_CONFLICTS_MAX = 1024
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
class Swim:
    """One member's view of all, and its part in the protocol."""

    me: Alive
    rng: Random
    profile: Profile = WAN
    #: Lifeguard's local health: 0 is well.
    health: int = 0
    leaving: bool = False
    roster: Roster = field(init=False)
    _now: float = 0.0
    _out: list[Effect] = field(default_factory=list)
    _news: Broadcasts = field(default_factory=Broadcasts)
    _gossiping: bool = False
    _seq: int = 0
    _probe: _Probe | None = None
    #: Probes made for others: who asked, and under which number.
    _relays: dict[int, tuple[Address, int]] = field(default_factory=dict)
    _suspicions: dict[str, Suspicion] = field(default_factory=dict)
    _round_trips: dict[str, RoundTrip] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _stream_only: set[str] = field(default_factory=set)
    _conflicts: set[tuple[str, Address]] = field(default_factory=set)
    _revived: float = float("-inf")

    def __post_init__(self) -> None:
        """Begin alone. Raises ValueError when what we say of ourselves is too long."""
        self.roster = Roster(self.rng)
        _check_length(self.me)

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

    def heard_at(self, name: str) -> float | None:
        """When a member last spoke to us itself."""
        return self._heard.get(name)

    @property
    def size(self) -> int:
        """Members that are not gone, ourselves included."""
        return self.roster.present + 1

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
                    self._out.append(Exchange(address, self._state(join=True)))
            case StateReceived(state, token):
                if self._merge(state):
                    self._out.append(Answer(token, self._state(join=False)))
            case Exchanged(state):
                self._merge(state)
            case StreamAnswered(seq):
                if self._probe is not None and self._probe.seq == seq:
                    self._probe.by_stream = True
            case SetTags(tags):
                changed = replace(self.me, tags=tags, incarnation=self.me.incarnation + 1)
                _check_length(changed)
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
        first = self._doubt_of(name)
        room = self.profile.packet_bytes_max - ENVELOPE_BYTES - len(self.me.region)
        if first:
            room -= size(first[0])
        news: tuple[Claim, ...] = ()
        if len(self._news):
            news = self._news.take(room, rules.retransmits(self.profile, self.size))
        if message is not None or first or news:
            packet = Packet(self.me.name, self.me.region, message, first + news)
            self._out.append(Send(to, packet))

    def _doubt_of(self, name: str) -> tuple[Claim, ...]:
        alive = self.roster.known.get(name)
        if alive is None:
            return ()
        match self.roster.status(name):
            case Status.SUSPECT:
                return (Suspect(name, alive.incarnation, self.me.name),)
            case Status.DEAD:
                return (Dead(name, alive.incarnation, self.me.name),)
            case Status.LEFT:
                return (Left(name, alive.incarnation, self.me.name),)
            case Status.ALIVE:
                return ()

    def _tell(self, claim: Claim) -> None:
        """Spread a claim, on probes and by gossip."""
        self._news.add(claim)
        if not self._gossiping:
            self._gossiping = True
            self._out.append(Wake(self.profile.gossip_s, GossipDue()))

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

    def _feel(self, change: int) -> None:
        self.health = min(self.profile.awareness_max - 1, max(0, self.health + change))

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
                before = self._round_trips.get(sender)
                self._round_trips[sender] = measured(before, self._now - probe.sent)
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
            self._out.append(Exchange(alive.address, self._state(join=False)))

    # Claims.

    def _on_claim(self, claim: Claim) -> None:
        match claim:
            case Alive():
                self._on_alive(claim)
            case Suspect():
                self._on_suspect(claim)
            case Dead():
                self._on_dead(claim)
            case Left():
                self._on_left(claim)

    def _on_alive(self, alive: Alive) -> None:
        name = alive.name
        if name == self.me.name:
            self._on_word_of_me(alive)
            return
        known = self.roster.known.get(name)
        if known is None:
            if self.roster.is_old_news(alive) or not self._may_enter(alive):
                return
            self._believe(alive, Status.ALIVE, None)
            return
        if alive.incarnation <= known.incarnation:
            return
        if alive.address != known.address and not self._may_move(known, alive):
            self._report(NameTaken(name, alive.address))
            return
        if alive.region != known.region and not self._may_enter(alive):
            return
        self._believe(alive, Status.ALIVE, self.roster.status(name))

    def _on_word_of_me(self, alive: Alive) -> None:
        if alive.incarnation < self.me.incarnation or alive == self.me:
            return
        if alive.address != self.me.address and not _same_server(alive, self.me):
            # Objecting would have both raise their incarnations for ever. Whoever was first
            # keeps the name, since all the others refuse the second.
            self._report(NameTaken(self.me.name, alive.address))
            return
        # An earlier life of ours, or an earlier claim with other tags.
        self._outbid(alive.incarnation)

    def _outbid(self, incarnation: int) -> None:
        if incarnation >= _INCARNATION_MAX:
            return
        higher = max(self.me.incarnation, incarnation) + 1
        self.me = replace(self.me, incarnation=higher)
        self._tell(self.me)

    def _object(self, by: str, incarnation: int) -> None:
        if self.leaving:
            return
        if incarnation < self.me.incarnation:
            # Objected to before, but whoever says this has not heard; so say it again.
            self._tell(self.me)
            return
        self._outbid(incarnation)
        self._feel(1)
        self._out.append(Refuted(by))

    def _may_move(self, known: Alive, alive: Alive) -> bool:
        match self.roster.status(known.name):
            case Status.LEFT:
                return True
            case Status.DEAD:
                dead_for = self._now - self.roster.since(known.name)
                return _same_server(known, alive) or dead_for >= self.profile.reclaim_s
            case Status.ALIVE | Status.SUSPECT:
                return _same_server(known, alive)

    def _may_enter(self, alive: Alive) -> bool:
        """Keep out another cluster that calls its region as one here is called."""
        cluster = alive.tags.get("cluster", "")
        if not cluster or not alive.region:
            return True
        for other in (self.me, *self.roster.known.values()):
            theirs = other.tags.get("cluster", "")
            if other.region != alive.region or theirs in ("", cluster):
                continue
            if other.name == alive.name:
                continue
            if other is self.me or self.roster.status(other.name) is not Status.LEFT:
                self._report(RegionTaken(alive.region, alive.name, alive.address))
                return False
        return True

    def _report(self, conflict: NameTaken | RegionTaken) -> None:
        key = (conflict.name, conflict.address)
        if key not in self._conflicts and len(self._conflicts) < _CONFLICTS_MAX:
            self._conflicts.add(key)
            self._out.append(conflict)

    def _believe(self, alive: Alive, status: Status, before: Status | None) -> None:
        known = self.roster.known.get(alive.name)
        self.roster.put(alive, status, self._now)
        if status is not Status.SUSPECT:
            self._suspicions.pop(alive.name, None)
        moved = known is None or known.tags != alive.tags or known.address != alive.address
        if moved or before is not status:
            self._out.append(Changed(alive, before, status))
        match status:
            case Status.ALIVE:
                self._tell(alive)
            case Status.DEAD:
                self._tell(Dead(alive.name, alive.incarnation, self.me.name))
            case Status.SUSPECT | Status.LEFT:
                pass  # These name their accuser; who believed it passes it on.

    def _on_suspect(self, claim: Suspect) -> None:
        name = claim.name
        if name == self.me.name:
            self._object(claim.by, claim.incarnation)
            return
        known = self.roster.known.get(name)
        if known is None or claim.incarnation < known.incarnation:
            return
        status = self.roster.status(name)
        if status in GONE:
            return
        suspicion = self._suspicions.get(name)
        if claim.incarnation > known.incarnation or suspicion is None:
            # A doubt of a later incarnation is a new one.
            alive = replace(known, incarnation=claim.incarnation)
            self._believe(alive, Status.SUSPECT, status)
            self._begin_suspicion(claim)
            self._tell(claim)
        elif suspicion.confirm(claim.by):
            self._tell(claim)
            wait = max(0.0, suspicion.deadline - self._now)
            self._out.append(Wake(wait, SuspicionExpired(name, suspicion.serial)))

    def _begin_suspicion(self, claim: Suspect) -> None:
        self._seq += 1
        shortest = rules.suspicion_min_s(self.profile, self.size)
        suspicion = Suspicion(
            serial=self._seq,
            since=self._now,
            min_s=shortest,
            max_s=shortest * self.profile.suspicion_max_mult,
            wanted=rules.confirmations_wanted(self.profile, self.size),
            by={claim.by},
        )
        self._suspicions[claim.name] = suspicion
        wait = suspicion.deadline - self._now
        self._out.append(Wake(wait, SuspicionExpired(claim.name, suspicion.serial)))

    def _on_suspicion_expired(self, name: str, serial: int) -> None:
        suspicion = self._suspicions.get(name)
        # Of a suspicion that ended, or of one that shrank since: that one's timer came or comes.
        if suspicion is None or suspicion.serial != serial:
            return
        if suspicion.deadline > self._now + 1e-6:
            return
        self._believe(self.roster.known[name], Status.DEAD, Status.SUSPECT)

    def _on_dead(self, claim: Dead) -> None:
        name = claim.name
        if name == self.me.name:
            self._object(claim.by, claim.incarnation)
            return
        known = self.roster.known.get(name)
        if known is None or claim.incarnation < known.incarnation:
            return
        status = self.roster.status(name)
        if status in GONE:
            return
        heard = self._heard.get(name, float("-inf"))
        if self._now - heard < rules.suspicion_min_s(self.profile, self.size):
            self._on_suspect(Suspect(name, claim.incarnation, claim.by))
            return
        self._believe(replace(known, incarnation=claim.incarnation), Status.DEAD, status)

    def _on_left(self, claim: Left) -> None:
        name = claim.name
        if name == self.me.name:
            self._object(claim.by, claim.incarnation)
            return
        known = self.roster.known.get(name)
        if known is None or claim.incarnation < known.incarnation:
            return
        status = self.roster.status(name)
        if claim.by != name and status is Status.ALIVE and claim.by != self.me.name:
            # Sent away by another who thought it dead; it is alive here and will object.
            self._on_suspect(Suspect(name, claim.incarnation, claim.by))
            return
        if status is not Status.LEFT:
            gone = replace(known, incarnation=claim.incarnation)
            self._believe(gone, Status.LEFT, status)
            self._tell(claim)
        if claim.prune:
            self._forget(name)
            self._tell(claim)

    def _forget(self, name: str) -> None:
        before, alive = self.roster.status(name), self.roster.known[name]
        self.roster.forget(name, self._now)
        self._news.drop(name)
        self._suspicions.pop(name, None)
        self._round_trips.pop(name, None)
        self._heard.pop(name, None)
        self._stream_only.discard(name)
        self._out.append(Changed(alive, before, None))

    # Exchanging everything.

    def _state(self, *, join: bool) -> State:
        mine = Entry(self.me, Status.LEFT if self.leaving else Status.ALIVE)
        known = self.roster.known
        others = [Entry(known[name], self.roster.status(name)) for name in sorted(known)]
        return State(self.me.name, self.me.region, join, (mine, *others))

    def _merge(self, state: State) -> bool:
        """Take over what another knows. False: it is refused as a whole."""
        # Not one name, if it would mix two clusters of one region: the exchange is a join by
        # mistake, and half a merge is worse than none.
        if not all(
            self._may_enter(entry.alive)
            for entry in state.entries
            if entry.status not in GONE and entry.alive.name not in self.roster.known
        ):
            return False
        for entry in state.entries:
            alive = entry.alive
            if entry.status not in GONE:
                self._on_alive(alive)
            match entry.status:
                case Status.SUSPECT | Status.DEAD:
                    self._on_suspect(Suspect(alive.name, alive.incarnation, state.sender))
                case Status.LEFT:
                    self._on_left(Left(alive.name, alive.incarnation, alive.name))
                case Status.ALIVE:
                    pass
        return True

    def _on_push_pull_due(self) -> None:
        again = rules.push_pull_every_s(self.profile, self.size)
        self._out.append(Wake(again, PushPullDue()))
        for name in self.roster.pick(1, lambda name: self.roster.status(name) is Status.ALIVE):
            self._out.append(Exchange(self.roster.known[name].address, self._state(join=False)))

    def _on_reconnect_due(self) -> None:
        self._out.append(Wake(self.profile.reconnect_s, ReconnectDue()))
        for name in self.roster.expire(
            self._now, self.profile.reconnect_for_s, self.profile.tombstone_s
        ):
            self._forget(name)
        dead = [name for name in self.roster.gone() if self.roster.status(name) is Status.DEAD]
        # Together, all members try about one dead member each period for each that is dead.
        if dead and self.rng.random() < len(dead) / self.size:
            alive = self.roster.known[self.rng.choice(dead)]
            self._out.append(Exchange(alive.address, self._state(join=False)))


def _same_server(a: Alive, b: Alive) -> bool:
    mine = a.tags.get("id", "")
    return bool(mine) and mine == b.tags.get("id", "")


def _check_length(alive: Alive) -> None:
    if (length := size(alive)) > ALIVE_BYTES_MAX:
        raise ValueError(f"name, address and tags take {length} bytes of {ALIVE_BYTES_MAX}")
