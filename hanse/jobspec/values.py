"""Values of the expression language and their types.

Strings, booleans and null are Python's; numbers are `hanse.jobspec.numbers`; the five kinds of
collection are classes here, because a tuple is not a list and an object is not a map. All are
immutable. Every collection knows how many elements it has in all and how deep it goes, and
refuses to grow beyond the limits: so no walk over a value can take long or overflow the stack,
also when one small value is shared a million times.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hanse.jobspec.diagnostics import Fault
from hanse.jobspec.limits import STRING_CHARS_MAX, VALUE_DEPTH_MAX, VALUE_WEIGHT_MAX
from hanse.jobspec.numbers import Number, Real, same, text_of


@dataclass(frozen=True, slots=True)
class Primitive:
    """string, number, bool; or dynamic, the type of null and of the elements of `[]`."""

    name: str


STRING = Primitive("string")
NUMBER = Primitive("number")
BOOL = Primitive("bool")
DYNAMIC = Primitive("dynamic")


@dataclass(frozen=True, slots=True)
class ListType:
    """`list(element)`."""

    element: Type


@dataclass(frozen=True, slots=True)
class SetType:
    """`set(element)`."""

    element: Type


@dataclass(frozen=True, slots=True)
class MapType:
    """`map(element)`."""

    element: Type


@dataclass(frozen=True, slots=True)
class TupleType:
    """`tuple([…])`."""

    elements: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class ObjectType:
    """`object({…})`; attributes in the order of their names."""

    attributes: tuple[tuple[str, Type], ...]


Type: TypeAlias = Primitive | ListType | SetType | MapType | TupleType | ObjectType


def _weight(value: Value) -> int:
    if isinstance(value, (Sequence, Mapped)):
        return value.weight
    if isinstance(value, str):
        return 1 + len(value) // 256
    return 1


def _depth(value: Value) -> int:
    return value.depth if isinstance(value, (Sequence, Mapped)) else 0


def _measure(items: Iterable[Value]) -> tuple[int, int]:
    weight, depth = 1, 0
    for item in items:
        weight += _weight(item)
        depth = max(depth, _depth(item))
    if weight > VALUE_WEIGHT_MAX:
        raise Fault("Value too large", f"A value may have {VALUE_WEIGHT_MAX} elements in all.")
    if depth >= VALUE_DEPTH_MAX:
        raise Fault("Value too deep", f"Values may be nested {VALUE_DEPTH_MAX} levels deep.")
    return weight, depth + 1


class Sequence:
    """What lists, sets and tuples share. Never made itself."""

    __slots__ = ("depth", "items", "weight")

    def __init__(self, items: Iterable[Value]) -> None:
        self.items: tuple[Value, ...] = tuple(items)
        self.weight, self.depth = _measure(self.items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.items)!r})"


class TupleValue(Sequence):
    """`[…]` as written: each element has a type of its own."""

    __slots__ = ()


class ListValue(Sequence):
    """A list of one element type."""

    __slots__ = ("element",)

    def __init__(self, element: Type, items: Iterable[Value]) -> None:
        super().__init__(items)
        self.element = element


class SetValue(Sequence):
    """A set of one element type, in its iteration order, without duplicates."""

    __slots__ = ("element",)

    def __init__(self, element: Type, items: Iterable[Value]) -> None:
        super().__init__(_ordered(items))
        self.element = element


class Mapped:
    """What maps and objects share. Never made itself. The keys are sorted."""

    __slots__ = ("depth", "items", "weight")

    def __init__(self, items: Mapping[str, Value]) -> None:
        self.items: dict[str, Value] = {key: items[key] for key in sorted(items)}
        self.weight, self.depth = _measure(self.items.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.items!r})"


class ObjectValue(Mapped):
    """`{…}` as written: each attribute has a type of its own."""

    __slots__ = ()


class Namespace(ObjectValue):
    """`var` or `local`: grows while values are settled, and is not limited as a value is.

    Only its attributes are values; to use it as one, copy it into an ObjectValue.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__({})


