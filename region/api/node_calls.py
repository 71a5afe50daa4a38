"""Asking a node something, over whichever server it is connected to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from hanse.errors import Invalid, NotFound, TooLarge
from hanse.rpc import codec
from hanse.structs.allocation import Allocation
from region.api.endpoint import Answer, Call, Param

#: The largest answer that is not a stream.
ANSWER_BYTES_MAX = 16 * 1024 * 1024

NODE_ID = Param("node_id", doc="The node; this agent's own when absent.")
NO_ALLOC = {404: "There is no such allocation, or its node is not connected."}
NO_NODE = {404: "There is no such node, or it is not connected."}


def alloc_of(call: Call) -> Allocation:
    """The allocation of the path. Raises NotFound in Nomad's words."""
    alloc_id = call.args["alloc_id"]
    alloc = call.state.allocation(alloc_id)
    if alloc is None:
        raise NotFound("alloc", text=f'Unknown allocation "{alloc_id}"')
    return alloc


def node_of(call: Call, named: str = "") -> str:
    """The node asked for, or this agent's own. Raises Invalid and NotFound."""
    node_id = call.query.text("node_id") or named or call.agent.node_id
    if not node_id:
        raise Invalid("", "No local Node and node_id not provided")
    if call.state.node(node_id) is None:
        raise NotFound("node", text=f'Unknown node "{node_id}"')
    return node_id


def stream(
    call: Call,
    node_id: str,
    method: str,
    request: msgspec.Struct,
    inputs: AsyncIterator[bytes] | None = None,
) -> AsyncIterator[bytes]:
    """The chunks of a node's answer."""
    return call.region.call_node(node_id, method, codec.encode(request), inputs)


async def document(call: Call, node_id: str, method: str, request: msgspec.Struct) -> bytes:
    """The whole of a node's answer. Raises TooLarge."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream(call, node_id, method, request):
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise TooLarge("the node's answer", size=size, size_max=ANSWER_BYTES_MAX)
        chunks.append(chunk)
    return b"".join(chunks)


async def json_of(call: Call, node_id: str, method: str, request: msgspec.Struct) -> Answer:
    """An answer that the node has encoded already."""
    return Answer(body=await document(call, node_id, method, request))
