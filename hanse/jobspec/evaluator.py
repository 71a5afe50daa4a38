"""Expressions to values.

A name that is neither `var`, `local` nor bound by a `for` or a dynamic block is a runtime
reference: its value is the string of its own source text, for the client agent to replace later.
It is not an unknown: functions and operators see that string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hanse.jobspec import numbers as num
from hanse.jobspec.budget import Budget, Exhausted
from hanse.jobspec.convert import CannotConvert, convert, to_string, unify
from hanse.jobspec.diagnostics import Fault, Silent, Source, Span, did_you_mean
from hanse.jobspec.numbers import Number, Real
from hanse.jobspec.syntax import (
    Access,
    AttrStep,
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
    start_of,
)
from hanse.jobspec.values import (
    BOOL,
    DYNAMIC,
    NUMBER,
    ListValue,
    Mapped,
    MapValue,
    Namespace,
    ObjectValue,
    Sequence,
    SetValue,
    TupleValue,
    Type,
    Value,
    equal,
    name_of,
    string,
    type_of,
)


class CallFunction(Protocol):
    """Calls a function by name; see `hanse.jobspec.functions`."""

    def __call__(self, scope: Scope, call: Call) -> Value: ...  # noqa: D102


@dataclass(slots=True)
class Scope:
    """What an expression can see."""

    source: Source
    budget: Budget
    call: CallFunction
    #: Bound names; of `var` and `local`, objects.
    names: Mapping[str, Value] = field(default_factory=dict[str, Value])
    #: Whether other names stand for themselves. If not, they are errors.
    runtime_references: bool = True
    #: Variables and locals that have no value because of a mistake reported already.
    broken: AbstractSet[tuple[str, str]] = frozenset()
    #: The type constraint parser, and files, need more than values; see `functions`.
    files: Any = None

    def bind(self, bound: Mapping[str, Value]) -> Scope:
        """A scope inside this one in which some names mean something else."""
        return replace(self, names={**self.names, **bound})


def evaluate(expression: Expression, scope: Scope) -> Value:
    """The value of an expression. Raises Fault with a span of the scope's source, or Exhausted."""
    scope.budget.charge()
    try:
        return _EVALUATORS[type(expression)](expression, scope)
    except Fault as fault:
        if fault.span is None:
            fault.span = expression.span
        raise


def _literal(node: Literal, scope: Scope) -> Value:
    return node.value


def _parens(node: Parens, scope: Scope) -> Value:
    return evaluate(node.inner, scope)


def _template(node: Template, scope: Scope) -> Value:
    parts = node.parts
    if len(parts) == 1 and isinstance(parts[0], Literal):
        return parts[0].value
    return _joined(parts, scope)


