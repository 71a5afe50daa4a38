"""Identifiers: lower-case UUIDs of version 4, as Nomad writes them (RFC 9562 section 5.4)."""

from __future__ import annotations

from random import Random


class IdStream:
    """Identifiers drawn from a seed, so that a decision which names new things stays pure."""

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        """The same seed gives the same identifiers in the same order."""
        self._random = Random(seed)

    def next(self) -> str:
        """One more identifier."""
        return uuid_text(self._random.getrandbits(128))


def uuid_text(bits: int) -> str:
    """A version 4 UUID out of 128 random bits."""
    bits = bits & ~(0xF000 << 64) | (0x4000 << 64)
    bits = bits & ~(0xC000 << 48) | (0x8000 << 48)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
