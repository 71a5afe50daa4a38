"""Statuses on their way to the servers: the latest of each allocation, until acknowledged. Pure.

A status is always the whole of what there is to say of an allocation, so only the newest of each
is kept. Batches are numbered upwards, also across restarts of the agent; what has not been
acknowledged when a session ends goes out again on the next.
"""

from __future__ import annotations

import msgspec

from hanse.rpc.messages import Statuses
from hanse.structs.allocation import AllocStatus

#: Statuses in one message, and messages under way at a time.
BATCH_MAX = 500
UNDER_WAY_MAX = 4


class Outbox:
    """What is still to be said."""

    def __init__(self, number: int) -> None:
        """Batches are numbered from `number` + 1."""
        self._number = number
        self._waiting: dict[str, AllocStatus] = {}
        self._under_way: dict[int, dict[str, AllocStatus]] = {}
        self._known: dict[str, AllocStatus] = {}

    @property
    def waiting(self) -> int:
        """How many statuses have not been sent since they changed."""
        return len(self._waiting)

    def put(self, status: AllocStatus) -> bool:
        """Queue a status; false if the servers have been told, or are being told, just that."""
        bare = _bare(status)
        if self._latest(status.alloc_id) == bare:
            return False
        self._waiting[status.alloc_id] = status
        return True

    def take(self) -> Statuses | None:
        """The next batch to send, or None if there is nothing to send or too much under way."""
        if not self._waiting or len(self._under_way) >= UNDER_WAY_MAX:
            return None
        ids = list(self._waiting)[:BATCH_MAX]
        batch = {alloc_id: self._waiting.pop(alloc_id) for alloc_id in ids}
        self._number += 1
        self._under_way[self._number] = batch
        return Statuses(number=self._number, statuses=tuple(batch.values()))

    def acknowledge(self, number: int) -> None:
        """Every batch up to this number is in the store."""
        for each in sorted(self._under_way):
            if each <= number:
                for alloc_id, status in self._under_way.pop(each).items():
                    self._known[alloc_id] = _bare(status)

    def reconnect(self) -> None:
        """The session is a new one: what was under way may be lost and goes out again."""
        for number in sorted(self._under_way, reverse=True):
            for alloc_id, status in self._under_way[number].items():
                self._waiting.setdefault(alloc_id, status)
        self._under_way.clear()

    def settled(self, alloc_id: str) -> bool:
        """Whether all that there is to say of an allocation has been acknowledged."""
        if alloc_id in self._waiting:
            return False
        return not any(alloc_id in batch for batch in self._under_way.values())

    def forget(self, alloc_id: str) -> None:
        """The allocation is of no interest any more."""
        self._waiting.pop(alloc_id, None)
        self._known.pop(alloc_id, None)
        for batch in self._under_way.values():
            batch.pop(alloc_id, None)

    def _latest(self, alloc_id: str) -> AllocStatus | None:
        waiting = self._waiting.get(alloc_id)
        if waiting is not None:
            return _bare(waiting)
        for number in sorted(self._under_way, reverse=True):
            status = self._under_way[number].get(alloc_id)
            if status is not None:
                return _bare(status)
        return self._known.get(alloc_id)


def _bare(status: AllocStatus) -> AllocStatus:
    """The status without the moment it was made."""
    return msgspec.structs.replace(status, modified_ns=0)