def _joined(parts: list[Expression], scope: Scope) -> str:
    pieces: list[str] = []
    for part in parts:
        if isinstance(part, Literal):
            pieces.append(str(part.value))
        else:
            pieces.append(str(evaluate(part, scope)))
    text = string("".join(pieces))
    scope.budget.charge(len(text) // 64)
    return text


def _interpolation(node: Interpolation, scope: Scope) -> Value:
    inner = node.inner
    if isinstance(inner, Reference) and _is_runtime(inner, scope):
        return _sequence_text(node.span, inner, scope)
    value = evaluate(inner, scope)
    if value is None:
        raise Fault(
            "Invalid template interpolation value",
            "The value is null, and null has no text.",
            start_of(inner),
        )
    try:
        return to_string(value)
    except CannotConvert as problem:
        raise Fault(
            "Invalid template interpolation value",
            f"Cannot include this value in a string: {problem}.",
            start_of(inner),
        ) from None


def _wrapped(node: Wrapped, scope: Scope) -> Value:
    inner = node.inner
    if isinstance(inner, Reference) and _is_runtime(inner, scope):
        return _sequence_text(node.sequence, inner, scope)
    return evaluate(inner, scope)


def _sequence_text(sequence: Span, inner: Reference, scope: Scope) -> str:
    """The source of a whole `${…}`, blanks kept; but without trim markers, whose work is done."""
    text = scope.source.text[sequence[0] : sequence[1]]
    if text.startswith("${~") or text.endswith("~}"):
        return _reference_text(inner, scope)
    return string(text)


def _reference_text(node: Reference, scope: Scope) -> str:
    return string("${" + scope.source.text[node.span[0] : node.span[1]] + "}")


def _is_runtime(node: Reference, scope: Scope) -> bool:
    return scope.runtime_references and node.root not in scope.names


def _reference(node: Reference, scope: Scope) -> Value:
    try:
        value = scope.names[node.root]
    except KeyError:
        if scope.runtime_references:
            return _reference_text(node, scope)
        raise Fault(
            "Variables not allowed", "References cannot be used here.", node.root_span
        ) from None
    if isinstance(value, Namespace) and not node.steps:
        return ObjectValue(value.items)
    first = node.steps[0] if scope.broken and node.steps else None
    if isinstance(first, AttrStep) and (node.root, first.name) in scope.broken:
        raise Silent
    for step in node.steps:
        value = _take(value, step, scope)
    return value


def _access(node: Access, scope: Scope) -> Value:
    value = evaluate(node.source, scope)
    for step in node.steps:
        value = _take(value, step, scope)
    return value


def _take(value: Value, step: Step, scope: Scope) -> Value:
    match step:
        case AttrStep(name=name, span=span):
            return get_attribute(value, name, span)
        case IndexStep(key=key, span=span):
            return get_index(value, evaluate(key, scope), span)
        case SplatStep(steps=steps):
            return _splat(value, steps, scope)


def _splat(value: Value, steps: list[Step], scope: Scope) -> Value:
    if value is None:
        return TupleValue(())
    items = value.items if isinstance(value, Sequence) else (value,)
    scope.budget.charge(len(items))
    results: list[Value] = []
    for item in items:
        for step in steps:
            item = _take(item, step, scope)  # noqa: PLW2901 - the element on its way
        results.append(item)
    if isinstance(value, (ListValue, SetValue)):
        return ListValue(type_of(results[0]) if results else DYNAMIC, results)
    return TupleValue(results)


def get_attribute(value: Value, name: str, span: Span) -> Value:
    """`value.name`."""
    match value:
        case None:
            raise Fault(
                "Attempt to get attribute from null value",
                f'The value is null, so it has no attribute "{name}".',
                span,
            )
        case ObjectValue(items=items):
            if name in items:
                return items[name]
            raise Fault(
                "Unsupported attribute",
                f'This object does not have an attribute named "{name}".',
                span,
                did_you_mean(name, items),
            )
        case MapValue(items=items):
            if name in items:
                return items[name]
            raise Fault(
                "Missing map element",
                f'This map does not have an element with the key "{name}".',
                span,
                did_you_mean(name, items),
            )
        case _:
            raise Fault(
                "Unsupported attribute", f"A {name_of(value)} does not have any attributes.", span
            )


def get_index(value: Value, key: Value, span: Span) -> Value:
    """`value[key]`."""
    if value is None:
        raise Fault("Attempt to index null value", "The value is null.", span)
    if key is None:
        raise Fault("Invalid index", "The index is null.", span)
    match value:
        case ListValue(items=items) | TupleValue(items=items):
            return items[_position(key, len(items), span)]
        case Mapped(items=mapped):
            try:
                name = to_string(key)
            except CannotConvert as problem:
                raise Fault("Invalid index", f"The key is unsuitable: {problem}.", span) from None
            if name in mapped:
                return mapped[name]
            raise Fault(
                "Invalid index",
                f'There is no element with the key "{name}".',
                span,
                did_you_mean(name, mapped),
            )
        case SetValue():
            raise Fault(
                "Invalid index", "The elements of a set have no keys.", span, "convert it to a list"
            )
        case _:
            raise Fault("Invalid index", f"A {name_of(value)} has no elements.", span)


def _position(key: Value, length: int, span: Span) -> int:
    try:
        number = convert(key, NUMBER)
    except CannotConvert as problem:
        raise Fault("Invalid index", f"The key is unsuitable: {problem}.", span) from None
    index = num.as_int(number) if isinstance(number, (int, Real)) else None
    if index is None:
        raise Fault("Invalid index", "An index is a whole number.", span)
    if index < 0:
        raise Fault("Invalid index", "A negative number is not an index.", span)
    if index >= length:
        raise Fault(
            "Invalid index", f"The index is {index}, but there are {length} elements.", span
        )
    return index


def _call(node: Call, scope: Scope) -> Value:
    return scope.call(scope, node)


def _as_operand(value: Value, node: Expression, kind: Type, side: str) -> Value:
    try:
        converted = convert(value, kind)
    except CannotConvert as problem:
        raise Fault(
            "Invalid operand", f"Unsuitable value for the {side}: {problem}.", node.span
        ) from None
    if converted is None:
        raise Fault("Operation failed", f"The {side} is null.")
    return converted


def _as_number(value: Value, node: Expression, side: str) -> Number:
    number = _as_operand(value, node, NUMBER, side)
    assert isinstance(number, (int, Real))
    return number


def _unary(node: Unary, scope: Scope) -> Value:
    value = evaluate(node.operand, scope)
    if node.operator == "!":
        return not _as_operand(value, node.operand, BOOL, "operand")
    return num.negate(_as_number(value, node.operand, "operand"))


_ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": num.add,
    "-": num.subtract,
    "*": num.multiply,
    "/": num.divide,
    "%": num.modulo,
}
_COMPARISONS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def _binary(node: Binary, scope: Scope) -> Value:
    """Walks down the left side in a loop: sums may have any number of terms."""
    spine = [node]
    while isinstance(spine[-1].left, Binary):
        spine.append(spine[-1].left)
    value = evaluate(spine[-1].left, scope)
    for step in reversed(spine):
        scope.budget.charge()
        value = _operate(step, value, evaluate(step.right, scope), scope)
    return value


