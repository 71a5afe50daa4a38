"""All endpoints, and the parts that they share."""

from __future__ import annotations

from typing import Any

from hanse.config.model import AgentConfig
from region.api import (
    allocations,
    deployments,
    evaluations,
    job_writes,
    jobs,
    nodes,
)
from region.api.admitting import Admitting
from region.api.agent import AgentInfo
from region.api.allocorder import AllocOrder
from region.api.allocstubs import StubCache
from region.api.endpoint import Endpoint
from region.api.ports import RegionPort

_ALL = (
    jobs.routes,
    job_writes.routes,
    allocations.routes,
    evaluations.routes,
    nodes.routes,
    deployments.routes,
)


def endpoints() -> list[Endpoint]:
    """Every endpoint of the API."""
    return [endpoint for routes in _ALL for endpoint in routes.endpoints]


def parts(region: RegionPort, agent: AgentInfo, config: AgentConfig) -> dict[str, Any]:
    """What the handlers share, by the name of its class."""
    made: tuple[Any, ...] = (
        Admitting(region.name, config),
        AllocOrder(region.state),
        StubCache(),
    )
    return {type(part).__name__: part for part in made}
