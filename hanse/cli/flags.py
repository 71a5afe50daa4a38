"""Flags as Go's programs take them: one or two dashes, `-x v` or `-x=v`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from hanse.durations import parse_duration

FlagKind = Literal["bool", "text", "texts", "int", "duration"]

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class UsageError(Exception):
    """The command line cannot be understood; nothing was done."""


class Flag(NamedTuple):
    """One flag of a command."""

    name: str
    about: str
    kind: FlagKind = "bool"
    #: How the help names the value.
    value: str = ""
    #: Another name for the same flag.
    alias: str = ""
    #: What is completed: a kind of object such as `job`, `file`, or words divided by spaces.
    complete: str = ""


class Flags:
    """The flags of one command line."""

    def __init__(self, values: Mapping[str, bool | int | str | tuple[str, ...]]) -> None:
        """`values` has the flags that were given."""
        self._values = values

    def given(self, name: str) -> bool:
        """Whether the flag is there at all."""
        return name in self._values

    def on(self, name: str, *, default: bool = False) -> bool:
        """A switch."""
        value = self._values.get(name, default)
        assert isinstance(value, bool), name
        return value

    def text(self, name: str, default: str = "") -> str:
        """A text; the last one wins."""
        value = self._values.get(name, default)
        assert isinstance(value, str), name
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a flag that may be repeated."""
        value = self._values.get(name, ())
        assert isinstance(value, tuple), name
        return value

    def number(self, name: str) -> int | None:
        """A whole number; of a duration, nanoseconds."""
        value = self._values.get(name)
        assert value is None or (isinstance(value, int) and not isinstance(value, bool)), name
        return value

    def pairs(self, name: str) -> dict[str, str]:
        """The values of a repeated flag as `key=value`. Raises UsageError."""
        found: dict[str, str] = {}
        for text in self.texts(name):
            key, equals, value = text.partition("=")
            if not equals or not key:
                raise UsageError(f"-{name} takes key=value, not {text!r}")
            found[key] = value
        return found


def parse(
    words: Sequence[str],
    flags: Sequence[Flag],
    *,
    stop_at_argument: bool = False,
    not_yet: Collection[str] = (),
) -> tuple[Flags, list[str]]:
    """Divide a command line into flags and arguments. Raises UsageError.

    Flags may come after arguments too, which Go does not allow; `--` ends them. With
    `stop_at_argument` the first argument ends them: what follows belongs to another program.
    Flags in `not_yet` are refused by name.
    """
    known = {name: flag for flag in flags for name in (flag.name, flag.alias) if name}
    values: dict[str, bool | int | str | tuple[str, ...]] = {}
    arguments: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            arguments.extend(words[position:])
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if stop_at_argument:
                arguments.extend(words[position:])
                break
            continue
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        flag = known.get(name)
        if flag is None:
            if name in not_yet:
                raise UsageError(f"not supported yet: -{name}")
            raise UsageError(f"flag provided but not defined: -{name}{_near(name, known)}")
        if flag.kind == "bool":
            values[flag.name] = _switch(name, value if equals else "true")
            continue
        if not equals:
            if position == len(words):
                raise UsageError(f"flag needs an argument: -{name}")
            value = words[position]
            position += 1
        values[flag.name] = _value(flag, value, values.get(flag.name))
    return Flags(values), arguments


def _near(name: str, known: Mapping[str, Flag]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return f" (did you mean -{near[0]}?)" if near else ""


def _switch(name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f"invalid boolean value {value!r} for -{name}")


def _value(flag: Flag, value: str, before: object) -> int | str | tuple[str, ...]:
    if flag.kind == "int":
        digits = value.removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdigit()):
            raise UsageError(f"invalid value {value!r} for flag -{flag.name}: not a whole number")
        return int(value)
    if flag.kind == "duration":
        try:
            return parse_duration(value)
        except ValueError as error:
            raise UsageError(f"invalid value {value!r} for flag -{flag.name}: {error}") from error
    if flag.kind == "texts":
        return (*(before if isinstance(before, tuple) else ()), value)
    return value
