"""`hanse operator raft …` and `hanse operator autopilot …`."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import yes
from hanse.cli.text import pairs, table
from hanse.sdk.quorum import Quorum
from hanse.structs.quorum import AutopilotBody

_SWITCHES = {
    "cleanup-dead-servers": "cleanup_dead_servers",
    "enable-redundancy-zones": "enable_redundancy_zones",
    "disable-upgrade-migration": "disable_upgrade_migration",
    "enable-custom-upgrades": "enable_custom_upgrades",
}
_NUMBERS = {"max-trailing-logs": "max_trailing_logs", "min-quorum": "min_quorum"}
_TEXTS = {
    "last-contact-threshold": "last_contact_threshold",
    "server-stabilization-time": "server_stabilization_time",
}


def list_peers(context: Context) -> int:
    """Show the members of the quorum."""
    answer = Quorum(context.client).peers(stale=context.flags.on("stale"))
    if wants_structured(context):
        return show_structured(context, answer.body)
    header = ["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]
    rows = [
        [
            server.node,
            server.id,
            server.address,
            "leader" if server.leader else "follower",
            yes(server.voter),
            server.raft_protocol,
        ]
        for server in answer.value.servers
    ]
    context.out(table(header, rows, width=context.terminal.width))
    return 0


def remove_peer(context: Context) -> int:
    """Remove a member of the quorum for good."""
    server_id = context.flags.text("peer-id")
    if not server_id:
        raise UsageError("-peer-id is missing; `hanse operator raft list-peers` shows the ids")
    Quorum(context.client).remove(server_id)
    context.out(f'Removed peer with id "{server_id}"')
    return 0


def transfer(context: Context) -> int:
    """Have another server lead."""
    flags = context.flags
    server_id, address = flags.text("peer-id"), flags.text("peer-address")
    if server_id and address:
        raise UsageError("-peer-id and -peer-address exclude each other")
    done = Quorum(context.client).transfer(server_id=server_id, address=address)
    if address:
        context.out(f'Transferred leadership to peer with address "{done.to.address}"')
    else:
        context.out(f'Transferred leadership to peer with id "{done.to.id}"')
    return 0


def get_autopilot(context: Context) -> int:
    """Show how much the leader does by itself."""
    answer = Quorum(context.client).autopilot()
    if wants_structured(context):
        return show_structured(context, answer.body)
    config = answer.value
    rows = [
        ("CleanupDeadServers", yes(config.cleanup_dead_servers)),
        ("LastContactThreshold", str(config.last_contact_threshold)),
        ("MaxTrailingLogs", str(config.max_trailing_logs)),
        ("MinQuorum", str(config.min_quorum)),
        ("ServerStabilizationTime", str(config.server_stabilization_time)),
        ("EnableRedundancyZones", yes(config.enable_redundancy_zones)),
        ("DisableUpgradeMigration", yes(config.disable_upgrade_migration)),
        ("EnableCustomUpgrades", yes(config.enable_custom_upgrades)),
    ]
    context.out("\n".join(f"{name} = {value}" for name, value in rows))
    return 0


def set_autopilot(context: Context) -> int:
    """Change how much the leader does by itself; what is not named stays."""
    quorum = Quorum(context.client)
    body = changed(context, quorum.autopilot().value)
    if not quorum.set_autopilot(body):
        raise Failed("Configuration not updated: somebody else changed it meanwhile; try again")
    context.out("Configuration updated!")
    return 0


def changed(context: Context, body: AutopilotBody) -> AutopilotBody:
    """The configuration with what the flags say. Raises UsageError."""
    flags = context.flags
    changes: dict[str, Any] = {}
    for name, field in _SWITCHES.items():
        if flags.given(name):
            text = flags.text(name)
            if text not in ("true", "false"):
                raise UsageError(f"-{name} takes true or false, not {text!r}")
            changes[field] = text == "true"
    changes |= {f: flags.number(name) for name, f in _NUMBERS.items() if flags.given(name)}
    changes |= {f: flags.text(name) for name, f in _TEXTS.items() if flags.given(name)}
    return replace(body, **changes)


def health(context: Context) -> int:
    """Show how the servers are."""
    answer = Quorum(context.client).health()
    if wants_structured(context):
        return show_structured(context, answer.body)
    reply = answer.value
    context.out(
        pairs(
            [
                ("Healthy", yes(reply.healthy)),
                ("FailureTolerance", str(reply.failure_tolerance)),
                ("Leader", reply.leader),
                ("Voters", ", ".join(reply.voters)),
            ]
        )
    )
    header = ["ID", "Name", "Address", "SerfStatus", "Version", "Leader", "Voter", "Healthy"]
    header += ["LastContact", "LastTerm", "LastIndex", "StableSince"]
    rows = [
        [
            server.id,
            server.name,
            server.address,
            server.serf_status,
            server.version,
            yes(server.leader),
            yes(server.voter),
            yes(server.healthy),
            server.last_contact,
            str(server.last_term),
            str(server.last_index),
            server.stable_since,
        ]
        for server in reply.servers
    ]
    context.out()
    context.out(table(header, rows, width=context.terminal.width))
    return 0
