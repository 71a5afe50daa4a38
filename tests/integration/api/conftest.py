"""The API on real sockets, over the real region on a store in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from hanse.clock import SystemClock
from hanse.config.model import AgentConfig, Limits, Ports
from hanse.service import supervise
from hanse.testing.agent import MemoryAgent
from hanse.testing.region import MemoryRegion
from hanse.testing.store import MemoryStore
from region.api.ports import RegionPort
from region.api.serve import HttpService
from region.server import Region

Serve = Callable[..., Awaitable[str]]

LOOPBACK = AgentConfig(
    name="agent-1",
    bind_addr="127.0.0.1",
    ports=Ports(http=0, rpc=0, serf=0, etcd_client=0, etcd_peer=0),
    limits=Limits(http_max_conns_per_client=0),
)


@asynccontextmanager
async def serving(
    region: RegionPort, config: AgentConfig, *, client_enabled: bool
) -> AsyncIterator[str]:
    """The API of a region, on a port of the system's choice; gives its address."""
    agent = MemoryAgent(region.clock)
    agent.client_enabled = client_enabled
    service = HttpService(region, agent, config, region.clock)
    ((host, port),) = service.bind()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervise([service], stop))
        await service.ready.wait()
        try:
            yield f"http://{host}:{port}"
        finally:
            stop.set()


@asynccontextmanager
async def leading() -> AsyncIterator[Region]:
    """A region that leads itself, its store in memory."""
    region = Region(MemoryStore(), LOOPBACK, SystemClock())
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervise(region.services(), stop))
        await region.ready.wait()
        while not region.is_leader:
            await region.clock.sleep(0.01)
        try:
            yield region
        finally:
            stop.set()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves regions until the test has ended."""
    async with AsyncExitStack() as stack:

        async def start(
            region: RegionPort, config: AgentConfig = LOOPBACK, *, client_enabled: bool = False
        ) -> str:
            served = serving(region, config, client_enabled=client_enabled)
            return await stack.enter_async_context(served)

        yield start


@pytest.fixture
def memory() -> MemoryRegion:
    """A region in memory that schedules nothing."""
    return MemoryRegion(SystemClock())


@pytest.fixture
async def region() -> AsyncIterator[Region]:
    """The real region."""
    async with leading() as region:
        yield region


@pytest.fixture
async def url(region: Region, serve: Serve) -> str:
    """Where the real region is served."""
    return await serve(region)
