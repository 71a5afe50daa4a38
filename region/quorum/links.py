"""How a server asks another one: a channel to each, short deadlines, errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
import structlog

from hanse.errors import Denied, HanseError, Invalid, NoLeader, NotFound, Unavailable
from hanse.rpc.codec import MESSAGE_BYTES_MAX, decoder, encode
from hanse.rpc.messages import AnswerEnd, AnswerFailed, AnswerStart, CallInput, Chunk
from region.calls import failure
from region.quorum.model import (
    ASK_NODE,
    GREET,
    HEARD,
    JOIN,
    YIELD,
    Admitted,
    AskNode,
    Done,
    DoneAnswer,
    GreetAnswer,
    Greeting,
    JoinAnswer,
    JoinRequest,
    NodesHeard,
    Refusal,
    YieldRequest,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

GREET_S = 1.0
ASK_S = 3.0
JOIN_S = 10.0

#: grpc has no types.
_aio: Any = grpc.aio

NodePiece = AnswerStart | Chunk | AnswerFailed | AnswerEnd

_read_greet: Callable[[bytes], GreetAnswer] = decoder(GreetAnswer)
_read_join: Callable[[bytes], JoinAnswer] = decoder(JoinAnswer)
_read_done: Callable[[bytes], DoneAnswer] = decoder(DoneAnswer)
_read_piece: Callable[[bytes], NodePiece] = decoder(NodePiece)

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
)


class Links:
    """Connections to other servers, by their RPC address."""

    def __init__(self) -> None:
        """Nothing is opened before it is used."""
        self._channels: dict[str, Any] = {}

    async def close(self) -> None:
        """Close all of them."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def forget(self, address: str) -> None:
        """Close one; a later question opens another."""
        channel = self._channels.pop(address, None)
        if channel is not None:
            await channel.close()

    async def greet(self, address: str, greeting: Greeting) -> Greeting:
        """Exchange greetings. Raises Unavailable, Denied (the other refuses us), Invalid."""
        return _accepted(await self._ask(address, GREET, greeting, _read_greet, GREET_S))

    async def join(self, address: str, request: JoinRequest) -> Admitted:
        """Ask to be let in. Raises Unavailable, Denied, NoLeader."""
        return _accepted(await self._ask(address, JOIN, request, _read_join, JOIN_S))

    async def heard(self, address: str, news: NodesHeard) -> Done:
        """Tell the leader of nodes. Raises Unavailable, Denied."""
        return _accepted(await self._ask(address, HEARD, news, _read_done, ASK_S))

    async def ask_to_yield(self, address: str, request: YieldRequest) -> Done:
        """Ask a server to let another one lead. Raises Unavailable, Denied."""
        return _accepted(await self._ask(address, YIELD, request, _read_done, ASK_S))

    async def ask_node(
        self, address: str, ask: AskNode, inputs: AsyncIterator[bytes] | None
    ) -> AsyncIterator[bytes]:
        """Ask a node through the server it is connected to. Raises what that server says."""
        taken = asyncio.Event()
        call = self._channel(address).stream_stream(
            ASK_NODE, request_serializer=encode, response_deserializer=_read_piece
        )(_with_first(ask, inputs, taken))
        try:
            async for piece in call:
                match piece:
                    case AnswerStart():
                        taken.set()
                    case Chunk(body=body):
                        yield body
                    case AnswerFailed(kind=kind, text=text):
                        raise failure(kind, text)
                    case _:
                        return
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"server {address}", 0.0) from error
        finally:
            call.cancel()

    def _channel(self, address: str) -> Any:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = _aio.insecure_channel(address, options=_OPTIONS)
        return channel

    async def _ask(
        self,
        address: str,
        method: str,
        message: object,
        read: Callable[[bytes], T],
        limit_s: float,
    ) -> T:
        call = self._channel(address).unary_unary(
            method, request_serializer=encode, response_deserializer=read
        )
        try:
            answer: T = await call(message, timeout=limit_s)
        except grpc.aio.AioRpcError as error:
            waited_s = limit_s if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else 0.0
            raise Unavailable(f"server {address}", waited_s) from error
        return answer


async def _with_first(
    ask: AskNode, inputs: AsyncIterator[bytes] | None, taken: asyncio.Event
) -> AsyncIterator[AskNode | CallInput]:
    """The question, and the input once the other server has the node: it is there only once."""
    yield ask
    await taken.wait()
    if inputs is not None:
        async for body in inputs:
            yield CallInput(body=body)
        yield CallInput(closed=True)


def _accepted(answer: T | Refusal) -> T:
    if isinstance(answer, Refusal):
        raise refusal(answer)
    return answer


def refusal(said: Refusal) -> HanseError:
    """The error that another server's refusal stands for."""
    match said.kind:
        case "no-leader":
            return NoLeader()
        case "not-found":
            return NotFound("", text=said.text)
        case "unavailable":
            return Unavailable(said.text, 0.0)
        case "invalid":
            return Invalid("", said.text)
        case _:
            return Denied(said.text)
