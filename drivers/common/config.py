"""Reading a task's `config` and a plugin's: known keys only, loose about scalars, by name.

Job files write `"80"` where a number is meant and a number where text is, one block where a list
of blocks is meant; all of that is taken. A key that is not known is a problem with a suggestion.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import inspect

_S = TypeVar("_S", bound=msgspec.Struct)


def read_config(config: Mapping[str, object], kind: type[_S]) -> tuple[_S | None, list[str]]:
    """Turn `config` into a `kind`, or say what is wrong, each problem naming its key."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    problems: list[str] = []
    shaped = _shape_struct("", config, info, problems)
    if problems:
        return None, problems
    try:
        return msgspec.convert(shaped, kind, strict=False), []
    except msgspec.ValidationError as error:
        return None, [_readable(error)]


def _readable(error: msgspec.ValidationError) -> str:
    text, _, path = str(error).partition(" - at ")
    where = path.strip("`").removeprefix("$.").removeprefix("$")
    text = text.replace("`", "").replace("Object missing required field", "missing key")
    return f"{where}: {text[:1].lower()}{text[1:]}" if where else f"{text[:1].lower()}{text[1:]}"


def suggestion(name: str, known: list[str]) -> str:
    """`, did you mean "x"?` or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f', did you mean "{close[0]}"?' if close else ""


def _shape_struct(
    where: str, value: Mapping[str, object], info: inspect.StructType, problems: list[str]
) -> dict[str, object]:
    fields = {field.encode_name: field.type for field in info.fields}
    shaped: dict[str, object] = {}
    for key, item in value.items():
        if key not in fields:
            problems.append(f'unknown key "{where}{key}"{suggestion(key, list(fields))}')
        elif item is not None:
            shaped[key] = _shape(f"{where}{key}", item, fields[key], problems)
    return shaped


def _shape(where: str, value: object, kind: inspect.Type, problems: list[str]) -> object:
    """Bring a value of a job file nearer to the type that is wanted."""
    match kind:
        case inspect.UnionType(types=types):
            wanted = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _shape(where, value, wanted[0], problems)
        case inspect.StrType():
            return _text(value)
        case inspect.VarTupleType(item_type=item):
            items = value if isinstance(value, list | tuple) else [value]
            return [_shape(f"{where}[{n}]", each, item, problems) for n, each in enumerate(items)]
        case inspect.DictType(value_type=item):
            if (mapping := _one_mapping(value)) is None:
                return value
            return {
                str(key): _shape(f"{where}.{key}", each, item, problems)
                for key, each in mapping.items()
            }
        case inspect.StructType():
            if (mapping := _one_mapping(value)) is None:
                return value
            return _shape_struct(f"{where}.", mapping, kind, problems)
        case _:
            return value


def _text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def _one_mapping(value: object) -> dict[str, object] | None:
    """A block arrives as a mapping, or as a list of them when it is written more than once."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value):
        merged: dict[str, object] = {}
        for each in value:
            merged.update(each)
        return merged
    return None
