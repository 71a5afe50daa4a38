"""What the operators of constraints and affinities mean, on two values of which either may lack."""

from __future__ import annotations

import re
from collections.abc import Callable

from hanse import regex
from hanse.errors import Invalid
from region.scheduler import versions

_INTEGER = re.compile(r"[+-]?\d{1,300}")
_FLOAT = re.compile(r"[+-]?(?:\d{1,300}\.?\d{0,300}|\.\d{1,300})(?:[eE][+-]?\d{1,4})?")

#: Operators that are about other allocations, not about a node alone.
DISTINCT = frozenset({"distinct_hosts", "distinct_property"})


def holds(operand: str, left: str | None, right: str | None) -> bool:
    """Whether `left operand right` is true; None is a value the node does not have.

    An unknown operator holds nowhere: admission refuses it long before.
    """
    match operand:
        case "!=" | "not":
            return left != right
        case "is_set":
            return left is not None
        case "is_not_set":
            return left is None
        case _:
            test = _TESTS.get(operand)
            return left is not None and right is not None and test is not None and test(left, right)


def _order(left: str, right: str) -> int:
    """Negative, zero or positive: as numbers if both are, else as text."""
    for pattern, number in ((_INTEGER, int), (_FLOAT, float)):
        if pattern.fullmatch(left) and pattern.fullmatch(right):
            first, second = number(left), number(right)
            return (first > second) - (first < second)
    return (left > right) - (left < right)


def _items(text: str) -> set[str]:
    return {item.strip() for item in text.split(",")}


def _matches(left: str, right: str) -> bool:
    try:
        return regex.compiled(right).search(left)
    except Invalid:
        return False


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "": lambda left, right: left == right,
    "=": lambda left, right: left == right,
    "==": lambda left, right: left == right,
    "is": lambda left, right: left == right,
    ">": lambda left, right: _order(left, right) > 0,
    ">=": lambda left, right: _order(left, right) >= 0,
    "<": lambda left, right: _order(left, right) < 0,
    "<=": lambda left, right: _order(left, right) <= 0,
    "regexp": _matches,
    "version": lambda left, right: versions.meets(left, right, strict=False),
    "semver": lambda left, right: versions.meets(left, right, strict=True),
    "set_contains": lambda left, right: _items(right) <= _items(left),
    "set_contains_all": lambda left, right: _items(right) <= _items(left),
    "set_contains_any": lambda left, right: bool(_items(right) & _items(left)),
}
