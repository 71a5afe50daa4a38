"""`hanse monitor`."""

from __future__ import annotations

from hanse.cli.command import Context


def run(context: Context) -> int:
    """Follow an agent's log until it is interrupted."""
    flags = context.flags
    stream = context.client.stream(
        "/v1/agent/monitor",
        log_level=flags.text("log-level"),
        log_json=flags.on("json"),
        node_id=flags.text("node-id"),
        server_id=flags.text("server-id"),
        plain=True,
    )
    with stream:
        for chunk in stream.chunks():
            context.terminal.raw(chunk)
    return 0
