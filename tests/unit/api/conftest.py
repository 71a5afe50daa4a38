"""An API over a region in memory, and a client for it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from hanse.clock import SystemClock
from hanse.config.model import AgentConfig
from hanse.testing.agent import MemoryAgent
from hanse.testing.region import MemoryRegion
from region.api.app import build_app

ClientFor = Callable[..., Awaitable[TestClient]]


@pytest.fixture
def region() -> MemoryRegion:
    return MemoryRegion(SystemClock())


@pytest.fixture
def agent(region: MemoryRegion) -> MemoryAgent:
    return MemoryAgent(region.clock)


@pytest.fixture
async def client(region: MemoryRegion, agent: MemoryAgent) -> AsyncIterator[TestClient]:
    app = build_app(region, agent, config=AgentConfig())
    async with TestClient(TestServer(app, handler_cancellation=True)) as client:
        yield client
