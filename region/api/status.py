"""Who leads, which regions there are, and how the agent is."""

from __future__ import annotations

import msgspec

from hanse.errors import Invalid, Unsupported
from hanse.metrics import MetricsSummary
from hanse.structs.wire import Wire
from region.api.agent import AgentMember
from region.api.endpoint import Answer, Call, Param, Routes, encode, json_answer
from region.api.errors import HTTPFailure
from region.api.gauges import gauges_of

routes = Routes("Agent")

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@routes.add("GET", "/v1/status/leader", response=str)
async def leader(call: Call) -> Answer:
    """Give the address of the region's leader; empty when there is none."""
    return json_answer(call.region.leader_address)


@routes.add("GET", "/v1/status/peers", response=list[str])
async def peers(call: Call) -> Answer:
    """List the addresses of the region's servers."""
    return json_answer(list(call.agent.peers()))


@routes.add("GET", "/v1/regions", response=list[str])
async def regions(call: Call) -> Answer:
    """List the regions that have a server alive."""
    alive = {m.tags.get("region", "") for m in call.agent.members() if m.status == "alive"}
    return json_answer(sorted((alive | {call.region.name}) - {""}))


class AgentSelf(Wire, frozen=True, kw_only=True):
    """The agent's settings and figures; keys of the outermost object are lower case."""

    config: dict[str, object] = msgspec.field(name="config")
    member: AgentMember | None = msgspec.field(name="member")
    stats: dict[str, dict[str, str]] = msgspec.field(name="stats")


@routes.add("GET", "/v1/agent/self", response=AgentSelf)
async def agent_self(call: Call) -> Answer:
    """Read the agent's configuration, without secrets, and its figures."""
    own = f"{call.agent.name}.{call.agent.region}"
    members = call.agent.members()
    member = next((item for item in members if item.name == own), None)
    return json_answer(
        AgentSelf(config=call.agent.config(), member=member, stats=call.agent.stats())
    )


class ServerMembers(Wire, frozen=True, kw_only=True):
    """The servers that gossip knows."""

    server_name: str = ""
    server_region: str = ""
    server_dc: str = msgspec.field(default="", name="ServerDC")
    members: tuple[AgentMember, ...] = ()


@routes.add("GET", "/v1/agent/members", response=ServerMembers)
async def members(call: Call) -> Answer:
    """List the servers of all regions."""
    agent = call.agent
    return json_answer(
        ServerMembers(
            server_name=agent.name,
            server_region=agent.region,
            server_dc=agent.datacenter,
            members=tuple(agent.members()),
        )
    )


class Health(msgspec.Struct, frozen=True):
    """Whether one role is well."""

    ok: bool
    message: str


class AgentHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """The roles that were asked for."""

    client: Health | None = None
    server: Health | None = None


@routes.add(
    "GET",
    "/v1/agent/health",
    response=AgentHealth,
    params=(Param("type", doc="Only this role.", enum=("server", "client")),),
    statuses={500: "A role is not well; the body says which."},
)
async def health(call: Call) -> Answer:
    """Say whether the agent is well; 500 when it is not."""
    agent = call.agent
    kind = call.query.text("type")
    if kind not in ("", "server", "client"):
        raise Invalid("type", "must be server or client")
    server = client = None
    if kind == "server" or (not kind and agent.server_enabled):
        if not agent.server_enabled:
            server = Health(False, "server not enabled")
        else:
            known = call.region.known_leader
            server = Health(known, "ok" if known else "no leader")
    if kind == "client" or (not kind and agent.client_enabled):
        if not agent.client_enabled:
            client = Health(False, "client not enabled")
        else:
            some = bool(agent.servers())
            client = Health(some, "ok" if some else "no known servers")
    answer = AgentHealth(client=client, server=server)
    well = all(item is None or item.ok for item in (server, client))
    return Answer(body=encode(answer), status=200 if well else 500)


class JoinResponse(msgspec.Struct, frozen=True):
    """How many servers were met."""

    num_joined: int
    error: str


@routes.write(
    "/v1/agent/join",
    response=JoinResponse,
    params=(Param("address", "array", "Servers to meet.", required=True),),
    statuses={501: "The agent is not a server."},
)
async def join(call: Call) -> Answer:
    """Meet other servers."""
    if not call.agent.server_enabled:
        raise HTTPFailure(501, "Invalid method")
    addresses = [address for address in call.query.all("address") if address]
    if not addresses:
        raise Invalid("", "missing address to join")
    return json_answer(JoinResponse(await call.agent.join(addresses), ""))


@routes.write(
    "/v1/agent/force-leave",
    params=(
        Param("node", doc="The server's name.", required=True),
        Param("prune", "boolean", "Forget it as well."),
    ),
    statuses={404: "There is no such server.", 501: "The agent is not a server."},
)
async def force_leave(call: Call) -> Answer:
    """Take a failed server for left."""
    if not call.agent.server_enabled:
        raise HTTPFailure(501, "Invalid method")
    node = call.query.text("node")
    if not node:
        raise Invalid("", "missing node to force leave")
    await call.agent.force_leave(node, prune=call.query.flag("prune"))
    return Answer()


@routes.add(
    "GET",
    "/v1/agent/servers",
    response=list[str],
    statuses={501: "The agent is not a client."},
)
async def servers(call: Call) -> Answer:
    """List the servers that the client uses."""
    if not call.agent.client_enabled:
        raise HTTPFailure(501, "Invalid method")
    return json_answer(list(call.agent.servers()))


@routes.write(
    "/v1/agent/servers",
    params=(Param("address", "array", "The servers to use from now on.", required=True),),
    statuses={501: "The agent is not a client."},
)
async def set_servers(call: Call) -> Answer:
    """Have the client use other servers: not done by this version."""
    if not call.agent.client_enabled:
        raise HTTPFailure(501, "Invalid method")
    raise Unsupported(["changing a client's servers while it runs"])


@routes.write("/v1/agent/reload")
async def reload(call: Call) -> Answer:
    """Read the agent's configuration again."""
    await call.agent.reload()
    return Answer()


@routes.add(
    "GET",
    "/v1/metrics",
    response=MetricsSummary,
    params=(Param("format", doc="`prometheus` gives text."),),
    statuses={415: "Prometheus metrics are not enabled."},
)
async def metrics(call: Call) -> Answer:
    """Read the measurements of the last ten seconds, or with `format=prometheus` the totals."""
    if call.query.text("format") == "prometheus":
        if not call.agent.prometheus:
            raise HTTPFailure(415, "Prometheus is not enabled")
        text = call.agent.metrics.prometheus(await gauges_of(call))
        return Answer(body=text.encode(), content_type=PROMETHEUS_TYPE)
    return json_answer(call.agent.metrics.snapshot(await gauges_of(call)))


@routes.write("/v1/system/gc")
async def system_gc(call: Call) -> Answer:
    """Forget all that is dead."""
    await call.region.collect_garbage()
    return Answer()


@routes.write("/v1/system/reconcile/summaries")
async def reconcile_summaries(call: Call) -> Answer:
    """Nothing to do: summaries are worked out from the allocations and cannot be wrong."""
    del call
    return Answer()
