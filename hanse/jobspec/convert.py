"""What converts to what, and the one type that several values can share."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import assert_never

from hanse.jobspec.numbers import Real, parse_number, text_of
from hanse.jobspec.values import (
    BOOL,
    DYNAMIC,
    NUMBER,
    STRING,
    ListType,
    ListValue,
    Mapped,
    MapType,
    MapValue,
    ObjectType,
    ObjectValue,
    Primitive,
    Sequence,
    SetType,
    SetValue,
    TupleType,
    TupleValue,
    Type,
    Value,
    name_of,
    type_name,
    type_of,
)


class CannotConvert(Exception):
    """The value has no counterpart in the wanted type; the text says why."""


def convert(value: Value, want: Type) -> Value:
    """The value as one of the wanted type; null stays null. Raises CannotConvert."""
    if value is None:
        return None
    match want:
        case Primitive():
            return _to_primitive(value, want)
        case ListType(element) | SetType(element):
            return _to_sequence(value, want, element)
        case MapType(element):
            return _to_map(value, element)
        case TupleType(elements):
            if isinstance(value, TupleValue) and len(value.items) == len(elements):
                pairs = zip(value.items, elements, strict=True)
                return TupleValue([_element(i, v, t) for i, (v, t) in enumerate(pairs)])
            if isinstance(value, TupleValue):
                raise CannotConvert(
                    f"tuple of {len(elements)} elements required, but have {len(value.items)}"
                )
            raise _unsuitable(value, want)
        case ObjectType(attributes):
            return _to_object(value, attributes)
    assert_never(want)


def _to_primitive(value: Value, want: Primitive) -> Value:
    if want == DYNAMIC:
        return value
    if want == STRING:
        return to_string(value)
    if want == NUMBER:
        if isinstance(value, (int, Real)) and not isinstance(value, bool):
            return value
        if isinstance(value, str):
            try:
                return parse_number(value)
            except ValueError:
                raise CannotConvert("a number is required") from None
        raise CannotConvert(f"number required, but have {name_of(value)}")
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in ("true", "1"):
            return True
        if value in ("false", "0"):
            return False
        raise CannotConvert('a bool is required: "true" or "false"')
    raise _unsuitable(value, want)


def to_string(value: Value) -> str:
    """A primitive value as text. Raises CannotConvert for anything else."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | Real():
            return text_of(value)
        case _:
            raise CannotConvert(f"string required, but have {name_of(value)}")


def _unsuitable(value: Value, want: Type) -> CannotConvert:
    return CannotConvert(f"{type_name(want)} required, but have {name_of(value)}")


def _element(key: object, value: Value, want: Type) -> Value:
    try:
        return convert(value, want)
    except CannotConvert as problem:
        raise CannotConvert(f"element {key}: {problem}") from None


def _to_sequence(value: Value, want: ListType | SetType, element: Type) -> Value:
    if not isinstance(value, Sequence):
        raise _unsuitable(value, want)
    if element == DYNAMIC:
        common = element_type(value)
        if common is None:
            raise CannotConvert("all elements must have the same type")
        element = common
    items = [_element(i, item, element) for i, item in enumerate(value.items)]
    if isinstance(want, ListType):
        return ListValue(element, items)
    return SetValue(element, items)


def element_type(value: Sequence | Mapped) -> Type | None:
    """The type that all elements can share."""
    if isinstance(value, (ListValue, SetValue, MapValue)):
        return value.element
    items = value.items.values() if isinstance(value, Mapped) else value.items
    return unify([type_of(item) for item in items if item is not None])


def _to_map(value: Value, element: Type) -> Value:
    if not isinstance(value, Mapped):
        raise _unsuitable(value, MapType(element))
    if element == DYNAMIC:
        common = element_type(value)
        if common is None:
            raise CannotConvert("all map elements must have the same type")
        element = common
    return MapValue(
        element, {key: _element(f'"{key}"', item, element) for key, item in value.items.items()}
    )


