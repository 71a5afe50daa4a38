"""An API over a region in memory, and a client for it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from hanse.clock import SystemClock
from hanse.config.model import AgentConfig
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import EphemeralDisk, Job, TaskGroup
from hanse.structs.node import Node
from hanse.structs.task import NetworkResource, Port, Resources, Task
from hanse.structs.taskstate import AllocatedPortMapping, TaskState
from hanse.testing.agent import MemoryAgent
from hanse.testing.region import MemoryRegion
from region.api.app import build_app

NODE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def region() -> MemoryRegion:
    return MemoryRegion(SystemClock())


@pytest.fixture
def agent(region: MemoryRegion) -> MemoryAgent:
    return MemoryAgent(region.clock)


@pytest.fixture
def config() -> AgentConfig:
    return AgentConfig()


@pytest.fixture
async def client(
    region: MemoryRegion, agent: MemoryAgent, config: AgentConfig
) -> AsyncIterator[TestClient]:
    app = build_app(region, agent, config=config)
    async with TestClient(TestServer(app, handler_cancellation=True)) as client:
        yield client


@pytest.fixture
def job() -> Callable[..., Job]:
    """A job that is whole enough for all views."""

    def make(job_id: str = "web", **changes: Any) -> Job:
        ports = NetworkResource(dynamic_ports=(Port(label="http", to=80),))
        task = Task(
            name="front",
            driver="raw_exec",
            config={"command": "/bin/sleep", "image": "redis:7"},
            resources=Resources(cpu=100, memory_mb=64),
        )
        group = TaskGroup(
            name="g",
            count=2,
            tasks=(task,),
            networks=(ports,),
            ephemeral_disk=EphemeralDisk(size_mb=300),
        )
        fields: dict[str, Any] = {
            "id": job_id,
            "name": job_id,
            "namespace": "default",
            "region": "global",
            "type": "service",
            "priority": 50,
            "datacenters": ("*",),
            "node_pool": "default",
            "task_groups": (group,),
        }
        return Job(**{**fields, **changes})

    return make


@pytest.fixture
def alloc() -> Callable[..., Allocation]:
    """The n-th allocation of a job."""

    def make(number: int = 0, **changes: Any) -> Allocation:
        port = AllocatedPortMapping(label="http", value=20000 + number, to=80, host_ip="10.0.0.1")
        fields: dict[str, Any] = {
            "id": f"{number:08x}-0000-4000-8000-000000000000",
            "namespace": "default",
            "job_id": "web",
            "job_version": 0,
            "group": "g",
            "index": number,
            "node_id": NODE,
            "eval_id": "22222222-2222-4222-8222-222222222222",
            "ports": (port,),
            "client": AllocStatus(
                alloc_id=f"{number:08x}-0000-4000-8000-000000000000",
                client_status="running",
                task_states={"front": TaskState(state="running")},
            ),
        }
        return Allocation(**{**fields, **changes})

    return make


@pytest.fixture
def node() -> Node:
    return Node(
        id=NODE,
        secret_id="do-not-show",
        name="node-1",
        datacenter="dc1",
        http_addr="10.0.0.1:4646",
        node_pool="default",
        status="ready",
        scheduling_eligibility="eligible",
        attributes={"os.name": "debian", "nomad.version": "0.1.0"},
        meta={"rack": "r1"},
    )
