"""The engine's log of a container, entry by entry, and how far it has been copied.

Asked with timestamps, the engine sends every entry with the time it was written. An entry is a
line, or a piece of a line longer than 16 KiB, or the end of output without a newline. Without a
terminal each entry is a frame of its own that names its stream; with one, entries follow each
other as they are.

A `Cursor` says which entries of one stream have been copied, in words the engine understands:
*of the entries written at `since_ns` or later, the first `skip`* (and all before). It is exact
also when several entries have one time, and when the clock was set back: then it falls back to
counting from the beginning until the clock has caught up. What it cannot do: entries written after
the clock was set back *while nobody copied* are left out by the engine itself. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

_FRAME_HEAD = 8
_STREAMS = {1: "stdout", 2: "stderr"}
#: The engine cuts longer lines into entries of this size.
_PIECE_BYTES = 16 << 10
_TIME_BYTES_MAX = 64
_NS = 1_000_000_000
#: `2026-01-02T03:04:05`. The engine writes all nine digits of the fraction.
_SECOND_BYTES = 19


class Entry(NamedTuple):
    """One entry: its stream, when it was written (nanoseconds since 1970), its bytes."""

    stream: str
    at_ns: int
    data: bytes


class Cursor(msgspec.Struct, frozen=True):
    """How far one stream has been copied."""

    since_ns: int = 0
    skip: int = 0
    #: All entries copied so far, and the latest time among them.
    total: int = 0
    latest_ns: int = 0

    def after(self, at_ns: int) -> Cursor:
        """The cursor once one more entry, the next of the stream, has been copied."""
        total = self.total + 1
        if at_ns < self.latest_ns:
            # The clock was set back: `since_ns` no longer parts what came before from after.
            return Cursor(since_ns=0, skip=total, total=total, latest_ns=self.latest_ns)
        if at_ns > self.latest_ns:
            return Cursor(since_ns=at_ns, skip=1, total=total, latest_ns=at_ns)
        return Cursor(
            since_ns=self.since_ns, skip=self.skip + 1, total=total, latest_ns=self.latest_ns
        )


class Resume:
    """Drops from a stream asked for `since` what a cursor says has been copied."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._to_skip = cursor.skip

    def is_new(self, at_ns: int) -> bool:
        """Whether the stream's next entry has yet to be copied."""
        if not self._to_skip:
            # The last one copied has gone by: all that follows is new, whatever its time.
            return True
        if at_ns >= self._cursor.since_ns:
            self._to_skip -= 1
        return False


def since_parameter(cursors: list[Cursor]) -> str:
    """The engine's `since` that leaves out nothing new of any of the streams."""
    since_ns = min(cursor.since_ns for cursor in cursors)
    return f"{since_ns // _NS}.{since_ns % _NS:09d}"


def parse_time(text: bytes) -> int:
    """Nanoseconds of `2026-01-02T03:04:05.123456789Z`. Raises ValueError."""
    return _seconds(text[:_SECOND_BYTES]) * _NS + int(
        text[_SECOND_BYTES + 1 :].rstrip(b"Z") or b"0"
    )


@functools.lru_cache(16)
def _seconds(text: bytes) -> int:
    """Most entries share their second with the one before."""
    moment = datetime.strptime(text.decode("ascii"), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(moment.timestamp())


class EntryParser:
    """Cuts what arrives into entries. Raises ValueError when it is not the engine's format."""

    def __init__(self, *, tty: bool) -> None:
        self._buffer = bytearray()
        self._tty = tty

    def feed(self, data: bytes) -> Iterator[Entry]:
        """Take what came in; give the entries that are complete."""
        self._buffer += data
        return self._lines(at_end=False) if self._tty else self._frames()

    def finish(self) -> Iterator[Entry]:
        """Give what is left at the end of the stream: an entry without a newline."""
        return self._lines(at_end=True) if self._tty else iter(())

    def _frames(self) -> Iterator[Entry]:
        buffer, at = memoryview(bytes(self._buffer)), 0
        while len(buffer) - at >= _FRAME_HEAD:
            length = int.from_bytes(buffer[at + 4 : at + 8], "big")
            end = at + _FRAME_HEAD + length
            if end > len(buffer):
                break
            stream = _STREAMS.get(buffer[at])
            if stream is None:
                raise ValueError(f"a frame of stream {buffer[at]}")
            stamp, found, payload = bytes(buffer[at + _FRAME_HEAD : end]).partition(b" ")
            if not found:
                raise ValueError("a frame without a time")
            at = end
            yield Entry(stream, parse_time(stamp), payload)
        del self._buffer[:at]

    def _lines(self, *, at_end: bool) -> Iterator[Entry]:
        while self._buffer:
            space = self._buffer.find(b" ", 0, _TIME_BYTES_MAX)
            if space < 0:
                if at_end or len(self._buffer) > _TIME_BYTES_MAX:
                    raise ValueError("an entry without a time")
                return
            start = space + 1
            newline = self._buffer.find(b"\n", start, start + _PIECE_BYTES)
            if newline >= 0:
                end = newline + 1
            elif len(self._buffer) >= start + _PIECE_BYTES:
                end = start + _PIECE_BYTES
            elif at_end:
                end = len(self._buffer)
            else:
                return
            entry = Entry("stdout", _time_at(self._buffer, space), bytes(self._buffer[start:end]))
            del self._buffer[:end]
            yield entry


def _time_at(buffer: bytearray, space: int) -> int:
    return parse_time(bytes(buffer[:space]))
