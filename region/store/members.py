"""Connections to the members of the region's etcd, and which one to ask.

One channel for each member, never one over all of them: a gRPC channel that happens to try a
dead member first can take 7 s to move on, while a short deadline and our own choice of the
next take one. The first address is the local member and preferred: reads from it cost no
network, and it is the one whose death the agent shares anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio

from region.store.wire import stubs

_CLOSE_S = 1.0
RECEIVE_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True)
class Options:
    """Limits and times of the store's client. The defaults suit members supervised by us."""

    #: How long one call may take before the next member is asked. None: 0.3 s, 1 s when nothing
    #: has been answered for longer than an election takes, or 5 s where there is only one member
    #: and hurrying gains nothing.
    call_deadline_s: float | None = None
    #: The same for a page of a listing, which can be megabytes.
    page_deadline_s: float = 10.0
    #: How long the store may be without any answer before calls fail instead of waiting.
    patience_s: float = 3.0
    #: Pause between two rounds over all members.
    retry_s: float = 0.05
    #: How long a member that failed is avoided.
    avoid_s: float = 2.0
    #: A watch further behind than this lists afresh: catching up 200,000 revisions cost
    #: etcd a minute of CPU and slowed writers to 0.5 s.
    far_behind: int = 5_000
    #: A consumer that takes longer than this for one batch is checked for being far behind.
    slow_s: float = 1.0
    #: Needs `--grpc-keepalive-min-time=1s` on the members; 10 s suits any etcd.
    keepalive_s: float = 2.0
    #: Transactions that wait for the one on its way; more are refused as `Unavailable`.
    waiting_max: int = 100_000


@dataclass(frozen=True)
class Dialer:
    """How to open a channel."""

    credentials: grpc.ChannelCredentials | None
    keepalive_s: float
    ping_timeout_s: float

    def open(self, address: str) -> grpc.aio.Channel:
        """Make a channel of its own connection; it connects when first used."""
        settings: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", round(self.keepalive_s * 1000)),
            ("grpc.http2.ping_timeout_ms", round(self.ping_timeout_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.ping_timeout_s * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
            # etcd counts a ping on a connection without a call as abuse, whatever
            # `--grpc-keepalive-min-time` says, and soon closes it (too_many_pings).
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1000),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # Otherwise two channels to one address share a connection, and a large watch
            # response holds up the calls.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        if self.credentials is None:
            return grpc.aio.insecure_channel(address, options=settings)
        return grpc.aio.secure_channel(address, self.credentials, options=settings)


class Member:
    """One member and the channel for calls to it."""

    def __init__(self, address: str, dialer: Dialer) -> None:
        """Nothing is opened before the first call."""
        self.address = address
        self.dialer = dialer
        self._channel: grpc.aio.Channel | None = None
        self._stubs: dict[str, Any] = {}

    def kv(self) -> Any:
        """Reads and transactions."""
        return self._stub("KVStub")

    def lease(self) -> Any:
        """Leases."""
        return self._stub("LeaseStub")

    def maintenance(self) -> Any:
        """Status, alarms, defragmentation, snapshots."""
        return self._stub("MaintenanceStub")

    def cluster(self) -> Any:
        """The list of members."""
        return self._stub("ClusterStub")

    def dial(self) -> grpc.aio.Channel:
        """Open one more channel, for a watch. The caller closes it."""
        return self.dialer.open(self.address)

    def _stub(self, name: str) -> Any:
        found = self._stubs.get(name)
        if found is None:
            if self._channel is None:
                self._channel = self.dialer.open(self.address)
            found = self._stubs[name] = getattr(stubs, name)(self._channel)
        return found

    async def close(self) -> None:
        """Close the channel; a later call opens another.

        Calls under way have a moment to end: at a clean stop a leader may be resigning.
        """
        channel, self._channel = self._channel, None
        self._stubs.clear()
        if channel is not None:
            await channel.close(grace=_CLOSE_S)


@dataclass
class Members:
    """All of them, and how they did lately."""

    all: Sequence[Member]
    avoid_s: float
    #: For each, until when it is avoided.
    _avoided: list[float] = field(default_factory=list)
    #: Since when nobody has answered; None: the last call was answered.
    failing_since: float | None = None
    dialer: Dialer | None = None

    def __post_init__(self) -> None:
        self._avoided = [float("-inf")] * len(self.all)

    async def change(self, addresses: Sequence[str]) -> None:
        """Other members from now on; those that stay keep their connections and standing."""
        assert self.dialer is not None
        assert addresses
        self.dialer = replace(self.dialer, ping_timeout_s=_ping_timeout_s(len(addresses)))
        before = {member.address: (member, until) for member, until in self._standings()}
        kept = [before.pop(a, (Member(a, self.dialer), float("-inf"))) for a in addresses]
        self.all = [member for member, _ in kept]
        for member in self.all:
            member.dialer = self.dialer
        self._avoided = [until for _, until in kept]
        for member, _ in before.values():
            await member.close()

    def _standings(self) -> list[tuple[Member, float]]:
        return list(zip(self.all, self._avoided, strict=True))

    def best(self, now: float) -> Member:
        """Choose whom to ask."""
        return self.all[choose(self._avoided, now)]

    def answered(self, member: Member) -> None:
        """Note that `member` is well."""
        self._avoid(member, float("-inf"))
        self.failing_since = None

    def failed(self, member: Member, now: float) -> None:
        """Note that `member` did not answer, or could not."""
        self._avoid(member, now + self.avoid_s)
        if self.failing_since is None:
            self.failing_since = now

    def _avoid(self, member: Member, until: float) -> None:
        # A call may still have been under way to one that is a member no more.
        if member in self.all:
            self._avoided[self.all.index(member)] = until

    async def close(self) -> None:
        """Close all channels."""
        for member in self.all:
            await member.close()


def choose(avoided_until: Sequence[float], now: float) -> int:
    """Take the first that is not avoided, else the one whose failure is longest ago."""
    for index, until in enumerate(avoided_until):
        if until <= now:
            return index
    return min(range(len(avoided_until)), key=lambda index: avoided_until[index])


def _ping_timeout_s(members: int) -> float:
    """With nowhere else to go a slow answer is better than a broken connection."""
    return 2.0 if members > 1 else 10.0


def connect_all(
    endpoints: Sequence[str], credentials: grpc.ChannelCredentials | None, options: Options
) -> Members:
    """Describe the members at `endpoints` ("host:port"); the first one is preferred."""
    if not endpoints:
        raise ValueError("the store needs at least one endpoint")
    dialer = Dialer(credentials, options.keepalive_s, _ping_timeout_s(len(endpoints)))
    members = [Member(address, dialer) for address in endpoints]
    return Members(members, options.avoid_s, dialer=dialer)
