"""Query parameters: what Nomad's clients may write, and what we make of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hanse.durations import SECOND_NS, parse_duration
from hanse.errors import Invalid

WAIT_S_MAX = 300.0
PER_PAGE_MAX = 2**31 - 1
INDEX_MAX = 2**64 - 1
#: Longer filters have no honest use.
FILTER_CHARS_MAX = 8192

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Query:
    """The parameters of one request; the first value of a repeated one counts."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        """Take decoded names and values."""
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """The value, or `default` where it is absent or empty."""
        values = self._values.get(name)
        return (values[0] or default) if values else default

    def all(self, name: str) -> list[str]:
        """Every value of a repeated parameter."""
        return list(self._values.get(name, ()))

    def has(self, name: str) -> bool:
        """Whether it is there at all."""
        return name in self._values

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean in Go's notation. Raises Invalid."""
        value = self.text(name)
        if value == "":
            return default
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise Invalid("", f'Failed to parse value of "{name}" ("{value[:100]}") as a bool')

    def integer(self, name: str, *, low: int, high: int) -> int | None:
        """A whole number within bounds, None where absent or empty. Raises Invalid."""
        value = self.text(name)
        if value == "":
            return None
        number = whole_number(value)
        if number is None or not low <= number <= high:
            raise Invalid(
                "",
                f'Failed to parse value of "{name}" ("{value[:100]}") as a number '
                f"between {low} and {high}",
            )
        return number


class ReadOptions(msgspec.Struct, frozen=True, gc=False):
    """How a read is to be answered."""

    stale: bool = False
    #: Answer when the index is over this; 0: at once.
    after: int = 0
    wait_s: float = WAIT_S_MAX


class ListOptions(msgspec.Struct, frozen=True, gc=False):
    """Which part of a list is asked for."""

    prefix: str = ""
    per_page: int = 0
    next_token: str = ""
    filter: str = ""
    reverse: bool = False


def read_options(query: Query) -> ReadOptions:
    """Understand `stale`, `index` and `wait`. Raises Invalid with Nomad's sentences."""
    stale = False
    if query.has("stale"):
        value = query.text("stale")
        if value not in ("", "true", "false"):
            raise Invalid("", "Expect `true` or `false` for `stale` query string parameter")
        stale = value != "false"
    index = query.text("index")
    after = whole_number(index) if index else 0
    if after is None or not 0 <= after <= INDEX_MAX:
        raise Invalid("", "Invalid index")
    return ReadOptions(stale, after, _wait_s(query.text("wait")))


def _wait_s(text: str) -> float:
    if not text:
        return WAIT_S_MAX
    try:
        wait_ns = parse_duration(text)
    except ValueError:
        raise Invalid("", "Invalid wait time") from None
    if wait_ns <= 0:
        return WAIT_S_MAX
    return min(wait_ns / SECOND_NS, WAIT_S_MAX)


def list_options(query: Query) -> ListOptions:
    """Understand `prefix`, `per_page`, `next_token`, `filter` and `reverse`. Raises Invalid."""
    text = query.text("per_page")
    per_page = whole_number(text) if text else 0
    if per_page is None or not -PER_PAGE_MAX <= per_page <= PER_PAGE_MAX:
        raise Invalid("", "Expect a number for `per_page` query string parameter")
    expression = query.text("filter")
    if len(expression) > FILTER_CHARS_MAX:
        raise Invalid("filter", f"longer than {FILTER_CHARS_MAX} characters")
    return ListOptions(
        prefix=query.text("prefix"),
        per_page=max(0, per_page),
        next_token=query.text("next_token"),
        filter=expression,
        reverse=query.flag("reverse"),
    )


def whole_number(text: str) -> int | None:
    """A decimal number of sane length, or None."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        return None
    return int(text)


def wants_pretty(query: Query) -> bool:
    """`?pretty`, with any value but 0."""
    return query.has("pretty") and query.text("pretty", "1") != "0"
