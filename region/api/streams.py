"""Responses that go on for as long as there is something to send."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
from aiohttp import web

from region.api import respond
from region.api.endpoint import Call

T = TypeVar("T")

#: Pieces that are made ahead of a slow reader.
AHEAD_MAX = 4
#: How long an error may take to be answered with its own status, seconds.
FIRST_S = 0.3
IDLE_S = 10.0

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
JSON = "application/json"

_encoder = msgspec.json.Encoder()


async def start(call: Call, content_type: str) -> web.StreamResponse:
    """Begin a response of unknown length."""
    headers = respond.base_headers(call.context.headers)
    if call.endpoint.cors:
        headers.update(respond.cors_headers())
    headers["Content-Type"] = content_type
    headers["Cache-Control"] = "no-cache"
    response = web.StreamResponse(headers=headers)
    await response.prepare(call.request)
    return response


async def relay(
    source: AsyncIterator[T],
    take: Callable[[T | None], Awaitable[None]],
    *,
    idle_s: float,
    first_s: float = FIRST_S,
) -> None:
    """Give every item to `take`, and None whenever there was none for `idle_s` seconds.

    `first_s` is how long to wait for the very first. Raises what the source or `take` raises;
    the source is closed in any case.
    """
    queue: asyncio.Queue[_Item[T] | None] = asyncio.Queue(AHEAD_MAX)

    async def pump() -> None:
        try:
            async for item in source:
                await queue.put(_Item(item))
        except Exception as error:
            failures.append(error)
        await queue.put(None)

    failures: list[Exception] = []
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(pump())
        wait_s = first_s
        try:
            while True:
                item = await _within(queue, wait_s)
                wait_s = idle_s
                if item is None:
                    break
                await take(item.value)
        except Exception as error:
            failures.append(error)
        finally:
            pumping.cancel()
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
    if failures:
        raise failures[0]


class _Item(Generic[T]):
    __slots__ = ("value",)

    def __init__(self, value: T | None) -> None:
        self.value = value


async def _within(queue: asyncio.Queue[_Item[T] | None], wait_s: float) -> _Item[T] | None:
    """The next item; an empty one when there is none in time."""
    try:
        async with asyncio.timeout(wait_s):
            return await queue.get()
    except TimeoutError:
        return _Item(None)


class Sending:
    """A response that is begun by the first thing there is to send, or by silence.

    So an error that comes before is still answered with its own status code.
    """

    def __init__(self, call: Call, content_type: str, *, idle: bytes = b"") -> None:
        """`idle` is what silence sends."""
        self._call = call
        self._content_type = content_type
        self._idle = idle
        self._response: web.StreamResponse | None = None

    async def take(self, data: bytes | None) -> None:
        """Send `data`; None is silence."""
        if self._response is None:
            self._response = await start(self._call, self._content_type)
        elif data is None:
            data = self._idle
        if data:
            await self._response.write(data)

    async def finish(self) -> web.StreamResponse:
        """End the response."""
        if self._response is None:
            self._response = await start(self._call, self._content_type)
        await self._response.write_eof()
        return self._response


def frame(data: bytes, *, file: str = "", offset: int = 0, event: str = "") -> bytes:
    """One stream frame as Nomad writes it; without arguments a heartbeat."""
    fields: dict[str, object] = {}
    if offset:
        fields["Offset"] = offset
    if data:
        fields["Data"] = b64encode(data).decode()
    if file:
        fields["File"] = file
    if event:
        fields["FileEvent"] = event
    return _encoder.encode(fields)


async def send_bytes(
    call: Call, source: AsyncIterator[bytes], content_type: str
) -> web.StreamResponse:
    """Send pieces as they come. Errors before the first piece are raised."""
    sending = Sending(call, content_type)
    await relay(source, sending.take, idle_s=IDLE_S)
    return await sending.finish()
