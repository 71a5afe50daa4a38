"""All endpoints, and the parts that they share."""

from __future__ import annotations

import asyncio
from typing import Any

from hanse.config.model import AgentConfig
from region.api import (
    allocations,
    client_allocs,
    client_fs,
    deployments,
    evaluations,
    event_stream,
    exec_socket,
    job_writes,
    jobs,
    monitor,
    namespaces,
    nodes,
    openapi,
    operator,
    parse,
    quorum,
    refused,
    search,
    services,
    status,
    statuses,
)
from region.api.admitting import Admitting
from region.api.agent import AgentInfo
from region.api.allocchunks import ChunkCache
from region.api.allocorder import AllocOrder
from region.api.bodies import Workers
from region.api.endpoint import Endpoint
from region.api.events import EventBuffer
from region.api.openapi import OpenApi
from region.api.ports import RegionPort

_ALL = (
    jobs.routes,
    job_writes.routes,
    allocations.routes,
    evaluations.routes,
    nodes.routes,
    deployments.routes,
    services.routes,
    namespaces.routes,
    status.routes,
    statuses.routes,
    operator.routes,
    quorum.routes,
    search.routes,
    client_fs.routes,
    client_allocs.routes,
    exec_socket.routes,
    monitor.routes,
    event_stream.routes,
    openapi.routes,
    parse.routes,
)


def endpoints() -> list[Endpoint]:
    """Every endpoint of the API."""
    own = [endpoint for routes in _ALL for endpoint in routes.endpoints]
    return own + refused.endpoints()


def parts(region: RegionPort, agent: AgentInfo, config: AgentConfig) -> dict[str, Any]:
    """What the handlers share, by the name of its class."""
    ready: asyncio.Event | None = getattr(region, "ready", None)
    made: tuple[Any, ...] = (
        Admitting(region, config),
        AllocOrder(region.state),
        ChunkCache(region.state),
        Workers(),
        EventBuffer(region.state, lambda: ready is None or ready.is_set()),
        OpenApi(endpoints(), agent.version),
    )
    return {type(part).__name__: part for part in made}
