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
from region.quorum.cards import card_of, meeting
from region.quorum.model import Card, Standing
from region.quorum.quorum import Quorum
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
    #: This server's part in a quorum; None where there is none.
    quorum: Quorum | None = None

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
            if self.quorum is not None:
                found["raft"] |= {name: str(v) for name, v in self.quorum.facts().items()}
            standings = [member.status for member in self.members()]
            found["serf"] = {
                "members": str(len(standings)),
                "failed": str(standings.count("failed")),
                "left": str(standings.count("left")),
            }
        if self.node_id:
            found["client"] = {"node_id": self.node_id}
        return found

    def members(self) -> Sequence[AgentMember]:
        """The region's servers that are known."""
        if self.quorum is not None:
            pairs: Sequence[tuple[Card, Standing]] = self.quorum.standings()
        elif self.server is not None:
            pairs = [(card_of(self.settings), "alive")]
        else:
            return ()
        return tuple(_member(card, standing) for card, standing in pairs)

    def servers(self) -> Sequence[str]:
        """Servers that the client talks to."""
        return self.settings.client.servers or self.peers()

    def peers(self) -> Sequence[str]:
        """RPC addresses of the region's servers."""
        if self.quorum is not None:
            return tuple(card.rpc for card, _ in self.quorum.standings())
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
        """Meet other servers; gives how many. Raises Invalid, Unsupported."""
        if self.quorum is None or self.settings.dev:
            raise Unsupported([f"joining {', '.join(addresses)[:200]} from this agent"])
        return await self.quorum.join([meeting(address, self.settings) for address in addresses])

    async def force_leave(self, node: str, *, prune: bool) -> None:
        """Remove a server that failed. Raises NotFound, Denied."""
        del prune
        if self.quorum is None:
            raise NotFound("member", node)
        await self.quorum.force_leave(node)

    async def reload(self) -> None:
        """Read the configuration again."""
        self.on_reload()


def _member(card: Card, standing: Standing) -> AgentMember:
    host, _, port = card.rpc.rpartition(":")
    tags = {
        "role": "nomad",
        "region": card.region,
        "dc": card.datacenter,
        "build": card.version,
        "id": card.id or card.name,
        "rpc_addr": host,
        "port": port,
        "raft_vsn": "3",
        "expect": str(card.expect),
    }
    if card.expect == 1:
        tags["bootstrap"] = "1"
    name = f"{card.name}.{card.region}"
    return AgentMember(name=name, addr=host, port=card.serf_port, tags=tags, status=standing)


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
