"""Answers to HTTP responses: headers, indentation, compression, backpressure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import ClientConnectionResetError, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict

from region.api.endpoint import Answer, off_loop

#: Larger bodies are compressed outside the event loop.
INLINE_BYTES_MAX = 16 * 1024
#: Larger bodies are written piece by piece, as fast as the client reads.
WHOLE_BYTES_MAX = 512 * 1024
GZIP_BYTES_MIN = 1024
PIECE_BYTES = 256 * 1024

_GZIP = 16 + zlib.MAX_WBITS


def base_headers(extra: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers that every response has; `extra` comes from the agent's configuration."""
    headers: CIMultiDict[str] = CIMultiDict(extra)
    headers["Server"] = "hanse"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Vary"] = "Accept-Encoding"
    return headers


def cors_headers() -> dict[str, str]:
    """Headers that let a page of another origin read the response."""
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "HEAD, GET",
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Expose-Headers": "*",
    }


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in ("gzip", "*"):
            quality = parameters.strip().removeprefix("q=")
            return quality.strip("0.") != "" if parameters.strip() else True
    return False


def pretty(pieces: list[bytes]) -> list[bytes]:
    """The same JSON, indented by four spaces, with a newline at the end.

    Several pieces are those of a list (`region.api.lists.Pieces`), and are indented one by one.
    """
    if len(pieces) == 1:
        return [msgspec.json.format(pieces[0], indent=4) + b"\n"]
    out: list[bytes] = []
    for piece in pieces:
        inner = piece[1:] if piece[:1] in (b"[", b",") else piece
        inner = inner.removesuffix(b"]") if piece is pieces[-1] else inner
        if inner:
            lines = msgspec.json.format(b"[" + inner + b"]", indent=4)
            out.append((b",\n" if out else b"[\n") + lines[2:-2])
    out.append(b"\n]\n")
    return out


def gzipped(pieces: list[bytes]) -> bytes:
    """One gzip stream of all pieces."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    out = [squeeze.compress(piece) for piece in pieces]
    out.append(squeeze.flush())
    return b"".join(out)


async def send(
    request: web.Request, answer: Answer, headers: CIMultiDict[str], *, indent: bool
) -> web.StreamResponse:
    """Make the response of an answer; a large one is sent before this returns."""
    pieces = answer.body if isinstance(answer.body, list) else [answer.body]
    size = sum(map(len, pieces))
    headers.update(answer.headers)
    if size == 0:
        return web.Response(status=answer.status, headers=headers)
    headers["Content-Type"] = answer.content_type
    if indent and answer.content_type == "application/json":
        small = size <= INLINE_BYTES_MAX
        pieces = pretty(pieces) if small else await off_loop(pretty, pieces)
        size = sum(map(len, pieces))
    if size >= GZIP_BYTES_MIN and accepts_gzip(request.headers.get("Accept-Encoding", "")):
        packed = None if indent else answer.packed.get("gzip")
        if packed is None:
            small = size <= INLINE_BYTES_MAX
            packed = gzipped(pieces) if small else await off_loop(gzipped, pieces)
            if not indent:
                answer.packed["gzip"] = packed
        pieces = [packed]
        size = len(packed)
        headers["Content-Encoding"] = "gzip"
    if size <= WHOLE_BYTES_MAX or request.method == "HEAD":
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return _plain(request, answer.status, headers, body) or web.Response(
            status=answer.status, body=body, headers=headers
        )
    return await _send_pieces(request, answer.status, pieces, size, headers)


class Plain(web.StreamResponse):
    """A small response, written at once: what aiohttp's own does in half a dozen steps.

    A thousand blocking queries that wake together wait for each other's steps.
    """

    def __init__(self, status: int, data: bytes) -> None:
        """`data` is all of it, the head too. The connection is kept."""
        super().__init__(status=status)
        self._keep_alive = True
        self._data = data

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it. Raises ClientConnectionResetError when nobody is there any more."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("Cannot write to closing transport")
        transport.write(self._data)
        self._eof_sent = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be written."""


def _plain(
    request: web.Request, status: int, headers: CIMultiDict[str], body: bytes
) -> Plain | None:
    """The usual case in short: success, of HTTP/1.1, to somebody who stays and reads.

    None when it is another case, which is left to aiohttp.
    """
    if (
        status != HTTPStatus.OK
        or request.version != HttpVersion11
        or request.method == "HEAD"
        or not request.keep_alive
        or request.protocol.writing_paused
    ):
        return None
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        return None
    head = (
        f"HTTP/1.1 200 OK\r\n{text}Content-Length: {len(body)}\r\n"
        f"Date: {rfc822_formatted_time()}\r\n\r\n"
    )
    return Plain(status, head.encode("utf-8") + body)


async def _send_pieces(
    request: web.Request,
    status: int,
    pieces: list[bytes],
    size: int,
    headers: CIMultiDict[str],
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = size
    await response.prepare(request)
    for piece in pieces:
        if len(piece) <= PIECE_BYTES:
            await response.write(piece)
            continue
        view = memoryview(piece)
        for start in range(0, len(piece), PIECE_BYTES):
            await response.write(view[start : start + PIECE_BYTES])
    await response.write_eof()
    return response
