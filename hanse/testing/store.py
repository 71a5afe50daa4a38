"""The region's store in memory: for tests, and for nothing that must outlive the process.

It keeps the whole contract of `hanse.store.Store`, history and compaction included, and lets
a test bring about what is hard to provoke in a real one: `compact`, `expire_lease`,
`fail_next_commit`, `go_down`. Leases end only when told, so a test decides when.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from typing import Literal

from hanse.errors import HanseError, NoLeader, NotFound, Unavailable
from hanse.store import (
    Batch,
    CreatedAt,
    Delete,
    Deleted,
    KeyIs,
    KeyValue,
    Listing,
    Put,
    Relisted,
    Txn,
    TxnResult,
    written_twice,
)


class MemoryStore:
    """A `hanse.store.Store`. One event loop; no persistence."""

    def __init__(self, *, far_behind: int = 5_000) -> None:
        """`far_behind`: a watch that starts more revisions back than this lists afresh."""
        self._now: dict[str, KeyValue] = {}
        self._revision = 1
        self._compacted = 0
        #: What was there at `_compacted`.
        self._base: dict[str, KeyValue] = {}
        self._far_behind = far_behind
        self._history: list[Batch] = []
        self._revisions: list[int] = []
        self._leases: dict[int, int] = {}
        self._lease_of: dict[str, int] = {}
        self._last_lease = 0
        self._changed = asyncio.Event()
        self._fail_next: list[tuple[HanseError, bool]] = []
        self._down: Literal["", "unavailable", "no-leader"] = ""
        #: How many watches are open: a test asserts that none leaks.
        self.watchers = 0
        #: Every transaction that reached the store, in order.
        self.committed: list[Txn] = []

    # The port.

    async def commit(self, txn: Txn) -> TxnResult:
        """See `Store.commit`."""
        if twice := written_twice(txn.writes):
            raise ValueError(f"the transaction writes {twice!r} twice")
        self._answer()
        error, applied = self._fail_next.pop(0) if self._fail_next else (None, True)
        if error is not None and not applied:
            raise error
        result = self._commit(txn)
        if error is not None:
            raise error
        return result

    async def list(self, prefix: str, *, revision: int = 0) -> Listing:
        """See `Store.list`."""
        self._answer()
        return self._list(prefix, revision)

    async def get(self, key: str) -> KeyValue | None:
        """See `Store.get`."""
        self._answer()
        return self._now.get(key)

    async def revision(self) -> int:
        """See `Store.revision`."""
        self._answer()
        return self._revision

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch | Relisted, None]:
        """See `Store.watch`. Progress is told at once."""
        self.watchers += 1
        try:
            while True:
                while self._down:
                    await self._changed.wait()
                if after < self._compacted or self._revision - after > self._far_behind:
                    listing = self._list(prefix, 0)
                    after = listing.revision
                    yield Relisted(listing)
                    continue
                for batch in self._history[bisect_right(self._revisions, after) :]:
                    events = tuple(e for e in batch.events if e.key.startswith(prefix))
                    after = batch.revision
                    yield Batch(batch.revision, events)
                    if after < self._compacted:
                        break
                if after >= self._revision:
                    await self._changed.wait()
        finally:
            self.watchers -= 1

    async def grant_lease(self, ttl_s: int) -> int:
        """See `Store.grant_lease`."""
        self._answer()
        self._last_lease += 1
        self._leases[self._last_lease] = ttl_s
        return self._last_lease

    async def keep_lease(self, lease: int) -> int:
        """See `Store.keep_lease`."""
        self._answer()
        if lease not in self._leases:
            raise NotFound("lease", f"{lease:x}")
        return self._leases[lease]

    async def revoke(self, lease: int) -> None:
        """See `Store.revoke`."""
        self._answer()
        self.expire_lease(lease)

    # What a test may bring about.

    def expire_lease(self, lease: int) -> None:
        """End a lease as if its time had run out: its keys are deleted in one revision."""
        self._leases.pop(lease, None)
        keys = sorted(key for key, its in self._lease_of.items() if its == lease)
        if keys:
            self._write(tuple(Delete(key) for key in keys))

    def compact(self, revision: int = 0) -> None:
        """Forget the history before `revision` (0: before now)."""
        self._compacted = revision or self._revision
        gone = bisect_right(self._revisions, self._compacted)
        for batch in self._history[:gone]:
            _replay(batch, self._base)
        del self._history[:gone], self._revisions[:gone]
        self._wake()

    def fail_next_commit(self, error: HanseError | None = None, *, applied: bool = False) -> None:
        """Make the next commit raise `error` (`Unavailable`), carried out or not."""
        self._fail_next.append((error or Unavailable("the memory store", 0.3), applied))

    def go_down(self, how: Literal["unavailable", "no-leader"] = "unavailable") -> None:
        """Answer nothing until `come_back`. Watches wait meanwhile."""
        self._down = how

    def come_back(self) -> None:
        """Answer again."""
        self._down = ""
        self._wake()

    def _answer(self) -> None:
        if self._down == "unavailable":
            raise Unavailable("the memory store", 0.3)
        if self._down == "no-leader":
            raise NoLeader

    def _holds(self, compare: KeyIs | CreatedAt) -> bool:
        found = self._now.get(compare.key)
        match compare:
            case KeyIs(mod_revision=expected):
                return (found.mod_revision if found else 0) == expected
            case CreatedAt(create_revision=expected):
                return (found.create_revision if found else 0) == expected

    def _commit(self, txn: Txn) -> TxnResult:
        for write in txn.writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise NotFound("lease", f"{write.lease:x}")
        if txn.fence is not None and not self._holds(txn.fence):
            return TxnResult(succeeded=False, revision=self._revision, fenced=True)
        if not all(self._holds(compare) for compare in txn.compares):
            return TxnResult(succeeded=False, revision=self._revision)
        self._write(txn.writes)
        self.committed.append(txn)
        return TxnResult(succeeded=True, revision=self._revision)

    def _write(self, writes: tuple[Put | Delete, ...]) -> None:
        revision = self._revision + 1
        events: dict[str, KeyValue | Deleted] = {}
        for write in writes:
            match write:
                case Put(key=key, value=value, lease=lease):
                    old = self._now.get(key)
                    new = KeyValue(
                        key=key,
                        value=value,
                        create_revision=old.create_revision if old else revision,
                        mod_revision=revision,
                        version=old.version + 1 if old else 1,
                    )
                    self._now[key] = events[key] = new
                    self._lease_of.pop(key, None)
                    if lease:
                        self._lease_of[key] = lease
                case Delete(key=key, prefix=prefix):
                    doomed = [k for k in self._now if k.startswith(key)] if prefix else [key]
                    for gone in sorted(doomed):
                        if self._now.pop(gone, None) is not None:
                            self._lease_of.pop(gone, None)
                            events[gone] = Deleted(gone, revision)
        if not events:
            return
        self._revision = revision
        self._history.append(Batch(revision, tuple(events.values())))
        self._revisions.append(revision)
        self._wake()

    def _list(self, prefix: str, revision: int) -> Listing:
        revision = revision or self._revision
        if revision < self._compacted or revision > self._revision:
            raise NotFound("revision", str(revision))
        then = self._at(revision)
        return Listing(revision, [then[key] for key in sorted(then) if key.startswith(prefix)])

    def _at(self, revision: int) -> dict[str, KeyValue]:
        """What was there at `revision`: the state at the compaction, and what happened since."""
        if revision == self._revision:
            return self._now
        then = dict(self._base)
        for batch in self._history[: bisect_right(self._revisions, revision)]:
            _replay(batch, then)
        return then

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _replay(batch: Batch, state: dict[str, KeyValue]) -> None:
    for event in batch.events:
        if isinstance(event, KeyValue):
            state[event.key] = event
        else:
            state.pop(event.key, None)
