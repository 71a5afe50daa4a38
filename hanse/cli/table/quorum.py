"""`hanse operator raft …` and `hanse operator autopilot …`."""

from __future__ import annotations

from hanse.cli.command import Command
from hanse.cli.flags import Flag
from hanse.cli.table.shared import STRUCTURED

_BOOL = "true|false"

COMMANDS = (
    Command(
        "operator raft list-peers",
        "List the servers of the quorum",
        "hanse.cli.quorum:list_peers",
        "",
        (0, 0),
        (Flag("stale", "Answer without asking the leader."), *STRUCTURED),
        example="hanse operator raft list-peers",
    ),
    Command(
        "operator raft remove-peer",
        "Remove a server from the quorum, for good",
        "hanse.cli.quorum:remove_peer",
        "",
        (0, 0),
        (Flag("peer-id", "The server's id, as list-peers shows it.", "text", "id"),),
        "Refused when the others would be no quorum. A server that was removed joins as a new one "
        "when it is started again.",
        "hanse operator raft remove-peer -peer-id 6eb97821-55e7-4b0a-ad21-e2ed4447fc24",
    ),
    Command(
        "operator raft transfer-leadership",
        "Have another server lead",
        "hanse.cli.quorum:transfer",
        "",
        (0, 0),
        (
            Flag("peer-id", "The id of the server that shall lead.", "text", "id"),
            Flag("peer-address", "Its RPC address instead.", "text", "host:port"),
        ),
        "Without a server named, any other one takes over.",
        "hanse operator raft transfer-leadership",
    ),
    Command(
        "operator autopilot get-config",
        "Show what the leader does by itself",
        "hanse.cli.quorum:get_autopilot",
        "",
        (0, 0),
        STRUCTURED,
        example="hanse operator autopilot get-config",
    ),
    Command(
        "operator autopilot set-config",
        "Change what the leader does by itself",
        "hanse.cli.quorum:set_autopilot",
        "",
        (0, 0),
        (
            Flag("cleanup-dead-servers", "Remove servers that stay dead.", "text", _BOOL),
            Flag("last-contact-threshold", "Silent for longer is not well.", "text", "duration"),
            Flag("max-trailing-logs", "Further behind is not well.", "int", "n"),
            Flag(
                "min-quorum",
                "Never fewer voters than this by itself; 0 is bootstrap_expect.",
                "int",
                "n",
            ),
            Flag(
                "server-stabilization-time",
                "How long a new server must be well before it votes.",
                "text",
                "duration",
            ),
            Flag("enable-redundancy-zones", "Not supported.", "text", _BOOL),
            Flag("disable-upgrade-migration", "Accepted; there is none.", "text", _BOOL),
            Flag("enable-custom-upgrades", "Not supported.", "text", _BOOL),
        ),
        "What is not named stays as it is.",
        "hanse operator autopilot set-config -server-stabilization-time 30s",
    ),
    Command(
        "operator autopilot health",
        "Show how the servers are",
        "hanse.cli.quorum:health",
        "",
        (0, 0),
        STRUCTURED,
        example="hanse operator autopilot health",
    ),
)
