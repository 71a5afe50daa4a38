"""Bodies to API structures, field by field as the table says.

Every field that cannot be read is reported at its place and left absent, so that one pass finds
all mistakes of a file.
"""

from __future__ import annotations

from typing import Any

from hanse.durations import parse_duration
from hanse.jobspec.budget import Exhausted
from hanse.jobspec.content import AnyBody, Reader, ScopedBlock, Shape, missing_argument
from hanse.jobspec.convert import CannotConvert, convert, to_string
from hanse.jobspec.diagnostics import Fault, Source, Span
from hanse.jobspec.evaluator import Scope, evaluate
from hanse.jobspec.numbers import Real, as_float, as_int, is_infinite
from hanse.jobspec.schema import INTEGERS, Field, Structure, empty, structures
from hanse.jobspec.shorthand import FINISHERS
from hanse.jobspec.syntax import Attribute, Block, Body, Expression, ObjectCons, start_of
from hanse.jobspec.values import (
    BOOL,
    NUMBER,
    STRING,
    ListType,
    Mapped,
    Sequence,
    Value,
    name_of,
)

#: Blocks of free keys that may also be written as an argument whose value is a map.
ARGUMENT_FORM = {("Job", "meta"), ("TaskGroup", "meta"), ("Task", "meta"), ("Task", "env")}

#: The words for what a label is, where it is not a name.
LABEL_NAMES = {"port": "label", "target": "value", "scaling": "resource"}

_Json = dict[str, Any]
_INT64 = 2**63


class Unsuitable(Fault):
    """A value that does not fit its field."""

    def __init__(self, problem: str, span: Span | None = None) -> None:
        super().__init__("Unsuitable value type", f"Unsuitable value: {problem}", span)


class Decoder:
    """Reads structures out of bodies."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._report = reader.report

    def structure(
        self, name: str, body: AnyBody, scope: Scope, block: Block | None = None
    ) -> _Json:
        """One structure. `block` is what the body belongs to, for its label and place."""
        structure = structures()[name]
        result = empty(name)
        if structure.label is not None and block is not None and block.labels:
            result[structure.label.api] = block.labels[0]
        forms = [key for key in structure.blocks if (name, key) in ARGUMENT_FORM]
        content = self._reader.content(body, scope, _shape(structure, forms))
        for key, field in structure.attributes.items():
            attribute = content.attributes.get(key)
            if attribute is not None:
                self._attribute(result, field, attribute, body.source, scope)
            elif field.role == "required":
                self._report.add(body.source, missing_argument(key, body))
        for key, field in structure.blocks.items():
            blocks = content.blocks[key]
            argument = content.attributes.get(key) if key in forms else None
            if argument is not None:
                self._argument_form(result, field, argument, blocks, body.source, scope)
            elif blocks:
                self._block_field(result, field, blocks)
        finish = FINISHERS.get(name)
        if finish is not None:
            for fault in finish(result, body, block):
                self._report.add(body.source, fault)
        return result

    def _attribute(
        self, result: _Json, field: Field, attribute: Attribute, source: Source, scope: Scope
    ) -> None:
        try:
            result[field.api] = decode_value(attribute.value, field, scope)
        except Exhausted:
            raise
        except Fault as fault:
            self._report.add(source, fault, start_of(attribute.value))

    def _argument_form(
        self,
        result: _Json,
        field: Field,
        attribute: Attribute,
        blocks: list[ScopedBlock],
        source: Source,
        scope: Scope,
    ) -> None:
        if blocks:
            where = source.where(attribute.name_span[0])
            self._report.add(
                source,
                Fault(
                    f"Duplicate {field.hcl} block",
                    f"{field.hcl} may be given once. It is given at {where} already.",
                    blocks[0].block.type_span,
                ),
            )
            return
        try:
            value = evaluate(attribute.value, scope)
            result[field.api] = None if value is None else _string_map(value)
        except Exhausted:
            raise
        except Fault as fault:
            self._report.add(source, fault, start_of(attribute.value))

    def _block_field(self, result: _Json, field: Field, blocks: list[ScopedBlock]) -> None:
        if field.shape == "list":
            result[field.api] = [self._one(field, found) for found in blocks]
        elif field.shape == "map" and field.kind in structures():
            result[field.api] = {found.block.labels[0]: self._one(field, found) for found in blocks}
        else:
            result[field.api] = self._one(field, blocks[0])
            first = blocks[0].block
            for extra in blocks[1:]:
                where = first.body.source.where(first.type_span[0])
                self._report.add(
                    extra.block.body.source,
                    Fault(
                        f"Duplicate {field.hcl} block",
                        f"Only one {field.hcl} block is allowed. There is one at {where} already.",
                        extra.block.type_span,
                    )
                    if extra.block.type_span != first.type_span
                    else Fault(
                        f"Duplicate {field.hcl} block",
                        f"Only one {field.hcl} block is allowed; this dynamic block makes several.",
                        first.type_span,
                    ),
                )

    def _one(self, field: Field, found: ScopedBlock) -> object:
        block, scope = found.block, found.scope
        if field.shape == "map" and field.kind in ("string", "strings"):
            return self._free_strings(block.body, scope, field.kind)
        if field.shape == "map" and field.kind == "any":
            return self._free(block.body, scope)
        return self.structure(field.kind, block.body, scope, block)

    def _attributes_of(self, body: AnyBody) -> tuple[list[Attribute], list[Block]]:
        if isinstance(body, Body):
            return list(body.attributes.values()), body.blocks
        try:
            return list(body.attributes().values()), []
        except Fault as fault:
            self._report.add(body.source, fault, body.span)
            return [], []

    def _free_strings(self, body: AnyBody, scope: Scope, kind: str) -> _Json:
        """A block of free keys whose values are strings, or lists of strings."""
        result: _Json = {}
        attributes, blocks = self._attributes_of(body)
        for attribute in attributes:
            try:
                value = evaluate(attribute.value, scope)
                if kind == "string":
                    result[attribute.name] = _text(value)
                else:
                    result[attribute.name] = _list(value, "string")
            except Exhausted:
                raise
            except Fault as fault:
                self._report.add(body.source, fault, start_of(attribute.value))
        for block in blocks:
            stray = Unsuitable("string required, but have a block", block.open_span)
            self._report.add(body.source, stray)
        return result

    def _free(self, body: AnyBody, scope: Scope) -> _Json:
        """A block of free keys and free values, such as a driver's configuration."""
        result: _Json = {}
        attributes, blocks = self._attributes_of(body)
        for attribute in attributes:
            scope.budget.charge()
            try:
                value = evaluate(attribute.value, scope)
                plain = plain_value(value)
            except Exhausted:
                raise
            except Fault as fault:
                self._report.add(body.source, fault, start_of(attribute.value))
                continue
            if plain is not None:
                wrap = isinstance(attribute.value, ObjectCons) and isinstance(body, Body)
                result[attribute.name] = [plain] if wrap else plain
        for block in blocks:
            inner: object = self._free(block.body, scope)
            for label in reversed(block.labels):
                inner = {label: [inner]}
            earlier = result.setdefault(block.type, [])
            if isinstance(earlier, list) and not (
                isinstance(body, Body) and block.type in body.attributes
            ):
                earlier.append(inner)
            else:
                self._report.add(
                    body.source,
                    Fault(
                        f"Duplicate {block.type}",
                        f'"{block.type}" is set as an argument already.',
                        block.type_span,
                    ),
                )
        return result


