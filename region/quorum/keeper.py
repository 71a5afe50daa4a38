"""This server's own member of etcd, once it is known which cluster it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from msgspec.structs import replace as changed

from hanse.clock import Clock
from hanse.errors import Denied, HanseError
from region.quorum import disk
from region.quorum.model import Decided, Health
from region.quorum.neighbours import Neighbours
from region.store.binary import Binary
from region.store.maintain import Maintenance, maintenance
from region.store.member import MemberConfig, Peer, Supervisor

log = structlog.get_logger(__name__)

_LOOK_S = 0.5
_PULSE_S = 1.0
_READY_S = 15.0
_REMOVED = ("permanently removed from the cluster", "data-dir used by this member must be removed")


class Keeper:
    """A service: waits for the cluster to be known, then supervises the member."""

    name = "etcd"

    def __init__(
        self, binary: Binary, base: MemberConfig, neighbours: Neighbours, folder: Path, clock: Clock
    ) -> None:
        """`base` is complete but for the cluster; `folder` has the server's data."""
        self._binary = binary
        self._base = base
        self._neighbours = neighbours
        self._folder = folder
        self._clock = clock
        self._supervisor: Supervisor | None = None
        #: Set once the member has answered a linearizable read.
        self.opened = asyncio.Event()

    @property
    def endpoint(self) -> str:
        """Where the member's clients reach it."""
        return self._base.client_address

    async def run(self) -> None:
        """Keep the member for ever. Raises Denied when the cluster has removed it."""
        await self._neighbours.formed.wait()
        phase = self._neighbours.machine.phase
        assert isinstance(phase, Decided)
        self._neighbours.start_member()
        supervisor = self._supervisor = Supervisor(
            self._binary, member_of(self._base, phase), self._clock
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(supervisor.run(), name="etcd")
            group.create_task(self._open(supervisor), name="opening etcd")
            group.create_task(self._look_for_removal(supervisor), name="looking at etcd")

    async def _open(self, supervisor: Supervisor) -> None:
        while True:
            try:
                await supervisor.ready(timeout_s=_READY_S)
            except HanseError as error:
                log.warning("waiting for a quorum", reason=str(error))
                continue
            self.opened.set()
            return

    async def _look_for_removal(self, supervisor: Supervisor) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            said = supervisor.last_words
            if any(phrase in words for words in said for phrase in _REMOVED):
                aside = disk.retire(self._folder, self._neighbours.machine.record)
                raise Denied(
                    f"this server ({self._base.name}) was removed from its cluster. Its old data "
                    f"are kept in {aside}; started again, it joins as a new server"
                )


def member_of(base: MemberConfig, phase: Decided) -> MemberConfig:
    """The configuration of the member that belongs to a cluster. Pure."""
    if phase.peers:
        peers = tuple(Peer(name, address) for name, address in phase.peers)
    else:
        peers = tuple(Peer(card.name, card.peer) for card in phase.members)
    joined = replace(base, state="existing" if phase.joined else "new")
    return replace(joined, peers=peers, token=phase.cluster)


class Endpoints:
    """A service that has the store use the members of all servers, the own one first."""

    name = "endpoints"

    def __init__(
        self, neighbours: Neighbours, use: Callable[[Sequence[str]], Awaitable[None]], clock: Clock
    ) -> None:
        """`use` is called with "host:port" of etcd's clients."""
        self._neighbours = neighbours
        self._use = use
        self._clock = clock

    async def run(self) -> None:
        """Keep it up to date for ever."""
        while True:
            cards = self._neighbours.registered()
            phase = self._neighbours.machine.phase
            if len(cards) <= 1 and isinstance(phase, Decided):
                cards = phase.members
            own = self._neighbours.card.client
            others = sorted({card.client for card in cards} - {own, ""})
            await self._use([own, *others])
            await self._clock.sleep(_PULSE_S)


class Pulse:
    """A service that asks the own member how it is, for the others to know."""

    name = "pulse"

    def __init__(self, endpoint: str, clock: Clock) -> None:
        """`endpoint` is the member's."""
        self._endpoint = endpoint
        self._clock = clock
        self.health = Health()

    async def run(self) -> None:
        """Ask for ever."""
        async with maintenance(self._endpoint, clock=self._clock) as member:
            while True:
                self.health = await self._ask(member)
                await self._clock.sleep(_PULSE_S if self.health.member_id else _PULSE_S / 5)

    async def _ask(self, member: Maintenance) -> Health:
        try:
            status = await member.status()
        except HanseError:
            return changed(self.health, raft_leader=0, member_id=0)
        return Health(
            member_id=status.member_id,
            learner=status.learner,
            raft_leader=status.leader_id,
            raft_term=status.raft_term,
            raft_index=status.raft_index,
            raft_applied=status.raft_applied,
        )
