"""The region's store as its users see it: a key-value history with one revision counter.

`region.store` is the real one (etcd), `hanse.testing.store` the one in memory; one contract
suite runs over both. What the port promises, whichever is behind it:

* A transaction is applied whole or not at all, and is never sent a second time by the store:
  after `Unavailable` its outcome is unknown and the caller must look before it tries again.
* Revisions only grow. Every transaction that changes something makes exactly one, although
  transactions committed at the same moment may share one.
* A watch misses nothing, repeats nothing and never splits the events of one revision.

Keys are text, values bytes. Keep everything that one watcher follows under one prefix: a
change elsewhere moves the revision on, and the watcher learns of that only by a progress
batch, some seconds later.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

import msgspec


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """One key as it was at some revision; as an event, the fact that it was put."""

    key: str
    value: bytes
    #: The revision that made the key; it changes only if the key is deleted and made again.
    create_revision: int
    mod_revision: int
    #: 1 for the put that made the key, one more for each later put.
    version: int


class Deleted(msgspec.Struct, frozen=True, gc=False):
    """The event that a key went away, by a delete or because its lease ended."""

    key: str
    mod_revision: int


class Put(msgspec.Struct, frozen=True, gc=False):
    """Give `key` a value; `lease`, unless 0, deletes it when that lease ends."""

    key: str
    value: bytes
    lease: int = 0


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Remove `key`, or with `prefix` every key that starts with it. Nothing there is no error."""

    key: str
    prefix: bool = False


class KeyIs(msgspec.Struct, frozen=True, gc=False):
    """Holds if `key` was last put at `mod_revision`; 0: if it does not exist."""

    key: str
    mod_revision: int


class CreatedAt(msgspec.Struct, frozen=True, gc=False):
    """Holds if `key` exists since `create_revision`: the fencing compare. 0: does not exist."""

    key: str
    create_revision: int


class Txn(msgspec.Struct, frozen=True):
    """All `writes`, if all `compares` and the `fence` hold; otherwise nothing.

    No key may be written twice, nor put and deleted: `written_twice` tells.
    """

    compares: tuple[KeyIs | CreatedAt, ...]
    writes: tuple[Put | Delete, ...]
    #: The leader's proof that it still leads; kept apart so that a merged transaction
    #: carries it once and its failure is told from a lost race.
    fence: CreatedAt | None = None


class TxnResult(msgspec.Struct, frozen=True, gc=False):
    """What became of a transaction."""

    succeeded: bool
    #: The store's revision after it: of the writes themselves if any changed something.
    revision: int
    #: It failed because the fence did: the sender leads no more and must stop writing.
    fenced: bool = False


class Batch(msgspec.Struct, frozen=True):
    """All events of one revision under the watched prefix; none: the revision is known to it.

    After a batch the watcher has seen everything up to and including `revision`.
    """

    revision: int
    events: tuple[KeyValue | Deleted, ...]


class Listing(msgspec.Struct, frozen=True):
    """Every key under a prefix at one revision, in order of their names."""

    revision: int
    items: list[KeyValue]


class Relisted(msgspec.Struct, frozen=True):
    """The watch could not, or not cheaply, go on from where it was.

    The watcher replaces all it holds with `listing`: what is not in it is gone. The batches
    after it begin at the next revision.
    """

    listing: Listing


class Store(Protocol):
    """Every method may be cancelled at any await and leaves nothing behind.

    A cancelled `commit` may still have been carried out. Any method may raise `Unavailable`
    (no answer in time) or `NoLeader` (the store has no quorum).
    """

    async def commit(self, txn: Txn) -> TxnResult:
        """Carry out `txn` atomically. A compare that fails is a result, not an error.

        Raises `Unavailable` if no answer came, when the transaction may or may not have been
        carried out; `NoLeader`, `OutOfSpace`, `TooLarge`, and `NotFound` for a put under a
        lease that ended, if it surely was not. Raises `ValueError` for a transaction that
        writes a key twice.
        """
        ...

    async def list(self, prefix: str, *, revision: int = 0) -> Listing:
        """Read all keys that start with `prefix`, now or at an earlier `revision`.

        Now means linearizable: no older than any commit that was answered before the call.
        Raises `NotFound` if the revision was compacted away or is not reached yet.
        """
        ...

    async def get(self, key: str) -> KeyValue | None:
        """Read one key, linearizably."""
        ...

    async def revision(self) -> int:
        """Give the store's revision, linearizably.

        Callers who wait at the same time share one question to the store.
        """
        ...

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch | Relisted, None]:
        """Give every later change under `prefix`, in order, for ever.

        `after` is the last revision known already. Survives lost members, compaction and slow
        consumers, and never raises for any of them; it waits instead. Close it (`aclosing`)
        to release it. A step that is cancelled ends it: begin another from the last revision.
        """
        ...

    async def grant_lease(self, ttl_s: int) -> int:
        """Make a lease that ends `ttl_s` seconds after the last time it was kept."""
        ...

    async def keep_lease(self, lease: int) -> int:
        """Renew a lease; gives the seconds it now has, counted from when this was called.

        Raises `NotFound` if it ended: its keys are gone.
        """
        ...

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys. Fine if it ended before."""
        ...


def written_twice(writes: Iterable[Put | Delete]) -> str:
    """Name a key that is put twice, or put and deleted; empty if there is none."""
    puts: set[str] = set()
    deletes: set[str] = set()
    prefixes: list[str] = []
    for write in writes:
        match write:
            case Put(key=key):
                if key in puts:
                    return key
                puts.add(key)
            case Delete(key=key, prefix=True):
                prefixes.append(key)
            case Delete(key=key):
                deletes.add(key)
    if both := puts & deletes:
        return min(both)
    for prefix in prefixes:
        for key in puts:
            if key.startswith(prefix):
                return key
    return ""
