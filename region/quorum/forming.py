"""How servers agree on the first members of a cluster, exactly once.

Theory of operation. `expect` servers are to begin a cluster; all of them must agree, so nothing
is lost by waiting for all, and a two-phase commit in which the coordinator is one of them does:

* The server with the lowest name of those it sees *proposes* a list, with itself as coordinator.
* A server that is alone and sees itself in a proposal *binds* itself to it. Bound, it neither
  proposes nor binds itself to anything else.
* When the coordinator has seen all others bound it *decides*; they learn of it and decide too.
* A coordinator may give a proposal up at any time before. A bound server is free again once it
  has seen its coordinator at a later epoch than the one it was bound at, with that proposal
  neither open nor decided. An epoch grows with each change, so late news does no harm.

Every step is on disk before anybody can see it, and what servers say is always their whole
position, so messages may be lost, repeated and reordered, and servers may stop anywhere.

Hence: no server is in two decided lists; all members of a decided list are bound to it or have
decided it. What is not promised: with fewer than half of a region's servers expected, two
halves that cannot see each other begin two clusters. They refuse each other afterwards.

A server that is alone and meets a decided cluster asks to be let in (`Enter`). If the data of a
coordinator are removed in the short while between binding and deciding, those bound to it wait
for an operator: only they can know that it is gone for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from msgspec.structs import replace

from hanse.structs.ids import IdStream
from region.quorum.model import (
    Alone,
    Bound,
    Card,
    Decided,
    Greeting,
    Phase,
    Proposal,
    Proposing,
    Record,
)

#: A server not heard for so long is not counted on.
FRESH_S = 5.0
#: A proposal that is not agreed on by then is given up.
PROPOSE_S = 10.0
#: After giving one up, the next is made so much later, and up to twice as much.
HOLD_S = 0.5


@dataclass(frozen=True)
class Heard:
    """A server said how it is."""

    greeting: Greeting
    now: float


@dataclass(frozen=True)
class Tick:
    """Time passed. `searched`: every address that is known has been tried once."""

    now: float
    searched: bool = True


@dataclass(frozen=True)
class Save:
    """The record must be on disk before anything of it is said to anybody."""

    record: Record


@dataclass(frozen=True)
class Formed:
    """This server belongs to a cluster now."""

    decided: Decided


@dataclass(frozen=True)
class Enter:
    """There is a cluster already: ask this server of it to be let in."""

    cluster: str
    via: Card


@dataclass(frozen=True)
class Refused:
    """This server and the other cannot go together. Nothing was changed."""

    text: str
    #: The other belongs to another cluster.
    foreign: bool = False


Input = Heard | Tick
Effect = Save | Formed | Enter | Refused


class Forming:
    """The machine of one server."""

    def __init__(self, card: Card, record: Record, *, boot: str, rng: Random) -> None:
        """`boot` tells this process from a copy of its data; `rng` draws ids and pauses."""
        self.card = card
        self.record = record
        self.boot = boot
        self._rng = rng
        self._ids = IdStream(rng.getrandbits(64))
        self._known: dict[str, tuple[Greeting, float]] = {}
        self._accepted: set[str] = set()
        self._proposed_at: float | None = None
        self._hold_until = float("-inf")

    @property
    def phase(self) -> Phase:
        """Where this server stands."""
        return self.record.phase

    @property
    def cluster(self) -> str:
        """The cluster it belongs to; "" while there is none."""
        return self.phase.cluster if isinstance(self.phase, Decided) else ""

    def handle(self, event: Input) -> list[Effect]:
        """Take one input to completion. The only way in."""
        match event:
            case Heard(greeting, now):
                return self._on_heard(greeting, now)
            case Tick(now, searched):
                return self._on_tick(now, searched)

    def entered(self, decided: Decided) -> list[Effect]:
        """A cluster let this server in."""
        assert isinstance(self.phase, Alone), self.phase
        return self._decide(decided)

    def started(self) -> list[Effect]:
        """The member of etcd is about to start: from now on it must have data."""
        if self.record.started:
            return []
        self.record = replace(self.record, started=True)
        return [Save(self.record)]

    # What others say.

    def _on_heard(self, greeting: Greeting, now: float) -> list[Effect]:
        if (refused := self.objection(greeting)) is not None:
            return [refused]
        before = self._known.get(greeting.card.id)
        if greeting.card.id == self.record.id:
            return []
        if before is not None and before[0].epoch > greeting.epoch:
            return []
        self._known[greeting.card.id] = (greeting, now)
        match self.phase:
            case Alone():
                return self._alone(greeting)
            case Proposing(proposal):
                return self._proposing(proposal, greeting, now)
            case Bound(proposal, epoch):
                return self._bound(proposal, epoch, greeting)
            case Decided():
                return []

    def objection(self, greeting: Greeting) -> Refused | None:
        """Why this server and the other cannot go together; None if they can."""
        card, own = greeting.card, self.card
        if card.id == own.id:
            if greeting.boot == self.boot:
                return None
            return Refused(
                f"server {card.name} at {card.rpc} runs on a copy of the data of this one "
                f"({own.name}): start one of them with an empty data_dir"
            )
        if card.region != own.region:
            return Refused(
                f"server {card.name} at {card.rpc} belongs to region {card.region!r}, this one "
                f"({own.name}) to {own.region!r}"
            )
        phase = greeting.phase
        if isinstance(phase, Decided) and self.cluster and phase.cluster != self.cluster:
            return Refused(
                f"server {card.name} at {card.rpc} belongs to cluster {phase.cluster}, this one "
                f"({own.name}) to cluster {self.cluster}",
                foreign=True,
            )
        if card.name == own.name:
            return Refused(f"two servers are called {own.name!r}: this one and that at {card.rpc}")
        if not self.cluster and not isinstance(phase, Decided) and card.expect != own.expect:
            return Refused(
                f"server {card.name} at {card.rpc} has bootstrap_expect = {card.expect}, this one "
                f"({own.name}) {own.expect}"
            )
        return None

    def _alone(self, greeting: Greeting) -> list[Effect]:
        match greeting.phase:
            case Proposing(proposal) if self._may_bind(proposal, greeting):
                return self._move(Bound(proposal, greeting.epoch))
            case Decided(cluster, members):
                if any(card.id == self.record.id for card in members):
                    return [self._stale(cluster)]
                return self._enter()
            case _:
                return []

    def _stale(self, cluster: str) -> Refused:
        return Refused(
            f"cluster {cluster} has this server ({self.card.name}, {self.record.id}) as a member, "
            "but its data directory knows nothing of that: it is an old copy. Start it with an "
            "empty data_dir, and it joins anew"
        )

    def _may_bind(self, proposal: Proposal, greeting: Greeting) -> bool:
        return (
            proposal.coordinator == greeting.card.id
            and self.card in proposal.members
            and len(proposal.members) == self.card.expect
        )

    def _proposing(self, proposal: Proposal, greeting: Greeting, now: float) -> list[Effect]:
        other = greeting.card
        match greeting.phase:
            case Bound(theirs, _) if theirs.cluster == proposal.cluster:
                self._accepted.add(other.id)
                if all(c.id in self._accepted or c.id == self.record.id for c in proposal.members):
                    return self._decide(Decided(proposal.cluster, proposal.members))
                return []
            case Decided(cluster, _):
                effects = self._give_up(now)
                del cluster
                return effects + self._enter()
            case Proposing(theirs) if _rank(other) < _rank(self.card) and theirs.has(
                self.record.id
            ):
                effects = self._give_up(now)
                if self._may_bind(theirs, greeting):
                    effects += self._move(Bound(theirs, greeting.epoch))
                return effects
            case Bound() if proposal.has(other.id):
                return self._give_up(now)
            case _:
                # A member that moved, or one whose data are gone and that is another server now.
                there = any(other.id == c.id or other.name == c.name for c in proposal.members)
                return self._give_up(now) if there and other not in proposal.members else []

    def _bound(self, proposal: Proposal, epoch: int, greeting: Greeting) -> list[Effect]:
        match greeting.phase:
            case Decided(cluster, members) if cluster == proposal.cluster:
                return self._decide(Decided(cluster, members))
            case _ if greeting.card.id != proposal.coordinator or greeting.epoch <= epoch:
                return []
            case Proposing(theirs) if theirs.cluster == proposal.cluster:
                return []
            case _:
                effects = self._move(Alone())
                return effects + self._alone(greeting)

    def _enter(self) -> list[Effect]:
        """Ask the one cluster that is known to let this server in."""
        found = {
            greeting.phase.cluster: greeting.card
            for greeting, _ in self._known.values()
            if isinstance(greeting.phase, Decided)
        }
        if len(found) > 1:
            names = " and ".join(f"{cluster} ({found[cluster].rpc})" for cluster in sorted(found))
            return [Refused(f"the addresses to join lead to several clusters: {names}", True)]
        return [Enter(cluster, via) for cluster, via in found.items()]

    # Time.

    def _on_tick(self, now: float, searched: bool) -> list[Effect]:
        fresh = {i: known for i, known in self._known.items() if now - known[1] <= FRESH_S}
        self._known = fresh
        match self.phase:
            case Alone() if searched:
                return self._look_around(now)
            case Proposing():
                if self._proposed_at is None:
                    self._proposed_at = now
                if now - self._proposed_at > PROPOSE_S:
                    return self._give_up(now)
                return []
            case _:
                return []

    def _look_around(self, now: float) -> list[Effect]:
        if any(isinstance(greeting.phase, Decided) for greeting, _ in self._known.values()):
            return self._enter()
        own = self.card
        free = [g.card for g, _ in self._known.values() if isinstance(g.phase, Alone)]
        found = sorted([own, *free], key=_rank)
        names = {card.name for card in found}
        enough = own.expect > 0 and len(found) >= own.expect and len(names) == len(found)
        if not enough or found[0] is not own or now < self._hold_until:
            return []
        members = tuple(found[: own.expect])
        proposal = Proposal(cluster=self._ids.next(), coordinator=own.id, members=members)
        self._accepted = set()
        self._proposed_at = now
        effects = self._move(Proposing(proposal))
        if own.expect == 1:
            effects += self._decide(Decided(proposal.cluster, members))
        return effects

    # Moving.

    def _give_up(self, now: float) -> list[Effect]:
        self._hold_until = now + HOLD_S * (1 + self._rng.random())
        self._accepted = set()
        return self._move(Alone())

    def _decide(self, decided: Decided) -> list[Effect]:
        return [*self._move(decided), Formed(decided)]

    def _move(self, phase: Phase) -> list[Effect]:
        self.record = replace(self.record, phase=phase, epoch=self.record.epoch + 1)
        return [Save(self.record)]


def _rank(card: Card) -> tuple[str, str]:
    return card.name, card.id
