"""Go's duration notation, which job files, flags and query strings use."""

from __future__ import annotations

import re

_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_NS_MAX = 2**63 - 1

SECOND_NS = 10**9


def parse_duration(text: str) -> int:
    """Nanoseconds of a text such as `1h30m`, `1.5s`, `-5s` or `0`.

    Raises ValueError, in Go's words, on anything else and on values over 2^63-1 ns.
    """
    body = text[1:] if text[:1] in "+-" else text
    sign = -1 if text.startswith("-") else 1
    if body == "0":
        return 0
    position = 0
    total = 0
    while position < len(body):
        match = _PART.match(body, position)
        if match is None:
            break
        whole, _, fraction = match[1].partition(".")
        unit = _UNITS_NS[match[2]]
        total += int(whole or "0") * unit
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        position = match.end()
    if not body or position != len(body):
        raise ValueError(f"invalid duration {text!r}")
    if total > _NS_MAX:
        raise ValueError(f"duration {text!r} is out of range")
    return sign * total


def format_duration(value_ns: int) -> str:
    """The text Go prints for a duration: `1h30m0s`, `1.5s`, `250ms`, `0s`."""
    sign, rest = ("-", -value_ns) if value_ns < 0 else ("", value_ns)
    if rest == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    hours, rest = divmod(rest, _UNITS_NS["h"])
    minutes, rest = divmod(rest, _UNITS_NS["m"])
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    digits = str(fraction).rjust(len(str(size)) - 1, "0").rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
