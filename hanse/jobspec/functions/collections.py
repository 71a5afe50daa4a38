"""Functions on lists, tuples, maps and objects."""

from __future__ import annotations

from typing import Any

from hanse.jobspec.convert import CannotConvert, convert, to_string, unify
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import (
    BadArgument,
    FunctionFailed,
    Parameter,
    anything,
    function,
    is_number,
    number,
    sequence_items,
    text,
    whole,
)
from hanse.jobspec.numbers import Count, Number, Real, as_int
from hanse.jobspec.values import (
    DYNAMIC,
    STRING,
    ListType,
    ListValue,
    Mapped,
    MapValue,
    ObjectValue,
    Sequence,
    SetValue,
    TupleValue,
    Value,
    identity_key,
    name_of,
    type_of,
)

_ANY_LIST = ListType(DYNAMIC)
_STRINGS = ListType(STRING)


def _chunklist(_: Scope, items: ListValue, size: Number) -> Value:
    length = whole(size, "invalid size: value")
    if length < 0:
        raise FunctionFailed("the size argument must be positive")
    length = length or max(len(items.items), 1)
    chunks = [
        ListValue(items.element, items.items[i : i + length])
        for i in range(0, len(items.items), length)
    ]
    return ListValue(ListType(items.element), chunks)


def _coalesce(_: Scope, *values: Value) -> Value:
    common = unify([type_of(value) for value in values if value is not None])
    if common is None or not values:
        raise FunctionFailed("all arguments must have the same type")
    for value in values:
        if value is not None:
            return convert(value, common)
    raise FunctionFailed("no non-null arguments")


def _coalescelist(_: Scope, *values: Value) -> Value:
    if not values:
        raise FunctionFailed("at least one argument is required")
    if any(not isinstance(value, (ListValue, TupleValue)) for value in values):
        raise FunctionFailed("coalescelist arguments must be lists or tuples")
    for value in values:
        if isinstance(value, Sequence) and value.items:
            return value
    raise FunctionFailed("no non-null arguments")


def _compact(_: Scope, items: Any) -> Value:
    return ListValue(STRING, [item for item in sequence_items(items) if item not in (None, "")])


def _concat(_: Scope, *values: Value) -> Value:
    if not values:
        raise FunctionFailed("at least one argument is required")
    items: list[Value] = []
    for position, value in enumerate(values):
        if not isinstance(value, (ListValue, TupleValue)):
            raise BadArgument(
                position, f"all arguments must be lists or tuples; got {name_of(value)}"
            )
        items.extend(value.items)
    lists = [value for value in values if isinstance(value, ListValue)]
    if len(lists) == len(values):
        element = unify([value.element for value in lists])
        if element is not None:
            return ListValue(element, [convert(item, element) for item in items])
    return TupleValue(items)


def _contains(_: Scope, items: Value, wanted: Value) -> Value:
    if not isinstance(items, Sequence):
        raise FunctionFailed("argument must be list, tuple, or set")
    kind, key = type_of(wanted), identity_key(wanted)
    return any(type_of(item) == kind and identity_key(item) == key for item in items.items)


def _distinct(_: Scope, items: ListValue) -> Value:
    unique: dict[object, Value] = {}
    for item in items.items:
        unique.setdefault(identity_key(item), item)
    return ListValue(items.element, unique.values())


def _element(_: Scope, items: Value, index: Number) -> Value:
    position = whole(index, "invalid index: value")
    if not isinstance(items, (ListValue, TupleValue)):
        raise FunctionFailed(f"cannot read elements from {name_of(items)}")
    if not items.items:
        raise FunctionFailed("cannot use element function with an empty list")
    return items.items[position % len(items.items)]


def _flatten(scope: Scope, items: Value) -> Value:
    if not isinstance(items, Sequence):
        raise FunctionFailed("can only flatten lists, sets and tuples")
    flat: list[Value] = []
    waiting: list[Value] = list(reversed(items.items))
    while waiting:
        scope.budget.charge()
        item = waiting.pop()
        if isinstance(item, Sequence):
            waiting.extend(reversed(item.items))
        else:
            flat.append(item)
    return TupleValue(flat)


def _index(_: Scope, collection: Value, key: Value) -> Value:
    if isinstance(collection, MapValue):
        if not isinstance(key, str):
            raise FunctionFailed("key for map must be string")
        if key not in collection.items:
            raise FunctionFailed("the given map does not have that key")
        return collection.items[key]
    if not isinstance(collection, (ListValue, TupleValue)):
        raise FunctionFailed("collection must be a list, a map or a tuple")
    if not isinstance(key, (int, Real)) or not is_number(key):
        kind = "tuple" if isinstance(collection, TupleValue) else "list"
        raise FunctionFailed(f"key for {kind} must be number")
    position = as_int(key)
    if position is None or not 0 <= position < len(collection.items):
        raise FunctionFailed(f"key must be between 0 and {len(collection.items)} inclusive")
    return collection.items[position]


