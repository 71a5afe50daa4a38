"""Lifeguard's dynamic suspicion: the more independent accusers, the less time to object."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Suspicion:
    """One suspicion that runs.

    Begins with the longest time and shrinks to the shortest as `wanted` others confirm:
    max - (max - min) x log(confirmations + 1) / log(wanted + 1).
    """

    #: Tells the timers of this suspicion from those of an earlier one.
    serial: int
    since: float
    min_s: float
    max_s: float
    #: Confirmations that make it the shortest.
    wanted: int
    #: Who first accused; confirmations by the same one do not count.
    by: set[str] = field(default_factory=set)

    @property
    def confirmations(self) -> int:
        """Accusers beyond the first."""
        return max(0, len(self.by) - 1)

    def confirm(self, accuser: str) -> bool:
        """Count another accuser. False: known already, or enough were counted."""
        if accuser in self.by or self.confirmations >= self.wanted:
            return False
        self.by.add(accuser)
        return True

    @property
    def deadline(self) -> float:
        """When it ends in death, as confirmed so far."""
        if self.wanted < 1:
            return self.since + self.min_s
        share = math.log(self.confirmations + 1) / math.log(self.wanted + 1)
        return self.since + max(self.min_s, self.max_s - (self.max_s - self.min_s) * share)
