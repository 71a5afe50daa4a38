"""Times as the API writes them: RFC 3339 in UTC, to the nanosecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hanse.structs.wire import ZERO_TIME

_RFC3339 = re.compile(r"(.{19})(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$")


def rfc3339(at_ns: int) -> str:
    """The text of a moment in nanoseconds since 1970; 0 is Go's zero time."""
    if at_ns == 0:
        return ZERO_TIME
    seconds, fraction = divmod(at_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{digits}Z"


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since 1970; 0 for Go's zero time. Raises ValueError on anything else."""
    if text in ("", ZERO_TIME):
        return 0
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    whole = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3]))
    return int(whole.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0"))