def _shape(structure: Structure, forms: list[str]) -> Shape:
    known = structures()
    labels = {
        key: int(
            (field.kind in known and known[field.kind].label is not None)
            or (structure.name, key) == ("Task", "scaling")
        )
        for key, field in structure.blocks.items()
    }
    return Shape([*structure.attributes, *forms], labels, LABEL_NAMES)


def decode_value(node: Expression, field: Field, scope: Scope) -> object:
    """The value of an argument for its field. Raises Fault, without a place if it is the node's."""
    value = evaluate(node, scope)
    if field.shape == "list":
        return None if value is None else _list(value, field.kind)
    if field.shape == "map":
        return None if value is None else _string_map(value)
    if field.kind == "anything":
        return None
    if field.kind == "duration":
        return _duration(value)
    if value is None:
        if field.nullable:
            return None
        raise Unsuitable("null value is not allowed")
    return _scalar(value, field.kind)


def _scalar(value: Value, kind: str) -> object:
    try:
        if kind == "string":
            return to_string(value)
        if kind == "bool":
            return convert(value, BOOL)
        number = convert(value, NUMBER)
    except CannotConvert as problem:
        raise Unsuitable(str(problem)) from None
    low, high = INTEGERS[kind]
    whole = as_int(number) if isinstance(number, (int, Real)) and not is_infinite(number) else None
    if whole is None or not low <= whole <= high:
        raise Unsuitable(f"value must be a whole number, between {low} and {high}")
    return whole


def _duration(value: Value) -> int:
    """Nanoseconds: Go's notation, or a bare number of nanoseconds."""
    if value is None:
        raise Fault("Unsuitable value", "Unsuitable duration value: it is null")
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as problem:
            hint = f'a unit is missing: "{value}s"?' if value.strip("+-").isdigit() else ""
            raise Fault(
                "Unsuitable value type", f"Unsuitable duration value: {problem}", None, hint
            ) from None
    if isinstance(value, bool) or not isinstance(value, (int, Real)):
        raise Unsuitable(f"a duration is needed, but have {name_of(value)}")
    whole = _scalar(value, "int64")
    assert isinstance(whole, int)
    return whole


def _text(value: Value) -> str:
    if value is None:
        raise Unsuitable("null value is not allowed")
    try:
        return to_string(value)
    except CannotConvert as problem:
        raise Unsuitable(str(problem)) from None


def _list(value: Value, kind: str) -> list[object]:
    try:
        converted = convert(value, ListType(STRING if kind == "string" else NUMBER))
    except CannotConvert as problem:
        raise Unsuitable(str(problem)) from None
    if not isinstance(converted, Sequence):
        raise Unsuitable("null value is not allowed")
    if None in converted.items:
        raise Unsuitable("null value is not allowed in a list")
    return [_scalar(item, kind) for item in converted.items]


def _string_map(value: Value) -> dict[str, object]:
    if not isinstance(value, Mapped):
        raise Unsuitable(f"map of string required, but have {name_of(value)}")
    return {key: _text(item) for key, item in value.items.items()}


def plain_value(value: Value) -> Any:
    """A value as JSON has it: whole numbers of 64 bits as such, all others as floats."""
    match value:
        case bool() | str() | None:
            return value
        case int() | Real():
            if is_infinite(value):
                raise Unsuitable("the number is infinite")
            whole = as_int(value)
            if whole is not None and -_INT64 <= whole < _INT64:
                return whole
            floating = as_float(value)
            if abs(floating) == float("inf"):
                raise Unsuitable("the number is too large")
            return floating
        case Sequence():
            return [plain_value(item) for item in value.items]
        case Mapped():
            return {key: plain_value(item) for key, item in value.items.items()}
