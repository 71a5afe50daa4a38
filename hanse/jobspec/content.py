"""What a body holds: sorted by name, dynamic blocks expanded, the unknown reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from hanse.jobspec.budget import Exhausted
from hanse.jobspec.convert import CannotConvert, convert
from hanse.jobspec.diagnostics import Fault, Report, Span, did_you_mean
from hanse.jobspec.evaluator import Scope, evaluate, pairs_of
from hanse.jobspec.hcljson import JsonBody
from hanse.jobspec.syntax import Attribute, Block, Body, Reference
from hanse.jobspec.templates import constant_text
from hanse.jobspec.values import STRING, ListType, ListValue, ObjectValue, Value, name_of

AnyBody: TypeAlias = Body | JsonBody


@dataclass(slots=True)
class ScopedBlock:
    """A block with the scope that its body is evaluated in: that of its iteration, if dynamic."""

    block: Block
    scope: Scope


@dataclass(frozen=True, slots=True)
class Shape:
    """The names that a body may hold, and how many labels each type of block has."""

    attributes: Iterable[str]
    blocks: Mapping[str, int]
    label_names: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Content:
    """Attributes and blocks that the shape knows."""

    attributes: dict[str, Attribute]
    blocks: dict[str, list[ScopedBlock]]


_DYNAMIC = Shape(("for_each", "iterator", "labels"), {"content": 0})


class Reader:
    """Sorts bodies and reports to one report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def content(self, body: AnyBody, scope: Scope, shape: Shape) -> Content:
        """Everything in a body that the shape knows; the rest is reported."""
        attributes, blocks = self._native(body, shape)
        known: dict[str, Attribute] = {}
        names = list(shape.attributes)
        for attribute in attributes.values():
            if attribute.name in names:
                known[attribute.name] = attribute
            else:
                self.report.add(body.source, _unknown_argument(attribute, names, shape.blocks))
        sorted_blocks: dict[str, list[ScopedBlock]] = {name: [] for name in shape.blocks}
        for block in blocks:
            if block.type == "dynamic" and "dynamic" not in shape.blocks:
                for made in self._expand(block, scope, shape):
                    sorted_blocks[made.block.type].append(made)
            elif block.type not in shape.blocks:
                unknown = _unknown_block(block.type, block.type_span, names, shape)
                self.report.add(body.source, unknown)
            elif self._labels_fit(block, shape):
                sorted_blocks[block.type].append(ScopedBlock(block, scope))
        return Content(known, sorted_blocks)

    def _native(self, body: AnyBody, shape: Shape) -> tuple[dict[str, Attribute], list[Block]]:
        if isinstance(body, Body):
            return body.attributes, body.blocks
        labels = dict(shape.blocks)
        if "dynamic" not in labels and labels and shape is not _DYNAMIC:
            labels["dynamic"] = 1
        try:
            return body.sorted(list(shape.attributes), labels)
        except Fault as fault:
            self.report.add(body.source, fault, body.span)
            return {}, []

    def _labels_fit(self, block: Block, shape: Shape) -> bool:
        wanted = shape.blocks[block.type]
        name = shape.label_names.get(block.type, "name")
        if len(block.labels) < wanted:
            fault = Fault(
                f"Missing {name} for {block.type}",
                f"A {block.type} block has a label: its {name}.",
                block.open_span,
                f'{block.type} "{name}" {{ … }}',
            )
        elif len(block.labels) > wanted:
            only = f"only one label, its {name}" if wanted else "no label"
            fault = Fault(
                f"Extraneous label for {block.type}",
                f"A {block.type} block has {only}.",
                block.label_spans[wanted],
            )
        else:
            return True
        self.report.add(block.body.source, fault)
        return False

    def _expand(self, block: Block, scope: Scope, shape: Shape) -> list[ScopedBlock]:
        """The blocks that one dynamic block stands for."""
        source = block.body.source
        try:
            return self._expanded(block, scope, shape)
        except Exhausted:
            raise
        except Fault as fault:
            self.report.add(source, fault, block.type_span)
            return []

    def _expanded(self, block: Block, scope: Scope, shape: Shape) -> list[ScopedBlock]:
        if len(block.labels) != 1:
            raise Fault(
                "Missing type for dynamic" if not block.labels else "Extraneous label for dynamic",
                "A dynamic block has one label: the type of the blocks to make.",
                block.label_spans[1] if block.labels else block.open_span,
            )
        kind, kind_span = block.labels[0], block.label_spans[0]
        if kind not in shape.blocks:
            raise _unknown_block(kind, kind_span, (), shape)
        inner = self.content(block.body, scope, _DYNAMIC)
        for_each = inner.attributes.get("for_each")
        if for_each is None:
            raise _missing("for_each", block.body.span)
        if len(inner.blocks["content"]) != 1:
            which = "Extraneous" if inner.blocks["content"] else "Missing"
            raise Fault(
                f"{which} content block",
                "A dynamic block has exactly one content block: the body of each block made.",
                block.body.span,
            )
        iterator = _iterator_name(inner.attributes.get("iterator"), kind)
        body = inner.blocks["content"][0].block.body
        made: list[ScopedBlock] = []
        for key, value in _elements(for_each, scope):
            scope.budget.charge_dynamic()
            step = scope.bind({iterator: ObjectValue({"key": key, "value": value})})
            labels = _labels(inner.attributes.get("labels"), step)
            spans = [kind_span] * len(labels)
            copy = Block(kind, block.type_span, labels, spans, body, block.open_span)
            if self._labels_fit(copy, shape):
                made.append(ScopedBlock(copy, step))
        return made