class MapValue(Mapped):
    """A map of one element type."""

    __slots__ = ("element",)

    def __init__(self, element: Type, items: Mapping[str, Value]) -> None:
        super().__init__(items)
        self.element = element


Value: TypeAlias = (
    bool | str | Number | TupleValue | ListValue | SetValue | ObjectValue | MapValue | None
)


def string(text: str) -> str:
    """A text as a value: normalised, of bounded size."""
    if len(text) > STRING_CHARS_MAX:
        raise Fault("String too long", f"A string may have {STRING_CHARS_MAX} characters.")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_number(value: Value) -> bool:
    """True for numbers, and not for booleans."""
    return isinstance(value, (int, Real)) and not isinstance(value, bool)


def type_of(value: Value) -> Type:
    """The exact type of a value; that of null is DYNAMIC."""
    match value:
        case None:
            return DYNAMIC
        case bool():
            return BOOL
        case str():
            return STRING
        case int() | Real():
            return NUMBER
        case ListValue():
            return ListType(value.element)
        case SetValue():
            return SetType(value.element)
        case MapValue():
            return MapType(value.element)
        case TupleValue():
            return TupleType(tuple([type_of(item) for item in value.items]))
        case ObjectValue():
            return ObjectType(tuple([(key, type_of(item)) for key, item in value.items.items()]))


def type_name(kind: Type) -> str:
    """The words for a type in messages."""
    match kind:
        case Primitive(name):
            return name
        case ListType(element):
            return f"list of {type_name(element)}"
        case SetType(element):
            return f"set of {type_name(element)}"
        case MapType(element):
            return f"map of {type_name(element)}"
        case TupleType():
            return "tuple"
        case ObjectType():
            return "object"


def name_of(value: Value) -> str:
    """The words for a value's type, without walking the value."""
    match value:
        case TupleValue():
            return "tuple"
        case ObjectValue():
            return "object"
        case _:
            return type_name(type_of(value))


def equal(left: Value, right: Value) -> bool:
    """Equality for `==`: of the same type and the same content."""
    if isinstance(left, (Sequence, Mapped)):
        return type_of(left) == type_of(right) and _same_content(left, right)
    return _same_content(left, right)


def _same_content(left: Value, right: Value) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, Real)) and isinstance(right, (int, Real)):
        return same(left, right)
    if isinstance(left, Sequence) and isinstance(right, Sequence):
        return len(left.items) == len(right.items) and all(
            map(_same_content, left.items, right.items)
        )
    if isinstance(left, Mapped) and isinstance(right, Mapped):
        return left.items.keys() == right.items.keys() and all(
            map(_same_content, left.items.values(), right.items.values())
        )
    return type(left) is type(right) and left == right


def identity_key(value: Value) -> object:
    """Something hashable that is equal for equal values of one type."""
    match value:
        case bool() | None:
            return ("b", value)
        case str():
            return ("s", value)
        case int() | Real():
            return ("n", text_of(value))
        case Sequence():
            return tuple([identity_key(item) for item in value.items])
        case Mapped():
            return tuple([(key, identity_key(item)) for key, item in value.items.items()])


def _ordered(items: Iterable[Value]) -> list[Value]:
    """A set's elements: strings in order, numbers by value, anything else as it came."""
    unique = {identity_key(item): item for item in items}
    values = list(unique.values())
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) == len(values):
        return [*sorted(texts)]
    return sorted(values, key=_rank)


def _rank(value: Value) -> tuple[int, float, str]:
    match value:
        case None:
            return (9, 0.0, "")
        case bool():
            return (0, float(value), "")
        case int() | Real():
            from hanse.jobspec.numbers import as_float  # noqa: PLC0415 - seldom needed

            return (1, as_float(value), "")
        case str():
            return (2, 0.0, value)
        case _:
            return (3, 0.0, repr(identity_key(value)))
