"""The region's servers as one quorum: peers, leadership, autopilot."""

from __future__ import annotations

from typing import Any

import msgspec

from hanse.durations import format_duration, parse_duration
from hanse.errors import Invalid, Unsupported
from hanse.structs.quorum import (
    AutopilotBody,
    HealthReply,
    LeadershipPeer,
    LeadershipTransfer,
    RaftConfiguration,
    RaftServer,
    ServerHealth,
)
from hanse.structs.times import rfc3339
from region.api.endpoint import Answer, Call, Param, Routes, encode, json_answer
from region.quorum.autopilot import AutopilotConfiguration, failure_tolerance, healthy
from region.quorum.membership import Seat
from region.quorum.model import Card
from region.quorum.quorum import Quorum

routes = Routes("Operator")

_SECOND_NS = 1_000_000_000
_ID = Param("id", doc="The server's ID, as in the list of peers.")
_ADDRESS = Param("address", doc="The address of its RPC.")


def _quorum(call: Call) -> Quorum:
    quorum = call.agent.quorum
    if not isinstance(quorum, Quorum):
        raise Unsupported(["peers of an etcd that is not supervised by the agents"])
    return quorum


@routes.read("/v1/operator/raft/configuration", response=RaftConfiguration)
async def raft_configuration(call: Call) -> Answer:
    """List the members of the quorum."""
    leader = call.region.leader_address
    servers = [_raft_server(seat, leader) for seat in await _quorum(call).seats()]
    servers.sort(key=lambda server: server.node)
    return json_answer(RaftConfiguration(servers=tuple(servers), index=call.state.revision))


def _raft_server(seat: Seat, leader: str) -> RaftServer:
    card, member = seat.card, seat.member
    if card is None:
        host = seat.peer_urls[0].partition("://")[2] if seat.peer_urls else ""
        return RaftServer(
            id=f"{member.member_id:x}", node=member.name, address=host, voter=member.voter
        )
    return RaftServer(
        id=card.id,
        node=f"{card.name}.{card.region}",
        address=card.rpc,
        leader=bool(leader) and card.rpc == leader,
        voter=member.voter,
    )


@routes.add(
    "DELETE",
    "/v1/operator/raft/peer",
    params=(_ID, _ADDRESS),
    statuses={404: "There is no such peer."},
)
async def remove_peer(call: Call) -> Answer:
    """Remove a member from the quorum, for good."""
    server_id, address = _one_of(call)
    await _quorum(call).remove_peer(server_id=server_id, address=address)
    return Answer(body=b"null")


def _one_of(call: Call, *, required: bool = True) -> tuple[str, str]:
    server_id, address = call.query.text("id"), call.query.text("address")
    if server_id and address:
        raise Invalid("", "must specify either id or address, not both")
    if required and not (server_id or address):
        raise Invalid("", "must specify either id or address")
    return server_id, address


@routes.write(
    "/v1/operator/raft/transfer-leadership",
    response=LeadershipTransfer,
    params=(_ID, _ADDRESS),
    statuses={404: "There is no such peer."},
)
async def transfer_leadership(call: Call) -> Answer:
    """Have another server lead; without `id` or `address`, any other."""
    server_id, address = _one_of(call, required=False)
    old, new = await _quorum(call).transfer_leadership(server_id=server_id, address=address)
    return json_answer(LeadershipTransfer(from_=_peer(old), to=_peer(new), noop=old.id == new.id))


def _peer(card: Card) -> LeadershipPeer:
    return LeadershipPeer(address=card.rpc, id=card.id)


@routes.read("/v1/operator/autopilot/configuration", response=AutopilotBody)
async def autopilot_configuration(call: Call) -> Answer:
    """Read how much the leader does by itself."""
    config = await _quorum(call).autopilot_config()
    plain: dict[str, Any] = {
        name: getattr(config, name) for name in AutopilotBody.__struct_fields__ if _same(name)
    }
    body = AutopilotBody(
        **plain,
        last_contact_threshold=format_duration(config.last_contact_threshold_ns),
        server_stabilization_time=format_duration(config.server_stabilization_time_ns),
    )
    return json_answer(body)


