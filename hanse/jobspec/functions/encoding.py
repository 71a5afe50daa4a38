"""Base64, CSV, JSON and URLs."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from urllib.parse import quote_plus

from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import FunctionFailed, anything, function, text
from hanse.jobspec.numbers import Number, Real, is_infinite, parse_number, text_of
from hanse.jobspec.values import (
    DYNAMIC,
    STRING,
    ListValue,
    Mapped,
    ObjectType,
    ObjectValue,
    Sequence,
    TupleValue,
    Value,
    string,
)

_HTML = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def json_text(value: Value) -> str:
    """Compact JSON with sorted keys; `<`, `>` and `&` escaped as Go does it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _json_string(value)
        case int() | Real():
            if is_infinite(value):
                raise FunctionFailed("cannot serialize infinity as JSON")
            return text_of(value)
        case Sequence():
            return "[" + ",".join([json_text(item) for item in value.items]) + "]"
        case Mapped():
            return (
                "{"
                + ",".join([f"{_json_string(k)}:{json_text(v)}" for k, v in value.items.items()])
                + "}"
            )


def _json_string(value: str) -> str:
    plain = json.dumps(value, ensure_ascii=False)
    return plain.translate(_HTML)


def _jsonencode(_: Scope, value: Value) -> Value:
    return string(json_text(value))


def from_plain(value: Any) -> Value:
    """A value from what a JSON or YAML reader made, whose numbers are ours already."""
    if isinstance(value, dict):
        return ObjectValue({string(str(k)): from_plain(v) for k, v in value.items()})
    if isinstance(value, list):
        return TupleValue([from_plain(item) for item in value])
    if isinstance(value, str):
        return string(value)
    number_or_word: bool | Number | None = value
    return number_or_word


def _refuse_constant(name: str) -> Any:
    raise FunctionFailed(f"invalid character {name[0]!r} looking for beginning of value")


def _jsondecode(_: Scope, value: str) -> Value:
    try:
        decoded = json.loads(
            value,
            parse_float=parse_number,
            parse_int=parse_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as problem:
        if not value.strip():
            raise FunctionFailed("unexpected end of JSON input") from None
        raise FunctionFailed(
            f"invalid JSON at line {problem.lineno}, column {problem.colno}"
        ) from None
    except RecursionError:
        raise FunctionFailed("the JSON is nested too deeply") from None
    return from_plain(decoded)


def _base64encode(_: Scope, value: str) -> Value:
    return base64.b64encode(value.encode()).decode()


def _base64decode(_: Scope, value: str) -> Value:
    stripped = value.replace("\r", "").replace("\n", "")
    try:
        decoded = base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError):
        raise FunctionFailed(f"failed to decode base64 data '{value}'") from None
    try:
        return string(decoded.decode())
    except UnicodeDecodeError:
        raise FunctionFailed(
            "the result of decoding the provided string is not valid UTF-8"
        ) from None


def _urlencode(_: Scope, value: str) -> Value:
    return quote_plus(value, safe="~")


def _csvdecode(scope: Scope, value: str) -> Value:
    rows = _csv_rows(scope, value)
    if not rows:
        raise FunctionFailed("missing header line")
    _, header = rows[0]
    seen: set[str] = set()
    for name in header:
        if name in seen:
            raise FunctionFailed(f'duplicate column name "{name}"')
        seen.add(name)
    records: list[Value] = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise FunctionFailed(f"CSV parse error on line {line}: wrong number of fields")
        records.append(ObjectValue(dict(zip(header, row, strict=True))))
    kind = ObjectType(tuple((name, STRING) for name in sorted(header)))
    return ListValue(kind if header else DYNAMIC, records)


def _csv_rows(scope: Scope, value: str) -> list[tuple[int, list[str]]]:
    """Rows with the number of the line they begin on; empty lines are left out."""
    rows: list[tuple[int, list[str]]] = []
    position, line = 0, 1
    value = value.replace("\r\n", "\n")
    while position < len(value):
        if value[position] == "\n":
            position, line = position + 1, line + 1
            continue
        row: list[str] = []
        start = line
        more = True
        while more:
            scope.budget.charge()
            field, position, lines = _csv_field(value, position, line)
            line += lines
            row.append(string(field))
            more = position < len(value) and value[position] == ","
            if more:
                position += 1
        if position < len(value):
            position, line = position + 1, line + 1
        rows.append((start, row))
    return rows


def _csv_field(value: str, position: int, line: int) -> tuple[str, int, int]:
    """One field, the place behind it, and how many line breaks were in it."""
    if not value.startswith('"', position):
        end = position
        while end < len(value) and value[end] not in ",\n":
            end += 1
        field = value[position:end]
        if '"' in field:
            raise FunctionFailed(f'CSV parse error on line {line}: bare " in non-quoted-field')
        return field, end, 0
    pieces: list[str] = []
    at = position + 1
    while True:
        quote = value.find('"', at)
        if quote < 0:
            break
        pieces.append(value[at:quote])
        if value.startswith('""', quote):
            pieces.append('"')
            at = quote + 2
            continue
        if quote + 1 < len(value) and value[quote + 1] not in ",\n":
            break
        field = "".join(pieces)
        return field, quote + 1, field.count("\n")
    raise FunctionFailed(f'CSV parse error on line {line}: extraneous or missing " in quoted-field')


FUNCTIONS = {
    "base64decode": function(_base64decode, text("str")),
    "base64encode": function(_base64encode, text("str")),
    "csvdecode": function(_csvdecode, text("str")),
    "jsondecode": function(_jsondecode, text("str")),
    "jsonencode": function(_jsonencode, anything("val", null=True)),
    "urlencode": function(_urlencode, text("str")),
}
