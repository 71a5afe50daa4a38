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

    def take(self, count: int) -> list[str]:
        """`count` more identifiers, faster than one by one (and others than one by one)."""
        digits = self._random.randbytes(16 * count).hex()
        return [_marked(digits[at : at + 32]) for at in range(0, 32 * count, 32)]


#: The digit that says "variant 1" (RFC 9562 section 4.1), by the random digit in its place.
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def _marked(d: str) -> str:
    return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{_VARIANT[d[16]]}{d[17:20]}-{d[20:]}"


def uuid_text(bits: int) -> str:
    """A version 4 UUID out of 128 random bits."""
    bits = bits & ~(0xF000 << 64) | (0x4000 << 64)
    bits = bits & ~(0xC000 << 48) | (0x8000 << 48)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
