"""Commands inside tasks, over a WebSocket."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from hanse.driver import ExecInput, ExecOutput
from hanse.errors import HanseError, Invalid
from hanse.rpc import codec
from hanse.rpc.messages import ExecRequest
from region.api import errors, respond
from region.api.endpoint import Call, Param, Routes, same_origin
from region.api.errors import HTTPFailure
from region.api.node_calls import NO_ALLOC, alloc_of, stream

routes = Routes("Client")

MESSAGE_BYTES_MAX = 1024 * 1024
COMMAND_BYTES_MAX = 64 * 1024
HANDSHAKE_S_MAX = 10.0
#: Messages that wait for a slow command.
INPUTS_MAX = 64
REASON_BYTES_MAX = 123

_decode_output: Callable[[bytes], ExecOutput] = codec.decoder(ExecOutput)


class _Stdin(msgspec.Struct, frozen=True):
    data: str = ""
    close: bool = False


class _Size(msgspec.Struct, frozen=True):
    height: int = 0
    width: int = 0


class ExecMessage(msgspec.Struct, frozen=True):
    """What a client sends; all empty is a heartbeat."""

    stdin: _Stdin | None = None
    tty_size: _Size | None = None


class Handshake(msgspec.Struct, frozen=True):
    """The first message of a client that asked for a handshake."""

    version: int
    auth_token: str = ""


_decode_message = msgspec.json.Decoder(ExecMessage)
_decode_handshake = msgspec.json.Decoder(Handshake)
_decode_command = msgspec.json.Decoder(list[str])


def read_input(text: str | bytes) -> ExecInput | None:
    """A client's message as the node takes it; None for a heartbeat. Raises Invalid."""
    try:
        message = _decode_message.decode(text)
        stdin = message.stdin or _Stdin()
        data = b64decode(stdin.data, validate=True)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError) as error:
        raise Invalid("message", f"not one that can be understood: {error}") from None
    size = message.tty_size
    if size is not None and not (0 <= size.height < 2**16 and 0 <= size.width < 2**16):
        raise Invalid("tty_size", "out of range")
    if message.stdin is None and size is None:
        return None
    return ExecInput(
        stdin=data,
        close_stdin=stdin.close,
        tty_size=(size.height, size.width) if size is not None else None,
    )


def written_output(output: ExecOutput) -> list[bytes]:
    """A node's message as a client reads it."""
    messages: list[bytes] = []
    for name in ("stdout", "stderr"):
        data: bytes = getattr(output, name)
        if data:
            encoded = b64encode(data).decode()
            messages.append(msgspec.json.encode({name: {"data": encoded}}))
    if output.exit_code is not None:
        messages += [
            b'{"stdout":{"close":true}}',
            b'{"stderr":{"close":true}}',
            msgspec.json.encode({"exited": True, "result": {"exit_code": output.exit_code}}),
        ]
    return messages


def command_of(call: Call) -> list[str]:
    """The command of the query. Raises Invalid."""
    text = call.query.text("command")
    if not text or len(text) > COMMAND_BYTES_MAX:
        raise Invalid("command", "must be a JSON list of words")
    try:
        command = _decode_command.decode(text)
    except msgspec.MsgspecError:
        raise Invalid("command", "must be a JSON list of words") from None
    if not command:
        raise Invalid("command", "must have at least one word")
    return command


@routes.add(
    "GET",
    "/v1/client/allocation/{alloc_id}/exec",
    kind="stream",
    params=(
        Param("task", doc="The task.", required=True),
        Param("command", doc="A JSON list of words.", required=True),
        Param("tty", "boolean", "Run in a terminal."),
        Param("ws_handshake", "boolean", "The first message holds the token."),
    ),
    statuses={403: "A page of another site asks.", **NO_ALLOC},
    websocket=True,
)
async def exec_command(call: Call) -> web.StreamResponse:
    """Run a command in a task, over a WebSocket."""
    task = call.query.text("task")
    if not task:
        raise Invalid("", "task must be specified")
    command, tty = command_of(call), call.query.flag("tty")
    handshake = call.query.flag("ws_handshake")
    if not same_origin(call.request):
        raise HTTPFailure(403, "a page of another site may not run commands")
    socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX, autoping=True)
    if not socket.can_prepare(call.request).ok:
        raise Invalid("", "a WebSocket is needed for this")
    socket.headers.update(respond.base_headers(call.context.headers))
    await socket.prepare(call.request)
    try:
        if handshake:
            await _shake_hands(socket)
        alloc = alloc_of(call)
        request = ExecRequest(alloc_id=alloc.id, task=task, command=command, tty=tty)
        await _converse(call, socket, alloc.node_id, request)
    except HTTPFailure as failure:
        await _close(socket, failure.status, failure.text)
    except HanseError as error:
        await _close(socket, errors.status_of(error), str(error))
    else:
        await socket.close(code=WSCloseCode.OK)
    return socket


async def _shake_hands(socket: web.WebSocketResponse) -> None:
    try:
        async with asyncio.timeout(HANDSHAKE_S_MAX):
            message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise Invalid("handshake", "a text message is needed")
        shaken = _decode_handshake.decode(message.data)
    except TimeoutError:
        raise Invalid("handshake", "none came in time") from None
    except msgspec.MsgspecError as error:
        raise Invalid("handshake", str(error)) from None
    if shaken.version != 1:
        raise Invalid("handshake", f"version {shaken.version} is not known")


async def _close(socket: web.WebSocketResponse, status: int, text: str) -> None:
    code = WSCloseCode.INTERNAL_ERROR if status >= 500 else WSCloseCode.POLICY_VIOLATION
    await socket.close(code=code, message=text.encode()[:REASON_BYTES_MAX])


class _Gone(Exception):
    """The client went away; nobody is told."""


async def _converse(
    call: Call, socket: web.WebSocketResponse, node_id: str, request: ExecRequest
) -> None:
    """Carry messages both ways until the command has ended or the client has gone.

    Raises what the node raises, and Invalid for a message that makes no sense.
    """
    queue: asyncio.Queue[ExecInput | None] = asyncio.Queue(INPUTS_MAX)

    async def inputs() -> AsyncIterator[bytes]:
        while True:
            item = await queue.get()
            if item is None:
                return
            yield codec.encode(item)

    async def listen() -> None:
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                item = read_input(message.data)
                if item is not None:
                    await queue.put(item)
        raise _Gone

    async def speak() -> None:
        chunks = stream(call, node_id, "Exec", request, inputs())
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                output = _decode_output(chunk)
                for text in written_output(output):
                    await socket.send_str(text.decode())
                if output.exit_code is not None:
                    return

    try:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            await group.create_task(speak())
            listening.cancel()
    except* _Gone:
        pass
    except* HanseError as several:
        raise several.exceptions[0] from None