def _keys(_: Scope, mapping: Value) -> Value:
    if not isinstance(mapping, Mapped):
        raise BadArgument(0, "must have map or object type")
    keys = list(mapping.items)
    return ListValue(STRING, keys) if isinstance(mapping, MapValue) else TupleValue(keys)


def _length(_: Scope, collection: Value) -> Value:
    if not isinstance(collection, (Sequence, MapValue)):
        raise FunctionFailed("collection must be a list, a map or a tuple")
    return Count(len(collection.items))


def _lookup(_: Scope, mapping: Value, key: str, default: Value) -> Value:
    if isinstance(mapping, MapValue):
        try:
            fallback = convert(default, mapping.element)
        except CannotConvert:
            raise BadArgument(
                2, "the default value must have the same type as the map elements"
            ) from None
        return mapping.items.get(key, fallback)
    if not isinstance(mapping, ObjectValue):
        raise BadArgument(0, "lookup() requires a map as the first argument")
    return mapping.items.get(key, default)


def _merge(_: Scope, *values: Value) -> Value:
    merged: dict[str, Value] = {}
    for value in values:
        if isinstance(value, Mapped):
            merged.update(value.items)
        elif value is not None:
            raise FunctionFailed(f'arguments must be maps or objects, got "{name_of(value)}"')
    maps = [value for value in values if isinstance(value, MapValue)]
    if maps and len(maps) == len(values) and len({value.element for value in maps}) == 1:
        return MapValue(maps[0].element, merged)
    return ObjectValue(merged)


def _slice(_: Scope, items: Value, start: Number, end: Number) -> Value:
    if isinstance(items, SetValue):
        raise BadArgument(0, "the elements of a set have no order; convert it to a list first")
    if not isinstance(items, (ListValue, TupleValue)):
        raise BadArgument(0, "must be a list or tuple value")
    bounds: list[int] = []
    for position, (value, name) in enumerate(((start, "start"), (end, "end")), 1):
        try:
            bounds.append(whole(value, f"invalid {name} index: value"))
        except FunctionFailed as problem:
            raise BadArgument(position, str(problem)) from None
    first, last = bounds
    if first < 0:
        raise BadArgument(1, "start index must not be less than zero")
    if last > len(items.items):
        raise BadArgument(2, "end index must not be greater than the length of the list")
    if first > last:
        raise BadArgument(1, "start index must not be greater than end index")
    part = items.items[first:last]
    return ListValue(items.element, part) if isinstance(items, ListValue) else TupleValue(part)


def _sort(_: Scope, items: Any) -> Value:
    for index, item in enumerate(sequence_items(items)):
        if item is None:
            raise FunctionFailed(
                f"given list element {index} is null; a null string cannot be sorted"
            )
    return ListValue(STRING, sorted(map(to_string, sequence_items(items))))


def _values(_: Scope, mapping: Value) -> Value:
    if not isinstance(mapping, Mapped):
        raise FunctionFailed("values() requires a map as the first argument")
    values = list(mapping.items.values())
    if isinstance(mapping, MapValue):
        return ListValue(mapping.element, values)
    return TupleValue(values)


def _zipmap(_: Scope, keys: Any, values: Value) -> Value:
    if not isinstance(values, (ListValue, TupleValue)):
        raise FunctionFailed("values must be a list or tuple value")
    names = sequence_items(keys)
    if len(names) != len(values.items):
        raise FunctionFailed(
            f"number of keys ({len(names)}) does not match number of values ({len(values.items)})"
        )
    if None in names:
        raise FunctionFailed("keys must not be null")
    result = dict(zip(map(to_string, names), values.items, strict=True))
    if isinstance(values, ListValue):
        return MapValue(values.element, result)
    return ObjectValue(result)


FUNCTIONS = {
    "chunklist": function(_chunklist, Parameter("list", _ANY_LIST), number("size")),
    "coalesce": function(_coalesce, rest=anything("vals", null=True)),
    "coalescelist": function(_coalescelist, rest=anything("vals", null=True)),
    "compact": function(_compact, Parameter("list", _STRINGS)),
    "concat": function(_concat, rest=anything("seqs")),
    "contains": function(_contains, anything("list"), anything("value")),
    "distinct": function(_distinct, Parameter("list", _ANY_LIST)),
    "element": function(_element, anything("list"), number("index")),
    "flatten": function(_flatten, anything("list")),
    "index": function(_index, anything("collection"), anything("key")),
    "keys": function(_keys, anything("inputMap")),
    "length": function(_length, anything("collection")),
    "lookup": function(_lookup, anything("inputMap"), text("key"), anything("default")),
    "merge": function(_merge, rest=anything("maps", null=True)),
    "slice": function(_slice, anything("list"), number("start_index"), number("end_index")),
    "sort": function(_sort, Parameter("list", _STRINGS)),
    "values": function(_values, anything("mapping")),
    "zipmap": function(_zipmap, Parameter("keys", _STRINGS), anything("values")),
}
