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
    MapType,
    ObjectType,
    SetType,
    TupleType,
    Type,
)

_PRIMITIVES: Mapping[str, Type] = {"string": STRING, "number": NUMBER, "bool": BOOL}
_COLLECTIONS: Mapping[str, Callable[[Type], Type]] = {
    "list": ListType,
    "set": SetType,
    "map": MapType,
}
_WORDS = (*_PRIMITIVES, *_COLLECTIONS, "object", "tuple", "any")


def parse_type(
    node: Expression, *, any_allowed: bool = True, optional_allowed: bool = False
) -> Type:
    """The type that an expression spells. Raises Fault.

    Even where `optional(…)` is allowed it changes nothing: the attribute is required.
    """
    match node:
        case Reference(root=word, steps=[]):
            return _word(node, word, any_allowed)
        case Call(name=name, arguments=[inner], spread=False) if name in _COLLECTIONS:
            return _COLLECTIONS[name](_inner(inner, any_allowed, optional_allowed))
        case Call(name="object", arguments=[ObjectCons(items=items)], spread=False):
            return _object(items, any_allowed, optional_allowed)
        case Call(name="tuple", arguments=[TupleCons(items=items)], spread=False):
            kinds = [_inner(item, any_allowed, optional_allowed) for item in items]
            return TupleType(tuple(kinds))
        case Call(name="optional"):
            raise _bad(node, "Only attributes of objects can be optional, and not here.")
        case Call(name="object" | "tuple" as name):
            raise _bad(node, f"The {name} type needs one argument: the types of what is in it.")
        case Call(name=name) if name in _COLLECTIONS:
            raise _bad(node, f"The {name} type needs one argument: the type of its elements.")
        case Call(name=name):
            raise _bad(node, f'"{name}" is not a type constructor.', did_you_mean(name, _WORDS))
        case _:
            raise Fault(
                "Invalid type specification",
                "A type is string, number, bool, or one such as list(string).",
                node.span,
                "write the type without quotes" if constant_text(node) in _WORDS else "",
            )


def _inner(node: Expression, any_allowed: bool, optional_allowed: bool) -> Type:
    return parse_type(node, any_allowed=any_allowed, optional_allowed=optional_allowed)


def _bad(node: Expression, detail: str, hint: str = "") -> Fault:
    return Fault("Invalid type specification", detail, start_of(node), hint)


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
    items: list[tuple[Expression, Expression]], any_allowed: bool, optional_allowed: bool
) -> Type:
    attributes: dict[str, Type] = {}
    for key, inner in items:
        name = key.value if isinstance(key, Literal) else constant_text(key)
        if not isinstance(name, str):
            raise _bad(key, "The names of an object's attributes are plain words.")
        match inner:
            case Call(name="optional", arguments=[wrapped]) if optional_allowed:
                attributes[name] = _inner(wrapped, any_allowed, optional_allowed)
            case Call(name="optional"):
                raise _bad(inner, "Attributes cannot be optional here: an exact type is needed.")
            case _:
                attributes[name] = _inner(inner, any_allowed, optional_allowed)
    return ObjectType(tuple(sorted(attributes.items())))
