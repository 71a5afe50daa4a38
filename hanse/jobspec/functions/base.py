"""What a function is, and the small tools that most of them need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hanse.jobspec.numbers import Number, Real, as_int, is_infinite
from hanse.jobspec.values import (
    DYNAMIC,
    NUMBER,
    STRING,
    Type,
    Value,
)


class FunctionFailed(Exception):
    """The call has no result; the text says why."""


class BadArgument(FunctionFailed):
    """One argument is at fault."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = position


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind` is what an argument is converted to before the call; DYNAMIC leaves it alone."""

    name: str
    kind: Type
    null_allowed: bool = False


Implementation: TypeAlias = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Function:
    """`run` gets the scope and then the converted arguments."""

    run: Implementation
    parameters: tuple[Parameter, ...]
    rest: Parameter | None = None


def text(name: str) -> Parameter:
    """A string parameter."""
    return Parameter(name, STRING)


def number(name: str) -> Parameter:
    """A number parameter."""
    return Parameter(name, NUMBER)


def anything(name: str, *, null: bool = False) -> Parameter:
    """A parameter of any type; `null` says whether it may be null."""
    return Parameter(name, DYNAMIC, null)


def function(
    run: Implementation, *parameters: Parameter, rest: Parameter | None = None
) -> Function:
    """Shorthand for the tables."""
    return Function(run, parameters, rest)


_INT64 = 2**63


def whole(value: Number, what: str = "value") -> int:
    """A 64-bit whole number. Raises FunctionFailed."""
    result = None if is_infinite(value) else as_int(value)
    if result is None or not -_INT64 <= result < _INT64:
        raise FunctionFailed(f"{what} must be a whole number, between {-_INT64} and {_INT64 - 1}")
    return result


def sequence_items(value: Any) -> Sequence[Value]:
    """The elements of an argument that was converted to a list or set."""
    items: tuple[Value, ...] = value.items
    return items


def is_number(value: Value) -> bool:
    """A number, and not a bool."""
    return isinstance(value, (int, Real)) and not isinstance(value, bool)
