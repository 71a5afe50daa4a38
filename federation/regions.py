"""Verdicts on regions in seconds, beside a protocol that takes its time over members.

Theory of operation
-------------------
Each server looks at one server of each region each second, its own included, in turn, the dead
ones too, and says with it how it finds each region (`Opinion`). A region of which nothing was
heard for `silence_s`, any packet counts, is not heard by this server. The opinions of others are
votes for as long as it takes to be looked at twice by each of their region's servers;
`federation.verdicts` says what they amount to.

So a lost region is called so within `silence_s` and about two looks, long before its members are
dead, and a healed one at its first word; and since the dead are looked at and told that they are
taken for dead, a healed cut is over for membership as well within seconds. Costs one small packet
and one answer a second for each pair of a server and a region: 20 a second with ten regions.

The machine reads the table of members and writes none of it but round-trip times.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from federation.beliefs import Beliefs
from federation.events import Effect, Input, LookDue, Received, Send, Start, Verdicts, Wake
from federation.messages import Address, Alive, Look, Opinion, Packet, Seen, Status
from federation.swim import Swim
from federation.verdicts import Judgement, Verdict, Vote, judge

#: Looks whose answers are awaited; older ones are given up.
_ASKED_MAX = 1024
#: What opinions may take of a packet. With more regions, those that are not heard go first.
_OPINIONS_BYTES_MAX = 900
_OPINION_BYTES = 24
_AWAY = frozenset({Verdict.UNREACHABLE, Verdict.LOST})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchProfile:
    """The waits of the watch, in seconds."""

    #: One server of each region is looked at this often.
    look_s: float = 1.0
    #: Four looks without a word. With 10 % loss each way one server errs once in 800 seconds;
    #: half of a region's servers at the same time, and those of a second region, never do.
    silence_s: float = 4.0

    def __post_init__(self) -> None:
        """Refuse a silence that one lost packet makes."""
        if not 0 < self.look_s <= self.silence_s / 2:
            raise ValueError("waits must satisfy 0 < look_s <= silence_s / 2")


@dataclass(slots=True)
class RegionWatch:
    """One server's part in judging regions."""

    members: Beliefs
    profile: WatchProfile = WatchProfile()
    judgements: dict[str, Judgement] = field(default_factory=dict)
    _started: float | None = None
    _now: float = 0.0
    _seq: int = 0
    _turn: int = 0
    #: Regions that we did not hear at our last look.
    _unheard: set[str] = field(default_factory=set)
    #: Each other server's opinions, and when they came.
    _ballots: dict[str, tuple[str, float, tuple[Opinion, ...]]] = field(default_factory=dict)
    _asked: OrderedDict[int, tuple[str, float]] = field(default_factory=OrderedDict)

    def handle(self, event: Input, now: float) -> list[Effect]:
        """Take one input to completion."""
        self._now = now
        match event:
            case Start():
                self._started = now
                wait = self.profile.look_s * self.members.rng.random()
                return [Wake(wait, LookDue())]
            case LookDue():
                return [*self._look(), *self._judge(), Wake(self.profile.look_s, LookDue())]
            case Received(packet, source):
                return self._on_packet(packet, source)
            case _:
                return []

    def _on_packet(self, packet: Packet, source: Address) -> list[Effect]:
        done: list[Effect] = []
        match packet.message:
            case Look(seq, opinions):
                self._note(packet, opinions)
                done.append(self._packet(source, packet.sender, Seen(seq, self._opinions())))
            case Seen(seq, opinions):
                self._note(packet, opinions)
                asked = self._asked.pop(seq, None)
                if asked is not None and asked[0] == packet.sender:
                    self.members.measure(packet.sender, self._now - asked[1])
            case _:
                pass
        if packet.sender in self.members.roster.known and packet.region in self._unheard:
            self._unheard.discard(packet.region)
            done += self._tell_at_home()
        if any(judgement.verdict in _AWAY for judgement in self.judgements.values()):
            # What anybody says may bring it back; the next look would be a second late.
            done += self._judge()
        return done

    def _tell_at_home(self) -> Iterable[Effect]:
        """Say at once that a region is heard again: half of us must, before any believes it."""
        opinions = self._opinions()
        for mate in self._servers()[self.members.me.region]:
            self._seq += 1
            yield self._packet(mate.address, mate.name, Look(self._seq, opinions))

    def _servers(self) -> dict[str, list[Alive]]:
        """Return who there is by region, ourselves left out; who left is of no region."""
        found: dict[str, list[Alive]] = {self.members.me.region: []}
        roster = self.members.roster
        for name in sorted(roster.known):
            alive = roster.known[name]
            if alive.region and roster.status(name) is not Status.LEFT:
                found.setdefault(alive.region, []).append(alive)
        return found

    def _look(self) -> Iterable[Effect]:
        if self.members.leaving:
            return
        self._turn += 1
        opinions = self._opinions()
        self._unheard = {opinion.region for opinion in opinions if not opinion.heard}
        for servers in self._servers().values():
            if not servers:
                continue
            one = servers[self._turn % len(servers)]
            self._seq += 1
            self._asked[self._seq] = (one.name, self._now)
            if len(self._asked) > _ASKED_MAX:
                self._asked.popitem(last=False)
            yield self._packet(one.address, one.name, Look(self._seq, opinions))

    def _packet(self, to: Address, name: str, message: Look | Seen) -> Send:
        me = self.members.me
        return Send(to, Packet(me.name, me.region, message, self.members.doubt_of(name)))

    def _window_s(self, servers: int) -> float:
        """How old a word may be: each server's turn comes after `servers` looks."""
        return max(self.profile.silence_s, self.profile.look_s * (2 * servers + 1))

    def _opinions(self) -> tuple[Opinion, ...]:
        found = [self._opinion(region, servers) for region, servers in self._servers().items()]
        found.sort(key=lambda opinion: (opinion.heard > 0, opinion.region))
        room = _OPINIONS_BYTES_MAX
        fitting: list[Opinion] = []
        for opinion in found:
            room -= len(opinion.region.encode()) + _OPINION_BYTES
            if room < 0:
                break
            fitting.append(opinion)
        return tuple(fitting)

    def _opinion(self, region: str, servers: list[Alive]) -> Opinion:
        started = self._now if self._started is None else self._started
        ages: list[float] = []
        for alive in servers:
            heard = self.members.heard_at(alive.name)
            ages.append(float("inf") if heard is None else self._now - heard)
        mine = region == self.members.me.region
        silent_s = 0.0 if mine else min([*ages, self._now - started])
        heard_count = sum(age <= self._window_s(len(servers)) for age in ages) + mine
        # Until we had the time to hear anything, we take others' word for it.
        young = self._now - started < self.profile.silence_s
        if not mine and silent_s >= self.profile.silence_s:
            heard_count = 0
        elif young:
            heard_count = len(servers) + mine
        return Opinion(region, heard_count, len(servers) + mine, silent_s)

    def _note(self, packet: Packet, opinions: tuple[Opinion, ...]) -> None:
        if packet.sender in self.members.roster.known:
            self._ballots[packet.sender] = (packet.region, self._now, opinions)

    def _judge(self) -> Iterable[Effect]:
        servers = self._servers()
        home = self.members.me.region
        votes = self._votes(servers)
        before = self.judgements
        self.judgements = {
            region: judge(
                region,
                home=home,
                known=len(there) + (region == home),
                others=servers,
                votes=votes,
            )
            for region, there in servers.items()
        }
        changes = {
            region: (_verdict(before.get(region)), judgement)
            for region, judgement in self.judgements.items()
            if _verdict(before.get(region)) is not judgement.verdict
        }
        if changes:
            yield Verdicts(changes)

    def _votes(self, servers: dict[str, list[Alive]]) -> list[Vote]:
        me = self.members.me
        votes = [Vote(me.name, me.region, opinion, 0.0) for opinion in self._opinions()]
        fresh: dict[str, tuple[str, float, tuple[Opinion, ...]]] = {}
        for voter, ballot in self._ballots.items():
            region, at, opinions = ballot
            age_s = self._now - at
            if voter in self.members.roster.known and age_s <= self._window_s(
                len(servers.get(region, ()))
            ):
                fresh[voter] = ballot
                votes += [Vote(voter, region, opinion, age_s) for opinion in opinions]
        self._ballots = fresh
        return votes


def _verdict(judgement: Judgement | None) -> Verdict | None:
    return None if judgement is None else judgement.verdict


@dataclass(slots=True)
class Membership:
    """The whole machine: members and, beside them, regions. One way in for both."""

    swim: Swim
    watch: RegionWatch

    def handle(self, event: Input, now: float) -> list[Effect]:
        """Take one input to completion, at this time; seconds that never go back."""
        match event:
            case LookDue():
                return self.watch.handle(event, now)
            case Start() | Received():
                return [*self.swim.handle(event, now), *self.watch.handle(event, now)]
            case _:
                return self.swim.handle(event, now)
