"""The other servers of the region, as the region's own parts see them (a port)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import grpc

from hanse.errors import NotFound
from hanse.service import Service
from region.writer import Leading


class Others(Protocol):
    """What a server of several asks the rest for."""

    def servers(self) -> Sequence[str]:
        """RPC addresses of all servers, for nodes to choose from."""
        ...

    def call_node(
        self, node_id: str, method: str, body: bytes, inputs: AsyncIterator[bytes] | None
    ) -> AsyncIterator[bytes]:
        """Ask a node that is connected to another server. Raises NotFound if it is to none."""
        ...

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """What this server's port serves the others with."""
        ...

    def leading(self, leading: Leading) -> Sequence[Service]:
        """What else must run while this server leads."""
        ...


class Nobody:
    """A region of one server."""

    def servers(self) -> Sequence[str]:
        """None but itself."""
        return ()

    async def call_node(
        self, node_id: str, method: str, body: bytes, inputs: AsyncIterator[bytes] | None
    ) -> AsyncIterator[bytes]:
        """Nobody to ask."""
        del node_id, method, body, inputs
        raise NotFound("node", text="No path to node")
        yield b""

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """Nothing."""
        return ()

    def leading(self, leading: Leading) -> Sequence[Service]:
        """Nothing."""
        del leading
        return ()
