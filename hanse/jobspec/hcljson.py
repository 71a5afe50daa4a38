"""HCL's other notation: the same bodies written as JSON, whose strings are templates.

Not to be confused with the API's JSON. `{"job": {"web": {"group": {…}}}}`: a block is an object,
its labels are the keys around it, several blocks are an array. Which name is an argument and which
a block only the reader's shape can tell, so the sorting happens when a body is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hanse.jobspec.diagnostics import Fault, Report, Source, Span
from hanse.jobspec.limits import NESTING_MAX
from hanse.jobspec.numbers import parse_number
from hanse.jobspec.scanner import too_deep
from hanse.jobspec.syntax import (
    Attribute,
    Block,
    Embedded,
    Expression,
    Literal,
    ObjectCons,
    TupleCons,
)
from hanse.jobspec.values import Value, string

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([0-9a-fA-F]{4}))?|(.))")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class JsonText:
    """A string, unescaped."""

    text: str
    span: Span


@dataclass(slots=True)
class JsonScalar:
    """A number, true, false or null."""

    value: Value
    span: Span


@dataclass(slots=True)
class JsonArray:
    """An array."""

    items: list[JsonNode]
    span: Span


@dataclass(slots=True)
class JsonObject:
    """An object's members in order, those with equal keys too."""

    items: list[tuple[JsonText, JsonNode]]
    span: Span


JsonNode: TypeAlias = JsonText | JsonScalar | JsonArray | JsonObject


@dataclass(slots=True)
class JsonBody:
    """A body: one object, or an array of objects that count as one."""

    source: Source
    node: JsonNode
    span: Span

    def attributes(self) -> dict[str, Attribute]:
        """Every member as an argument. Raises Fault if this is no object."""
        return self.sorted(None, {})[0]

    def sorted(
        self, names: Sequence[str] | None, labels: dict[str, int]
    ) -> tuple[dict[str, Attribute], list[Block]]:
        """Members as arguments and, for the names in `labels`, as blocks. Raises Fault."""
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        for key, value in self._members():
            name = key.text
            if name in labels and (names is None or name not in names or _is_block(value)):
                blocks.extend(self._blocks(name, key.span, value, labels[name], [], []))
            elif name == "//" and names is not None and name not in names:
                continue
            elif name in attributes:
                raise Fault(
                    "Duplicate argument", f'The argument "{name}" is set already.', key.span
                )
            else:
                expression = expression_of(value, self.source)
                attributes[name] = Attribute(name, key.span, expression)
        return attributes, blocks

    def _members(self) -> list[tuple[JsonText, JsonNode]]:
        nodes = self.node.items if isinstance(self.node, JsonArray) else [self.node]
        members: list[tuple[JsonText, JsonNode]] = []
        for node in nodes:
            if not isinstance(node, JsonObject):
                raise Fault(
                    "Incorrect JSON value type", "A JSON object is required here.", node.span
                )
            members.extend(node.items)
        return members

    def _blocks(
        self,
        name: str,
        name_span: Span,
        value: JsonNode,
        labels_left: int,
        labels: list[str],
        spans: list[Span],
    ) -> list[Block]:
        if isinstance(value, JsonScalar) and value.value is None:
            return []
        if labels_left:
            found: list[Block] = []
            members = JsonBody(self.source, value, value.span)._members()
            for key, inner in members:
                found += self._blocks(
                    name,
                    name_span,
                    inner,
                    labels_left - 1,
                    [*labels, key.text],
                    [*spans, key.span],
                )
            return found
        nodes = value.items if isinstance(value, JsonArray) else [value]
        made: list[Block] = []
        for node in nodes:
            if not isinstance(node, JsonObject):
                raise Fault(
                    "Incorrect JSON value type",
                    f'A JSON object is required for each "{name}" block.',
                    node.span,
                )
            body = JsonBody(self.source, node, (node.span[0], node.span[0]))
            made.append(Block(name, name_span, labels, spans, body, body.span))
        return made


def _is_block(value: JsonNode) -> bool:
    return isinstance(value, JsonObject) or (
        isinstance(value, JsonArray) and all(isinstance(item, JsonObject) for item in value.items)
    )


