"""The servers' end of what servers ask each other (`region.quorum.model`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, cast

import grpc
import structlog

from hanse.errors import HanseError, Invalid
from hanse.rpc.codec import decoder, encode
from hanse.rpc.messages import AnswerEnd, AnswerFailed, AnswerStart, CallInput, Chunk
from region.quorum.model import (
    SERVICE,
    Admitted,
    AskNode,
    Card,
    Done,
    Greeting,
    JoinRequest,
    NodesHeard,
    Refusal,
    YieldRequest,
)

log = structlog.get_logger(__name__)

#: grpc has no types.
_grpc: Any = grpc

_read_greeting: Callable[[bytes], Greeting] = decoder(Greeting)
_read_join: Callable[[bytes], JoinRequest] = decoder(JoinRequest)
_read_heard: Callable[[bytes], NodesHeard] = decoder(NodesHeard)
_read_yield: Callable[[bytes], YieldRequest] = decoder(YieldRequest)
_read_ask: Callable[[bytes], AskNode | CallInput] = decoder(AskNode | CallInput)


class Host(Protocol):
    """What a server does when others ask."""

    def greeted(self, greeting: Greeting) -> Greeting | Refusal:
        """Answer a greeting."""
        ...

    async def admit(self, card: Card) -> Admitted:
        """Let a server in. Raises Denied, NoLeader, Unavailable."""
        ...

    def nodes_heard(self, news: NodesHeard) -> None:
        """Take note of nodes' signs of life. Raises NoLeader on a server that does not lead."""
        ...

    def give_way(self, to: str) -> None:
        """Let the server `to` lead."""
        ...

    def ask_own_node(
        self, ask: AskNode, inputs: AsyncIterator[bytes] | None
    ) -> AsyncIterator[bytes]:
        """Ask a node that is connected to this server. Raises NotFound if it is not."""
        ...

    def has_node(self, node_id: str) -> bool:
        """Whether the node is connected to this server."""
        ...


class Servicer:
    """The gRPC service."""

    def __init__(self, host: Host) -> None:
        """`host` does what is asked."""
        self._host = host

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server serves servers with."""
        methods = {
            "Greet": _grpc.unary_unary_rpc_method_handler(self._greet),
            "Join": _grpc.unary_unary_rpc_method_handler(self._join),
            "Heard": _grpc.unary_unary_rpc_method_handler(self._heard),
            "Yield": _grpc.unary_unary_rpc_method_handler(self._yield),
            "AskNode": _grpc.stream_stream_rpc_method_handler(self._ask_node),
        }
        return cast(
            "grpc.GenericRpcHandler", _grpc.method_handlers_generic_handler(SERVICE, methods)
        )

    async def _greet(self, data: bytes, context: object) -> bytes:
        async def work() -> Greeting | Refusal:
            return self._host.greeted(_read_greeting(data))

        return await _answered(work(), context)

    async def _join(self, data: bytes, context: object) -> bytes:
        async def work() -> Admitted:
            return await self._host.admit(_read_join(data).card)

        return await _answered(work(), context)

    async def _heard(self, data: bytes, context: object) -> bytes:
        async def work() -> Done:
            self._host.nodes_heard(_read_heard(data))
            return Done()

        return await _answered(work(), context)

    async def _yield(self, data: bytes, context: object) -> bytes:
        async def work() -> Done:
            self._host.give_way(_read_yield(data).to)
            return Done()

        return await _answered(work(), context)

    async def _ask_node(self, requests: AsyncIterator[bytes], context: Any) -> None:
        try:
            ask = _read_ask(await anext(requests))
            if not isinstance(ask, AskNode):
                raise Invalid("message", "a call begins with AskNode")
            inputs = _inputs(requests) if ask.has_inputs else None
            if self._host.has_node(ask.node_id):
                await context.write(encode(AnswerStart(call_id="")))
            async for body in self._host.ask_own_node(ask, inputs):
                await context.write(encode(Chunk(body=body)))
            await context.write(encode(AnswerEnd()))
        except StopAsyncIteration:
            return
        except HanseError as error:
            await context.write(encode(AnswerFailed(kind=error.kind, text=str(error))))


async def _inputs(requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for data in requests:
        message = _read_ask(data)
        if not isinstance(message, CallInput):
            raise Invalid("message", "the call is open already")
        if message.closed:
            return
        yield message.body


async def _answered(work: Awaitable[object], context: object) -> bytes:
    del context
    try:
        return encode(await work)
    except HanseError as error:
        return encode(Refusal(text=str(error), kind=error.kind))
