"""Request bodies to our structs, as forgiving as Nomad's own agent.

Nomad's clients send whole structures full of nulls, in whatever case their language prefers.
Keys match without regard to case, null means "not given", and keys that Nomad does not know are
skipped and named in a warning. Everything else is strict: a wrong type is an error that names its
field, and nothing is dropped in silence.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from hanse.errors import Invalid, TooLarge
from hanse.structs.job import Job, MigrateStrategy, ReschedulePolicy
from hanse.structs.service import CheckRestart, Service, ServiceCheck
from hanse.structs.task import LogConfig, ScalingPolicy, Vault

T = TypeVar("T")
Raw = Any
_Clean = Callable[[Raw, str, list[str]], Raw]

#: Deeper JSON than any API body has reason to be.
NESTING_MAX = 64
#: Only a body with such a run of digits can hold a number of more than 64 bits.
_LONG_NUMBER = re.compile(rb"\d{19}")
BODY_BYTES_MAX = 16 * 1024 * 1024
WARNINGS_MAX = 20

#: Keys that Nomad's clients send and its servers do not keep. A type: its value is cleaned too
#: and left for `hanse.jobspec.canonicalize` to merge; None: of no effect, skipped.
_CLIENT_ONLY: dict[type, dict[str, type | None]] = {
    Job: {
        "Reschedule": ReschedulePolicy,
        "Migrate": MigrateStrategy,
        "ConsulToken": None,
        "VaultToken": None,
    },
    Service: {"CheckRestart": CheckRestart, "Id": None},
    ServiceCheck: {"Advertise": None, "Id": None},
    LogConfig: {"Enabled": None},
    ScalingPolicy: {"Namespace": None},
    Vault: {"Policies": None},
}


def decode_body(kind: type[T], body: bytes) -> tuple[T, list[str]]:
    """Read a JSON body as `kind`; the list holds warnings about keys nobody knows.

    Raises Invalid (with the field) and TooLarge.
    """
    return convert(kind, parse_json(body))


def parse_json(body: bytes) -> Raw:
    """Read JSON within our limits. Raises Invalid and TooLarge."""
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge("request body", size=len(body), size_max=BODY_BYTES_MAX)
    if not body.strip():
        raise Invalid("", "Request body is empty")
    _check_nesting(body)
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("request body", f"not valid JSON: {error}") from error
    if _LONG_NUMBER.search(body):
        _check_numbers(raw)
    _check_twice(body)
    return raw


def _check_twice(body: bytes) -> None:
    """Refuse a key that is given twice: readers differ in which of the values counts."""
    json.loads(body, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Raw]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        key = next(key for key in keys if keys.count(key) > 1)
        raise Invalid("request body", f"the key {key[:100]!r} is given twice in one object")


def _check_numbers(raw: Raw) -> None:
    """Refuse whole numbers that nothing of ours can store."""
    if isinstance(raw, dict):
        for value in cast("dict[str, Raw]", raw).values():
            _check_numbers(value)
    elif isinstance(raw, list):
        for value in raw:
            _check_numbers(value)
    elif isinstance(raw, int) and not -(2**63) <= raw < 2**63:
        raise Invalid("request body", f"{str(raw)[:40]} does not fit into 64 bits")


def decode_job_body(kind: type[T], body: bytes) -> tuple[T, list[str]]:
    """Read a body that holds a `Job`, with what Nomad's client library fills in filled in.

    The library does so before it sends; others (curl, Python) do not, and mean the same.
    """
    from hanse.jobspec import canonicalize  # noqa: PLC0415  (large, and few processes need it)

    cleaned, warnings = normalize(kind, parse_json(body))
    job = cleaned.get("Job") if isinstance(cleaned, dict) else None
    if isinstance(job, dict):
        to_struct(Job, job)
        cleaned = {**cleaned, "Job": _without_nulls(canonicalize(job))}
    return to_struct(kind, cleaned), warnings


def _without_nulls(raw: Raw) -> Raw:
    if isinstance(raw, dict):
        items = cast("dict[str, Raw]", raw)
        return {key: _without_nulls(value) for key, value in items.items() if value is not None}
    if isinstance(raw, list):
        return [_without_nulls(item) for item in raw]
    return raw


def convert(kind: type[T], raw: Raw) -> tuple[T, list[str]]:
    """As `decode_body`, for JSON that is read already. Raises Invalid."""
    cleaned, warnings = normalize(kind, raw)
    return to_struct(kind, cleaned), warnings


def normalize(kind: type, raw: Raw) -> tuple[Raw, list[str]]:
    """Give keys their proper case, skip unknown ones with a warning, leave out nulls."""
    warnings: list[str] = []
    cleaned = _cleaner(kind)(raw, kind.__name__, warnings)
    if len(warnings) > WARNINGS_MAX:
        more = len(warnings) - WARNINGS_MAX
        warnings = [*warnings[:WARNINGS_MAX], f"and {more} more unknown keys"]
    return cleaned, warnings


def to_struct(kind: type[T], cleaned: Raw) -> T:
    """Normalised JSON to a struct. Raises Invalid with the path of the wrong field."""
    try:
        return msgspec.convert(cleaned, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        problem, _, path = text.partition(" - at `")
        where = kind.__name__ + path.rstrip("`").removeprefix("$") if path else kind.__name__
        raise Invalid(where, problem.replace("`", "")) from error


def _check_nesting(body: bytes) -> None:
    """Refuse deep nesting before the parser meets it. Brackets in strings only ever add up."""
    if body.count(b"[") + body.count(b"{") <= NESTING_MAX:
        return
    depth = 0
    in_string = False
    escaped = False
    for byte in body:
        if escaped:
            escaped = False
        elif in_string:
            if byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x5B, 0x7B):
            depth += 1
            if depth > NESTING_MAX:
                raise Invalid("request body", f"nested deeper than {NESTING_MAX} levels")
        elif byte in (0x5D, 0x7D):
            depth -= 1


@cache
def _cleaner(kind: object) -> _Clean:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [part for part in get_args(kind) if part is not type(None)]
        return _cleaner(inner[0]) if len(inner) == 1 else _as_is
    if origin in (tuple, list):
        return _list_cleaner(_cleaner(get_args(kind)[0]))
    if origin is dict:
        return _map_cleaner(_cleaner(get_args(kind)[1]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_cleaner(kind)
    return _as_is


def _as_is(raw: Raw, path: str, warnings: list[str]) -> Raw:
    del path, warnings
    return raw


def _list_cleaner(clean: _Clean) -> _Clean:
    def clean_list(raw: Raw, path: str, warnings: list[str]) -> Raw:
        if not isinstance(raw, list):
            return raw
        return [
            clean(item, f"{path}[{i}]", warnings) for i, item in enumerate(raw) if item is not None
        ]

    return clean_list


def _map_cleaner(clean: _Clean) -> _Clean:
    def clean_map(raw: Raw, path: str, warnings: list[str]) -> Raw:
        if not isinstance(raw, dict):
            return raw
        items = cast("dict[str, Raw]", raw)
        if clean is _as_is:
            return items
        return {
            key: clean(value, f"{path}.{key}", warnings)
            for key, value in items.items()
            if value is not None
        }

    return clean_map


def _struct_cleaner(kind: type[msgspec.Struct]) -> _Clean:
    hints = get_type_hints(kind)
    known: dict[str, tuple[str, object]] = {
        field.encode_name.lower(): (field.encode_name, hints[field.name])
        for field in msgspec.structs.fields(kind)
    }
    for name, extra in _CLIENT_ONLY.get(kind, {}).items():
        known[name.lower()] = (name, extra)
    cleaners: dict[str, _Clean] = {}

    def clean_struct(raw: Raw, path: str, warnings: list[str]) -> Raw:
        if not isinstance(raw, dict):
            return raw
        cleaned: dict[str, Raw] = {}
        for key, value in cast("Mapping[str, Raw]", raw).items():
            entry = known.get(key.lower())
            if entry is None:
                warnings.append(f"{path}: unknown key {key[:100]!r} was ignored")
                continue
            name, hint = entry
            if name in cleaned:
                raise Invalid(path, f"{name} is given twice, in different spellings")
            if value is None or hint is None:
                continue
            clean = cleaners.get(name)
            if clean is None:
                clean = cleaners[name] = _cleaner(hint)
            cleaned[name] = clean(value, f"{path}.{name}", warnings)
        return cleaned

    return clean_struct
