"""Functions on sets."""

from __future__ import annotations

from itertools import product

from hanse.jobspec.convert import convert, element_type, unify
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import BadArgument, FunctionFailed, Parameter, anything, function
from hanse.jobspec.limits import VALUE_WEIGHT_MAX
from hanse.jobspec.values import (
    DYNAMIC,
    ListValue,
    Sequence,
    SetType,
    SetValue,
    TupleType,
    TupleValue,
    Type,
    Value,
    identity_key,
)

_ANY_SET = SetType(DYNAMIC)


def _common(sets: tuple[SetValue, ...]) -> tuple[Type, list[list[Value]]]:
    """One element type for all, and the elements converted to it."""
    element = unify([one.element for one in sets if one.items])
    if element is None:
        raise FunctionFailed("given sets must all have compatible element types")
    return element, [[convert(item, element) for item in one.items] for one in sets]


def _union(_: Scope, *sets: SetValue) -> Value:
    element, items = _common(sets)
    return SetValue(element, [item for one in items for item in one])


def _intersection(_: Scope, *sets: SetValue) -> Value:
    element, items = _common(sets)
    if any(not one for one in items):
        return SetValue(element, ())
    shared = set.intersection(*[{identity_key(item) for item in one} for one in items])
    return SetValue(element, [item for item in items[0] if identity_key(item) in shared])


def _product(_: Scope, *sets: Value) -> Value:
    if len(sets) < 2:
        raise FunctionFailed("at least two arguments are required")
    elements: list[Type] = []
    converted: list[list[Value]] = []
    size = len(sets)
    for position, one in enumerate(sets):
        if not isinstance(one, Sequence):
            raise BadArgument(position, "a set or a list is required")
        element = element_type(one)
        if element is None:
            raise BadArgument(position, "all elements must be of the same type")
        elements.append(element)
        converted.append([convert(item, element) for item in one.items])
        size *= max(len(one.items), 1)
    if size > VALUE_WEIGHT_MAX:
        raise FunctionFailed("the product would be too large")
    kind = TupleType(tuple(elements))
    rows = [TupleValue(row) for row in product(*converted)]
    if any(isinstance(one, SetValue) for one in sets):
        return SetValue(kind, rows)
    return ListValue(kind, rows)


FUNCTIONS = {
    "setintersection": function(
        _intersection, Parameter("first_set", _ANY_SET), rest=Parameter("other_sets", _ANY_SET)
    ),
    "setproduct": function(_product, rest=anything("sets")),
    "setunion": function(
        _union, Parameter("first_set", _ANY_SET), rest=Parameter("other_sets", _ANY_SET)
    ),
}
