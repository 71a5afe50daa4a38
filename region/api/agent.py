"""What the HTTP API needs of the agent around it; `hanse.cli` makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from hanse.metrics import Metrics
from hanse.structs.wire import Wire


class AgentMember(Wire, frozen=True, kw_only=True):
    """A server that gossip knows."""

    name: str = ""
    addr: str = ""
    port: int = 0
    tags: dict[str, str] = {}
    status: str = "alive"
    protocol_min: int = 1
    protocol_max: int = 5
    protocol_cur: int = 2
    delegate_min: int = 2
    delegate_max: int = 5
    delegate_cur: int = 4


class AgentInfo(Protocol):
    """The agent that serves the API."""

    @property
    def name(self) -> str:
        """The agent's name."""
        ...

    @property
    def region(self) -> str:
        """Its region."""
        ...

    @property
    def datacenter(self) -> str:
        """Its datacenter."""
        ...

    @property
    def version(self) -> str:
        """Hanse's version, without a `v`."""
        ...

    @property
    def started_ns(self) -> int:
        """When it started, nanoseconds since 1970."""
        ...

    @property
    def server_enabled(self) -> bool:
        """Whether it is a server."""
        ...

    @property
    def client_enabled(self) -> bool:
        """Whether it is a client."""
        ...

    @property
    def node_id(self) -> str:
        """The client's node; empty where there is none."""
        ...

    @property
    def metrics(self) -> Metrics:
        """Where measurements are kept."""
        ...

    @property
    def prometheus(self) -> bool:
        """Whether `telemetry.prometheus_metrics` is on."""
        ...

    @property
    def quorum(self) -> object | None:
        """This server's part in the quorum (`region.quorum.quorum.Quorum`), if it has one."""
        ...

    def config(self) -> dict[str, object]:
        """The configuration with Nomad's keys, every secret replaced by `<redacted>`."""
        ...

    def stats(self) -> dict[str, dict[str, str]]:
        """Sections `nomad`, `raft`, `serf`, `client`, `runtime` of text values."""
        ...

    def members(self) -> Sequence[AgentMember]:
        """All servers of all regions that are known."""
        ...

    def servers(self) -> Sequence[str]:
        """`ip:port` of the servers that the client uses."""
        ...

    def peers(self) -> Sequence[str]:
        """`ip:port` of the RPC of this region's servers."""
        ...

    def logs(self, level: str, *, json: bool) -> AsyncIterator[bytes]:
        """Lines of the log from now on, at this level and above; close it to end it."""
        ...

    async def join(self, addresses: Sequence[str]) -> int:
        """Meet other servers; gives how many were met. Raises HanseError."""
        ...

    async def force_leave(self, node: str, *, prune: bool) -> None:
        """Take a failed server for left. Raises NotFound."""
        ...

    async def reload(self) -> None:
        """Read the configuration again, as SIGHUP does. Raises Invalid."""
        ...
