"""`hanse server …`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import yes
from hanse.cli.text import plural, table
from hanse.errors import HanseError
from hanse.sdk.types import AgentMember


def members(context: Context) -> int:
    """List the servers of all regions, and say who leads."""
    answer = context.client.agent.members()
    if wants_structured(context):
        return show_structured(context, answer.body)
    found = sorted(answer.value.members, key=lambda member: member.name)
    leaders: set[str] = set()
    problems: list[str] = []
    for region in sorted({member.tags.get("region", "") for member in found}):
        try:
            leader = context.client.agent.leader(region)
        except HanseError as error:
            problems.append(f'* Region "{region}": {error}')
            continue
        leaders.add(f"{region} {leader}")
    verbose = context.verbose or context.flags.on("detailed")
    context.out(_table(found, leaders, verbose=verbose, width=context.terminal.width))
    if problems:
        count = plural(len(problems), "error")
        text = "\n".join(problems)
        raise Failed(f"\nError determining leaders: {count} occurred:\n{text}")
    return 0


def _table(
    members: list[AgentMember], leaders: set[str], *, verbose: bool, width: int | None
) -> str:
    header = ["Name", "Address", "Port", "Status", "Leader"]
    header += (["Protocol"] if verbose else []) + ["Raft Version", "Build", "Datacenter", "Region"]
    header += ["Tags"] if verbose else []
    rows = []
    for member in members:
        tags = member.tags
        rpc = f"{tags.get('region', '')} {_rpc_address(member)}"
        row = [member.name, member.addr, str(member.port), member.status, yes(rpc in leaders)]
        row += [str(member.protocol_cur)] if verbose else []
        row += [tags.get(name, "") for name in ("raft_vsn", "build", "dc", "region")]
        row += [",".join(f"{k}={v}" for k, v in sorted(tags.items()))] if verbose else []
        rows.append(row)
    return table(header, rows, width=width)


def _rpc_address(member: AgentMember) -> str:
    host = member.tags.get("rpc_addr") or member.addr
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{member.tags.get('port', '')}"


def join(context: Context) -> int:
    """Tell a server of others."""
    answer = context.client.agent.join(context.arguments).value
    if answer.get("error"):
        raise Failed(f"Error joining: {answer['error']}")
    joined = answer.get("num_joined", 0)
    context.out(f"Joined {joined} servers successfully")
    return 0


def force_leave(context: Context) -> int:
    """Declare a server gone."""
    context.client.agent.force_leave(context.arguments[0], prune=context.flags.on("prune"))
    return 0
