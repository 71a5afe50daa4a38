"""An allocation's files as the API describes them. These functions block."""

from __future__ import annotations

import os
import stat as stats
from pathlib import Path

from client import beneath
from hanse.structs.stats import AllocFileInfo
from hanse.structs.times import rfc3339

#: More entries of one folder are not shown.
ENTRIES_MAX = 100_000
_SNIFF_BYTES = 512
_BINARY = "application/octet-stream"
_TEXT = "text/plain; charset=utf-8"


def list_folder(root: Path, path: str) -> list[AllocFileInfo]:
    """What is in a folder. Raises Denied, NotFound or Invalid."""
    return [file_info(name, stat) for name, stat in beneath.list_of(root, path, ENTRIES_MAX)]


def describe(root: Path, path: str) -> AllocFileInfo:
    """One file or folder, with a guess at what it holds. Raises Denied, NotFound or Invalid."""
    stat = beneath.stat_of(root, path)
    name = path.rstrip("/").rpartition("/")[2] or "/"
    content_type = ""
    if stats.S_ISREG(stat.st_mode):
        descriptor = beneath.open_file(root, path)
        try:
            content_type = sniff(os.pread(descriptor, _SNIFF_BYTES, 0))
        finally:
            os.close(descriptor)
    return file_info(name, stat, content_type)


def file_info(name: str, stat: os.stat_result, content_type: str = "") -> AllocFileInfo:
    """A file in the API's shape."""
    return AllocFileInfo(
        # Names that are no UTF-8 are shown with what can be shown.
        name=name.encode(errors="surrogateescape").decode(errors="replace"),
        is_dir=stats.S_ISDIR(stat.st_mode),
        size=stat.st_size,
        file_mode=go_mode(stat.st_mode),
        mod_time=rfc3339(stat.st_mtime_ns),
        content_type=content_type,
    )


def go_mode(mode: int) -> str:
    """The mode as Go writes it: a letter for each special bit, then nine for the rights."""
    letters = "".join(
        letter
        for letter, set_ in (
            ("d", stats.S_ISDIR(mode)),
            ("L", stats.S_ISLNK(mode)),
            ("D", stats.S_ISBLK(mode) or stats.S_ISCHR(mode)),
            ("p", stats.S_ISFIFO(mode)),
            ("S", stats.S_ISSOCK(mode)),
            ("u", bool(mode & stats.S_ISUID)),
            ("g", bool(mode & stats.S_ISGID)),
            ("c", stats.S_ISCHR(mode)),
            ("t", bool(mode & stats.S_ISVTX)),
        )
        if set_
    )
    rights = "".join(
        letter if mode & (1 << (8 - index)) else "-" for index, letter in enumerate("rwxrwxrwx")
    )
    return (letters or "-") + rights


def sniff(head: bytes) -> str:
    """`text/plain` or octets: never anything that a browser would run."""
    if b"\0" in head:
        return _BINARY
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A character cut off at the end is no sign of binary data.
        if error.end < len(head):
            return _BINARY
    control = sum(1 for byte in head if byte < 32 and byte not in b"\t\n\v\f\r\x1b")
    return _BINARY if control else _TEXT
