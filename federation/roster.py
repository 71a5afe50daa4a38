"""Who is known, and what is believed of each: the table under the protocol.

Kept lean, since a table of a thousand members is held a thousand times in a simulation: the claim
itself is shared, and only what differs from "alive" takes room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from federation.messages import GONE, Alive, Status


@dataclass(slots=True)
class Roster:
    """All members but the one whose table it is."""

    rng: Random
    known: dict[str, Alive] = field(default_factory=dict)
    #: What is not alive, and since when.
    _doubted: dict[str, tuple[Status, float]] = field(default_factory=dict)
    #: The last incarnation of who was forgotten, and when: old news must not bring it back.
    _forgotten: dict[str, tuple[int, float]] = field(default_factory=dict)
    _gone: int = 0
    #: The order of probing: all who are not gone, shuffled anew each round.
    _ring: list[str] = field(default_factory=list)
    _at: int = 0

    def status(self, name: str) -> Status:
        """What is believed of a known member."""
        doubt = self._doubted.get(name)
        return Status.ALIVE if doubt is None else doubt[0]

    def since(self, name: str) -> float:
        """When a member that is not alive became what it is."""
        return self._doubted[name][1]

    @property
    def present(self) -> int:
        """How many are not gone."""
        return len(self.known) - self._gone

    def gone(self) -> list[str]:
        """Who is dead or left, by name."""
        return sorted(name for name, (status, _) in self._doubted.items() if status in GONE)

    def put(self, alive: Alive, status: Status, now: float) -> None:
        """Believe this of a member from now on."""
        name = alive.name
        new = name not in self.known
        was_gone = not new and self.status(name) in GONE
        self._gone += (status in GONE) - was_gone
        self.known[name] = alive
        if status is Status.ALIVE:
            self._doubted.pop(name, None)
            self._forgotten.pop(name, None)
        elif self.status(name) is not status:
            self._doubted[name] = (status, now)
        if (new or was_gone) and status not in GONE:
            # At a random place of the round, so that newcomers are not probed by all at once.
            self._ring.insert(self.rng.randint(0, len(self._ring)), name)

    def forget(self, name: str, now: float) -> None:
        """Strike a member off; only a later incarnation of it gets back in."""
        self._gone -= self.status(name) in GONE
        self._forgotten[name] = (self.known.pop(name).incarnation, now)
        self._doubted.pop(name, None)

    def is_old_news(self, alive: Alive) -> bool:
        """Whether this is from before the member was forgotten."""
        forgotten = self._forgotten.get(alive.name)
        return forgotten is not None and alive.incarnation <= forgotten[0]

    def expire(self, now: float, dead_for_s: float, left_for_s: float) -> list[str]:
        """Name whose time on the list is over; drop memories of the forgotten as old as that."""
        self._forgotten = {
            name: kept for name, kept in self._forgotten.items() if now - kept[1] < left_for_s
        }
        waits = {Status.DEAD: dead_for_s, Status.LEFT: left_for_s}
        return sorted(
            name
            for name, (status, since) in self._doubted.items()
            if status in waits and now - since >= waits[status]
        )

    def next_to_probe(self) -> str | None:
        """Go round: each member that is not gone once, then shuffle. None: there is nobody."""
        for _ in range(2):
            while self._at < len(self._ring):
                name = self._ring[self._at]
                self._at += 1
                if self._is_present(name):
                    return name
            self._ring = sorted({name for name in self._ring if self._is_present(name)})
            self.rng.shuffle(self._ring)
            self._at = 0
        return None

    def _is_present(self, name: str) -> bool:
        return name in self.known and self.status(name) not in GONE

    def pick(self, count: int, wanted: Callable[[str], bool]) -> list[str]:
        """Return up to `count` present members that are wanted, at random.

        Draws before it lists: with many members most draws hit, and listing a thousand for
        each datagram would be most of the work of the protocol.
        """
        chosen: list[str] = []
        if not self._ring or count < 1:
            return chosen
        size = len(self._ring)
        if size > 4 * count:
            for _ in range(3 * count):
                name = self._ring[int(self.rng.random() * size)]
                if name not in chosen and self._is_present(name) and wanted(name):
                    chosen.append(name)
                    if len(chosen) == count:
                        return chosen
        rest = sorted(
            {n for n in self._ring if n not in chosen and self._is_present(n) and wanted(n)}
        )
        return chosen + self.rng.sample(rest, min(count - len(chosen), len(rest)))

    def lately_dead(self, now: float, within_s: float) -> Iterator[str]:
        """Who died so short a time ago that it may not know yet."""
        for name, (status, since) in self._doubted.items():
            if status is Status.DEAD and now - since < within_s:
                yield name
