"""etcd's list of members beside what is known of their servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanse.clock import Clock
from region.quorum.autopilot import Member
from region.quorum.model import Card, Greeting, Health
from region.quorum.neighbours import Sight
from region.store.maintain import MemberInfo, maintenance


@dataclass(frozen=True)
class Seat:
    """A member and its server."""

    member: Member
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    #: None: no server that we know of belongs to it.
    card: Card | None
    health: Health
    #: etcd leads here.
    raft_leads: bool
    #: Its agent answers.
    reachable: bool
    last_contact_s: float


@dataclass(frozen=True)
class Known:
    """What one server knows, as values."""

    own: Greeting
    started_at: float
    now: float
    sights: Mapping[str, Sight]
    #: Everybody who wrote themselves down.
    cards: Mapping[str, Card]


def seats(infos: Sequence[MemberInfo], known: Known) -> list[Seat]:
    """Join etcd's members with servers, by name, or by peer address before they start. Pure."""
    return [_seat(info, known) for info in sorted(infos, key=lambda info: info.member_id)]


def _seat(info: MemberInfo, known: Known) -> Seat:
    now, own = known.now, known.own
    if _belongs(info, own.card):
        member = _member(
            info,
            own.card.name,
            own.health,
            own.health,
            alive_s=now - known.started_at,
            own_seat=True,
        )
        return _made(info, member, own.card, own.health, own.health, True, 0.0)
    for sight in known.sights.values():
        if _belongs(info, sight.card):
            health = sight.greeting.health
            failing = sight.failing_since
            since_s = now - (sight.alive_since if failing is None else failing)
            dead_s = None if failing is None else since_s
            member = _member(
                info, sight.card.name, health, own.health, alive_s=since_s, dead_s=dead_s
            )
            reachable = failing is None
            contact_s = now - sight.heard_at
            return _made(info, member, sight.card, health, own.health, reachable, contact_s)
    card = next((c for c in known.cards.values() if _belongs(info, c)), None)
    name = card.name if card is not None else info.name
    dead_s = now - known.started_at
    member = _member(info, name, Health(), own.health, alive_s=0.0, dead_s=dead_s)
    return _made(info, member, card, Health(), own.health, False, dead_s)


def _belongs(info: MemberInfo, card: Card) -> bool:
    if info.name:
        return info.name == card.name
    return any(url.partition("://")[2] == card.peer for url in info.peer_urls)


def _member(
    info: MemberInfo,
    name: str,
    health: Health,
    own: Health,
    *,
    alive_s: float,
    dead_s: float | None = None,
    own_seat: bool = False,
) -> Member:
    lag = max(0, own.raft_index - health.raft_index) if health.member_id else None
    return Member(
        member_id=info.member_id,
        name=name,
        voter=not info.learner,
        alive=dead_s is None and bool(health.member_id or own_seat),
        since_s=alive_s if dead_s is None else dead_s,
        lag=lag,
        own=own_seat,
    )


def _made(
    info: MemberInfo,
    member: Member,
    card: Card | None,
    health: Health,
    own: Health,
    reachable: bool,
    last_contact_s: float,
) -> Seat:
    return Seat(
        member=member,
        peer_urls=info.peer_urls,
        client_urls=info.client_urls,
        card=card,
        health=health,
        raft_leads=own.raft_leader == info.member_id,
        reachable=reachable,
        last_contact_s=last_contact_s,
    )


class Membership:
    """Changes of etcd's members, asked of the own member."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        """`endpoint` is the own member's."""
        self._endpoint = endpoint
        self._clock = clock

    async def infos(self) -> list[MemberInfo]:
        """All members, linearizably. Raises NoLeader, Unavailable."""
        async with maintenance(self._endpoint, clock=self._clock) as member:
            return await member.list_members()

    async def add_learner(self, peer: str) -> int:
        """Make a member at "host:port" that does not vote yet. Raises Invalid."""
        async with maintenance(self._endpoint, clock=self._clock) as member:
            return await member.add_learner(f"http://{peer}")

    async def promote(self, member_id: int) -> None:
        """Let a learner vote. Raises Invalid while it has not caught up."""
        async with maintenance(self._endpoint, clock=self._clock) as member:
            await member.promote(member_id)

    async def remove(self, member_id: int) -> None:
        """Put a member out for good. Raises Invalid."""
        async with maintenance(self._endpoint, clock=self._clock) as member:
            await member.remove(member_id)

    async def lead_raft(self, seats: Sequence[Seat]) -> None:
        """Have the own member lead etcd, if another one does and the own may."""
        own = next((seat for seat in seats if seat.member.own), None)
        leader = next((seat for seat in seats if seat.raft_leads), None)
        if own is None or leader is None or leader.member.own or not own.member.voter:
            return
        if not leader.client_urls:
            return
        endpoint = leader.client_urls[0].partition("://")[2]
        async with maintenance(endpoint, clock=self._clock) as member:
            await member.move_leader(own.member.member_id)
