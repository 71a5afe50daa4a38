"""Copying a container's output into the allocation's log files, each byte once.

The engine keeps the output, so nothing is lost while no agent is there. How far it has been copied
is written down after every batch, together with the place in our files: whoever goes on later cuts
the files back to that place and asks the engine for the rest. So a copier may be killed between any
two instructions.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec
import structlog

from drivers.common.rotate import Position, RotatedLog
from drivers.docker.engine import Engine
from drivers.docker.entries import Cursor, EntryParser, Resume, since_parameter
from drivers.docker.http import EngineAway, open_stream

_STREAMS = ("stdout", "stderr")
#: More than a record ever has.
_RECORD_BYTES = 2048
log = structlog.get_logger()


class LogFiles(msgspec.Struct, frozen=True):
    """Where the copy goes. Part of a handle."""

    folder: str
    stem: str
    max_files: int
    max_file_bytes: int


class Record(msgspec.Struct, frozen=True):
    """How far the copy has come: what of the engine's log, and where in our files."""

    cursors: dict[str, Cursor]
    places: dict[str, Position]


def _open(files: LogFiles) -> dict[str, RotatedLog]:
    opened: dict[str, RotatedLog] = {}
    try:
        for stream in _STREAMS:
            opened[stream] = RotatedLog(
                files.folder,
                f"{files.stem}.{stream}",
                max_files=files.max_files,
                max_bytes=files.max_file_bytes,
            )
    except OSError:
        _close(opened)
        raise
    return opened


def _close(opened: dict[str, RotatedLog]) -> None:
    for each in opened.values():
        each.close()


def _save(fd: int, record: Record) -> None:
    """Write the record over the former one: many times a second, so without a rename."""
    os.pwrite(fd, msgspec.json.encode(record).ljust(_RECORD_BYTES), 0)


def _load(fd: int) -> Record | None:
    """The record; None if there is none that can be read."""
    try:
        return msgspec.json.decode(os.pread(fd, _RECORD_BYTES, 0), type=Record)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _open_record(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def prepare(path: Path, files: LogFiles) -> None:
    """Write down where a task's output will begin, unless that is known. Raises OSError."""
    fd = _open_record(path)
    try:
        if _load(fd) is not None:
            return
        opened = _open(files)
        try:
            places = {stream: opened[stream].position for stream in _STREAMS}
        finally:
            _close(opened)
        _save(fd, Record(cursors={stream: Cursor() for stream in _STREAMS}, places=places))
    finally:
        os.close(fd)


class Copier:
    """Copies one container's output. One at a time: the caller holds a lock."""

    def __init__(self, engine: Engine, container_id: str, path: Path, files: LogFiles) -> None:
        """`path` is where the record is kept. Raises OSError when files cannot be opened."""
        self._engine = engine
        self._container_id = container_id
        prepare(path, files)
        self._files = _open(files)
        self._record = _open_record(path)
        record = _load(self._record)
        assert record is not None
        self._cursors = dict(record.cursors)
        for stream in _STREAMS:
            self._files[stream].rewind(record.places[stream])

    def close(self) -> None:
        """Give the files back."""
        _close(self._files)
        os.close(self._record)

    async def copy(self, *, tty: bool, follow: bool) -> None:
        """Copy what there is; with `follow`, go on until the container ends.

        Raises EngineAway when the stream breaks off, to be called again; EngineRefused when the
        engine has no log to give.
        """
        address = await self._engine.address()
        since = since_parameter(list(self._cursors.values()))
        path = (
            f"{self._engine.prefix}/containers/{self._container_id}/logs"
            f"?stdout=1&stderr=1&timestamps=1&follow={int(follow)}&since={since}"
        )
        stream = await open_stream(address, "GET", path)
        parser = EntryParser(tty=tty)
        resumes = {stream: Resume(cursor) for stream, cursor in self._cursors.items()}
        try:
            while data := await stream.read():
                self._take(parser, resumes, data)
            self._take(parser, resumes, b"")
        except ValueError as error:
            raise EngineAway(f"a log that cannot be read: {error}") from error
        finally:
            stream.close()

    def _take(self, parser: EntryParser, resumes: dict[str, Resume], data: bytes) -> None:
        """Copy the entries that `data` completes; b"" is the end of the stream."""
        pieces: dict[str, list[bytes]] = {stream: [] for stream in _STREAMS}
        for entry in parser.feed(data) if data else parser.finish():
            if resumes[entry.stream].is_new(entry.at_ns):
                pieces[entry.stream].append(entry.data)
                self._cursors[entry.stream] = self._cursors[entry.stream].after(entry.at_ns)
        if any(pieces.values()):
            self._write(pieces)

    def _write(self, pieces: dict[str, list[bytes]]) -> None:
        for stream, found in pieces.items():
            try:
                self._files[stream].write(b"".join(found))
            except OSError as error:
                # The folder is gone or the disk broke: the container must not stop for that.
                log.warning("log line lost", container=self._container_id, error=str(error))
        places = {stream: self._files[stream].position for stream in _STREAMS}
        with contextlib.suppress(OSError):
            _save(self._record, Record(cursors=self._cursors, places=places))


def try_lock(path: Path) -> int | None:
    """Take a lock that ends with this process; None while somebody else has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
