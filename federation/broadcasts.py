"""News waiting to be passed on: each claim so many times, the least told first."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from federation.messages import Claim, Message

_encoder = msgspec.msgpack.Encoder()
#: After so many claims that were too large for what is left of a packet, it is full.
_MISFITS_MAX = 3


def size(part: Claim | Message) -> int:
    """How many bytes a claim or a message takes in a packet."""
    return len(_encoder.encode(part))


@dataclass(slots=True)
class Broadcasts:
    """One claim for each member, the newest; bounded by the number of members."""

    #: By times told, then by member; within one level the newest is last.
    _levels: list[dict[str, tuple[Claim, int]]] = field(default_factory=list)
    _level_of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many claims wait."""
        return len(self._level_of)

    def add(self, claim: Claim) -> None:
        """Pass this on from now on, and nothing older about the same member."""
        self.drop(claim.name)
        self._put(0, claim, size(claim))

    def drop(self, name: str) -> None:
        """Say nothing more about this member."""
        level = self._level_of.pop(name, None)
        if level is not None:
            del self._levels[level][name]

    def take(self, room: int, times: int) -> tuple[Claim, ...]:
        """Return claims for a packet with `room` bytes; each is given out `times` times at most."""
        taken: list[tuple[int, str]] = []
        misfits = 0
        for level, waiting in enumerate(self._levels):
            for name in reversed(waiting):
                needs = waiting[name][1]
                if needs <= room:
                    room -= needs
                    taken.append((level, name))
                else:
                    misfits += 1
                if misfits >= _MISFITS_MAX:
                    break
            if misfits >= _MISFITS_MAX:
                break
        return tuple([self._told(level, name, times) for level, name in taken])

    def _told(self, level: int, name: str, times: int) -> Claim:
        claim, needs = self._levels[level].pop(name)
        del self._level_of[name]
        if level + 1 < times:
            self._put(level + 1, claim, needs)
        return claim

    def _put(self, level: int, claim: Claim, needs: int) -> None:
        while len(self._levels) <= level:
            self._levels.append({})
        self._levels[level][claim.name] = (claim, needs)
        self._level_of[claim.name] = level
