"""Following an agent's log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from hanse.errors import Invalid, Unsupported
from hanse.log import level_number
from hanse.rpc.messages import MonitorRequest
from region.api import streams
from region.api.endpoint import Call, Param, Routes
from region.api.node_calls import NO_NODE, node_of, stream

routes = Routes("Agent")

HEARTBEAT_S = 10.0


@routes.add(
    "GET",
    "/v1/agent/monitor",
    kind="stream",
    response=bytes,
    content_type=streams.JSON,
    params=(
        Param("log_level", doc="This level and above (default `info`)."),
        Param("log_json", "boolean", "Lines of JSON."),
        Param("log_include_location", "boolean", "Accepted; lines always name their module."),
        Param("plain", "boolean", "Text rather than frames."),
        Param("node_id", doc="The log of this node's agent."),
        Param("server_id", doc="The log of this server, by name or `leader`."),
    ),
    statuses=NO_NODE,
)
async def monitor(call: Call) -> web.StreamResponse:
    """Follow the agent's log from now on."""
    level = call.query.text("log_level", "info")
    json, plain = call.query.flag("log_json"), call.query.flag("plain")
    call.query.flag("log_include_location")
    try:
        level_number(level)
    except ValueError as error:
        raise Invalid("log_level", str(error)) from None
    sending = streams.Sending(
        call, streams.TEXT if plain else streams.JSON, idle=b"" if plain else b"{}"
    )

    async def take(line: bytes | None) -> None:
        if not line:
            await sending.take(line)
            return
        text = line if line.endswith(b"\n") else line + b"\n"
        await sending.take(text if plain else streams.frame(text))

    lines = _lines(call, level, json=json)
    await streams.relay(lines, take, idle_s=HEARTBEAT_S, first_s=0.01)
    return await sending.finish()


def _lines(call: Call, level: str, *, json: bool) -> AsyncIterator[bytes]:
    """The log that is asked for. Raises NotFound and Unsupported."""
    agent = call.agent
    node = call.query.text("node_id")
    if node and node != agent.node_id:
        request = MonitorRequest(level=level, json=json)
        return stream(call, node_of(call), "Monitor", request)
    server = call.query.text("server_id")
    own = {agent.name, f"{agent.name}.{agent.region}"}
    if call.region.is_leader:
        own.add("leader")
    if server and server not in own:
        raise Unsupported([f"the log of another server ({server[:128]!r})"])
    return agent.logs(level, json=json)
