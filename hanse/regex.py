"""Regular expressions from outside, in Go's syntax, whatever they are at bounded cost.

Python's own `re` backtracks: `(a+)+$` on forty letters takes for ever. RE2 runs in time linear in
the text, and refuses a pattern that would need too much memory. Every pattern of a user (job
constraints, filters, functions of job files) goes through here, so that all mean the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from hanse.errors import Invalid

PATTERN_CHARS_MAX = 1000
MEMORY_BYTES_MAX = 1 << 20


class Regex:
    """One compiled pattern."""

    __slots__ = ("compiled",)

    def __init__(self, pattern: str, *, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        """Raises Invalid, with RE2's reason, if the pattern is wrong or too large."""
        if len(pattern) > PATTERN_CHARS_MAX:
            raise Invalid("regular expression", f"is longer than {PATTERN_CHARS_MAX} characters")
        options: Any = re2.Options()
        options.log_errors = False
        options.max_mem = memory_bytes_max
        try:
            #: The library's own object, for those who need groups.
            self.compiled: Any = re2.compile(pattern, options)
        except (re2.error, UnicodeEncodeError) as error:
            raise Invalid("regular expression", _reason(error)) from error

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        return self.compiled.search(text.encode("utf-8", "replace").decode()) is not None


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Regex:
    """A compiled pattern, remembered. Raises Invalid."""
    return Regex(pattern)


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else "invalid"
    return cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
