"""Following the region's events."""

from __future__ import annotations

import asyncio

from aiohttp import web

from hanse.structs.wire import Wire
from region.api import params, streams
from region.api.endpoint import Call, Param, Routes
from region.api.events import EventBuffer, Lagged, wanted

routes = Routes("Events")

HEARTBEAT_S = 10.0


class Events(Wire, frozen=True, kw_only=True):
    """What one revision changed; `{}` is a heartbeat."""

    index: int = 0
    events: tuple[dict[str, object], ...] = ()


@routes.add(
    "GET",
    "/v1/event/stream",
    kind="stream",
    response=Events,
    content_type=streams.JSON,
    params=(
        params.NAMESPACES,
        Param("topic", "array", "`Topic` or `Topic:Key`; all when absent."),
        Param("index", "integer", "Begin at this index, if it is remembered.", minimum=0),
    ),
)
async def stream_events(call: Call) -> web.StreamResponse:
    """Follow events as lines of JSON, one for each revision; a slow reader is cut off."""
    keep = wanted(call.query.all("topic"), call.namespace)
    index = call.query.integer("index", low=0, high=2**64 - 1) or 0
    buffer: EventBuffer = call.context.part(EventBuffer)
    number = buffer.start(index)
    response = await streams.start(call, streams.JSON)
    while True:
        try:
            revisions = buffer.after(number)
        except Lagged:
            break
        for revision in revisions:
            number = revision.number + 1
            found = [event.encoding for event in revision.events if keep(event)]
            if found:
                events = b",".join(found)
                await response.write(b'{"Index":%d,"Events":[%s]}\n' % (revision.index, events))
        if revisions:
            continue
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await buffer.wait(number)
        except TimeoutError:
            await response.write(b"{}\n")
    await response.write_eof()
    return response