def _operate(node: Binary, left: Value, right: Value, scope: Scope) -> Value:
    operator = node.operator
    if operator in ("==", "!="):
        scope.budget.charge(_weight(left))
        return equal(left, right) == (operator == "==")
    if operator in ("&&", "||"):
        one = bool(_as_operand(left, node.left, BOOL, "left operand"))
        other = bool(_as_operand(right, node.right, BOOL, "right operand"))
        return one and other if operator == "&&" else one or other
    a = _as_number(left, node.left, "left operand")
    b = _as_number(right, node.right, "right operand")
    if operator in _COMPARISONS:
        return _COMPARISONS[operator](num.compare(a, b))
    try:
        return _ARITHMETIC[operator](a, b)
    except num.NotFinite:
        raise Fault(
            "Operation failed", "Zero and infinity have no quotient or difference.", node.span
        ) from None


def _conditional(node: Conditional, scope: Scope) -> Value:
    """Both results are evaluated, for their types; a mistake in the one not chosen is none."""
    then, otherwise = _attempt(node.then, scope), _attempt(node.otherwise, scope)
    common: Type = DYNAMIC
    if not isinstance(then, Fault) and not isinstance(otherwise, Fault):
        common = _common_type(node, then, otherwise, scope)
    holds = _condition(node.condition, scope, "Incorrect condition type")
    chosen = then if holds else otherwise
    if isinstance(chosen, Fault):
        raise chosen
    try:
        return convert(chosen, common)
    except CannotConvert as problem:
        raise Fault(
            "Inconsistent conditional result types",
            f"The result cannot take the common type of both: {problem}.",
            (node.then if holds else node.otherwise).span,
        ) from None


def _common_type(node: Conditional, then: Value, otherwise: Value, scope: Scope) -> Type:
    if then is None or otherwise is None:
        return DYNAMIC
    scope.budget.charge(_weight(then) + _weight(otherwise))
    common = unify([type_of(then), type_of(otherwise)])
    if common is None:
        raise Fault(
            "Inconsistent conditional result types",
            "Both results of a conditional must have a common type. The first one is"
            f" {name_of(then)}, the second one is {name_of(otherwise)}.",
            (node.then.span[0], node.otherwise.span[1]),
        )
    return common


def _attempt(node: Expression, scope: Scope) -> Value | Fault:
    try:
        return evaluate(node, scope)
    except Exhausted:
        raise
    except Fault as fault:
        return fault


def _weight(value: Value) -> int:
    return value.weight if isinstance(value, (Sequence, Mapped)) else 1


def _condition(node: Expression, scope: Scope, summary: str) -> bool:
    value = evaluate(node, scope)
    if value is None:
        raise Fault("Null condition", "A condition is true or false, not null.", node.span)
    try:
        return bool(convert(value, BOOL))
    except CannotConvert as problem:
        raise Fault(summary, f"A condition is a bool: {problem}.", node.span) from None


def _tuple(node: TupleCons, scope: Scope) -> Value:
    return TupleValue([evaluate(item, scope) for item in node.items])


