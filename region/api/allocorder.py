"""The order in which allocations are listed, kept up to date.

Sorting a hundred thousand allocations for each page would take longer than the page may. All
allocations made in one revision share their create index, so it is enough to keep the IDs by
create index, and those indexes in order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import Any

from hanse.structs.allocation import Allocation
from region.api.ports import AppliedPort, StatePort


class AllocOrder:
    """IDs of allocations by (create index, ID)."""

    def __init__(self, state: StatePort) -> None:
        """Begin with what the state has, and follow it."""
        self._indexes: list[int] = []
        self._ids: dict[int, list[str]] = {}
        self._unsorted: set[int] = set()
        for alloc in state.allocations("*"):
            self._add(alloc)
        state.listen(self.on_applied)

    def on_applied(self, applied: AppliedPort) -> None:
        """Take in one revision."""
        for change in applied.changes:
            old: Any = change.old
            new: Any = change.new
            if isinstance(new, Allocation):
                if not isinstance(old, Allocation):
                    self._add(new)
                elif old.create_index != new.create_index:
                    self._remove(old)
                    self._add(new)
            elif isinstance(old, Allocation):
                self._remove(old)

    def _add(self, alloc: Allocation) -> None:
        index = alloc.create_index
        ids = self._ids.get(index)
        if ids is None:
            ids = self._ids[index] = []
            if self._indexes and index < self._indexes[-1]:
                insort(self._indexes, index)
            else:
                self._indexes.append(index)
        if ids and alloc.id < ids[-1]:
            self._unsorted.add(index)
        ids.append(alloc.id)

    def _remove(self, alloc: Allocation) -> None:
        ids = self._ids.get(alloc.create_index)
        if ids is None or alloc.id not in ids:
            return
        ids.remove(alloc.id)
        if not ids:
            del self._ids[alloc.create_index]
            del self._indexes[bisect_left(self._indexes, alloc.create_index)]

    def _sorted(self, index: int) -> list[str]:
        ids = self._ids.get(index, [])
        if index in self._unsorted:
            ids.sort()
            self._unsorted.discard(index)
        return ids

    def allocations(
        self,
        state: StatePort,
        namespace: str,
        *,
        start: tuple[Any, ...] | None = None,
        reverse: bool = False,
    ) -> Iterator[Allocation]:
        """The allocations in order, from `start` on, as they are when each is reached."""
        for alloc_id in self._walk(start, reverse):
            alloc = state.allocation(alloc_id)
            if alloc is not None and namespace in ("*", alloc.namespace):
                yield alloc

    def _walk(self, start: tuple[Any, ...] | None, reverse: bool) -> Iterator[str]:
        indexes: Iterable[int]
        if reverse:
            end = len(self._indexes)
            if start is not None:
                end = bisect_right(self._indexes, start[0])
            indexes = self._indexes[:end][::-1]
        else:
            begin = bisect_left(self._indexes, start[0]) if start is not None else 0
            indexes = self._indexes[begin:]
        for index in indexes:
            ids = list(self._sorted(index))
            if start is not None and index == start[0]:
                if reverse:
                    ids = ids[: bisect_right(ids, start[1])]
                else:
                    ids = ids[bisect_left(ids, start[1]) :]
            yield from reversed(ids) if reverse else ids
