"""One server's part in its region's quorum: what the agent composes and the API asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import grpc
import msgspec
import structlog

from hanse.clock import Clock
from hanse.errors import Denied, HanseError, Invalid, NoLeader, NotFound, Unavailable
from hanse.service import Service
from hanse.store import KeyIs, Put, Store, Txn
from hanse.structs.ids import uuid_text
from region.quorum import autopilot, disk, membership
from region.quorum.autopilot import AutopilotConfiguration
from region.quorum.forming import Forming
from region.quorum.keeper import Keeper, Pulse
from region.quorum.membership import Known, Membership, Seat
from region.quorum.model import (
    Admitted,
    AskNode,
    Card,
    Decided,
    Greeting,
    Health,
    NodesHeard,
    Refusal,
    Standing,
    YieldRequest,
)
from region.quorum.neighbours import AddressList, Neighbours, Retry, Sight
from region.quorum.registry import Registry
from region.quorum.servicer import Servicer
from region.quorum.steward import Steward
from region.quorum.watchman import Forwarder, Herald, Watchman
from region.server import Region
from region.store.binary import Binary
from region.store.member import MemberConfig
from region.writer import Leading

log = structlog.get_logger(__name__)

_HOLD_BACK_S = 3.0
_TRANSFER_S = 8.0
_CAS_MAX = 20


class Quorum:
    """See the module. Implements `region.others.Others` and `region.quorum.servicer.Host`."""

    def __init__(
        self,
        card: Card,
        folder: Path,
        clock: Clock,
        *,
        addresses: Sequence[str] = (),
        retry: Retry | None = None,
        grace_s: float = 300.0,
        rng: Random | None = None,
    ) -> None:
        """`folder` has the server's data; its record says which server this is.

        Raises Invalid when the data are another region's, or not what they should be.
        """
        rng = rng or Random()
        record = disk.load(folder, card.region, rng)
        card = msgspec.structs.replace(card, id=record.id)
        record = disk.adopted(record, card, folder, rng)
        _check_address(record.phase, card)
        boot = uuid_text(rng.getrandbits(128))
        machine = Forming(card, record, boot=boot, rng=rng)
        self.list = AddressList(list(addresses))
        self.neighbours = Neighbours(machine, folder, clock, self.list, retry=retry)
        self.pulse = Pulse(card.client, clock)
        self.membership = Membership(card.client, clock)
        self._folder = folder
        self._clock = clock
        self._grace_s = grace_s
        self._started_at = clock.now()
        self._region: Region | None = None
        self._store: Store | None = None
        self._registry: Registry | None = None
        self._admitting = asyncio.Lock()
        self._last_server: dict[str, str] = {}
        self.neighbours.health = self._health

    # Composition.

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """What the agents' port serves other servers with."""
        return [Servicer(self).handlers()]

    def keeper(self, binary: Binary, base: MemberConfig) -> Keeper:
        """The service that runs this server's member of etcd."""
        return Keeper(binary, base, self.neighbours, self._folder, self._clock)

    def attach(self, region: Region, store: Store) -> list[Service]:
        """Make the region known; gives the services that run once the store answers."""
        registry = Registry(store, self._clock, region.state.keys.prefix, self.card)
        self._region, self._store, self._registry = region, store, registry
        self.neighbours.registered = lambda: tuple(registry.cards.values())
        watchman = Watchman(self.neighbours, region, store, self._clock)
        forwarder = Forwarder(self.neighbours, region, self._clock)
        return [registry, watchman, forwarder, Herald(self.servers, region, self._clock)]

    @property
    def card(self) -> Card:
        """Who this server is."""
        return self.neighbours.card

    @property
    def region(self) -> Region:
        """The region that was attached."""
        assert self._region is not None
        return self._region

    def _health(self) -> Health:
        now = self._clock.now()
        return msgspec.structs.replace(
            self.pulse.health,
            unreachable=tuple(
                sight.card.id for sight in self.neighbours.others() if sight.silent(now)
            ),
            leads=self._region is not None and self._region.is_leader,
        )

    # What the region asks (`Others`).

    def servers(self) -> Sequence[str]:
        """RPC addresses of the servers that are alive, this one first."""
        now = self._clock.now()
        alive = [s.card.rpc for s in self._others() if s.standing(now) == "alive"]
        return (self.card.rpc, *alive)

    async def call_node(
        self, node_id: str, method: str, body: bytes, inputs: AsyncIterator[bytes] | None
    ) -> AsyncIterator[bytes]:
        """Ask a node that is connected to another server. Raises NotFound if it is to none."""
        ask = AskNode(node_id=node_id, method=method, body=body, has_inputs=inputs is not None)
        now = self._clock.now()
        last = self._last_server.get(node_id, "")
        alive = [s.card for s in self._others() if s.standing(now) == "alive"]
        for card in sorted(alive, key=lambda card: card.id != last):
            pieces = self.neighbours.links.ask_node(card.rpc, ask, inputs)
            begun = False
            try:
                async for piece in pieces:
                    if not begun:
                        begun, self._last_server[node_id] = True, card.id
                    yield piece
            except (NotFound, Unavailable) as error:
                if begun or (isinstance(error, NotFound) and str(error) != NO_PATH):
                    raise
                continue
            return
        raise NotFound("node", text=NO_PATH)

    def leading(self, leading: Leading) -> Sequence[Service]:
        """What runs while this server leads."""
        del leading
        expect = self.card.expect
        return [Steward(self, self._clock, expect=expect, grace_s=self._grace_s)]

    # What other servers ask (`Host`).

    def greeted(self, greeting: Greeting) -> Greeting | Refusal:
        """Answer a greeting."""
        if self._registry is not None and isinstance(greeting.phase, Decided):
            self._registry.meet(greeting.card.id)
        return self.neighbours.greeted(greeting)

    async def admit(self, card: Card) -> Admitted:
        """Let a server in as a learner. Raises Denied, NoLeader, Unavailable."""
        phase = self.neighbours.machine.phase
        if not isinstance(phase, Decided) or self._registry is None:
            raise NoLeader
        if card.region != self.card.region:
            raise Denied(f"this is region {self.card.region!r}, not {card.region!r}")
        async with self._admitting:
            seats = await self.seats()
            for seat in seats:
                await self._make_room(seat, card)
            if not any(_is_fresh(seat, card) for seat in seats):
                await self.membership.add_learner(card.peer)
                log.info("server let in, a learner yet", server=card.name, address=card.rpc)
            infos = await self.membership.infos()
        peers = [
            (info.name or self._name_of(url, card), url)
            for info in infos
            for url in (info.peer_urls[0].partition("://")[2],)
        ]
        cards = {**self._registry.cards, card.id: card}
        return Admitted(cluster=phase.cluster, members=tuple(cards.values()), peers=tuple(peers))

    def _name_of(self, peer: str, card: Card) -> str:
        return card.name if peer == card.peer else f"member-{peer}"

    async def _make_room(self, seat: Seat, card: Card) -> None:
        """Put out the member that a server was before it lost its data. Raises Denied."""
        same_place = any(url.partition("://")[2] == card.peer for url in seat.peer_urls)
        if _is_fresh(seat, card) or not (seat.member.name == card.name or same_place):
            return
        now = self._clock.now()
        sight = self.neighbours.sights.get(seat.card.id) if seat.card is not None else None
        if seat.member.own or (sight is not None and sight.standing(now) == "alive"):
            where = seat.card.rpc if seat.card is not None else seat.peer_urls[0]
            raise Denied(
                f"a server called {seat.member.name!r} is alive at {where}; names and addresses "
                "must differ"
            )
        members = [s.member for s in await self.seats()]
        if not autopilot.removable(members, seat.member):
            raise Denied(
                f"the member that server {card.name!r} was before cannot be removed: the others "
                "would be no quorum"
            )
        await self.strike_out(seat)
        log.warning("member replaced by a server without its data", server=card.name)

    def nodes_heard(self, news: NodesHeard) -> None:
        """Take note of nodes' signs of life. Raises NoLeader on a server that does not lead."""
        if self._region is None or not self._region.is_leader:
            raise NoLeader
        for node_id in news.nodes:
            self._region.presence.heard(node_id)

    def give_way(self, to: str) -> None:
        """Let the server `to` lead."""
        if to != self.card.id and self._region is not None:
            self._region.candidacy.hold_back(_HOLD_BACK_S)

    def has_node(self, node_id: str) -> bool:
        """Whether the node is connected to this server."""
        return self._region is not None and self._region.sessions.connected(node_id)

    def ask_own_node(
        self, ask: AskNode, inputs: AsyncIterator[bytes] | None
    ) -> AsyncIterator[bytes]:
        """Ask a node that is connected to this server. Raises NotFound if it is not."""
        return self.region.sessions.call(ask.node_id, ask.method, ask.body, inputs)

    # What operators ask.

    async def seats(self) -> list[Seat]:
        """All members of etcd with their servers. Raises NoLeader, Unavailable."""
        return membership.seats(await self.membership.infos(), self._known())

    def _known(self) -> Known:
        cards = self._registry.cards if self._registry is not None else {}
        return Known(
            own=self.neighbours.greeting(),
            started_at=self._started_at,
            now=self._clock.now(),
            sights={sight.card.id: sight for sight in self._others()},
            cards=cards,
        )

    def _others(self) -> list[Sight]:
        """The other servers of this cluster."""
        cluster = self.neighbours.machine.cluster
        return [
            sight
            for sight in self.neighbours.others()
            if isinstance(sight.greeting.phase, Decided) and sight.greeting.phase.cluster == cluster
        ]

    def standings(self) -> list[tuple[Card, Standing]]:
        """All servers that are known, with how they are, by name."""
        now = self._clock.now()
        found: dict[str, tuple[Card, Standing]] = {self.card.id: (self.card, "alive")}
        for sight in self._others():
            found[sight.card.id] = (sight.card, sight.standing(now))
        if self._registry is not None:
            for card in self._registry.cards.values():
                found.setdefault(card.id, (card, "failed"))
        return sorted(found.values(), key=lambda pair: pair[0].name)

    async def join(self, addresses: Sequence[str]) -> int:
        """Try other servers from now on; gives how many answer. Raises Invalid if none does."""
        found = 0
        problems: list[str] = []
        for address in addresses:
            try:
                answer = await self.neighbours.links.greet(address, self.neighbours.greeting())
            except HanseError as error:
                problems.append(str(error))
                continue
            if (refused := self.neighbours.machine.objection(answer)) is not None:
                problems.append(refused.text)
                continue
            found += 1
            self.list.add([address])
        if not found:
            raise Invalid("join", "; ".join(problems) or "no address given")
        return found

    async def force_leave(self, name: str) -> None:
        """Remove a server that failed. Raises NotFound, and Denied if it is alive."""
        short = name.removesuffix(f".{self.card.region}")
        for seat in await self.seats():
            if seat.member.name == short:
                if seat.member.alive:
                    raise Denied(f"server {short!r} is alive; stop it first")
                await self._remove(seat)
                return
        raise NotFound("member", name)

    async def remove_peer(self, *, server_id: str = "", address: str = "") -> None:
        """Remove a member for good. Raises NotFound, and Denied if the rest is no quorum."""
        await self._remove(_find(await self.seats(), server_id, address))

    async def _remove(self, seat: Seat) -> None:
        members = [other.member for other in await self.seats()]
        if not autopilot.removable(members, seat.member):
            raise Denied(f"without server {seat.member.name!r} the others would be no quorum")
        await self.strike_out(seat)

    async def strike_out(self, seat: Seat) -> None:
        """Remove a member and its server for good."""
        await self.membership.remove(seat.member.member_id)
        if seat.card is not None and self._registry is not None:
            await self._registry.remove(seat.card.id)
            self.neighbours.forget(seat.card.id)

    async def transfer_leadership(
        self, *, server_id: str = "", address: str = ""
    ) -> tuple[Card, Card]:
        """Have another server lead; gives who led and who leads. Raises NotFound, NoLeader."""
        seats = await self.seats()
        leader = self.region.candidacy.leader
        old = next((s.card for s in seats if leader and s.member.name == leader.name), None)
        if old is None:
            raise NoLeader
        if server_id or address:
            seat = _find(seats, server_id, address)
        else:
            fit = [s for s in seats if s.card and s.card != old and s.member.alive]
            if not fit:
                raise Denied("there is no other server that could lead")
            seat = fit[0]
        if seat.card is None or not seat.member.alive or not seat.member.voter:
            raise Denied(f"server {seat.member.name!r} cannot lead now")
        if seat.card != old:
            await self._hand_over(old, seat.card)
        return old, seat.card

    async def _hand_over(self, old: Card, new: Card) -> None:
        request = YieldRequest(to=new.id)
        cards = [self.card, *(sight.card for sight in self._others())]
        # The leader last: the others must hold back by then.
        for card in sorted(cards, key=lambda card: card == old):
            if card == new:
                continue
            if card == self.card:
                self.give_way(new.id)
                continue
            try:
                await self.neighbours.links.ask_to_yield(card.rpc, request)
            except HanseError:
                if card == old:
                    raise
        deadline = self._clock.now() + _TRANSFER_S
        while self._clock.now() < deadline:
            leader = self.region.candidacy.leader
            if leader is not None and leader.name == new.name:
                return
            await self._clock.sleep(0.05)
        raise Unavailable(f"server {new.name}", _TRANSFER_S)

    # Autopilot.

    @property
    def _autopilot_key(self) -> str:
        return f"{self.region.state.keys.prefix}config/autopilot"

    async def autopilot_config(self) -> AutopilotConfiguration:
        """How much the leader does by itself. Raises NoLeader, Unavailable."""
        assert self._store is not None
        found = await self._store.get(self._autopilot_key)
        if found is None:
            return AutopilotConfiguration()
        config = msgspec.json.decode(found.value, type=AutopilotConfiguration)
        return msgspec.structs.replace(
            config, create_index=found.create_revision, modify_index=found.mod_revision
        )

    async def set_autopilot_config(self, config: AutopilotConfiguration, cas: int | None) -> bool:
        """Replace it, with `cas` only at that index; gives whether. Raises Unavailable."""
        assert self._store is not None
        value = msgspec.json.encode(config)
        for _ in range(_CAS_MAX):
            found = await self._store.get(self._autopilot_key)
            index = found.mod_revision if found is not None else 0
            if cas is not None and cas != index:
                return False
            txn = Txn((KeyIs(self._autopilot_key, index),), (Put(self._autopilot_key, value),))
            if (await self._store.commit(txn)).succeeded:
                return True
        raise Unavailable("the store, under many writers,", 0.0)

    def facts(self) -> dict[str, Any]:
        """Figures for `agent-info`."""
        health = self.pulse.health
        return {
            "cluster": self.neighbours.machine.cluster,
            "term": health.raft_term,
            "commit_index": health.raft_index,
            "applied": health.raft_applied,
            "learner": health.learner,
            "leads_etcd": bool(health.member_id) and health.raft_leader == health.member_id,
            "peers": len(self._others()),
        }


