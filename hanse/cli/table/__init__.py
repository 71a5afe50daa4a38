"""The table of all commands: what they are called, take, and say of themselves.

Help, completion, `docs/reference/cli.md` and the parsing of flags all come out of it.
"""

from __future__ import annotations

from hanse.cli.command import Command
from hanse.cli.flags import Flag
from hanse.cli.table import agents, allocs, jobs, nodes, others, quorum
from hanse.cli.table.shared import COLORS, GENERAL

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in sorted(
        (
            *jobs.COMMANDS,
            *allocs.COMMANDS,
            *nodes.COMMANDS,
            *agents.COMMANDS,
            *quorum.COMMANDS,
            *others.COMMANDS,
        ),
        key=lambda command: command.name,
    )
}
ALIASES: dict[str, str] = {
    alias: command.name for command in COMMANDS.values() for alias in command.aliases
}
#: What the first words of several commands have in common.
GROUPS: dict[str, str] = {
    "alloc": "Allocations: instances of a job's groups",
    "config": "Configuration of agents",
    "deployment": "Deployments: updates of jobs under way",
    "eval": "Evaluations: reasons to look at a job again",
    "job": "Jobs",
    "job tag": "Names of a job's versions",
    "namespace": "Namespaces",
    "node": "Nodes: the machines that run allocations",
    "node meta": "Metadata of nodes",
    "node pool": "Pools of nodes",
    "operator": "For those who run the region",
    "operator autopilot": "What the leader does by itself, and how the servers are",
    "operator raft": "The servers as one quorum",
    "operator scheduler": "How the scheduler decides",
    "scaling": "Scaling",
    "scaling policy": "Scaling policies",
    "server": "Servers",
    "service": "Services that jobs offer",
    "system": "The system as a whole",
}
#: Commands of Nomad's whose features come later; refused by name.
NOT_YET = frozenset(
    "acl action license login namespace-apply namespace-delete "
    "operator-client-state operator-debug operator-gossip operator-root "
    "operator-snapshot operator-utilization plugin quota recommendation sentinel setup tls var "
    "volume job-dispatch job-periodic job-promote job-action alloc-pause deployment-unblock "
    "node-identity node-intro node-pool-apply node-pool-delete node-pool-init "
    "scaling-policy-info system-reconcile monitor-export ui keygen keyring check debug".split()
)


def flags_of(command: Command) -> tuple[Flag, ...]:
    """All flags that a command takes. Its own win over the general ones."""
    if not command.general:
        return (*command.flags, *COLORS)
    own = {name for flag in command.flags for name in (flag.name, flag.alias) if name}
    return (*command.flags, *(f for f in (*GENERAL, *COLORS) if f.name not in own))
