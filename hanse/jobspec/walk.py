"""Walking over expressions without recursion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanse.jobspec.syntax import (
    Access,
    Binary,
    Call,
    Conditional,
    Embedded,
    Expression,
    ForExpr,
    IndexStep,
    Interpolation,
    Literal,
    ObjectCons,
    Parens,
    Reference,
    SplatStep,
    Step,
    Template,
    TemplateFor,
    TemplateIf,
    TupleCons,
    Unary,
    Wrapped,
)

_Bound = frozenset[str]


def free_references(root: Expression) -> Iterator[Reference]:
    """Every reference whose name is not bound by a `for` around it."""
    waiting: list[tuple[Expression, _Bound]] = [(root, frozenset())]
    while waiting:
        node, bound = waiting.pop()
        if isinstance(node, Reference) and node.root not in bound:
            yield node
        waiting.extend(reversed(_children(node, bound)))


def _children(node: Expression, bound: _Bound) -> list[tuple[Expression, _Bound]]:
    match node:
        case ForExpr():
            inner = bound | {node.value_name} | ({node.key_name} if node.key_name else set())
            parts = [part for part in (node.key, node.value, node.condition) if part is not None]
            return [(node.collection, bound), *[(part, inner) for part in parts]]
        case TemplateFor():
            inner = bound | {node.value_name} | ({node.key_name} if node.key_name else set())
            return [(node.collection, bound), *[(part, inner) for part in node.body]]
        case _:
            return [(child, bound) for child in _plain_children(node)]


def _plain_children(node: Expression) -> list[Expression]:
    match node:
        case Template(parts=parts):
            return parts
        case Interpolation(inner=inner) | Wrapped(inner=inner) | Parens(inner=inner):
            return [inner]
        case Embedded(inner=inner):
            return [inner]
        case TemplateIf():
            return [node.condition, *node.then, *node.otherwise]
        case Reference(steps=steps):
            return _step_children(steps)
        case Access(source=source, steps=steps):
            return [source, *_step_children(steps)]
        case Call(arguments=arguments):
            return arguments
        case Unary(operand=operand):
            return [operand]
        case Binary(left=left, right=right):
            return [left, right]
        case Conditional():
            return [node.condition, node.then, node.otherwise]
        case TupleCons(items=items):
            return items
        case ObjectCons(items=pairs):
            return [part for pair in pairs for part in pair]
        case Literal() | ForExpr() | TemplateFor():
            return []


def _step_children(steps: Sequence[Step]) -> list[Expression]:
    found: list[Expression] = []
    waiting: list[Step] = list(steps)
    while waiting:
        step = waiting.pop(0)
        if isinstance(step, IndexStep):
            found.append(step.key)
        elif isinstance(step, SplatStep):
            waiting.extend(step.steps)
    return found
