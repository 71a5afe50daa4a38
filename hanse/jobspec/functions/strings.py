"""Functions on text. Characters are what a reader sees as such: grapheme clusters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hanse.errors import Invalid
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import (
    BadArgument,
    FunctionFailed,
    Parameter,
    function,
    number,
    sequence_items,
    text,
    whole,
)
from hanse.jobspec.graphemes import SPACES, cluster_count, clusters
from hanse.jobspec.limits import STRING_CHARS_MAX
from hanse.jobspec.numbers import Count, Number
from hanse.jobspec.values import STRING, ListType, ListValue, Value, string

_STRINGS = ListType(STRING)


def _upper_char(char: str) -> str:
    raised = char.upper()
    return raised if len(raised) == 1 else char


def _upper(_: Scope, value: str) -> Value:
    return value.upper() if value.isascii() else string("".join(map(_upper_char, value)))


def _lower(_: Scope, value: str) -> Value:
    return value.lower() if value.isascii() else string("".join(c.lower()[0] for c in value))


def _title(_: Scope, value: str) -> Value:
    """Every character after a separator in upper case; an apostrophe is one."""
    result: list[str] = []
    before = " "
    for char in value:
        raised = char.title()
        result.append(raised if _separates(before) and len(raised) == 1 else char)
        before = char
    return string("".join(result))


def _separates(char: str) -> bool:
    if char.isascii():
        return not (char.isalnum() or char == "_")
    return char in SPACES


def _chomp(_: Scope, value: str) -> Value:
    return value.rstrip("\r\n")


def _indent(_: Scope, spaces: Number, value: str) -> Value:
    width = whole(spaces)
    if width < 0:
        raise BadArgument(0, "the number of spaces cannot be negative")
    if value.count("\n") * width + len(value) > STRING_CHARS_MAX:
        raise FunctionFailed("the result would be too long")
    return value.replace("\n", "\n" + " " * width)


def _join(scope: Scope, separator: str, *lists: Any) -> Value:
    if not lists:
        raise FunctionFailed("at least one list is required")
    pieces: list[str] = []
    for position, items in enumerate(map(sequence_items, lists), 1):
        for index, item in enumerate(items):
            if item is None:
                raise BadArgument(
                    position, f"element {index} is null; cannot concatenate null values"
                )
            pieces.append(str(item))
    scope.budget.charge(len(pieces))
    if sum(map(len, pieces)) + len(separator) * len(pieces) > STRING_CHARS_MAX:
        raise FunctionFailed("the result would be too long")
    return string(separator.join(pieces))


def _replace(scope: Scope, value: str, old: str, new: str) -> Value:
    count = value.count(old) if old else len(value) + 1
    scope.budget.charge(len(value) // 64)
    if len(value) + count * len(new) > STRING_CHARS_MAX:
        raise FunctionFailed("the result would be too long")
    return string(value.replace(old, new))


def _regex_replace(scope: Scope, value: str, pattern: str, replacement: str) -> Value:
    """RE2: the syntax of Nomad's own, and no pattern makes it backtrack."""
    from hanse.regex import Regex  # noqa: PLC0415 - slow to load and seldom needed

    try:
        compiled = Regex(pattern, memory_bytes_max=8 << 20).compiled
    except Invalid as problem:
        raise FunctionFailed(f"error parsing regexp: {problem.problem}") from None
    expand = _template(replacement, compiled.groups, dict(compiled.groupindex))
    pieces: list[str] = []
    size, done, search_from, last_end = 0, 0, 0, -1
    while search_from <= len(value):
        match = compiled.search(value, search_from)
        if match is None:
            break
        start, end = match.span()
        if start == end == last_end:
            search_from = end + 1
            continue
        pieces += [value[done:start], expand(match)]
        size += len(pieces[-1]) + start - done
        scope.budget.charge(1 + (end - done) // 64)
        if size > STRING_CHARS_MAX:
            raise FunctionFailed("the result would be too long")
        done = last_end = end
        search_from = end if end > start else end + 1
    return string("".join(pieces) + value[done:])


_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))", re.ASCII)


def _template(replacement: str, groups: int, names: dict[str, int]) -> Callable[[Any], str]:
    """Go's notation: $1, ${1}, $name, ${name}, $$; a group that is not there is empty."""

    def expand(match: Any) -> str:
        def part(reference: re.Match[str]) -> str:
            if reference[1]:
                return "$"
            name = reference[2] or reference[3]
            group = int(name) if name.isdigit() and len(name) < 9 else names.get(name, -1)
            found: str | None = match.group(group) if 0 <= group <= groups else None
            return found or ""

        return _REFERENCE.sub(part, replacement)

    return expand


def _reverse(_: Scope, value: str) -> Value:
    return string("".join(reversed(list(clusters(value)))))


def _split(_: Scope, separator: str, value: str) -> Value:
    return ListValue(STRING, value.split(separator) if separator else list(value))


def _strlen(_: Scope, value: str) -> Value:
    return Count(cluster_count(value))


def _substr(_: Scope, value: str, offset: Number, length: Number) -> Value:
    start, count = whole(offset), whole(length)
    parts = list(clusters(value))
    if start < 0:
        start = max(0, start + len(parts))
    return "".join(parts[start:] if count < 0 else parts[start : start + count])


def _trim(_: Scope, value: str, characters: str) -> Value:
    return value.strip(characters) if characters else value


def _trimprefix(_: Scope, value: str, prefix: str) -> Value:
    return value.removeprefix(prefix)


def _trimsuffix(_: Scope, value: str, suffix: str) -> Value:
    return value.removesuffix(suffix)


def _trimspace(_: Scope, value: str) -> Value:
    return value.strip(SPACES)


FUNCTIONS = {
    "chomp": function(_chomp, text("str")),
    "indent": function(_indent, number("spaces"), text("str")),
    "join": function(_join, text("separator"), rest=Parameter("lists", _STRINGS)),
    "lower": function(_lower, text("str")),
    "regex_replace": function(_regex_replace, text("str"), text("pattern"), text("replace")),
    "replace": function(_replace, text("str"), text("substr"), text("replace")),
    "reverse": function(_reverse, text("str")),
    "split": function(_split, text("separator"), text("str")),
    "strlen": function(_strlen, text("str")),
    "strrev": function(_reverse, text("str")),
    "substr": function(_substr, text("str"), number("offset"), number("length")),
    "title": function(_title, text("str")),
    "trim": function(_trim, text("str"), text("cutset")),
    "trimprefix": function(_trimprefix, text("str"), text("prefix")),
    "trimspace": function(_trimspace, text("str")),
    "trimsuffix": function(_trimsuffix, text("str"), text("suffix")),
    "upper": function(_upper, text("str")),
}
