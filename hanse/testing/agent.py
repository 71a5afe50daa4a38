"""An agent in memory, for tests of the HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hanse.clock import Clock
from hanse.errors import Invalid, NotFound
from hanse.metrics import Metrics


class MemoryAgent:
    """What `region.api.agent.AgentInfo` asks for, with nothing behind it."""

    name = "agent-1"
    region = "global"
    datacenter = "dc1"
    version = "0.1.0"
    server_enabled = True
    client_enabled = False
    prometheus = True
    quorum: object | None = None

    def __init__(self, clock: Clock) -> None:
        """A server, started now."""
        self.metrics = Metrics(clock)
        self.started_ns = clock.wall_ns()
        self.node_id = ""
        #: Lines that `logs` gives.
        self.lines: list[bytes] = []
        self.member_list: list[object] = []
        self.reloads = 0

    def config(self) -> dict[str, object]:
        """A few of Nomad's keys."""
        return {
            "Region": self.region,
            "Datacenter": self.datacenter,
            "NodeName": self.name,
            "Version": {"Version": self.version, "Revision": ""},
            "ACL": {"Enabled": False},
            "Server": {"Enabled": True},
            "Client": {"Enabled": False},
        }

    def stats(self) -> dict[str, dict[str, str]]:
        """One section."""
        return {"nomad": {"server": "true", "leader": "true"}}

    def members(self) -> Sequence[object]:
        """What the test says."""
        return self.member_list

    def servers(self) -> Sequence[str]:
        """None but itself."""
        return ["127.0.0.1:4647"]

    def peers(self) -> Sequence[str]:
        """None but itself."""
        return ["127.0.0.1:4647"]

    async def logs(self, level: str, *, json: bool) -> AsyncIterator[bytes]:
        """The lines that the test says, then the end. Raises Invalid for an unknown level."""
        del json
        if level.upper() not in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR"):
            raise Invalid("log_level", f"unknown log level {level!r}")
        for line in self.lines:
            yield line

    async def join(self, addresses: Sequence[str]) -> int:
        """Nobody is met. Raises Invalid."""
        raise Invalid("address", f"nobody answers at {addresses[0]}")

    async def force_leave(self, node: str, *, prune: bool) -> None:
        """Nobody is known. Raises NotFound."""
        del prune
        raise NotFound("member", node)

    async def reload(self) -> None:
        """Count."""
        self.reloads += 1
