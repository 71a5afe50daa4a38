"""Which waiting transactions may travel together.

A call costs grpc.aio 0.3 ms of CPU and etcd a Raft entry and an fsync, whatever is in it. So
what waits while another is on its way goes as one. That must not be seen from outside: the
transactions of a group touch disjoint keys, so that all of them checked first and written
then give what one after another would have given, each with its own outcome.

Order is kept: a group is a run from the head of the queue, and ends at the first transaction
that may not join. Skipping that one would carry more, but commits of one process could then
overtake each other, which nobody expects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hanse.store import CreatedAt, Delete, KeyIs, Put, Txn


@dataclass(frozen=True)
class Limits:
    """How much one request may hold. A transaction that is larger by itself goes alone."""

    #: etcd counts operations and compares apart and refuses more than `--max-txn-ops`.
    ops_max: int = 5_000
    bytes_max: int = 1_500_000


def admit(waiting: Iterable[Txn], limits: Limits) -> int:
    """Say how many transactions from the head of the queue go together: at least one."""
    group = _Group(limits)
    count = 0
    for txn in waiting:
        if not group.add(txn):
            break
        count += 1
    return count


def size_of(txn: Txn) -> int:
    """Estimate the bytes of a transaction in a request, a little too high."""
    size = sum(40 + len(compare.key) for compare in txn.compares)
    for write in txn.writes:
        size += 40 + len(write.key) + (len(write.value) if isinstance(write, Put) else 0)
    return size


@dataclass
class _Group:
    limits: Limits
    count: int = 0
    ops: int = 0
    size: int = 0
    alone: bool = False
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    prefixes: list[str] = field(default_factory=list)

    def add(self, txn: Txn) -> bool:
        """Take `txn` in, unless it may not join."""
        reads = _read_by(txn)
        writes = {w.key for w in txn.writes if not _is_prefix(w)}
        prefixes = [w.key for w in txn.writes if _is_prefix(w)]
        ops = max(len(txn.compares), len(txn.writes)) + 1
        size = size_of(txn)
        # A put under a lease that ended is refused, and the whole request with it.
        alone = any(isinstance(w, Put) and w.lease for w in txn.writes)
        if self.count and (
            alone
            or self.alone
            or self.ops + ops > self.limits.ops_max
            or self.size + size > self.limits.bytes_max
            or self._touches(reads, writes, prefixes)
        ):
            return False
        self.count += 1
        self.ops += ops
        self.size += size
        self.alone = alone
        self.reads |= reads
        self.writes |= writes
        self.prefixes += prefixes
        return True

    def _touches(self, reads: set[str], writes: set[str], prefixes: list[str]) -> bool:
        if not self.writes.isdisjoint(reads) or not self.writes.isdisjoint(writes):
            return True
        if not self.reads.isdisjoint(writes):
            return True
        return _any_under(self.prefixes, (*reads, *writes, *prefixes)) or _any_under(
            prefixes, (*self.reads, *self.writes, *self.prefixes)
        )


def _read_by(txn: Txn) -> set[str]:
    compares: tuple[KeyIs | CreatedAt, ...] = txn.compares
    if txn.fence is not None:
        compares = (*compares, txn.fence)
    return {compare.key for compare in compares}


def _is_prefix(write: Put | Delete) -> bool:
    return isinstance(write, Delete) and write.prefix


def _any_under(prefixes: list[str], keys: Iterable[str]) -> bool:
    if not prefixes:
        return False
    starts = tuple(prefixes)
    return any(key.startswith(starts) for key in keys)