def _object(node: ObjectCons, scope: Scope) -> Value:
    items: dict[str, Value] = {}
    for key_node, value_node in node.items:
        if isinstance(key_node, Reference):
            raise Fault(
                "Ambiguous attribute key",
                "A key with dots is a reference or a name; this one could be both.",
                key_node.span,
                "write a reference in parentheses, and a name in quotes",
            )
        key = _key(evaluate(key_node, scope), key_node, "Incorrect key type", "Null value as key")
        items[key] = evaluate(value_node, scope)
    return ObjectValue(items)


def _key(value: Value, node: Expression, summary: str, null_summary: str) -> str:
    if value is None:
        raise Fault(null_summary, "A key cannot be null.", start_of(node))
    try:
        return to_string(value)
    except CannotConvert as problem:
        raise Fault(summary, f"A key is a string: {problem}.", start_of(node)) from None


def pairs_of(value: Value) -> Iterator[tuple[Value, Value]] | None:
    """Keys and values of anything that can be iterated over, or None."""
    match value:
        case SetValue(items=items):
            return ((item, item) for item in items)
        case Sequence(items=items):
            return iter(list(enumerate(items)))
        case Mapped(items=mapped):
            return iter(list(mapped.items()))
        case _:
            return None


def _loop(
    collection: Expression, key_name: str | None, value_name: str, scope: Scope
) -> Iterator[Scope]:
    value = evaluate(collection, scope)
    if value is None:
        raise Fault("Iteration over null value", "Null cannot be iterated over.", collection.span)
    pairs = pairs_of(value)
    if pairs is None:
        raise Fault(
            "Iteration over non-iterable value",
            f"A {name_of(value)} cannot be iterated over.",
            collection.span,
        )
    inner = scope.bind({})
    names = dict(scope.names)
    for key, item in pairs:
        scope.budget.charge()
        if key_name is not None:
            names[key_name] = key
        names[value_name] = item
        inner.names = names
        yield inner


def _for(node: ForExpr, scope: Scope) -> Value:
    if node.key is None:
        return TupleValue(
            [
                evaluate(node.value, inner)
                for inner in _loop(node.collection, node.key_name, node.value_name, scope)
                if node.condition is None
                or _condition(node.condition, inner, "Invalid 'for' condition")
            ]
        )
    items: dict[str, Value] = {}
    groups: dict[str, list[Value]] = {}
    for inner in _loop(node.collection, node.key_name, node.value_name, scope):
        if node.condition is not None and not _condition(
            node.condition, inner, "Invalid 'for' condition"
        ):
            continue
        key = _key(evaluate(node.key, inner), node.key, "Invalid object key", "Invalid object key")
        value = evaluate(node.value, inner)
        if node.group:
            groups.setdefault(key, []).append(value)
        elif key in items:
            raise Fault(
                "Duplicate object key",
                f'Two items have the key "{key}".',
                start_of(node.key),
                'to group the values of equal keys, put "..." behind the value',
            )
        else:
            items[key] = value
    if node.group:
        return ObjectValue({key: TupleValue(values) for key, values in groups.items()})
    return ObjectValue(items)


def _template_if(node: TemplateIf, scope: Scope) -> Value:
    holds = _condition(node.condition, scope, "Incorrect condition type")
    return _joined(node.then if holds else node.otherwise, scope)


def _template_for(node: TemplateFor, scope: Scope) -> Value:
    return string(
        "".join(
            [
                _joined(node.body, inner)
                for inner in _loop(node.collection, node.key_name, node.value_name, scope)
            ]
        )
    )


def _embedded(node: Embedded, scope: Scope) -> Value:
    inner = scope.bind({})
    inner.source = node.source
    try:
        return evaluate(node.inner, inner)
    except Fault as fault:
        fault.span = node.span
        raise


_EVALUATORS: dict[type[Any], Callable[[Any, Scope], Value]] = {
    Literal: _literal,
    Embedded: _embedded,
    Parens: _parens,
    Template: _template,
    Interpolation: _interpolation,
    Wrapped: _wrapped,
    Reference: _reference,
    Access: _access,
    Call: _call,
    Unary: _unary,
    Binary: _binary,
    Conditional: _conditional,
    TupleCons: _tuple,
    ObjectCons: _object,
    ForExpr: _for,
    TemplateIf: _template_if,
    TemplateFor: _template_for,
}
