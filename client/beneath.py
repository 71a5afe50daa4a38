"""Opening files that must lie beneath a folder, whatever links say.

The tasks own these folders and may change them at any moment, so a path that was checked before it
is used proves nothing. Here each step of the path is opened relative to the folder opened before
it, without following links; a link is read and its target walked in the same way. `..` goes back
to a folder already open, never above the root. So nothing outside can be opened, at no time.

These functions block: call them in a thread.
"""

from __future__ import annotations

import errno
import os
import stat as stats
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from client.layout import SECRETS, SHARED
from hanse.errors import Denied, Invalid, NotFound

#: As the kernel has it.
_LINKS_MAX = 40
_PARTS_MAX = 255
_BYTES_MAX = 4096
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def located(root: Path, path: str) -> Generator[tuple[int, str], None, None]:
    """Find the path beneath `root`; gives the folder (open) and the name in it, never a link.

    The name is "." for the root itself, and may name nothing. Raises Denied for a path that
    leads out or into a task's secrets, NotFound, or Invalid.
    """
    if "\0" in path or len(path.encode(errors="surrogateescape")) > _BYTES_MAX:
        raise Invalid("path", "not a path")
    walk = _Walk(root, path)
    try:
        yield walk.run()
    finally:
        walk.close()


class _Walk:
    """The folders opened on the way; `names[i]` is the name of the i-th beneath the root."""

    def __init__(self, root: Path, path: str) -> None:
        self.path = path
        self.names: list[str] = []
        self.pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        if len(self.pending) > _PARTS_MAX:
            raise Invalid("path", "too many parts")
        self.links = 0
        self.folders = [_open(str(root), _FOLDER, None, path)]

    def close(self) -> None:
        for folder in self.folders:
            os.close(folder)

    def run(self) -> tuple[int, str]:
        last = "."
        while self.pending:
            part = self.pending.pop()
            if part == "..":
                self._back()
                last = "."
                continue
            self._refuse_secrets(part)
            mode = self._mode(part)
            if mode is not None and stats.S_ISLNK(mode):
                self._follow(part)
                last = "."
            elif not self.pending:
                last = part
            else:
                self.folders.append(_open(part, _FOLDER, self.folders[-1], self.path))
                self.names.append(part)
        return self.folders[-1], last

    def _mode(self, part: str) -> int | None:
        try:
            return os.stat(part, dir_fd=self.folders[-1], follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _told(error, self.path) from error

    def _back(self) -> None:
        if not self.names:
            raise Denied("path is outside of the allocation's folder")
        os.close(self.folders.pop())
        self.names.pop()

    def _follow(self, part: str) -> None:
        self.links += 1
        if self.links > _LINKS_MAX:
            raise Invalid("path", "too many links")
        try:
            target = os.readlink(part, dir_fd=self.folders[-1])
        except OSError as error:
            raise _told(error, self.path) from error
        if target.startswith("/"):
            raise Denied("path is outside of the allocation's folder")
        self.pending += [step for step in reversed(target.split("/")) if step not in ("", ".")]
        if len(self.pending) > _PARTS_MAX:
            raise Invalid("path", "too many parts")

    def _refuse_secrets(self, part: str) -> None:
        """`<task>/secrets` and all beneath it; there is no other way in than through it."""
        if len(self.names) == 1 and self.names[0] != SHARED and part == SECRETS:
            raise Denied("reading a task's secrets is not allowed")


def open_file(root: Path, path: str) -> int:
    """A descriptor to read a regular file beneath `root`.

    Raises Denied, NotFound, or Invalid for what is no regular file.
    """
    with located(root, path) as (folder, name):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = _open(name, flags, folder, path)
    if not stats.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid("path", f'"{path}" is not a regular file')
    return descriptor


def stat_of(root: Path, path: str) -> os.stat_result:
    """What lies at the path. Raises Denied, NotFound or Invalid."""
    with located(root, path) as (folder, name):
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            raise _told(error, path) from error


def list_of(root: Path, path: str, entries_max: int) -> list[tuple[str, os.stat_result]]:
    """Names and stats in a folder, sorted by name; links are shown as what they are.

    Raises Denied, NotFound, or Invalid for what is no folder. At most `entries_max` are given.
    """
    with located(root, path) as (folder, name):
        descriptor = _open(name, _FOLDER, folder, path)
    found: list[tuple[str, os.stat_result]] = []
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
                if len(found) >= entries_max:
                    break
    finally:
        os.close(descriptor)
    return sorted(found)


def _open(name: str, flags: int, folder: int | None, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise _told(error, path) from error


def _told(error: OSError, path: str) -> Denied | NotFound | Invalid:
    match error.errno:
        case errno.ENOENT:
            return NotFound("file", path)
        case errno.ELOOP:
            return Denied("path changed while it was being opened")
        case errno.ENOTDIR:
            return Invalid("path", f'"{path}" is not a folder')
        case errno.EACCES | errno.EPERM:
            return Denied(f'"{path}" may not be read')
        case _:
            return Invalid("path", f'"{path}": {error.strerror}')
