"""Reading and following the files of an allocation, rotation included."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from client import beneath
from hanse.clock import Clock
from hanse.errors import NotFound
from hanse.rpc.messages import FileFrame, FileRequest, LogsRequest

FRAME_BYTES_MAX = 64 * 1024
#: Read at once from the disk, then cut into frames.
_READ_BYTES = 8 * FRAME_BYTES_MAX
#: How soon something new in a followed file is seen.
POLL_S = 0.03
HEARTBEAT_S = 1.0
_FILES_MAX = 10_000


class _Tail:
    """One open file and how far it has been read."""

    def __init__(self, descriptor: int, name: str, offset: int) -> None:
        self.descriptor = descriptor
        self.name = name
        self.offset = offset

    def close(self) -> None:
        os.close(self.descriptor)

    async def read(self, bytes_max: int = _READ_BYTES) -> bytes:
        """What follows; moves on."""
        data = await asyncio.to_thread(os.pread, self.descriptor, bytes_max, self.offset)
        self.offset += len(data)
        return data

    def frames(self, data: bytes) -> list[FileFrame]:
        """The data just read, in frames."""
        begin = self.offset - len(data)
        return [
            FileFrame(
                data=data[at : at + FRAME_BYTES_MAX],
                file=self.name,
                offset=begin + min(at + FRAME_BYTES_MAX, len(data)),
            )
            for at in range(0, len(data), FRAME_BYTES_MAX)
        ]

    def truncated(self) -> bool:
        """Whether the file is shorter now than what has been read of it."""
        return os.fstat(self.descriptor).st_size < self.offset

    def deleted(self) -> bool:
        """Whether no name leads to the file any more."""
        return os.fstat(self.descriptor).st_nlink == 0


def log_files(root: Path, task: str, kind: str) -> list[tuple[int, int]]:
    """Number and size of each of a task's log files, oldest first. Blocks."""
    pattern = re.compile(re.escape(f"{task}.{kind}.") + r"(\d{1,9})$")
    try:
        entries = beneath.list_of(root, "alloc/logs", _FILES_MAX)
    except NotFound:
        return []
    found = [(m, stat.st_size) for name, stat in entries if (m := pattern.match(name))]
    return sorted((int(match[1]), size) for match, size in found)


def position(files: list[tuple[int, int]], origin: str, offset: int) -> tuple[int, int]:
    """The file and the place in it that an offset over all files means. Pure.

    From the end an offset counts backwards; one that leads beyond either end means that end.
    """
    if not files:
        return 0, 0
    total = sum(size for _, size in files)
    wanted = max(0, total - offset) if origin == "end" else min(offset, total)
    for number, size in files[:-1]:
        if wanted < size:
            return number, wanted
        wanted -= size
    return files[-1][0], wanted


async def read_log(
    root: Path, wanted: LogsRequest, ended: Callable[[], bool], clock: Clock
) -> AsyncIterator[FileFrame]:
    """A task's output from a place on; when followed, until the task has `ended`.

    An empty frame is a heartbeat. Raises Denied if a log file is not what it should be.
    """
    task, kind = wanted.task, wanted.kind
    files = await asyncio.to_thread(log_files, root, task, kind)
    number, place = position(files, wanted.origin, wanted.offset)
    tail: _Tail | None = None
    idle_s = 0.0
    try:
        while True:
            # Asked first: what was written before the end is read before we stop.
            over = not wanted.follow or ended()
            if tail is None:
                tail = await _open_log(root, task, kind, number, place)
            data = await tail.read() if tail is not None else b""
            if data and tail is not None:
                idle_s = 0.0
                for frame in tail.frames(data):
                    yield frame
                continue
            files = await asyncio.to_thread(log_files, root, task, kind)
            newer = next(
                (n for n, _ in files if n > number or (tail is None and n == number)), None
            )
            if newer is not None:
                # The file before it is complete once a newer one exists: read its very end.
                if tail is not None:
                    while rest := await tail.read():
                        for frame in tail.frames(rest):
                            yield frame
                    tail.close()
                    tail = None
                place = place if newer == number else 0
                number = newer
                continue
            if over:
                return
            await clock.sleep(POLL_S)
            idle_s += POLL_S
            if idle_s >= HEARTBEAT_S:
                idle_s = 0.0
                yield FileFrame()
    finally:
        if tail is not None:
            tail.close()


async def _open_log(root: Path, task: str, kind: str, number: int, place: int) -> _Tail | None:
    path = f"alloc/logs/{task}.{kind}.{number}"
    try:
        return _Tail(await asyncio.to_thread(beneath.open_file, root, path), path, place)
    except NotFound:
        return None


async def read_file(root: Path, path: str, *, offset: int, limit: int) -> AsyncIterator[bytes]:
    """Part of a file, in pieces; `limit` 0 is all. Raises Denied, NotFound or Invalid."""
    tail = _Tail(await asyncio.to_thread(beneath.open_file, root, path), path, offset)
    try:
        left = limit or (1 << 62)
        while left > 0 and (data := await tail.read(min(left, FRAME_BYTES_MAX))):
            left -= len(data)
            yield data
    finally:
        tail.close()


async def stream_file(root: Path, wanted: FileRequest, clock: Clock) -> AsyncIterator[FileFrame]:
    """A file from a place on; when followed, until it is deleted.

    An empty frame is a heartbeat. Raises Denied, NotFound or Invalid.
    """
    path = wanted.path
    tail = _Tail(await asyncio.to_thread(beneath.open_file, root, path), path, wanted.offset)
    try:
        if wanted.origin == "end":
            tail.offset = max(0, os.fstat(tail.descriptor).st_size - wanted.offset)
        left = wanted.limit or (1 << 62)
        idle_s = 0.0
        while left > 0:
            data = await tail.read(min(left, _READ_BYTES))
            left -= len(data)
            for frame in tail.frames(data):
                yield frame
            if data:
                idle_s = 0.0
                continue
            if not wanted.follow:
                return
            if tail.truncated():
                tail.offset = 0
                yield FileFrame(file=path, event="file truncated")
                continue
            if tail.deleted():
                yield FileFrame(file=path, offset=tail.offset, event="file deleted")
                return
            await clock.sleep(POLL_S)
            idle_s += POLL_S
            if idle_s >= HEARTBEAT_S:
                idle_s = 0.0
                yield FileFrame()
    finally:
        tail.close()
