"""Keeps up with the other servers: greets each of them twice a second, and forms with them.

Where they are is told by whoever knows (`Peers`): a list of addresses today, gossip later, and
the servers themselves, which tell each other of each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from hanse.clock import Clock
from hanse.errors import Denied, HanseError, Invalid, Unavailable
from region.alarm import Alarm
from region.quorum import disk
from region.quorum.forming import Effect, Enter, Formed, Forming, Heard, Refused, Save, Tick
from region.quorum.links import Links
from region.quorum.model import (
    Alone,
    Card,
    Decided,
    Greeting,
    Health,
    JoinRequest,
    Refusal,
    Standing,
)

log = structlog.get_logger(__name__)

PERIOD_S = 0.5
#: Unreachable for so long, or refusing connections: others are asked whether they see it too.
SILENT_S = 1.8
#: Unreachable for so long: shown as failed.
FAILED_S = 3.0
#: Unreachable for so long and on no list: forgotten.
GONE_S = 30.0
_JOIN_PAUSE_S = 2.0


class Peers(Protocol):
    """Says where servers of this region may be. The seam for gossip."""

    def addresses(self) -> Sequence[str]:
        """RPC addresses, "host:port"; some may be wrong or gone."""
        ...


@dataclass
class AddressList:
    """The addresses of `server_join`, and those that operators named since."""

    given: list[str]

    def addresses(self) -> Sequence[str]:
        """All of them."""
        return tuple(self.given)

    def add(self, addresses: Sequence[str]) -> None:
        """More of them."""
        self.given += [address for address in addresses if address not in self.given]


@dataclass
class Sight:
    """What is known of another server."""

    card: Card
    greeting: Greeting
    heard_at: float
    #: Since when it has been alive without a break.
    alive_since: float
    #: Since when it cannot be reached; None while it can.
    failing_since: float | None = None
    #: Nobody listens there any more: the process is gone.
    refused: bool = False

    def silent(self, now: float) -> bool:
        """Whether it looks dead from here."""
        since = self.failing_since
        return since is not None and (self.refused or now - since >= SILENT_S)

    def standing(self, now: float) -> Standing:
        """How it is shown."""
        since = self.failing_since
        return "failed" if since is not None and now - since >= FAILED_S else "alive"


@dataclass
class Retry:
    """How the addresses are tried at the start (`server_join`)."""

    interval_s: float = 1.0
    #: After so many rounds without meeting anybody the agent ends; 0: never.
    rounds_max: int = 0


class Neighbours:
    """A service; the one owner of the forming machine."""

    name = "neighbours"

    def __init__(
        self,
        machine: Forming,
        folder: Path,
        clock: Clock,
        peers: Peers,
        *,
        links: Links | None = None,
        retry: Retry | None = None,
    ) -> None:
        """`folder` keeps the record."""
        self.machine = machine
        self.links = links or Links()
        self.sights: dict[str, Sight] = {}
        #: Set once this server belongs to a cluster and may start its member.
        self.formed = asyncio.Event()
        #: What this server says of its part of the quorum; others keep it up to date.
        self.health: Callable[[], Health] = Health
        #: More addresses, from the registry.
        self.registered: Callable[[], Sequence[Card]] = tuple
        self._folder = folder
        self._clock = clock
        self._peers = peers
        self._retry = retry or Retry()
        self._tried: dict[str, int] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._said: dict[str, str] = {}
        self._alarms: dict[str, Alarm] = {}
        self._foreign: dict[str, str] = {}
        self._joining: asyncio.Task[None] | None = None
        self._join_after = float("-inf")

    @property
    def card(self) -> Card:
        """Who this server is."""
        return self.machine.card

    def greeting(self) -> Greeting:
        """What this server says of itself now."""
        record = self.machine.record
        known = [sight.card.rpc for sight in self.sights.values() if sight.failing_since is None]
        return Greeting(
            card=self.card,
            boot=self.machine.boot,
            epoch=record.epoch,
            phase=record.phase,
            known=tuple(known[:100]),
            health=self.health(),
        )

    def greeted(self, greeting: Greeting) -> Greeting | Refusal:
        """Answer another server's greeting."""
        refused = self.machine.objection(greeting)
        if refused is not None:
            self._complain(greeting.card.rpc, refused.text)
            return Refusal(text=refused.text, kind="denied")
        self._hear(greeting)
        return self.greeting()

    def others(self) -> list[Sight]:
        """All other servers that were ever heard, by name."""
        return sorted(self.sights.values(), key=lambda sight: sight.card.name)

    def forget(self, server_id: str) -> None:
        """A server was removed from the cluster."""
        self.sights.pop(server_id, None)

    def hurry(self) -> None:
        """Greet everybody at once."""
        for alarm in self._alarms.values():
            alarm.ring()

    async def run(self) -> None:
        """Greet for ever. Raises Invalid when this server cannot go with those it finds."""
        # Who it is must be on disk before anybody hears of it.
        disk.save(self._folder, self.machine.record)
        try:
            async with asyncio.TaskGroup() as group:
                started = self._clock.now()
                while True:
                    self._greet_all(group)
                    self._step(group, started)
                    await self._clock.sleep(PERIOD_S / 2)
        finally:
            self._loops.clear()
            await self.links.close()

    # One round.

    def _addresses(self) -> set[str]:
        found = {*self._peers.addresses(), *(card.rpc for card in self.registered())}
        found |= {sight.card.rpc for sight in self.sights.values()}
        if isinstance(phase := self.machine.phase, Decided):
            found |= {card.rpc for card in phase.members}
        else:
            found |= {address for s in self.sights.values() for address in s.greeting.known}
        return found - {self.card.rpc, ""}

    def _forget_the_gone(self) -> None:
        """Drop who has been away for long and is not among the region's servers any more."""
        now = self._clock.now()
        listed = {card.id for card in self.registered()}
        for sight in list(self.sights.values()):
            since = sight.failing_since
            if since is not None and now - since > GONE_S and sight.card.id not in listed:
                del self.sights[sight.card.id]

    def _greet_all(self, group: asyncio.TaskGroup) -> None:
        self._forget_the_gone()
        wanted = self._addresses()
        for address in wanted - self._loops.keys():
            self._alarms[address] = Alarm(self._clock)
            self._loops[address] = group.create_task(self._keep_up(address), name=f"to {address}")
        for address in self._loops.keys() - wanted:
            self._loops.pop(address).cancel()
            self._alarms.pop(address, None)
            self._foreign.pop(address, None)

    def _step(self, group: asyncio.TaskGroup, started: float) -> None:
        now = self._clock.now()
        searched = all(self._tried.get(address, 0) > 0 for address in self._addresses())
        for effect in self._do(self.machine.handle(Tick(now, searched))):
            self._enter(group, effect, now)
        if self.machine.cluster and not self.formed.is_set():
            # A server that comes back waits a moment to hear whether it is among its own.
            if searched or now - started > 1.0:
                self._look_before_starting()
                self.formed.set()
        elif not self.machine.cluster:
            self._give_up_if_alone()

    def _look_before_starting(self) -> None:
        foreign = [text for text in self._foreign.values() if text]
        own = [s for s in self.sights.values() if s.failing_since is None]
        if foreign and not own and self.machine.record.started:
            raise Invalid("data_dir", foreign[0])

    def _give_up_if_alone(self) -> None:
        limit = self._retry.rounds_max
        addresses = sorted(self._addresses())
        if not limit or self.sights or not addresses:
            return
        if all(self._tried.get(address, 0) >= limit for address in addresses):
            raise Invalid(
                "server_join", f"no server answers at {', '.join(addresses)} after {limit} attempts"
            )

    def _enter(self, group: asyncio.TaskGroup, enter: Enter, now: float) -> None:
        if now < self._join_after or (self._joining is not None and not self._joining.done()):
            return
        self._join_after = now + _JOIN_PAUSE_S
        self._joining = group.create_task(self._join(enter), name="joining")

    async def _join(self, enter: Enter) -> None:
        try:
            admitted = await self.links.join(enter.via.rpc, JoinRequest(card=self.card))
        except HanseError as error:
            log.warning("not let in yet", server=enter.via.name, reason=str(error))
            return
        if not isinstance(self.machine.phase, Alone):
            return
        decided = Decided(admitted.cluster, admitted.members, joined=True, peers=admitted.peers)
        self._do(self.machine.entered(decided))

    # One server.

    async def _keep_up(self, address: str) -> None:
        alarm = self._alarms[address]
        while True:
            met = await self._greet(address)
            self._tried[address] = self._tried.get(address, 0) + 1
            pause_s = PERIOD_S if met or self._known(address) else self._retry.interval_s
            await alarm.wait(pause_s)

    def _known(self, address: str) -> bool:
        return any(sight.card.rpc == address for sight in self.sights.values())

    async def _greet(self, address: str) -> bool:
        began = self._clock.now()
        try:
            answer = await self.links.greet(address, self.greeting())
        except Denied as error:
            self._complain(address, str(error))
            self._foreign[address] = str(error) if "cluster" in str(error) else ""
            return False
        except HanseError as error:
            gone = isinstance(error, Unavailable) and self._clock.now() - began < 0.5
            self._missed(address, began, refused=gone)
            return False
        refused = self.machine.objection(answer)
        if refused is not None:
            self._complain(address, refused.text)
            self._foreign[address] = refused.text if refused.foreign else ""
            return False
        self._foreign.pop(address, None)
        if answer.boot != self.machine.boot:
            self._hear(answer)
        return True

    def _hear(self, greeting: Greeting) -> None:
        now = self._clock.now()
        card = greeting.card
        if card.id == self.card.id:
            return
        sight = self.sights.get(card.id)
        if sight is None:
            log.info("server met", server=card.name, address=card.rpc)
            self._said.pop(card.rpc, None)
            self.sights[card.id] = Sight(card, greeting, now, now)
        else:
            if sight.failing_since is not None:
                log.info("server is back", server=card.name, address=card.rpc)
                sight.alive_since = now
            sight.card, sight.greeting, sight.heard_at = card, greeting, now
            sight.failing_since, sight.refused = None, False
        # Another server is there now: the old one has lost its data, or was removed.
        for old in [s.card for s in self.sights.values() if s.card.rpc == card.rpc]:
            if old.id != card.id:
                del self.sights[old.id]
        for effect in self._do(self.machine.handle(Heard(greeting, now))):
            del effect  # Entering is asked for again by the next tick.

    def _missed(self, address: str, began: float, *, refused: bool) -> None:
        for sight in self.sights.values():
            if sight.card.rpc != address:
                continue
            if sight.failing_since is None:
                # Counted from the last sign of life, but not from before we asked.
                sight.failing_since = max(sight.heard_at, began)
                log.warning("server does not answer", server=sight.card.name, address=address)
            sight.refused = refused

    def _complain(self, address: str, text: str) -> None:
        """Say something once, not twice a second."""
        if self._said.get(address) != text:
            self._said[address] = text
            log.error("cannot go together with a server", address=address, reason=text)

    def _do(self, effects: Sequence[Effect]) -> list[Enter]:
        """Carry out what the machine wants; gives what takes longer."""
        later: list[Enter] = []
        for effect in effects:
            match effect:
                case Save(record):
                    disk.save(self._folder, record)
                    log.info("quorum", phase=type(record.phase).__name__, epoch=record.epoch)
                case Formed(decided):
                    names = [card.name for card in decided.members]
                    log.info("cluster", cluster=decided.cluster, members=names)
                    self.hurry()
                case Refused(text):
                    self._complain("", text)
                case Enter():
                    later.append(effect)
        return later

    def start_member(self) -> None:
        """Note on disk that etcd is about to have data here."""
        self._do(self.machine.started())
