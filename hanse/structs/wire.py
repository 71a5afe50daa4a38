"""How our field names and Nomad's JSON names go together.

A field `kill_timeout_ns` is `KillTimeout` in JSON: words are joined in Pascal case, known
acronyms are upper case, and the unit at the end (`_ns`) is dropped. Where Nomad's name follows
no rule, the field says so itself (`field(name=...)`).
"""

from __future__ import annotations

import msgspec

#: How JSON shows a time that was never set.
ZERO_TIME = "0001-01-01T00:00:00Z"

_ACRONYMS = {
    word.lower(): word
    for word in (
        "ID IDs CPU MB IOPS IP CIDR DNS TLS HTTP GRPC NUMA CSI CNI UI RSS TG CA GC ACL FS MBits TCP"
    ).split()
}


def wire_name(name: str) -> str:
    """The JSON name of one of our fields."""
    words = name.removesuffix("_ns").split("_")
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in words)


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename=wire_name):
    """Base of every struct that users meet as JSON."""
