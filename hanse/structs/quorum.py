"""The servers of a region as the API shows them."""

from __future__ import annotations

import msgspec

from hanse.structs.wire import ZERO_TIME, Wire


class RaftServer(Wire, frozen=True, kw_only=True):
    """A member of the quorum."""

    id: str = ""
    node: str = ""
    address: str = ""
    leader: bool = False
    voter: bool = False
    raft_protocol: str = "3"


class RaftConfiguration(Wire, frozen=True, kw_only=True):
    """All members."""

    servers: tuple[RaftServer, ...] = ()
    index: int = 0


class LeadershipPeer(Wire, frozen=True, kw_only=True):
    """One end of a transfer."""

    address: str = ""
    id: str = ""


class LeadershipTransfer(Wire, frozen=True, kw_only=True):
    """Who led, and who leads."""

    from_: LeadershipPeer = msgspec.field(default=LeadershipPeer(), name="From")
    to: LeadershipPeer = LeadershipPeer()
    noop: bool = False
    err: str | None = None


class AutopilotBody(Wire, frozen=True, kw_only=True):
    """How much the leader does by itself; durations are texts such as `200ms`."""

    cleanup_dead_servers: bool = True
    last_contact_threshold: str | int = "2s"
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time: str | int = "10s"
    enable_redundancy_zones: bool = False
    disable_upgrade_migration: bool = False
    enable_custom_upgrades: bool = False
    create_index: int = 0
    modify_index: int = 0


class ServerHealth(Wire, frozen=True, kw_only=True):
    """How one server is."""

    id: str = ""
    name: str = ""
    address: str = ""
    serf_status: str = ""
    version: str = ""
    leader: bool = False
    last_contact: str = "0s"
    last_term: int = 0
    last_index: int = 0
    healthy: bool = False
    voter: bool = False
    stable_since: str = ZERO_TIME


class HealthReply(Wire, frozen=True, kw_only=True):
    """How the quorum is."""

    healthy: bool = False
    failure_tolerance: int = 0
    servers: tuple[ServerHealth, ...] = ()
    leader: str = ""
    voters: tuple[str, ...] = ()