def _same(name: str) -> bool:
    return name in AutopilotConfiguration.__struct_fields__


@routes.write(
    "/v1/operator/autopilot/configuration",
    body=AutopilotBody,
    response=bool,
    params=(Param("cas", "integer", "Only at this index.", minimum=0, maximum=2**63 - 1),),
)
async def set_autopilot_configuration(call: Call) -> Answer:
    """Set how much the leader does by itself."""
    try:
        body = msgspec.json.decode(call.body, type=AutopilotBody)
    except msgspec.MsgspecError as error:
        raise Invalid("request body", str(error)) from error
    config = configuration_of(body)
    cas = call.query.integer("cas", low=0, high=2**63 - 1)
    return json_answer(await _quorum(call).set_autopilot_config(config, cas))


def configuration_of(body: AutopilotBody) -> AutopilotConfiguration:
    """What a body means. Raises Invalid, Unsupported. Pure."""
    later = [
        name
        for name, on in (
            ("EnableRedundancyZones", body.enable_redundancy_zones),
            ("EnableCustomUpgrades", body.enable_custom_upgrades),
        )
        if on
    ]
    if later:
        raise Unsupported(later)
    if body.max_trailing_logs < 0 or body.min_quorum < 0:
        raise Invalid("MaxTrailingLogs, MinQuorum", "must not be negative")
    return AutopilotConfiguration(
        cleanup_dead_servers=body.cleanup_dead_servers,
        last_contact_threshold_ns=_duration(
            "LastContactThreshold", body.last_contact_threshold, least_ns=_SECOND_NS // 10
        ),
        max_trailing_logs=body.max_trailing_logs,
        min_quorum=body.min_quorum,
        server_stabilization_time_ns=_duration(
            "ServerStabilizationTime", body.server_stabilization_time
        ),
        disable_upgrade_migration=body.disable_upgrade_migration,
    )


def _duration(name: str, value: str | int, *, least_ns: int = 0) -> int:
    try:
        found = parse_duration(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Invalid(name, str(error)) from error
    if found < least_ns:
        raise Invalid(name, f"must be at least {format_duration(least_ns)}")
    return found


@routes.add(
    "GET",
    "/v1/operator/autopilot/health",
    response=HealthReply,
    statuses={429: "A server is not well; the body says which."},
)
async def autopilot_health(call: Call) -> Answer:
    """Say how the servers are; 429 if one is not well."""
    quorum = _quorum(call)
    config = await quorum.autopilot_config()
    seats = await quorum.seats()
    now_ns = call.region.clock.wall_ns()
    leader = call.region.leader_address
    servers = [_server_health(seat, config, leader, now_ns) for seat in seats]
    servers.sort(key=lambda server: server.name)
    reply = HealthReply(
        healthy=bool(leader) and all(server.healthy for server in servers),
        failure_tolerance=failure_tolerance([seat.member for seat in seats]),
        servers=tuple(servers),
        leader=next((server.id for server in servers if server.leader), ""),
        voters=tuple(server.id for server in servers if server.voter),
    )
    return Answer(body=encode(reply), status=200 if reply.healthy else 429)


def _server_health(
    seat: Seat, config: AutopilotConfiguration, leader: str, now_ns: int
) -> ServerHealth:
    member, card = seat.member, seat.card
    since_ns = now_ns - int(member.since_s * _SECOND_NS)
    contact_ns = int(seat.last_contact_s * 1000) * 1_000_000
    return ServerHealth(
        id=card.id if card is not None else f"{member.member_id:x}",
        name=f"{member.name}.{card.region}" if card is not None else member.name,
        address=card.rpc if card is not None else "",
        serf_status="alive" if seat.reachable else "failed",
        version=card.version if card is not None else "",
        leader=card is not None and bool(leader) and card.rpc == leader,
        last_contact=format_duration(contact_ns),
        last_term=seat.health.raft_term,
        last_index=seat.health.raft_index,
        healthy=healthy(member, config),
        voter=member.voter,
        stable_since=rfc3339(since_ns),
    )
