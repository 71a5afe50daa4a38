"""Streams of the engine's API: logs, events, pulls, and the two-way stream of an exec.

Everything else goes through the `docker` package, in threads. A stream would hold a thread for as
long as a container lives, so streams are read here, without threads: one request per connection,
HTTP/1.1, answers of known length, chunked, until the end, or upgraded to a plain two-way stream.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import msgspec

_CONNECT_S = 10.0
_HEAD_BYTES_MAX = 64 << 10
_READ_BYTES = 256 << 10
_ERROR_BYTES_MAX = 64 << 10


class Address(msgspec.Struct, frozen=True):
    """Where the engine listens: a Unix socket's path, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None


def parse_address(url: str, tls: ssl.SSLContext | None = None) -> Address:
    """Read `unix:///path`, `http+unix://...`, `tcp://host:port` or `http(s)://host:port`.

    Raises ValueError for anything else.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("unix", "http+unix") and rest:
        return Address(path=f"/{rest.replace('%2F', '/').lstrip('/')}")
    parts = urlsplit(url)
    if scheme in ("tcp", "http", "https") and parts.hostname:
        context = tls or (ssl.create_default_context() if scheme == "https" else None)
        port = parts.port or (2376 if context else 2375)
        return Address(host=parts.hostname, port=port, tls=context)
    raise ValueError(f'cannot reach an engine at "{url}"')


class EngineAway(Exception):
    """The engine does not answer, or the connection broke. What was asked may have been done."""


class EngineRefused(Exception):
    """The engine answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Chunks:
    """Takes the chunked coding off. Raises ValueError when it is not that."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        #: Bytes of the chunk still to come, and of the line end behind it.
        self._left = 0
        self._skip = 0
        self.over = False

    def feed(self, data: bytes) -> bytes:
        """Take what came in; return what is in it, of however many chunks."""
        self._buffer += data
        found: list[bytes] = []
        at = 0
        while not self.over and at < len(self._buffer):
            if self._skip:
                skipped = min(self._skip, len(self._buffer) - at)
                at += skipped
                self._skip -= skipped
            elif self._left:
                piece = bytes(self._buffer[at : at + self._left])
                at += len(piece)
                self._left -= len(piece)
                self._skip = 0 if self._left else 2
                found.append(piece)
            else:
                end = self._buffer.find(b"\r\n", at)
                if end < 0:
                    break
                self._left = int(self._buffer[at:end].split(b";")[0], 16)
                self.over = self._left == 0
                at = end + 2
        del self._buffer[:at]
        return b"".join(found)


class Stream:
    """The answer to one request."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]
    ) -> None:
        self._reader = reader
        self._writer = writer
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._chunks = Chunks() if chunked else None
        length = headers.get("content-length", "")
        self._left = int(length) if length.isdigit() else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """What comes, as it comes, until the end. Raises EngineAway when it breaks off."""
        while data := await self.read():
            yield data

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises EngineAway when it breaks off."""
        try:
            if self._chunks is not None:
                return await self._read_chunks(self._chunks)
            size = _READ_BYTES if self._left is None else min(_READ_BYTES, self._left)
            data = await self._reader.read(size) if size else b""
        except (OSError, ValueError) as error:
            raise EngineAway(str(error)) from error
        if self._left is not None:
            if not data and self._left:
                raise EngineAway("the answer broke off")
            self._left -= len(data)
        return data

    async def _read_chunks(self, chunks: Chunks) -> bytes:
        while not chunks.over:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EngineAway("the answer broke off")
            if found := chunks.feed(data):
                return found
        return b""

    async def write(self, data: bytes) -> None:
        """Send to an upgraded stream. Raises EngineAway."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise EngineAway(str(error)) from error

    def write_end(self) -> None:
        """Say that nothing more will be written. Not possible over TLS."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        """Give the connection back."""
        self._writer.transport.abort()


async def open_stream(
    address: Address,
    method: str,
    path: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    upgrade: bool = False,
) -> Stream:
    """Send a request and read the head of the answer. Raises EngineAway or EngineRefused."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await _connect(address)
    except (OSError, TimeoutError) as error:
        raise EngineAway(str(error) or "no answer") from error
    try:
        writer.write(_request(method, path, body, headers or {}, upgrade=upgrade))
        await writer.drain()
        status, answer_headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        writer.transport.abort()
        raise EngineAway(str(error)) from error
    except BaseException:
        writer.transport.abort()
        raise
    stream = Stream(reader, writer, answer_headers)
    if status in (101, 200, 201, 204):
        return stream
    try:
        raise EngineRefused(status, await _error_text(stream))
    finally:
        stream.close()


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    limit = 2 * _READ_BYTES
    if address.path:
        return await asyncio.open_unix_connection(address.path, limit=limit)
    return await asyncio.open_connection(address.host, address.port, ssl=address.tls, limit=limit)


def _request(
    method: str, path: str, body: object, headers: Mapping[str, str], *, upgrade: bool
) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: docker", f"Content-Length: {len(data)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers: dict[str, str] = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(first.split(" ")[1]), headers


async def _error_text(stream: Stream) -> str:
    text = b""
    try:
        async for chunk in stream.chunks():
            text += chunk
            if len(text) > _ERROR_BYTES_MAX:
                break
        message = json.loads(text)
    except (EngineAway, ValueError):
        return text.decode(errors="replace").strip() or "the engine gave no reason"
    return str(message.get("message", message)) if isinstance(message, dict) else str(message)


async def json_lines(stream: Stream) -> AsyncIterator[dict[str, object]]:
    """The objects of a stream that has one in each line. Raises EngineAway."""
    rest = b""
    async for chunk in stream.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise EngineAway("the answer is not JSON") from error
