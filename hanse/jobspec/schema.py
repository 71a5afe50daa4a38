"""The field table, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from hanse.jobspec.fields import TABLE

Role = Literal["attr", "required", "block", "label", "-"]
Shape = Literal["scalar", "one", "list", "map"]

#: Inclusive ranges of the whole-number types.
INTEGERS: dict[str, tuple[int, int]] = {
    "int": (-(2**63), 2**63 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "uint16": (0, 65535),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_ZERO: dict[str, object] = {
    "string": "",
    "bool": False,
    "duration": 0,
    **dict.fromkeys(INTEGERS, 0),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the table."""

    api: str
    role: Role
    hcl: str
    shape: Shape
    #: A scalar type, a structure's name, or `string`, `strings` and `any` for maps and lists.
    kind: str
    #: Scalars only: the API has null for absent.
    nullable: bool
    omit_empty: bool

    @property
    def absent(self) -> object:
        """What the API has where the job file says nothing."""
        return None if self.nullable or self.shape != "scalar" else _ZERO.get(self.kind)


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure of the table."""

    name: str
    fields: tuple[Field, ...]
    attributes: dict[str, Field]
    blocks: dict[str, Field]
    label: Field | None


@cache
def structures() -> dict[str, Structure]:
    """All structures by name."""
    found: dict[str, list[Field]] = {}
    fields: list[Field] = []
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            fields = found.setdefault(line, [])
        else:
            fields.append(_field([*map(str, line.split())]))
    return {name: _structure(name, lines) for name, lines in found.items()}


def _field(words: list[str]) -> Field:
    api, role, hcl, first, *rest = words
    omit = rest[-1:] == ["omitempty"]
    rest = rest[:-1] if omit else rest
    shape: Shape = "scalar"
    if first in ("one", "list", "map"):
        shape, first = first, rest[0]  # type: ignore[assignment]
    nullable = first.endswith("?") or first == "bytes"
    return Field(api, role, hcl, shape, first.removesuffix("?"), nullable, omit)  # type: ignore[arg-type]


def _structure(name: str, fields: list[Field]) -> Structure:
    return Structure(
        name,
        tuple(fields),
        {field.hcl: field for field in fields if field.role in ("attr", "required")},
        {field.hcl: field for field in fields if field.role == "block"},
        next((field for field in fields if field.role == "label"), None),
    )


def empty(name: str) -> dict[str, Any]:
    """A structure about which the job file says nothing."""
    fields = structures()[name].fields
    return {
        field.api: field.absent for field in fields if not (field.omit_empty or field.api[0] == ".")
    }