def _elements(for_each: Attribute, scope: Scope) -> list[tuple[Value, Value]]:
    value = evaluate(for_each.value, scope)
    pairs = pairs_of(value) if value is not None else None
    if pairs is None:
        what = "null" if value is None else f"a {name_of(value)}"
        raise Fault(
            "Invalid dynamic for_each value",
            f"Cannot use {what} in for_each: a collection is needed.",
            for_each.value.span,
        )
    return list(pairs)


def _iterator_name(attribute: Attribute | None, default: str) -> str:
    if attribute is None:
        return default
    match attribute.value:
        case Reference(root=name, steps=[]):
            return name
        case other:
            name = constant_text(other) or ""
            if name.isidentifier():
                return name
            raise Fault(
                "Invalid iterator name", "An iterator is named by one plain word.", other.span
            )


def _labels(attribute: Attribute | None, scope: Scope) -> list[str]:
    if attribute is None:
        return []
    value = evaluate(attribute.value, scope)
    try:
        converted = convert(value, ListType(STRING))
    except CannotConvert as problem:
        raise Fault(
            "Invalid dynamic block labels",
            f"Labels are a list of strings: {problem}.",
            attribute.value.span,
        ) from None
    if not isinstance(converted, ListValue) or None in converted.items:
        raise Fault("Invalid dynamic block label", "A label cannot be null.", attribute.value.span)
    return [str(label) for label in converted.items]


def _missing(name: str, span: Span) -> Fault:
    return Fault(
        "Missing required argument",
        f'The argument "{name}" is required, but no definition was found.',
        span,
    )


def missing_argument(name: str, body: AnyBody) -> Fault:
    """The fault for a required argument that is not there."""
    return _missing(name, body.span)


def _unknown_argument(attribute: Attribute, names: list[str], blocks: Mapping[str, int]) -> Fault:
    hint = did_you_mean(attribute.name, names)
    if attribute.name == "Job" and "job" in blocks:
        hint = "this looks like the API's JSON, which is submitted with -json"
    elif attribute.name in blocks:
        hint = f"did you mean a block? {attribute.name} {{ … }}, without an equals sign"
    elif not hint and (near := did_you_mean(attribute.name, blocks)):
        hint = near
    return Fault(
        "Unsupported argument",
        f'An argument named "{attribute.name}" is not expected here.',
        attribute.name_span,
        hint,
    )


def _unknown_block(kind: str, span: Span, names: Iterable[str], shape: Shape) -> Fault:
    hint = did_you_mean(kind, shape.blocks)
    if kind in names:
        hint = f"did you mean an argument? {kind} = …, with an equals sign"
    return Fault(
        "Unsupported block type", f'Blocks of type "{kind}" are not expected here.', span, hint
    )
