"""A task's output on disk: files `<stem>.0`, `<stem>.1`, ... of a fixed size, the oldest removed.

Files are cut at the exact size, so the stream is the concatenation of the files in order of
their number, whoever wrote them: a supervisor from a pipe, or a driver from an engine's log.
A new file is made only when there is a byte for it. Standard library only: the supervisor,
which must stay small, imports this.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

#: The most that is moved by one call. A pipe never holds more.
CHUNK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Position(NamedTuple):
    """A place in the stream: the number of the file and the offset in it, bytes."""

    number: int
    offset: int


class RotatedLog:
    """The writing end of one stream. One writer at a time; readers need no lock."""

    def __init__(self, folder: str, stem: str, *, max_files: int, max_bytes: int) -> None:
        """Open at the end of what is there. Raises OSError when the folder cannot be written."""
        # Held open, so that a task which puts a link in the folder's place leads us nowhere.
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._stem = stem
        self._max_files = max(1, max_files)
        self._max_bytes = max(1, max_bytes)
        self._can_splice = True
        #: Bytes that were not written because the disk had no room.
        self.dropped = 0
        self._fd = -1
        try:
            self._open(max(self.indexes(), default=0))
        except OSError:
            self.close()
            raise

    def indexes(self) -> list[int]:
        """The numbers of the files that exist, in order."""
        start = self._stem + "."
        names = [name[len(start) :] for name in os.listdir(self._folder) if name.startswith(start)]
        return sorted(int(tail) for tail in names if tail.isdigit())

    @property
    def position(self) -> Position:
        """Where the next byte goes."""
        return Position(self._index, self._offset)

    def write(self, data: bytes) -> None:
        """Append all of `data`. What finds no room on the disk is dropped and counted."""
        view = memoryview(data)
        while view:
            self._make_room()
            try:
                written = os.write(self._fd, view[: self._room])
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self.dropped += len(view)
                return
            self._offset += written
            view = view[written:]

    def take(self, pipe: int) -> int:
        """Move what a non-blocking pipe holds to disk; return how many bytes, 0 at its end.

        Raises BlockingIOError when the pipe is open and empty.
        """
        if self._can_splice and self._room > 0:
            try:
                moved = os.splice(pipe, self._fd, min(self._room, CHUNK_BYTES))
            except BlockingIOError:
                raise
            except OSError as error:
                if error.errno == errno.EINVAL:
                    self._can_splice = False
                elif error.errno not in _NO_ROOM:
                    raise
            else:
                self._offset += moved
                return moved
        data = os.read(pipe, CHUNK_BYTES)
        self.write(data)
        return len(data)

    def rewind(self, to: Position) -> None:
        """Cut off all that was written after `to`, which must be at or before the end."""
        for index in self.indexes():
            if index > to.number:
                os.unlink(self._name(index), dir_fd=self._folder)
        os.close(self._fd)
        self._open(to.number)
        os.ftruncate(self._fd, to.offset)
        self._offset = os.lseek(self._fd, to.offset, os.SEEK_SET)

    def flush(self) -> None:
        """Return once what was written would survive a crash of the machine."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Give the file back."""
        for fd in (self._fd, self._folder):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder = -1

    @property
    def _room(self) -> int:
        return self._max_bytes - self._offset

    def _name(self, index: int) -> str:
        return f"{self._stem}.{index}"

    def _open(self, index: int) -> None:
        # No O_APPEND: splice refuses it. The task may write here: no link is followed, and a FIFO
        # does not hold us up.
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._name(index), flags, 0o644, dir_fd=self._folder)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", self._name(index))
        self._fd = fd
        self._index = index
        self._offset = os.lseek(self._fd, 0, os.SEEK_END)

    def _make_room(self) -> None:
        if self._room > 0:
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._open(self._index + 1)
        # Whatever was there is not ours: a number is never used twice.
        if self._offset:
            os.ftruncate(self._fd, 0)
            self._offset = os.lseek(self._fd, 0, os.SEEK_SET)
        for index in self.indexes():
            if index <= self._index - self._max_files:
                os.unlink(self._name(index), dir_fd=self._folder)
