"""Where the other instances of the job are, while a plan is made."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from region.scheduler.fleet import Mask


class Peers:
    """Instances of each group by row: those that stay and those that were placed."""

    def __init__(self, size: int) -> None:
        """For a fleet of `size` rows."""
        self._size = size
        self._rows: dict[str, dict[int, int]] = {}

    def join(self, group: str, row: int) -> None:
        """One more instance is there."""
        counts = self._rows.setdefault(group, {})
        counts[row] = counts.get(row, 0) + 1

    def join_all(self, group: str, rows: Iterable[int]) -> None:
        """One more on each of the rows."""
        counts = self._rows.setdefault(group, {})
        for row in rows:
            counts[row] = counts.get(row, 0) + 1

    def leave(self, group: str, row: int) -> None:
        """One instance goes."""
        counts = self._rows.setdefault(group, {})
        if counts.get(row, 0) > 1:
            counts[row] -= 1
        else:
            counts.pop(row, None)

    def of_group(self, group: str) -> dict[int, int]:
        """How many instances the group has, by row."""
        return self._rows.get(group, {})

    def of_all(self) -> dict[int, int]:
        """How many instances the job has, by row."""
        found: dict[int, int] = {}
        for counts in self._rows.values():
            for row, count in counts.items():
                found[row] = found.get(row, 0) + count
        return found

    def occupied(self, scope: str) -> Mask:
        """The rows that have an instance of the group, or of any group if the name is ""."""
        mask = np.zeros(self._size, np.bool_)
        for group, counts in self._rows.items():
            if scope in ("", group) and counts:
                mask[np.fromiter(counts, np.intp, len(counts))] = True
        return mask
