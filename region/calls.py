"""Questions to nodes: a call goes down the node's session, the answer comes on a stream of its own.

So a log that is followed for hours, or a large file, never holds up a heartbeat. A call's id
cannot be guessed, and whoever opens an answer with it is the node that was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import structlog

from hanse.clock import Clock
from hanse.errors import Denied, HanseError, Invalid, NotFound, Unavailable, Unsupported
from hanse.rpc.codec import encode
from hanse.rpc.messages import (
    METHODS,
    AnswerEnd,
    AnswerFailed,
    AnswerMessage,
    Call,
    CallInput,
    Chunk,
)

log = structlog.get_logger(__name__)

#: How long a node may take to open the answer, and how many pieces wait for a slow reader.
OPEN_S = 10.0
_CHUNKS_MAX = 64
_CALLS_MAX = 10_000

Send = Callable[[Call], bool]
Write = Callable[[bytes], Awaitable[Any]]


class RemoteFailure(HanseError):
    """The node could not do as asked; it says why. Its kind is the node's."""

    kind = "driver-failed"


class _Unsupported(Unsupported):
    """The node does not support what was asked, in its own words."""

    def __init__(self, text: str) -> None:
        HanseError.__init__(self, text)
        self.what = (text,)


def failure(kind: str, text: str) -> HanseError:
    """The error that a node's answer stands for."""
    match kind:
        case "invalid":
            return Invalid("", text)
        case "not-found":
            return NotFound("", text=text)
        case "denied":
            return Denied(text)
        case "unsupported":
            return _Unsupported(text)
        case _:
            return RemoteFailure(text)


class _Waiting:
    """A call that is under way."""

    def __init__(self, node_id: str, inputs: AsyncIterator[bytes] | None) -> None:
        self.node_id = node_id
        self.inputs = inputs
        self.pieces: asyncio.Queue[bytes | HanseError | None] = asyncio.Queue(_CHUNKS_MAX)
        self.opened = asyncio.Event()
        #: The asker went away.
        self.abandoned = asyncio.Event()


class Calls:
    """All calls of one server that are under way."""

    def __init__(self, clock: Clock) -> None:
        """None yet."""
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    async def call(
        self,
        node_id: str,
        call_id: str,
        method: str,
        body: bytes,
        inputs: AsyncIterator[bytes] | None,
        send: Send,
    ) -> AsyncGenerator[bytes, None]:
        """Ask a node and give the pieces of its answer. Close it (`aclosing`) to hang up.

        Raises Unavailable if the node does not take the call, or goes away; and what it says.
        """
        if method not in METHODS:
            raise Invalid("method", f'"{method}" is not known')
        if len(self._waiting) >= _CALLS_MAX:
            raise Unavailable("this server, which has too many calls under way,", 0.0)
        waiting = self._waiting[call_id] = _Waiting(node_id, inputs)
        try:
            if not send(Call(id=call_id, method=method, body=body)):
                raise Unavailable(f"node {node_id}", 0.0)
            try:
                await asyncio.wait_for(waiting.opened.wait(), OPEN_S)
            except TimeoutError as error:
                raise Unavailable(f"node {node_id}", OPEN_S) from error
            while True:
                piece = await waiting.pieces.get()
                if piece is None:
                    return
                if isinstance(piece, HanseError):
                    raise piece
                yield piece
        finally:
            self._waiting.pop(call_id, None)
            waiting.abandoned.set()

    async def answer(
        self, call_id: str, messages: AsyncIterator[AnswerMessage], write: Write
    ) -> None:
        """Pass a node's answer on, and the asker's input back (`write`). Ends with either."""
        waiting = self._waiting.get(call_id)
        if waiting is None or waiting.opened.is_set():
            raise NotFound("call", call_id)
        waiting.opened.set()
        async with asyncio.TaskGroup() as group:
            tasks = {
                group.create_task(self._pass_on(waiting, messages)),
                group.create_task(_until(waiting.abandoned)),
            }
            forward = None
            if waiting.inputs is not None:
                forward = group.create_task(_forward(waiting.inputs, write))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, *((forward,) if forward is not None else ())):
                task.cancel()

    async def _pass_on(self, waiting: _Waiting, messages: AsyncIterator[AnswerMessage]) -> None:
        end: HanseError | None = Unavailable(f"node {waiting.node_id}", 0.0)
        try:
            async for message in messages:
                match message:
                    case Chunk(body=body):
                        await waiting.pieces.put(body)
                    case AnswerFailed(kind=kind, text=text):
                        end = failure(kind, text)
                        break
                    case AnswerEnd():
                        end = None
                        break
                    case _:
                        raise Invalid("message", "the answer was opened already")
        except HanseError as error:
            end = error
        await waiting.pieces.put(end)


async def _until(event: asyncio.Event) -> None:
    await event.wait()


async def _forward(inputs: AsyncIterator[bytes], write: Write) -> None:
    """Send the asker's input to the node."""
    if hasattr(inputs, "aclose"):
        async with aclosing(inputs) as source:  # type: ignore[type-var]
            async for body in source:
                await write(encode(CallInput(body=body)))
    else:
        async for body in inputs:
            await write(encode(CallInput(body=body)))
    await write(encode(CallInput(closed=True)))
