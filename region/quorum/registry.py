"""The servers of the region as they wrote themselves down in the store.

It says where each member is reached, also one that is dead now. Read again from time to time
and when somebody is met who is not in it.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import structlog

from hanse.clock import Clock
from hanse.errors import HanseError, Unavailable
from hanse.store import Delete, Put, Store, Txn
from region.alarm import Alarm
from region.quorum.model import Card

log = structlog.get_logger(__name__)

_PERIOD_S = 10.0
_RETRY_S = 0.5


class Registry:
    """A service; runs once the store answers."""

    name = "registry"

    def __init__(self, store: Store, clock: Clock, prefix: str, own: Card) -> None:
        """`prefix` is that of the region's keys: who watches them sees every revision."""
        self._store = store
        self._clock = clock
        self._prefix = f"{prefix}servers/"
        self._own = own
        self._alarm = Alarm(clock)
        self.cards: dict[str, Card] = {own.id: own}

    def wake(self) -> None:
        """Read it again soon."""
        self._alarm.ring()

    def meet(self, server_id: str) -> None:
        """Somebody was met."""
        if server_id not in self.cards:
            self._alarm.ring()

    async def run(self) -> None:
        """Write this server down and keep up with the others."""
        while True:
            pause_s = _PERIOD_S
            try:
                await self._step()
            except HanseError as error:
                if not error.retryable:
                    raise
                log.info("the list of servers cannot be read yet", reason=str(error))
                pause_s = _RETRY_S
            await self._alarm.wait(pause_s)
            # A wake-up for each server that is met is not a listing for each of them.
            await self._clock.sleep(_RETRY_S)

    async def _step(self) -> None:
        listing = await self._store.list(self._prefix)
        found: dict[str, Card] = {}
        for item in listing.items:
            try:
                card = msgspec.json.decode(item.value, type=Card)
            except msgspec.MsgspecError as error:
                log.warning("unreadable server", key=item.key, error=str(error))
                continue
            found[card.id] = card
        if found.get(self._own.id) != self._own:
            put = Put(self._key(self._own.id), msgspec.json.encode(self._own))
            await self._store.commit(Txn((), (put,)))
            found[self._own.id] = self._own
        self.cards = found

    async def remove(self, server_id: str) -> None:
        """Strike a server out."""
        try:
            await self._store.commit(Txn((), (Delete(self._key(server_id)),)))
        except Unavailable as error:
            log.warning("a server may still be listed", server=server_id, reason=str(error))
        self.cards.pop(server_id, None)
        self._alarm.ring()

    def _key(self, server_id: str) -> str:
        return self._prefix + quote(server_id, safe="")
