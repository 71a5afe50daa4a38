"""What a reader sees as one character: extended grapheme clusters, by the rules that matter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_PLAIN = re.compile(r"[^\r\u0300-\U0010ffff]*\Z")
#: What counts as white space when text is trimmed.
SPACES = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004"
    "\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_ZWJ = "\u200d"
_PICTOGRAPHIC = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25aa-\u27bf"
    "\u2934\u2935\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff\U0001f10d-\U0001f1e5"
    "\U0001f200-\U0001f3fa\U0001f400-\U0001faff\U0001fc00-\U0001fffd]"
)


def cluster_count(text: str) -> int:
    """How many clusters a text has."""
    if _PLAIN.match(text):
        return len(text)
    return sum(1 for _ in clusters(text))


def clusters(text: str) -> Iterator[str]:
    """The clusters of a text, in order; joined together they are the text."""
    if _PLAIN.match(text):
        yield from text
        return
    start = 0
    for position in range(1, len(text)):
        if _breaks(text, start, position):
            yield text[start:position]
            start = position
    if text:
        yield text[start:]


def _breaks(text: str, start: int, position: int) -> bool:
    before, after = text[position - 1], text[position]
    if before == "\r" and after == "\n":
        return False
    if _is_control(before) or _is_control(after):
        return True
    if _extends(after):
        return False
    if before == _ZWJ and _PICTOGRAPHIC.match(after):
        lead = text[start:position].rstrip(_ZWJ)
        while lead and _extends(lead[-1]):
            lead = lead[:-1]
        return not (lead and _PICTOGRAPHIC.match(lead[-1]))
    if _is_regional(before) and _is_regional(after):
        return (position - start) % 2 == 0
    return not _hangul_joins(before, after)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Zl", "Zp")


def _extends(char: str) -> bool:
    code = ord(char)
    if code < 0x300:
        return False
    if code in (0x200C, 0x200D) or 0xFE00 <= code <= 0xFE0F or 0x1F3FB <= code <= 0x1F3FF:
        return True
    if 0xE0020 <= code <= 0xE007F:
        return True
    return unicodedata.category(char) in ("Mn", "Me", "Mc")


def _is_regional(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


def _hangul_joins(before: str, after: str) -> bool:
    left, right = _hangul_kind(ord(before)), _hangul_kind(ord(after))
    return (
        (left == "L" and right in ("L", "V", "LV", "LVT"))
        or (left in ("LV", "V") and right in ("V", "T"))
        or (left in ("LVT", "T") and right == "T")
    )


def _hangul_kind(code: int) -> str:
    if 0x1100 <= code <= 0x115F:
        return "L"
    if 0x1160 <= code <= 0x11A7:
        return "V"
    if 0x11A8 <= code <= 0x11FF:
        return "T"
    if 0xAC00 <= code <= 0xD7A3:
        return "LV" if (code - 0xAC00) % 28 == 0 else "LVT"
    return ""
