"""What a member believes of the others, and how hearsay changes it: the rules of the claims.

No probing and no timing here but that of suspicions; `federation.swim` has the theory of operation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from federation import profile as rules
from federation.broadcasts import Broadcasts, size
from federation.events import (
    Changed,
    Effect,
    GossipDue,
    NameTaken,
    Refuted,
    RegionTaken,
    SuspicionExpired,
    Wake,
)
from federation.messages import (
    GONE,
    Alive,
    Claim,
    Dead,
    Entry,
    Left,
    State,
    Status,
    Suspect,
)
from federation.profile import WAN, Profile
from federation.roster import Roster
from federation.roundtrip import RoundTrip, measured
from federation.suspicion import Suspicion

#: Longest claim about ourselves; it must fit any packet with room for others.
ALIVE_BYTES_MAX = 900
#: An incarnation nobody gets to by objecting: told one near it, we keep silent.
_INCARNATION_MAX = 2**53 - 1
#: Reported conflicts remembered, so that each is reported once.
_CONFLICTS_MAX = 1024


@dataclass(slots=True)
class Beliefs:
    """What one member believes, and the news it passes on."""

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
    _suspicions: dict[str, Suspicion] = field(default_factory=dict)
    _round_trips: dict[str, RoundTrip] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    #: Where an accusation told us of a later incarnation than the member's word that we have:
    #: the incarnation of that word.
    _worded: dict[str, int] = field(default_factory=dict)
    _conflicts: set[tuple[str, tuple[str, int]]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin alone. Raises ValueError when what we say of ourselves is too long."""
        self.roster = Roster(self.rng)
        check_length(self.me)

    @property
    def size(self) -> int:
        """Members that are not gone, ourselves included."""
        return self.roster.present + 1

    def heard_at(self, name: str) -> float | None:
        """When a member last spoke to us itself."""
        return self._heard.get(name)

    def measure(self, name: str, took_s: float) -> None:
        """Note how long a round trip to a member took."""
        self._round_trips[name] = measured(self._round_trips.get(name), took_s)

    def _tell(self, claim: Claim) -> None:
        """Spread a claim, on probes and by gossip."""
        self._news.add(claim)
        if not self._gossiping:
            self._gossiping = True
            self._out.append(Wake(self.profile.gossip_s, GossipDue()))

    def doubt_of(self, name: str) -> tuple[Claim, ...]:
        """Return what is to be told to a member that we doubt, when we speak to it: the buddy."""
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

    def _feel(self, change: int) -> None:
        self.health = min(self.profile.awareness_max - 1, max(0, self.health + change))

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
        status = self.roster.status(name)
        before = status
        if alive.incarnation > known.incarnation:
            status = Status.ALIVE
        elif alive.incarnation <= self._worded.get(name, known.incarnation):
            return
        if alive.address != known.address and not self._may_move(known, alive):
            self._report(NameTaken(name, alive.address))
            return
        if alive.region != known.region and not self._may_enter(alive):
            return
        # Of an incarnation that was so far only doubted, we now have the member's own word, or
        # that of a later one than we had.
        self._worded[name] = alive.incarnation
        if alive.incarnation >= known.incarnation:
            del self._worded[name]
        higher = max(alive.incarnation, known.incarnation)
        self._believe(replace(alive, incarnation=higher), status, before)

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

    def _raised(self, known: Alive, incarnation: int) -> Alive:
        if incarnation == known.incarnation:
            return known
        self._worded.setdefault(known.name, known.incarnation)
        return replace(known, incarnation=incarnation)

    def _on_suspect(self, claim: Suspect) -> None:
        name = claim.name
        if name == self.me.name:
            self._object(claim.by, claim.incarnation)
            return
        known = self.roster.known.get(name)
        if known is None or claim.incarnation < known.incarnation:
            return
        status = self.roster.status(name)
        if status in GONE and claim.incarnation == known.incarnation:
            return
        suspicion = self._suspicions.get(name)
        if claim.incarnation > known.incarnation or suspicion is None:
            # A doubt of a later incarnation is a new one.
            self._believe(self._raised(known, claim.incarnation), Status.SUSPECT, status)
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
        if status in GONE and claim.incarnation == known.incarnation:
            return
        heard = self._heard.get(name, float("-inf"))
        if self._now - heard < rules.suspicion_min_s(self.profile, self.size):
            self._on_suspect(Suspect(name, claim.incarnation, claim.by))
            return
        self._believe(self._raised(known, claim.incarnation), Status.DEAD, status)

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
        if status is not Status.LEFT or claim.incarnation > known.incarnation:
            self._believe(self._raised(known, claim.incarnation), Status.LEFT, status)
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
        self._worded.pop(name, None)
        self._out.append(Changed(alive, before, None))

    # Exchanging everything.

    def state(self, *, join: bool) -> State:
        """Return all we know, to be exchanged."""
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


def _same_server(a: Alive, b: Alive) -> bool:
    mine = a.tags.get("id", "")
    return bool(mine) and mine == b.tags.get("id", "")


def check_length(alive: Alive) -> None:
    """Raise ValueError when a claim would not fit a packet beside others."""
    if (length := size(alive)) > ALIVE_BYTES_MAX:
        raise ValueError(f"name, address and tags take {length} bytes of {ALIVE_BYTES_MAX}")
