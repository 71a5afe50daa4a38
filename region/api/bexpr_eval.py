"""Filter expressions applied to objects. Pure.

Fields are found by their JSON names, in structs as in maps. A field that a struct does not have is
an error; a key that a map does not have, or anything below a null, is merely nothing: equal to no
value, contained nowhere, and empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from hanse import regex
from hanse.errors import Invalid
from region.api.bexpr import Both, Compare, Either, Expression, Not, Quantified, Selector
from region.api.query import whole_number

#: Values that names given by `as` stand for.
Scope = Mapping[str, object]
_Test = Callable[[object, Scope], bool]


class _Nothing:
    """What a selector finds where there is nothing."""


NOTHING: Final = _Nothing()
_EMPTY: Scope = {}


def evaluator(expression: Expression) -> Callable[[object], bool]:
    """A test of objects. It raises Invalid where the expression does not fit an object."""
    test = _test_of(expression)
    return lambda subject: test(subject, _EMPTY)


def _test_of(expression: Expression) -> _Test:
    match expression:
        case Compare():
            return _compare(expression)
        case Not(inner):
            test = _test_of(inner)
            return lambda subject, scope: not test(subject, scope)
        case Both(left, right):
            one, two = _test_of(left), _test_of(right)
            return lambda subject, scope: one(subject, scope) and two(subject, scope)
        case Either(left, right):
            one, two = _test_of(left), _test_of(right)
            return lambda subject, scope: one(subject, scope) or two(subject, scope)
        case Quantified():
            return _quantified(expression)


def _quantified(expression: Quantified) -> _Test:
    test = _test_of(expression.inner)
    join = all if expression.every else any

    def quantified(subject: object, scope: Scope) -> bool:
        items = _items(_find(subject, expression.selector, scope), expression)
        return join(test(subject, {**scope, **names}) for names in items)

    return quantified


def _items(value: object, expression: Quantified) -> Iterator[Scope]:
    names = expression.names
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, dict):
        pairs = value.items()
        single = 0
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
        single = 1
    elif value is None or isinstance(value, _Nothing):
        return
    else:
        raise _unfit(expression.selector, "is not a collection")
    for pair in pairs:
        yield {names[0]: pair[single]} if len(names) == 1 else dict(zip(names, pair, strict=True))


def _compare(expression: Compare) -> _Test:
    selector = expression.selector
    check = _check_of(expression)

    def compare(subject: object, scope: Scope) -> bool:
        return check(_find(subject, selector, scope))

    return compare


def _check_of(expression: Compare) -> Callable[[Any], bool]:
    selector, text = expression.selector, expression.value
    match expression.operator:
        case "==":
            return lambda value: _equal(value, text, selector)
        case "!=":
            return lambda value: not _equal(value, text, selector)
        case "in" | "contains":
            return lambda value: _contains(value, text, selector)
        case "not in" | "not contains":
            return lambda value: not _contains(value, text, selector)
        case "is empty":
            return lambda value: _empty(value, selector)
        case "is not empty":
            return lambda value: not _empty(value, selector)
        case "matches":
            search = regex.compiled(text).search
            return lambda value: _matches(value, search, selector)
        case "not matches":
            search = regex.compiled(text).search
            return lambda value: not _matches(value, search, selector)


def _unfit(selector: Selector, problem: str) -> Invalid:
    path = ".".join(selector.parts)
    return Invalid(
        "", f"error in filter expression: column {selector.position + 1}: {path} {problem}"
    )


def _find(subject: object, selector: Selector, scope: Scope) -> object:
    parts: Sequence[str] = selector.parts
    value = subject
    if parts[0] in scope:
        value = scope[parts[0]]
        parts = parts[1:]
    for part in parts:
        if isinstance(value, msgspec.Struct):
            name = _fields(type(value)).get(part)
            if name is None:
                raise _unfit(selector, f"is not known: there is no field {part!r}")
            value = getattr(value, name)
        elif isinstance(value, dict):
            value = value.get(part, NOTHING)
        elif isinstance(value, list | tuple):
            index = whole_number(part)
            if index is None:
                raise _unfit(selector, f"is not known: {part!r} is no index of a list")
            value = value[index] if 0 <= index < len(value) else NOTHING
        elif value is None or isinstance(value, _Nothing):
            return NOTHING
        else:
            raise _unfit(selector, "is not known: there is nothing below a plain value")
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {field.encode_name: field.name for field in msgspec.structs.fields(kind)}


def _equal(value: object, text: str, selector: Selector) -> bool:
    if isinstance(value, str):
        return value == text
    if value is None or isinstance(value, _Nothing):
        return False
    if isinstance(value, bool | int | float):
        return value == _number(value, text, selector)
    raise _unfit(selector, "cannot be compared with a plain value")


def _number(like: float, text: str, selector: Selector) -> float:
    """The literal, read as what it is compared with. Raises Invalid."""
    if isinstance(like, bool):
        if text in ("true", "false"):
            return text == "true"
        raise _unfit(selector, f"is true or false, and cannot be compared with {text!r}")
    if isinstance(like, int):
        number = whole_number(text)
        if number is None:
            raise _unfit(selector, f"is a whole number, and cannot be compared with {text!r}")
        return number
    try:
        return float(text)
    except ValueError:
        raise _unfit(selector, f"is a number, and cannot be compared with {text!r}") from None


def _contains(value: object, text: str, selector: Selector) -> bool:
    if isinstance(value, str):
        return text in value
    if isinstance(value, dict):
        return text in value
    if isinstance(value, list | tuple):
        return any(_equal(item, text, selector) for item in value)
    if value is None or isinstance(value, _Nothing):
        return False
    raise _unfit(selector, "contains nothing: it is neither text, nor a list, nor a map")


def _empty(value: object, selector: Selector) -> bool:
    if isinstance(value, str | list | tuple | dict):
        return not value
    if value is None or isinstance(value, _Nothing):
        return True
    if isinstance(value, msgspec.Struct):
        return False
    raise _unfit(selector, "cannot be empty: it is neither text, nor a list, nor a map")


def _matches(value: object, search: Callable[[str], bool], selector: Selector) -> bool:
    if isinstance(value, str):
        return search(value)
    if value is None or isinstance(value, _Nothing):
        return False
    raise _unfit(selector, "is not text, and cannot be matched")
