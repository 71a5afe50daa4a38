"""How things look in a terminal: tables, keys and values, times. Pure.

Text from outside may hold control characters; `clean` makes them visible. Emphasis is written
with marks (`bold`, `red` …) that are Unicode noncharacters, and becomes colour, or nothing, only
when a line leaves for the terminal (`paint`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from unicodedata import east_asian_width

from hanse.durations import SECOND_NS

NONE = "<none>"

_BOLD, _RED, _GREEN, _YELLOW, _DIM, _PLAIN = (chr(0xFDD0 + n) for n in range(6))
_CODES = {
    _BOLD: "\x1b[1m",
    _RED: "\x1b[31m",
    _GREEN: "\x1b[32m",
    _YELLOW: "\x1b[33m",
    _DIM: "\x1b[2m",
    _PLAIN: "\x1b[0m",
}
_MARKS = re.compile("[" + "".join(_CODES) + "]")
# Control characters, and those that change the direction of what follows.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
_UNSAFE_BUT_LINES = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)

#: A column is not made narrower than this.
_COLUMN_MIN = 10
#: Columns with these titles are of no use in part.
_WHOLE = ("ID", "Time", "Date", "Deadline", "Created", "Modified", "Address")
_GAP = "  "
_UNITS_S = (
    ("y", 365 * 86400),
    ("mo", 30 * 86400),
    ("d", 86400),
    ("h", 3600),
    ("m", 60),
    ("s", 1),
)


def bold(text: str) -> str:
    """Stand out."""
    return f"{_BOLD}{text}{_PLAIN}"


def red(text: str) -> str:
    """Bad, or removed."""
    return f"{_RED}{text}{_PLAIN}"


def green(text: str) -> str:
    """Good, or added."""
    return f"{_GREEN}{text}{_PLAIN}"


def yellow(text: str) -> str:
    """A warning, or changed."""
    return f"{_YELLOW}{text}{_PLAIN}"


def dim(text: str) -> str:
    """Less important."""
    return f"{_DIM}{text}{_PLAIN}"


def paint(text: str, *, color: bool) -> str:
    """Text for the terminal: control characters visible, marks become colour or go away."""
    safe = clean_lines(text)
    return _MARKS.sub(lambda mark: _CODES[mark[0]] if color else "", safe)


def clean(text: str) -> str:
    """One line of text from outside, with its control characters made visible."""
    return _UNSAFE.sub(_escape, text)


def clean_lines(text: str) -> str:
    """The same, with line breaks and tabs kept."""
    return _UNSAFE_BUT_LINES.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    short = {10: "\\n", 13: "\\r", 9: "\\t"}.get(code)
    return short or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def width_of(text: str) -> int:
    """Columns that a text takes, marks not counted."""
    plain = _MARKS.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in plain)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Columns padded and divided by two spaces; an empty cell reads `<none>`.

    With a `width` the longest columns that hold no ids or times give way until a row fits.
    """
    cells = [[clean(cell) or NONE for cell in row] for row in rows]
    columns = [
        max(width_of(title), *(width_of(row[at]) for row in cells), 0) if cells else width_of(title)
        for at, title in enumerate(header)
    ]
    if width is not None:
        columns = _fitted(header, columns, width)
    return "\n".join(_row(row, columns) for row in [list(header), *cells])


def _fitted(header: Sequence[str], columns: list[int], width: int) -> list[int]:
    columns = list(columns)
    fixed = {at for at, title in enumerate(header) if title.endswith(_WHOLE)}
    while sum(columns) + len(_GAP) * (len(columns) - 1) > width:
        free = [
            at
            for at in range(len(columns))
            if at not in fixed and columns[at] > max(_COLUMN_MIN, len(header[at]))
        ]
        if not free:
            break
        columns[max(free, key=lambda at: columns[at])] -= 1
    return columns


def _row(cells: Sequence[str], columns: Sequence[int]) -> str:
    padded = []
    for cell, room in zip(cells, columns, strict=True):
        shown = cell if width_of(cell) <= room else _MARKS.sub("", cell)[: room - 1] + "…"
        padded.append(shown + " " * (room - width_of(shown)))
    return _GAP.join(padded).rstrip()


def pairs(items: Sequence[tuple[str, str]]) -> str:
    """`Key = Value`, the equals signs below each other; an empty value reads `<none>`."""
    longest = max((width_of(key) for key, _ in items), default=0)
    return "\n".join(
        f"{clean(key)}{' ' * (longest - width_of(key))} = {clean(value) or NONE}"
        for key, value in items
    )


def indented(text: str, by: str) -> str:
    """Every line that is not empty, further right."""
    return "\n".join(by + line if line else line for line in text.split("\n"))


def short_id(identifier: str, *, verbose: bool = False) -> str:
    """The first eight characters of an id, or all of it."""
    return identifier if verbose else identifier[:8]


def moment(at_ns: int, zone: tzinfo | None = None) -> str:
    """A time of day with its zone; empty for a time never set."""
    if at_ns == 0:
        return ""
    at = datetime.fromtimestamp(at_ns // SECOND_NS, UTC).astimezone(zone)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def span(length_ns: int) -> str:
    """A length of time in its two largest units: `1h2m`, `3s`."""
    rest = abs(length_ns) // SECOND_NS
    parts: list[str] = []
    for unit, size in _UNITS_S:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return "".join(parts) or "0s"


def ago(at_ns: int, now_ns: int) -> str:
    """How long since, or until: `3s ago`, `5m from now`; empty for a time never set."""
    if at_ns == 0:
        return ""
    return f"{span(now_ns - at_ns)} ago" if at_ns <= now_ns else f"{span(at_ns - now_ns)} from now"


def plural(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def mebibytes(size: int) -> str:
    """Bytes, in the largest binary unit that leaves a whole number to read."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
