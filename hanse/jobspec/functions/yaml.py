"""`yamldecode` and `yamlencode`: YAML 1.1 as far as it has JSON's kinds of values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import FunctionFailed, anything, function, text
from hanse.jobspec.functions.encoding import json_text
from hanse.jobspec.limits import VALUE_DEPTH_MAX
from hanse.jobspec.numbers import Real, from_float, is_infinite, parse_number, text_of
from hanse.jobspec.values import Mapped, ObjectValue, Sequence, TupleValue, Value, string

_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys("y Y true True TRUE yes Yes YES on On ON".split(), True),
    **dict.fromkeys("n N false False FALSE no No NO off Off OFF".split(), False),
}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*\Z", re.ASCII)
_BASED = re.compile(r"([-+]?)0x([0-9a-fA-F_]+)\Z|([-+]?)0o([0-7_]+)\Z", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?"
    r"(?:[ \t]*(Z|[-+]\d\d?(?::?\d\d)?))?)?\Z",
    re.ASCII,
)
_LINE_MAX = 80


def _yamldecode(scope: Scope, value: str) -> Value:
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to load and seldom needed

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(scope, yaml, yaml.parse(value, Loader=loader)).document()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"on line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise FunctionFailed(f"{where}{problem.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, ValueError):
        raise FunctionFailed("not valid YAML") from None


class _Builder:
    """Parsing events to values. An alias shares its anchor's value, so it costs nothing."""

    def __init__(self, scope: Scope, yaml: Any, events: Iterator[Any]) -> None:
        self._scope = scope
        self._yaml = yaml
        self._events = events
        self._anchors: dict[str, Value] = {}

    def _next(self) -> Any:
        self._scope.budget.charge(10)
        return next(self._events)

    def document(self) -> Value:
        self._next()
        if isinstance(self._next(), self._yaml.StreamEndEvent):
            raise FunctionFailed("on line 1, column 1: missing start of document")
        value = self._value(self._next(), 0)
        self._next()
        if not isinstance(self._next(), self._yaml.StreamEndEvent):
            raise FunctionFailed("unexpected extra content after value: one document is allowed")
        return value

    def _value(self, event: Any, depth: int) -> Value:
        if depth > VALUE_DEPTH_MAX:
            raise FunctionFailed("the YAML is nested too deeply")
        if isinstance(event, self._yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise FunctionFailed(f'undefined alias "{event.anchor}"')
            return self._anchors[event.anchor]
        value: Value
        if isinstance(event, self._yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, self._yaml.SequenceStartEvent):
            items: list[Value] = []
            while not isinstance(inner := self._next(), self._yaml.SequenceEndEvent):
                items.append(self._value(inner, depth + 1))
            value = TupleValue(items)
        else:
            value = ObjectValue(self._mapping(depth))
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, depth: int) -> dict[str, Value]:
        result: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        while not isinstance(key := self._next(), self._yaml.MappingEndEvent):
            if not isinstance(key, self._yaml.ScalarEvent):
                raise FunctionFailed("only scalars can be keys of a mapping")
            value = self._value(self._next(), depth + 1)
            if key.value == "<<" and key.implicit[0] and not key.style:
                sources = value.items if isinstance(value, TupleValue) else (value,)
                for source in sources:
                    if not isinstance(source, ObjectValue):
                        raise FunctionFailed("only a mapping can be merged")
                    merged = {**source.items, **merged}
            else:
                result[string(key.value)] = value
        return {**merged, **result}


def _scalar(event: Any) -> Value:
    text_value: str = event.value
    plain, quoted = event.implicit
    if plain:
        return _resolve(text_value)
    tag = str(event.tag or "!").removeprefix("tag:yaml.org,2002:")
    if quoted or tag in ("!", "str", "binary"):
        return string(text_value)
    if tag in ("null", "bool", "int", "float", "timestamp"):
        return _resolve(text_value)
    raise FunctionFailed(f'unsupported tag "{event.tag}"')


