"""Files and logs of allocations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Literal

from aiohttp import web

from hanse.errors import Invalid
from hanse.rpc import codec
from hanse.rpc.messages import FileFrame, FileRequest, LogsRequest
from hanse.structs.stats import AllocFileInfo
from region.api import streams
from region.api.endpoint import Answer, Call, Param, Routes
from region.api.node_calls import NO_ALLOC, alloc_of, json_of, stream
from region.api.query import whole_number

routes = Routes("Files")

#: How long a stream is silent before it sends a heartbeat, seconds.
HEARTBEAT_S = 1.0
#: Bytes of a file in one frame.
FRAME_BYTES_MAX = 64 * 1024
OFFSET_MAX = 2**63 - 1

FOLDER = Param("path", doc="Path inside the allocation's folder; `/` when absent.")
PATH = Param("path", doc="Path inside the allocation's folder.", required=True)
OFFSET = Param("offset", "integer", "Where to begin, bytes.", minimum=0, maximum=OFFSET_MAX)
ORIGIN = Param("origin", doc="Whence the offset counts.", enum=("start", "end"))

_decode_frame: Callable[[bytes], FileFrame] = codec.decoder(FileFrame)


@routes.add(
    "GET",
    "/v1/client/fs/ls/{alloc_id}",
    response=list[AllocFileInfo],
    params=(FOLDER,),
    statuses={403: "The path leads out of the allocation's folder.", **NO_ALLOC},
    cors=True,
)
async def list_files(call: Call) -> Answer:
    """List a folder."""
    alloc = alloc_of(call)
    request = FileRequest(alloc_id=alloc.id, path=call.query.text("path", "/"))
    return await json_of(call, alloc.node_id, "ListFiles", request)


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path:
        raise Invalid("", "must provide a file name")
    return path


@routes.add(
    "GET",
    "/v1/client/fs/stat/{alloc_id}",
    response=AllocFileInfo,
    params=(PATH,),
    statuses={403: "The path leads out of the allocation's folder.", **NO_ALLOC},
    cors=True,
)
async def stat_file(call: Call) -> Answer:
    """Describe a file."""
    path = _path(call)
    alloc = alloc_of(call)
    request = FileRequest(alloc_id=alloc.id, path=path)
    return await json_of(call, alloc.node_id, "StatFile", request)


@routes.add(
    "GET",
    "/v1/client/fs/cat/{alloc_id}",
    kind="stream",
    response=bytes,
    content_type=streams.BYTES,
    params=(PATH,),
    statuses={403: "The path leads out of the allocation's folder.", **NO_ALLOC},
    cors=True,
)
async def cat_file(call: Call) -> web.StreamResponse:
    """Read a file."""
    path = _path(call)
    alloc = alloc_of(call)
    request = FileRequest(alloc_id=alloc.id, path=path)
    chunks = stream(call, alloc.node_id, "ReadFile", request)
    return await streams.send_bytes(call, chunks, streams.BYTES)


@routes.add(
    "GET",
    "/v1/client/fs/readat/{alloc_id}",
    kind="stream",
    response=bytes,
    content_type=streams.BYTES,
    params=(
        PATH,
        replace(OFFSET, required=True),
        Param("limit", "integer", "Bytes to read.", True, minimum=0, maximum=OFFSET_MAX),
    ),
    statuses={403: "The path leads out of the allocation's folder.", **NO_ALLOC},
    cors=True,
)
async def read_at(call: Call) -> web.StreamResponse:
    """Read a part of a file."""
    path = _path(call)
    numbers: dict[str, int] = {}
    for name in ("offset", "limit"):
        number = whole_number(call.query.text(name))
        if number is None or not 0 <= number <= OFFSET_MAX:
            raise Invalid("", f"error parsing {name}: a whole number is needed")
        numbers[name] = number
    alloc = alloc_of(call)
    request = FileRequest(
        alloc_id=alloc.id, path=path, offset=numbers["offset"], limit=numbers["limit"]
    )
    chunks = stream(call, alloc.node_id, "ReadFile", request)
    return await streams.send_bytes(call, chunks, streams.BYTES)


def _origin(call: Call) -> Literal["start", "end"]:
    origin = call.query.text("origin", "start")
    if origin not in ("start", "end"):
        raise Invalid("", "origin must be start or end")
    return "end" if origin == "end" else "start"


def _offset(call: Call) -> int:
    return call.query.integer("offset", low=0, high=OFFSET_MAX) or 0


@routes.add(
    "GET",
    "/v1/client/fs/stream/{alloc_id}",
    kind="stream",
    response=bytes,
    content_type=streams.JSON,
    params=(
        PATH,
        OFFSET,
        ORIGIN,
        Param("follow", "boolean", "Go on at the end of the file (default true)."),
        Param("limit", "integer", "Bytes to read; 0 is all.", minimum=0, maximum=OFFSET_MAX),
    ),
    statuses={403: "The path leads out of the allocation's folder.", **NO_ALLOC},
    cors=True,
)
async def stream_file(call: Call) -> web.StreamResponse:
    """Follow a file, in frames."""
    path = _path(call)
    origin, offset = _origin(call), _offset(call)
    follow = call.query.flag("follow", default=True)
    limit = call.query.integer("limit", low=0, high=OFFSET_MAX) or 0
    alloc = alloc_of(call)
    request = FileRequest(
        alloc_id=alloc.id,
        path=path,
        offset=offset,
        limit=limit,
        follow=follow,
        origin=origin,
    )
    chunks = stream(call, alloc.node_id, "StreamFile", request)
    return await _send_frames(call, chunks)


@routes.add(
    "GET",
    "/v1/client/fs/logs/{alloc_id}",
    kind="stream",
    response=bytes,
    content_type=streams.JSON,
    params=(
        Param("task", doc="The task.", required=True),
        Param("type", doc="Which output.", required=True, enum=("stdout", "stderr")),
        Param("follow", "boolean", "Go on at the end."),
        OFFSET,
        ORIGIN,
        Param("plain", "boolean", "Text rather than frames."),
    ),
    statuses=NO_ALLOC,
    cors=True,
)
async def task_logs(call: Call) -> web.StreamResponse:
    """Read or follow a task's output."""
    task = call.query.text("task")
    if not task:
        raise Invalid("", "must provide task name")
    kind = call.query.text("type")
    if kind not in ("stdout", "stderr"):
        raise Invalid("", "must provide log type (stdout/stderr)")
    follow, plain = call.query.flag("follow"), call.query.flag("plain")
    origin, offset = _origin(call), _offset(call)
    alloc = alloc_of(call)
    request = LogsRequest(
        alloc_id=alloc.id,
        task=task,
        kind="stderr" if kind == "stderr" else "stdout",
        follow=follow,
        offset=offset,
        origin=origin,
    )
    chunks = stream(call, alloc.node_id, "Logs", request)
    if plain:
        return await streams.send_bytes(call, _data_of(chunks), streams.TEXT)
    return await _send_frames(call, chunks)


async def _data_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield _decode_frame(chunk).data


async def _send_frames(call: Call, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send frames, and heartbeats in between. Errors before the first frame are raised."""
    sending = streams.Sending(call, streams.JSON, idle=b"{}")

    async def take(chunk: bytes | None) -> None:
        if chunk is None:
            await sending.take(None)
        else:
            await sending.take(b"".join(_frames(_decode_frame(chunk))))

    await streams.relay(chunks, take, idle_s=HEARTBEAT_S)
    return await sending.finish()


def _frames(part: FileFrame) -> list[bytes]:
    """A piece as frames that are not too large; its offset is the one after its data."""
    if len(part.data) <= FRAME_BYTES_MAX:
        return [streams.frame(part.data, file=part.file, offset=part.offset, event=part.event)]
    begin = part.offset - len(part.data)
    return [
        streams.frame(
            part.data[at : at + FRAME_BYTES_MAX],
            file=part.file,
            offset=begin + min(at + FRAME_BYTES_MAX, len(part.data)),
            event=part.event if at == 0 else "",
        )
        for at in range(0, len(part.data), FRAME_BYTES_MAX)
    ]