def expression_of(node: JsonNode, source: Source) -> Expression:
    """A JSON value as an expression: strings, and the keys of objects, are templates."""
    match node:
        case JsonText():
            return _template(node, source)
        case JsonScalar():
            return Literal(node.value, node.span)
        case JsonArray():
            return TupleCons([expression_of(item, source) for item in node.items], node.span)
        case JsonObject():
            pairs = [(_template(k, source), expression_of(v, source)) for k, v in node.items]
            return ObjectCons(pairs, node.span)


def _template(node: JsonText, source: Source) -> Expression:
    text = node.text
    if "${" not in text and "%{" not in text:
        return Literal(string(text), node.span)
    from hanse.jobspec.parser import parse_template  # noqa: PLC0415 - seldom needed, and circular

    inner_source = Source(source.name, text)
    report = Report()
    inner = parse_template(inner_source, report)
    if inner is None:
        first = report.found[0]
        raise Fault(first.summary, f"In this string: {first.detail}", node.span, first.hint)
    return Embedded(inner_source, inner, node.span)


def parse_json(source: Source) -> JsonBody:
    """The source as one JSON value. Raises Fault at the first mistake."""
    parser = _JsonParser(source.text)
    node = parser.value(0)
    parser.skip_space()
    if parser.position < len(source.text):
        raise Fault(
            "Extraneous data after value",
            "The JSON value ends before this.",
            (parser.position, parser.position + 1),
        )
    return JsonBody(source, node, (node.span[0], node.span[0]))


class _JsonParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0

    def skip_space(self) -> None:
        match = _SPACE.match(self._text, self.position)
        self.position = match.end() if match else self.position

    def value(self, depth: int) -> JsonNode:
        self.skip_space()
        start = self.position
        if depth > NESTING_MAX:
            raise too_deep((start, start + 1))
        char = self._text[start : start + 1]
        if char == '"':
            return self._string()
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        match = _NUMBER.match(self._text, start)
        if match is not None:
            self.position = match.end()
            span = (start, match.end())
            try:
                return JsonScalar(parse_number(match[0]), span)
            except Fault as fault:
                fault.span = span
                raise
        for word, value in _WORDS.items():
            if self._text.startswith(word, start):
                self.position = start + len(word)
                return JsonScalar(value, (start, self.position))
        raise self._unexpected("a JSON value")

    def _unexpected(self, wanted: str) -> Fault:
        at = self.position
        found = self._text[at : at + 1]
        what = f'"{found}"' if found.isprintable() and found else "the end of the file"
        if found == "\n":
            what = "the end of the line"
        return Fault("Invalid JSON", f"Expected {wanted} here, not {what}.", (at, at + 1))

    def _string(self) -> JsonText:
        start = self.position
        match = _STRING.match(self._text, start)
        if match is None:
            raise Fault(
                "Invalid JSON string",
                "This string is not ended on its line, or has an escape that JSON does not know.",
                (start, start + 1),
            )
        self.position = match.end()
        body = match[1]
        if "\\" in body:
            body = _ESCAPE.sub(_unescape, body)
        return JsonText(string(body), (start, match.end()))

    def _object(self, depth: int) -> JsonObject:
        start = self.position
        items: list[tuple[JsonText, JsonNode]] = []
        self.position += 1
        self.skip_space()
        while not self._text.startswith("}", self.position):
            if items:
                self._expect(",", "a comma or a closing brace")
            self.skip_space()
            if not self._text.startswith('"', self.position):
                raise self._unexpected("a quoted name")
            key = self._string()
            self.skip_space()
            self._expect(":", "a colon")
            items.append((key, self.value(depth + 1)))
            self.skip_space()
        self.position += 1
        return JsonObject(items, (start, self.position))

    def _array(self, depth: int) -> JsonArray:
        start = self.position
        items: list[JsonNode] = []
        self.position += 1
        self.skip_space()
        while not self._text.startswith("]", self.position):
            if items:
                self._expect(",", "a comma or a closing bracket")
            items.append(self.value(depth + 1))
            self.skip_space()
        self.position += 1
        return JsonArray(items, (start, self.position))

    def _expect(self, char: str, wanted: str) -> None:
        if not self._text.startswith(char, self.position):
            raise self._unexpected(wanted)
        self.position += 1


def _unescape(match: re.Match[str]) -> str:
    if match[3]:
        return _SIMPLE.get(match[3], match[3])
    high, low = int(match[1], 16), int(match[2] or "0", 16)
    if 0xD800 <= high < 0xDC00 <= low < 0xE000 and match[2]:
        return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
    units = [high, low] if match[2] else [high]
    return "".join("\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit) for unit in units)