def _to_object(value: Value, attributes: tuple[tuple[str, Type], ...]) -> Value:
    if not isinstance(value, Mapped):
        raise _unsuitable(value, ObjectType(attributes))
    missing = [f'"{name}"' for name, _ in attributes if name not in value.items]
    if missing:
        noun = "attribute" if len(missing) == 1 else "attributes"
        verb = "is" if len(missing) == 1 else "are"
        raise CannotConvert(f"{noun} {', '.join(missing)} {verb} required")
    result: dict[str, Value] = {}
    for name, want in attributes:
        try:
            result[name] = convert(value.items[name], want)
        except CannotConvert as problem:
            raise CannotConvert(f'attribute "{name}": {problem}') from None
    return ObjectValue(result)


def convertible(have: Type, want: Type) -> bool:
    """Whether some value of one type may convert to the other: the types do not rule it out."""
    if DYNAMIC in (have, want) or have == want:
        return True
    match want, have:
        case Primitive(), Primitive():
            return {have, want} != {NUMBER, BOOL}
        case ((ListType(e) | SetType(e)), (ListType(h) | SetType(h))):
            return convertible(h, e)
        case ((ListType(e) | SetType(e)), TupleType(elements)):
            return all(convertible(h, e) for h in elements)
        case MapType(e), MapType(h):
            return convertible(h, e)
        case MapType(e), ObjectType(attributes):
            return all(convertible(h, e) for _, h in attributes)
        case TupleType(wanted), TupleType(elements):
            return len(wanted) == len(elements) and all(map(convertible, elements, wanted))
        case ObjectType(wanted), ObjectType(attributes):
            there = dict(attributes)
            return all(name in there and convertible(there[name], w) for name, w in wanted)
        case ObjectType(wanted), MapType(h):
            return all(convertible(h, w) for _, w in wanted)
        case _:
            return False


def unify(types: SequenceOf[Type]) -> Type | None:
    """The type that all the given ones convert to, or None. Of no types at all, DYNAMIC."""
    types = list(dict.fromkeys(types))
    if not types:
        return DYNAMIC
    if len(types) == 1:
        return types[0]
    if DYNAMIC in types:
        known = [kind for kind in types if kind != DYNAMIC]
        return unify(known)
    kinds = {type(kind) for kind in types}
    if kinds == {ObjectType}:
        return _unify_objects([kind for kind in types if isinstance(kind, ObjectType)])
    if kinds == {TupleType}:
        return _unify_tuples([kind for kind in types if isinstance(kind, TupleType)])
    if MapType in kinds and kinds <= {MapType, ObjectType}:
        return _unify_elements(types, MapType)
    if ListType in kinds and kinds <= {ListType, TupleType}:
        return _unify_elements(types, ListType)
    if kinds == {SetType}:
        return _unify_elements(types, SetType)
    for candidate in sorted(types, key=_preference):
        if all(convertible(kind, candidate) for kind in types):
            return candidate
    return None


def _preference(kind: Type) -> int:
    match kind:
        case Primitive():
            return [STRING, NUMBER, BOOL, DYNAMIC].index(kind)
        case ListType():
            return 10
        case SetType():
            return 11
        case MapType():
            return 12
        case _:
            return 13


def _unify_elements(
    types: SequenceOf[Type], make: type[MapType] | type[ListType] | type[SetType]
) -> Type | None:
    elements: list[Type] = []
    for kind in types:
        match kind:
            case ListType(element) | SetType(element) | MapType(element):
                elements.append(element)
            case TupleType(inner):
                elements.extend(inner)
            case ObjectType(attributes):
                elements.extend(element for _, element in attributes)
            case Primitive():
                return None
    common = unify(elements)
    return None if common is None else make(common)


def _unify_objects(types: list[ObjectType]) -> Type | None:
    names = [name for name, _ in types[0].attributes]
    if any([name for name, _ in kind.attributes] != names for kind in types):
        return _unify_elements(types, MapType)
    merged: list[tuple[str, Type]] = []
    for position, name in enumerate(names):
        common = unify([kind.attributes[position][1] for kind in types])
        if common is None:
            return None
        merged.append((name, common))
    return ObjectType(tuple(merged))


def _unify_tuples(types: list[TupleType]) -> Type | None:
    if len({len(kind.elements) for kind in types}) > 1:
        return _unify_elements(types, ListType)
    merged: list[Type] = []
    for position in range(len(types[0].elements)):
        common = unify([kind.elements[position] for kind in types])
        if common is None:
            return None
        merged.append(common)
    return TupleType(tuple(merged))
