"""How the control plane writes: once, surely, and seen by itself afterwards.

The store never sends a transaction twice and says so when it does not know what became of one.
What is written here is therefore made so that looking tells: each draft makes a key that did
not exist (its `marker`), and compares the revisions of what it was decided on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, NamedTuple, TypeVar

import structlog

from hanse.clock import Clock
from hanse.errors import Conflict, HanseError, NoLeader, Unavailable
from hanse.store import CreatedAt, Delete, KeyIs, Put, Store, Txn, TxnResult
from hanse.structs.ids import IdStream
from region.state.state import State

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: How long a write is tried before the caller hears that it failed, in seconds.
WRITE_S = 8.0
#: Writes and compares in one transaction: etcd accepts 128 unless it is told otherwise.
TXN_OPS_MAX = 100
_RETRY_S = 0.1
#: How long one waits for the state to be loaded, in seconds.
_LOADING_S = 5.0
_CONFLICTS_MAX = 50


class Fenced(Exception):
    """Another server leads: nothing that this one writes as leader is stored any more."""


class Draft(NamedTuple, Generic[T]):
    """A write that was decided on the state as it is, and what to answer once it is stored."""

    compares: tuple[KeyIs, ...]
    writes: tuple[Put | Delete, ...]
    #: A key that this draft makes and that nobody else can; "" if writing twice does no harm.
    marker: str
    result: T


@dataclass(frozen=True)
class Writer:
    """What every command has at hand. Used on one event loop."""

    state: State
    store: Store
    clock: Clock
    rng: Random

    def ids(self) -> IdStream:
        """Fresh identifiers."""
        return IdStream(self.rng.getrandbits(64))

    def key_is(self, key: str) -> KeyIs:
        """The compare that a key is still as the state has it."""
        return KeyIs(key, self.state.stored_revision(key))

    async def barrier(self, deadline: float) -> None:
        """Wait until the state is as new as the store is now.

        Raises `NoLeader` at once when the quorum is gone: the store itself has waited as long
        as an election takes. Raises `Unavailable` if it is not so by `deadline` (by the clock).
        """
        await self._loaded(deadline)
        revision = 0
        while not revision:
            try:
                revision = await self.store.revision()
            except HanseError as error:
                late = self.clock.now() + _RETRY_S >= deadline
                if late or not error.retryable or isinstance(error, NoLeader):
                    raise
                await self.clock.sleep(_RETRY_S)
        left_s = max(0.0, deadline - self.clock.now())
        if self.state.revision >= revision:
            return
        try:
            await asyncio.wait_for(self.state.wait_applied(revision), left_s)
        except TimeoutError as error:
            raise Unavailable("the region's state", left_s) from error

    async def _loaded(self, deadline: float) -> None:
        """Wait a moment for the state of a server that has just started. Raises NoLeader."""
        if self.state.revision:
            return
        limit_s = min(_LOADING_S, deadline - self.clock.now())
        try:
            await asyncio.wait_for(self.state.wait_applied(1), max(0.0, limit_s))
        except TimeoutError as error:
            raise NoLeader from error

    async def write(self, decide: Callable[[], Draft[T]]) -> tuple[T, int]:
        """Decide on the state and store the draft; decide again if the state had moved on.

        Gives the draft's result and the revision that stored it, which the state shows by then.
        What `decide` raises ends it. Raises `Unavailable`, `NoLeader`, `OutOfSpace`, `TooLarge`.
        """
        deadline = self.clock.now() + WRITE_S
        await self._loaded(deadline)
        conflicts = 0
        while True:
            draft = decide()
            if not draft.writes:
                return draft.result, self.state.revision
            revision = await self._store(draft, deadline)
            if revision:
                return draft.result, revision
            conflicts += 1
            if conflicts > _CONFLICTS_MAX:
                raise Conflict("state", "of the request", expected=0, actual=self.state.revision)

    async def write_all(self, writes: Sequence[Put]) -> int:
        """Store any number of writes of keys that nobody else makes; gives the last revision.

        The first key of each transaction must be new.
        """
        revision = self.state.revision
        for start in range(0, len(writes), TXN_OPS_MAX):
            chunk = tuple(writes[start : start + TXN_OPS_MAX])
            stored = await self._store(
                Draft((), chunk, chunk[0].key, None), self.clock.now() + WRITE_S
            )
            revision = max(revision, stored)
        return revision

    async def _store(self, draft: Draft[T], deadline: float) -> int:
        """Store one draft; 0 if what it was decided on has changed since."""
        compares = draft.compares
        if draft.marker:
            compares = (*compares, KeyIs(draft.marker, 0))
        while True:
            try:
                result = await self.store.commit(Txn(compares, draft.writes))
            except HanseError as error:
                late = self.clock.now() >= deadline
                if late or not error.retryable or isinstance(error, NoLeader):
                    raise
                log.info("write is tried again", error=str(error), kind=error.kind)
                await self.clock.sleep(_RETRY_S)
                continue
            await self.state.wait_applied(result.revision)
            if result.succeeded:
                return result.revision
            # Refused: by somebody else's write, or because an earlier try of ours got through.
            return self.state.made_revision(draft.marker) if draft.marker else 0


@dataclass(frozen=True)
class Leading(Writer):
    """The same for the leader's own services: every write carries the fence of its term."""

    fence: CreatedAt | None
    region: str

    async def commit(
        self, compares: tuple[KeyIs, ...], writes: tuple[Put | Delete, ...]
    ) -> TxnResult:
        """Commit as leader; the state shows the result on return. Raises Fenced."""
        result = await self.store.commit(Txn(compares, writes, self.fence))
        if result.fenced:
            raise Fenced
        await self.state.wait_applied(result.revision)
        return result
