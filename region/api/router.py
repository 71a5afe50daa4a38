"""Which handler a path belongs to, where job IDs may contain slashes. Pure.

A pattern is segments: literal, `{name}` for one segment, or `{name+}` for one or more. At most
one `{name+}` is allowed in a pattern; the segments after it are matched from the end, so that
`/v1/job/batch/x/plan` is the plan of job `batch/x`. Patterns with more literal segments win:
the longest suffix first. A slash that the client escaped (`%2F`) never divides segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from hanse.errors import Invalid

T = TypeVar("T")

SEGMENTS_MAX = 64


class Pattern:
    """A path with holes in it."""

    __slots__ = ("_head", "_many", "_tail", "literals", "text")

    def __init__(self, text: str) -> None:
        """Parse; ValueError for two `{name+}`."""
        parts = text.strip("/").split("/")
        many = [i for i, part in enumerate(parts) if part.endswith("+}")]
        if len(many) > 1:
            raise ValueError(f"two repeated segments in {text}")
        self.text = text
        self.literals = sum(not part.startswith("{") for part in parts)
        self._many = parts[many[0]][1:-2] if many else ""
        self._head = parts[: many[0]] if many else parts
        self._tail = parts[many[0] + 1 :] if many else []

    @property
    def first(self) -> str:
        """The two literal segments all routes begin with, such as `v1/job`."""
        return "/".join(self._head[:2])

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The values of the holes (still escaped), or None."""
        head, tail = self._head, self._tail
        if self._many:
            if len(segments) < len(head) + len(tail) + 1:
                return None
        elif len(segments) != len(head):
            return None
        found: dict[str, str] = {}
        if not _take(head, segments, found):
            return None
        if self._many:
            end = len(segments) - len(tail)
            if tail and not _take(tail, segments[end:], found):
                return None
            found[self._many] = "/".join(segments[len(head) : end])
        return found


def _take(parts: list[str], segments: list[str], found: dict[str, str]) -> bool:
    for part, segment in zip(parts, segments, strict=False):
        if part.startswith("{"):
            if not segment:
                return False
            found[part[1:-1]] = segment
        elif part != segment:
            return False
    return True


class Match(Generic[T]):
    """What a path leads to: handlers by method, and the values of the path's holes."""

    __slots__ = ("arguments", "handlers")

    def __init__(self, handlers: dict[str, T], arguments: dict[str, str]) -> None:
        """Arguments are decoded."""
        self.handlers = handlers
        self.arguments = arguments


class Router(Generic[T]):
    """Patterns, each with its handlers by method."""

    def __init__(self, routes: Iterable[tuple[str, str, T]]) -> None:
        """Take (method, pattern, handler) triples; ValueError for a duplicate."""
        self._exact: dict[str, dict[str, T]] = {}
        by_pattern: dict[str, dict[str, T]] = {}
        for method, text, handler in routes:
            handlers = by_pattern.setdefault(text, {})
            if method in handlers:
                raise ValueError(f"two handlers for {method} {text}")
            handlers[method] = handler
        self._groups: dict[str, list[tuple[Pattern, dict[str, T]]]] = {}
        for text, handlers in by_pattern.items():
            if "{" not in text:
                self._exact[text] = handlers
                continue
            pattern = Pattern(text)
            self._groups.setdefault(pattern.first, []).append((pattern, handlers))
        for group in self._groups.values():
            group.sort(key=lambda entry: -entry[0].literals)

    def match(self, raw_path: str) -> Match[T] | None:
        """Find a path as the client sent it. Raises Invalid for broken escapes."""
        exact = self._exact.get(raw_path)
        if exact is not None:
            return Match(exact, {})
        segments = raw_path.strip("/").split("/")
        if len(segments) > SEGMENTS_MAX:
            return None
        for pattern, handlers in self._groups.get("/".join(segments[:2]), ()):
            found = pattern.match(segments)
            if found is not None:
                return Match(handlers, {key: decode(value) for key, value in found.items()})
        if len(raw_path) > 1 and raw_path.endswith("/"):
            return self.match(raw_path.rstrip("/"))
        return None


def decode(segment: str) -> str:
    """Undo percent escapes. Raises Invalid for what is not UTF-8 or has control characters."""
    text = segment
    if "%" in segment:
        try:
            text = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            raise Invalid("path", "escapes are not valid UTF-8") from None
    if any(char < " " or char == "\x7f" for char in text):
        raise Invalid("path", "control characters are not allowed")
    return text
