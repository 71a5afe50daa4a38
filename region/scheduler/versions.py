"""Versions and version constraints, for the operators `version` and `semver`.

`version` reads versions leniently ("v1.2", "5.10.0-28-amd64", "1.0beta") and lets a pre-release
meet a constraint only if the constraint names one of the same release; `semver` wants a hyphen
before a pre-release and orders pre-releases like any version (semver.org, section 11).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_IDENTIFIERS = r"[0-9A-Za-z~-]+(?:\.[0-9A-Za-z~-]+)*"
_LENIENT = re.compile(
    rf"v?(\d+(?:\.\d+)*)(?:-({_IDENTIFIERS})|([A-Za-z~][0-9A-Za-z~-]*(?:\.[0-9A-Za-z~-]+)*))?"
    rf"(?:\+({_IDENTIFIERS}))?"
)
_STRICT = re.compile(rf"v?(\d+(?:\.\d+)*)(?:-({_IDENTIFIERS})())?(?:\+({_IDENTIFIERS}))?")
_TERM = re.compile(r"\s*(=|!=|>=|<=|>|<|~>)?\s*(\S+)\s*")
_VERSION_CHARS_MAX = 256


@dataclass(frozen=True, slots=True)
class Version:
    """A version that was read."""

    segments: tuple[int, ...]
    prerelease: tuple[str, ...] = ()
    #: How many segments the text had; the others are zeros.
    given: int = 0

    @property
    def key(self) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
        """Sorts as versions do: a pre-release comes before its release, numbers before words."""
        parts = tuple(
            (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in self.prerelease
        )
        return self._trimmed, not self.prerelease, parts

    @property
    def _trimmed(self) -> tuple[int, ...]:
        end = len(self.segments)
        while end > 3 and self.segments[end - 1] == 0:
            end -= 1
        return self.segments[:end]


@lru_cache(maxsize=4096)
def parse(text: str, *, strict: bool) -> Version | None:
    """The version in the text, or None if it holds none."""
    if len(text) > _VERSION_CHARS_MAX:
        return None
    match = (_STRICT if strict else _LENIENT).fullmatch(text.strip())
    if match is None:
        return None
    numbers = tuple(int(part) for part in match[1].split("."))
    pre = match[2] or match[3] or ""
    padded = numbers + (0,) * (3 - len(numbers))
    return Version(padded, tuple(pre.split(".")) if pre else (), len(numbers))


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a constraint."""

    operator: str
    version: Version


@lru_cache(maxsize=4096)
def parse_constraint(text: str, *, strict: bool) -> tuple[Term, ...] | None:
    """The conditions in a text like `>= 1.2, < 2.0`, or None if it is none."""
    terms: list[Term] = []
    for part in text.split(","):
        match = _TERM.fullmatch(part)
        version = parse(match[2], strict=strict) if match else None
        if match is None or version is None or (strict and match[1] == "~>"):
            return None
        terms.append(Term(match[1] or "=", version))
    return tuple(terms)


def meets(version_text: str, constraint_text: str, *, strict: bool) -> bool:
    """Whether the version meets all conditions; never, if either cannot be read."""
    version = parse(version_text, strict=strict)
    terms = parse_constraint(constraint_text, strict=strict)
    if version is None or terms is None:
        return False
    return all(_holds(version, term, strict=strict) for term in terms)


_ORDER: dict[str, Callable[[Version, Version], bool]] = {
    "=": lambda v, c: v.key == c.key,
    "!=": lambda v, c: v.key != c.key,
    ">": lambda v, c: v.key > c.key,
    ">=": lambda v, c: v.key >= c.key,
    "<": lambda v, c: v.key < c.key,
    "<=": lambda v, c: v.key <= c.key,
}


def _holds(version: Version, term: Term, *, strict: bool) -> bool:
    if not strict and term.operator not in ("=", "!="):
        if version.prerelease and not term.version.prerelease:
            return False
        if version.prerelease and version.segments != term.version.segments:
            return False
    if term.operator == "~>":
        return _pessimistic(version, term.version)
    return _ORDER[term.operator](version, term.version)


def _pessimistic(version: Version, least: Version) -> bool:
    """`~> 1.2` is at least 1.2 and below 2; `~> 1.2.3` at least 1.2.3 and below 1.3."""
    if least.prerelease and not version.prerelease:
        return False
    fixed = max(least.given - 1, 1) if least.given > 1 else 0
    if least.given > len(version.segments):
        return False
    return version.key >= least.key and version.segments[:fixed] == least.segments[:fixed]
