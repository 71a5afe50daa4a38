"""Type constraints such as `list(object({ name = string }))`, which are written as expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hanse.jobspec.diagnostics import Fault, did_you_mean
from hanse.jobspec.syntax import (
    Call,
    Expression,
    Literal,
    ObjectCons,
    Reference,
    TupleCons,
    start_of,
)
from hanse.jobspec.templates import constant_text
from hanse.jobspec.values import (
    BOOL,
    DYNAMIC,
    NUMBER,
    STRING,
    ListType,
    Mapped,
    MapType,
    ObjectType,
    ObjectValue,
    SetType,
    TupleType,
    Type,
    Value,
)

_PRIMITIVES: Mapping[str, Type] = {"string": STRING, "number": NUMBER, "bool": BOOL}
_COLLECTIONS: Mapping[str, Callable[[Type], Type]] = {
    "list": ListType,
    "set": SetType,
    "map": MapType,
}
_WORDS = (*_PRIMITIVES, *_COLLECTIONS, "object", "tuple", "any")

#: For objects, by the object's type: the attributes that may be left out.
Optional = dict[Type, frozenset[str]]


def parse_type(
    node: Expression, *, any_allowed: bool = True, optional_allowed: bool = False
) -> tuple[Type, Optional]:
    """The type that an expression spells. Raises Fault."""
    optional: Optional = {}
    return _parse(node, any_allowed, optional if optional_allowed else None), optional


def with_optional(value: Value, kind: Type, optional: Optional) -> Value:
    """The value with null for each attribute that may be left out and is."""
    if not optional or not isinstance(kind, ObjectType) or not isinstance(value, Mapped):
        return value
    filled = dict(value.items)
    for name in optional.get(kind, ()):
        filled.setdefault(name, None)
    for name, inner in kind.attributes:
        if name in filled:
            filled[name] = with_optional(filled[name], inner, optional)
    return ObjectValue(filled)


def _bad(node: Expression, detail: str, hint: str = "") -> Fault:
    return Fault("Invalid type specification", detail, start_of(node), hint)


def _parse(node: Expression, any_allowed: bool, optional: Optional | None) -> Type:
    match node:
        case Reference(root=word, steps=[]):
            return _word(node, word, any_allowed)
        case Call(name=name, arguments=[inner], spread=False) if name in _COLLECTIONS:
            return _COLLECTIONS[name](_parse(inner, any_allowed, optional))
        case Call(name="object", arguments=[ObjectCons(items=items)], spread=False):
            return _object(items, any_allowed, optional)
        case Call(name="tuple", arguments=[TupleCons(items=items)], spread=False):
            return TupleType(tuple([_parse(item, any_allowed, optional) for item in items]))
        case Call(name="optional"):
            raise _bad(node, "Only attributes of objects can be optional, and not here.")
        case Call(name="object" | "tuple" as name):
            raise _bad(node, f"The {name} type needs one argument: the types of what is in it.")
        case Call(name=name) if name in _COLLECTIONS:
            raise _bad(node, f"The {name} type needs one argument: the type of its elements.")
        case Call(name=name):
            raise _bad(node, f'"{name}" is not a type constructor.', did_you_mean(name, _WORDS))
        case _:
            hint = "write the type without quotes" if constant_text(node) in _WORDS else ""
            raise _bad(node, "A type is string, number, bool, or one such as list(string).", hint)


def _word(node: Expression, word: str, any_allowed: bool) -> Type:
    if word in _PRIMITIVES:
        return _PRIMITIVES[word]
    if word == "any":
        if any_allowed:
            return DYNAMIC
        raise _bad(node, 'The type "any" is not allowed here: an exact type is needed.')
    if word in _COLLECTIONS:
        raise _bad(node, f"The {word} type needs the type of its elements.", f"{word}(string)")
    if word in ("object", "tuple"):
        raise _bad(node, f"The {word} type needs the types of what is in it.")
    raise _bad(node, f'"{word}" is not a type.', did_you_mean(word, _WORDS))


def _object(
    items: list[tuple[Expression, Expression]], any_allowed: bool, optional: Optional | None
) -> Type:
    attributes: dict[str, Type] = {}
    may_miss: set[str] = set()
    for key, inner in items:
        name = key.value if isinstance(key, Literal) else constant_text(key)
        if not isinstance(name, str):
            raise _bad(key, "The names of an object's attributes are plain words.")
        match inner:
            case Call(name="optional", arguments=[wrapped]) if optional is not None:
                attributes[name] = _parse(wrapped, any_allowed, optional)
                may_miss.add(name)
            case Call(name="optional"):
                raise _bad(inner, "Attributes cannot be optional here: an exact type is needed.")
            case _:
                attributes[name] = _parse(inner, any_allowed, optional)
    kind = ObjectType(tuple(sorted(attributes.items())))
    if optional is not None and may_miss:
        optional[kind] = frozenset(may_miss)
    return kind
