"""`yamldecode` and `yamlencode`: YAML 1.1 as far as it has JSON's kinds of values."""

from __future__ import annotations

import re
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
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*\Z", re.ASCII)
_BASED = re.compile(r"0x([0-9a-fA-F_]+)\Z|0o([0-7_]+)\Z", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(\.\d*)?"
    r"(?:[ \t]*(Z|[-+]\d\d?(?::?\d\d)?))?)?\Z",
    re.ASCII,
)
_LINE_MAX = 80


def _yamldecode(scope: Scope, value: str) -> Value:
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to load and seldom needed

    try:
        documents = list(yaml.compose_all(value, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"on line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise FunctionFailed(f"{where}{problem.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, ValueError):
        raise FunctionFailed("not valid YAML") from None
    except RecursionError:
        raise FunctionFailed("the YAML is nested too deeply") from None
    if not documents:
        raise FunctionFailed("on line 1, column 1: missing start of document")
    if len(documents) > 1:
        raise FunctionFailed("unexpected extra content after value: only one document is allowed")
    return _Builder(scope, yaml).value(documents[0], 0)


class _Builder:
    """Nodes to values; every use of an alias counts against the budget."""

    def __init__(self, scope: Scope, yaml: Any) -> None:
        self._scope = scope
        self._yaml = yaml

    def value(self, node: Any, depth: int) -> Value:
        self._scope.budget.charge()
        if depth > VALUE_DEPTH_MAX:
            raise FunctionFailed("the YAML is nested too deeply, or an alias contains itself")
        if isinstance(node, self._yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, self._yaml.SequenceNode):
            return TupleValue([self.value(item, depth + 1) for item in node.value])
        return ObjectValue(self._mapping(node, depth))

    def _mapping(self, node: Any, depth: int) -> dict[str, Value]:
        result: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, self._yaml.ScalarNode):
                raise FunctionFailed("only scalars can be keys of a mapping")
            if key_node.tag == "tag:yaml.org,2002:merge" and key_node.style is None:
                self._merge(result, value_node, depth)
            else:
                result[string(key_node.value)] = self.value(value_node, depth + 1)
        return result

    def _merge(self, result: dict[str, Value], node: Any, depth: int) -> None:
        sources = node.value if isinstance(node, self._yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, self._yaml.MappingNode):
                raise FunctionFailed("only a mapping can be merged")
            for key, value in self._mapping(source, depth + 1).items():
                result.setdefault(key, value)

    def _scalar(self, node: Any) -> Value:
        text_value: str = node.value
        tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if str(node.tag).startswith("!"):
            raise FunctionFailed(f'unsupported tag "{node.tag}"')
        if tag in ("str", "binary") and (node.style is not None or not _is_plain_tag(node)):
            return string(text_value)
        return _resolve(text_value) if node.style is None else string(text_value)


def _is_plain_tag(node: Any) -> bool:
    """Whether a plain scalar's tag was derived from its text, not written by the author."""
    return bool(
        node.start_mark.buffer is None or node.start_mark.buffer[node.start_mark.pointer] != "!"
    )


def _resolve(value: str) -> Value:
    if value in _WORDS:
        return _WORDS[value]
    if match := _BASED.match(value):
        digits = (match[1] or match[2]).replace("_", "")
        return int(digits, 16 if match[1] else 8) if digits and len(digits) < 100 else value
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
    fraction = (match[7] or "").rstrip("0").rstrip(".")
    zone = match[8] or "Z"
    if zone != "Z":
        digits = zone[1:].replace(":", "")
        hours, minutes = (digits.zfill(2), "00") if len(digits) < 3 else (digits[:-2], digits[-2:])
        zone = f"{zone[0]}{hours.zfill(2)}:{minutes}"
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}{zone}"


def _yamlencode(_: Scope, value: Value) -> Value:
    if isinstance(value, (Sequence, Mapped)):
        return string("\n".join(_lines(value)) + "\n")
    if isinstance(value, str):
        return string("\n".join(_string_lines(value, 0)) + "\n")
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
            lines.extend("  " + line if line else line for line in inner[1:])
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
    return _string_lines(value, 0) if isinstance(value, str) else [_scalar_text(value)]


def _string_lines(value: str, _indent: int) -> list[str]:
    if "\n" in value and "\r" not in value and value.strip("\n") and value[0] not in " \n":
        body = value.rstrip("\n")
        breaks = len(value) - len(body)
        marker = {0: "|-", 1: "|"}.get(breaks, "|+")
        lines = ["  " + line if line else line for line in body.split("\n")]
        return [marker, *lines, *[""] * max(0, breaks - 1)]
    return [_quote(value)]


def _quote(value: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
    body = "".join(escapes.get(c) or (c if c.isprintable() else f"\\u{ord(c):04X}") for c in value)
    return f'"{body}"'


FUNCTIONS = {
    "yamldecode": function(_yamldecode, text("src")),
    "yamlencode": function(_yamlencode, anything("value", null=True)),
}