NO_PATH = "No path to node"


def _is_fresh(seat: Seat, card: Card) -> bool:
    """A seat that was made for `card` and not taken yet."""
    place = any(url.partition("://")[2] == card.peer for url in seat.peer_urls)
    return place and not seat.member.voter and not seat.client_urls


def _find(seats: Sequence[Seat], server_id: str, address: str) -> Seat:
    for seat in seats:
        if seat.card is None:
            if server_id and server_id in (f"{seat.member.member_id:x}", seat.member.name):
                return seat
        elif (server_id and seat.card.id == server_id) or (address and seat.card.rpc == address):
            return seat
    raise NotFound("peer", server_id or address)


def _check_address(phase: object, card: Card) -> None:
    if isinstance(phase, Decided):
        for member in phase.members:
            if member.id == card.id and member.peer != card.peer:
                raise Invalid(
                    "ports.etcd_peer",
                    f"the cluster knows this server's etcd member at {member.peer}, but it is to "
                    f"listen at {card.peer} now. Give it its old address, or an empty data_dir",
                )
            if member.id == card.id and member.name != card.name:
                raise Invalid(
                    "name",
                    f"this server's data belong to {member.name!r}, but it is called "
                    f"{card.name!r} now. Give it its old name, or an empty data_dir",
                )