def _resolve(value: str) -> Value:
    if value in _WORDS:
        return _WORDS[value]
    if match := _BASED.match(value):
        digits = (match[2] or match[4]).replace("_", "")
        if not digits or len(digits) > 100:
            return value
        whole = int(digits, 16 if match[2] else 8)
        return -whole if "-" in (match[1], match[3]) else whole
    if _INTEGER.match(value) or _DECIMAL.match(value):
        return parse_number(value.replace("_", ""))
    if match := _INFINITE.match(value):
        return from_float(float(match[1] + "inf"))
    if value in (".nan", ".NaN", ".NAN"):
        raise FunctionFailed("NaN is not supported")
    return _timestamp(value) or string(value)


def _timestamp(value: str) -> str | None:
    match = _DATE.match(value)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    zone = match[7] or "Z"
    if zone != "Z":
        digits = zone[1:].replace(":", "")
        hours, minutes = (digits.zfill(2), "00") if len(digits) < 3 else (digits[:-2], digits[-2:])
        zone = f"{zone[0]}{hours.zfill(2)}:{minutes}"
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{zone}"


def _yamlencode(_: Scope, value: Value) -> Value:
    if isinstance(value, (Sequence, Mapped)):
        return string("\n".join(_lines(value)) + "\n")
    if isinstance(value, str):
        return string("\n".join(_string_lines(value)) + "\n")
    return string(_scalar_text(value) + "\n...\n")


def _scalar_text(value: Value) -> str:
    if isinstance(value, (int, Real)) and not isinstance(value, bool):
        if is_infinite(value):
            raise FunctionFailed("cannot serialize infinity as YAML")
        return text_of(value)
    return json_text(value)


def _lines(value: Sequence | Mapped) -> list[str]:
    """Block style, without indent; the caller indents."""
    if not value.items:
        return ["[]" if isinstance(value, Sequence) else "{}"]
    lines: list[str] = []
    if isinstance(value, Sequence):
        for item in value.items:
            inner = _item_lines(item)
            lines.append(f"- {inner[0]}")
            # The text of a literal block is indented against the list, not against its dash.
            pad = "" if isinstance(item, str) else "  "
            lines.extend(pad + line if line else line for line in inner[1:])
        return lines
    for key, item in value.items.items():
        head = f"{_quote(key)}:"
        inner = _item_lines(item)
        if isinstance(item, (Sequence, Mapped)) and item.items:
            lines.append(head)
            pad = "" if isinstance(item, Sequence) else "  "
            lines.extend(pad + line if line else line for line in inner)
        else:
            lines.append(f"{head} {inner[0]}")
            lines.extend(inner[1:])
    return lines


def _item_lines(value: Value) -> list[str]:
    if isinstance(value, (Sequence, Mapped)):
        return _lines(value)
    return _string_lines(value) if isinstance(value, str) else [_scalar_text(value)]


def _string_lines(value: str) -> list[str]:
    printable = value.replace("\n", "").isprintable()
    if "\n" in value and printable and value.strip("\n") and " \n" not in value:
        body = value.rstrip("\n")
        breaks = len(value) - len(body)
        indent = "2" if value[0] in " \n" else ""
        marker = "|" + indent + {0: "-", 1: ""}.get(breaks, "+")
        lines = ["  " + line if line else line for line in body.split("\n")]
        return [marker, *lines, *[""] * max(0, breaks - 1)]
    return [_quote(value)]


def _quote(value: str) -> str:
    return '"' + "".join(map(_escaped, value)) + '"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def _escaped(char: str) -> str:
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    if code > 0xFFFF:
        return f"\\U{code:08X}"
    if char.isprintable() or code == 0xA0:
        return char
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}"


FUNCTIONS = {
    "yamldecode": function(_yamldecode, text("src")),
    "yamlencode": function(_yamlencode, anything("value", null=True)),
}
