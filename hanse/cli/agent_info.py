"""What the HTTP API shows of the agent it is part of."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from hanse import __version__
from hanse.clock import Clock
from hanse.config.addresses import advertised
from hanse.config.model import AgentConfig
from hanse.errors import NotFound, Unsupported
from hanse.log import LogHub, level_number
from hanse.metrics import Metrics
from region.api.agent import AgentMember
from region.server import Region

#: Nomad's version whose interfaces these are: what its clients look at before they use a feature.
COMPATIBLE_VERSION = "2.0.6"


@dataclass
class Agent:
    """Implements `region.api.agent.AgentInfo`."""

    settings: AgentConfig
    clock: Clock
    metrics: Metrics
    hub: LogHub
    node_id: str
    #: Set once the region exists; None on an agent without a server.
    server: Region | None
    on_reload: Callable[[], None]
    started_ns: int = 0

    def __post_init__(self) -> None:
        """Remember when it began."""
        self.started_ns = self.clock.wall_ns()

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.settings.name

    @property
    def region(self) -> str:
        """Its region."""
        return self.settings.region

    @property
    def datacenter(self) -> str:
        """Its datacenter."""
        return self.settings.datacenter

    @property
    def version(self) -> str:
        """Hanse's version."""
        return __version__

    @property
    def server_enabled(self) -> bool:
        """Whether it is a server."""
        return self.settings.server.enabled

    @property
    def client_enabled(self) -> bool:
        """Whether it is a client."""
        return self.settings.client.enabled

    @property
    def prometheus(self) -> bool:
        """Whether Prometheus may read the metrics."""
        return self.settings.telemetry.prometheus_metrics

    def config(self) -> dict[str, object]:
        """The configuration under Nomad's keys."""
        settings = self.settings
        plain = cast("dict[str, object]", _pascal(msgspec.to_builtins(settings)))
        plain.update(
            {
                "NodeName": settings.name,
                "Version": {
                    "Version": COMPATIBLE_VERSION,
                    "VersionPrerelease": "",
                    "VersionMetadata": f"hanse-{__version__}",
                    "Revision": "",
                },
                "ACL": {"Enabled": False},
                "TLSConfig": {"EnableHTTP": False, "EnableRPC": False},
                "Vaults": [],
                "Consuls": [],
                "DevMode": settings.dev,
            }
        )
        return plain

    def stats(self) -> dict[str, dict[str, str]]:
        """What `agent-info` prints."""
        found: dict[str, dict[str, str]] = {
            "runtime": {
                "version": f"python {platform.python_version()}",
                "arch": platform.machine(),
                "kernel.name": platform.system().lower(),
            }
        }
        if self.server is not None:
            found["nomad"] = {
                "server": "true",
                "leader": _truth(self.server.is_leader),
                "leader_addr": self.server.leader_address,
                "known_regions": "1",
            }
            found["raft"] = {
                "applied_index": str(self.server.state.revision),
                "state": "Leader" if self.server.is_leader else "Follower",
                "num_peers": "0",
            }
            found["serf"] = {"members": "1", "failed": "0", "left": "0"}
        if self.node_id:
            found["client"] = {"node_id": self.node_id}
        return found

    def members(self) -> Sequence[AgentMember]:
        """This server; others come with the quorum."""
        if self.server is None:
            return ()
        settings = self.settings
        host = advertised(settings.advertise.serf, settings.bind_addr)
        tags = {
            "role": "nomad",
            "region": settings.region,
            "dc": settings.datacenter,
            "build": __version__,
            "id": self.name,
            "rpc_addr": host,
            "port": str(settings.ports.rpc),
            "raft_vsn": "3",
            "bootstrap": "1",
            "expect": str(settings.server.bootstrap_expect),
        }
        name = f"{settings.name}.{settings.region}"
        return (AgentMember(name=name, addr=host, port=settings.ports.serf, tags=tags),)

    def servers(self) -> Sequence[str]:
        """Servers that the client talks to."""
        return self.settings.client.servers or self.peers()

    def peers(self) -> Sequence[str]:
        """This server; others come with the quorum."""
        host = advertised(self.settings.advertise.rpc, self.settings.bind_addr)
        return (f"{host}:{self.settings.ports.rpc}",)

    async def logs(self, level: str, *, json: bool) -> AsyncIterator[bytes]:
        """Lines of the log, the recent ones first."""
        woken = asyncio.Event()
        listener = self.hub.listen(level_number(level), woken.set)
        try:
            while True:
                woken.clear()
                lines = listener.take()
                if lines:
                    texts = (line.json if json else line.text for line in lines)
                    yield "".join(f"{text}\n" for text in texts).encode()
                await woken.wait()
        finally:
            self.hub.leave(listener)

    async def join(self, addresses: Sequence[str]) -> int:
        """Other servers come with the quorum."""
        raise Unsupported([f"joining {', '.join(addresses)[:200]}"])

    async def force_leave(self, node: str, *, prune: bool) -> None:
        """There is no other member that could have failed."""
        del prune
        raise NotFound("member", node)

    async def reload(self) -> None:
        """Read the configuration again."""
        self.on_reload()


def _truth(value: bool) -> str:
    return "true" if value else "false"


_WORDS = {"http": "HTTP", "rpc": "RPC", "gc": "GC", "cpu": "CPU", "id": "ID"}


def _pascal(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    items = cast("Mapping[str, Any]", value)
    return {
        "".join(_WORDS.get(word, word.capitalize()) for word in key.split("_")): (
            inner if key in ("meta", "options", "plugins") else _pascal(inner)
        )
        for key, inner in items.items()
    }
