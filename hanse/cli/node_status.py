"""`hanse node status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hanse.cli.command import Context, Failed
from hanse.cli.lookup import find_node
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import node_table, yes
from hanse.cli.text import ago, bold, mebibytes, moment, pairs, short_id, span, table
from hanse.durations import SECOND_NS
from hanse.errors import HanseError
from hanse.structs.node import Node
from hanse.structs.stats import HostStats
from hanse.structs.times import parse_rfc3339

if TYPE_CHECKING:
    from hanse.sdk.types import AllocationDetail

_EVENTS_SHOWN_MAX = 10
#: What allocations use is asked one by one; of more than this it would take too long.
_ASKED_MAX = 250


def run(context: Context) -> int:
    """List nodes, or show one."""
    if context.flags.on("self"):
        return show(context, own_node(context))
    if context.arguments:
        return show(context, find_node(context, context.arguments[0]).id)
    return listing(context)


def own_node(context: Context) -> str:
    """The id of the node of the agent that is asked. Raises Failed."""
    stats = context.client.agent.self().value.get("stats", {})
    node_id = stats.get("client", {}).get("node_id", "") if isinstance(stats, dict) else ""
    if not node_id:
        raise Failed("The agent is no client: it has no node")
    return str(node_id)


def listing(context: Context) -> int:
    """All nodes."""
    flags = context.flags
    nodes = context.client.nodes
    answer = nodes.list(
        filter=flags.text("filter"),
        per_page=flags.number("per-page"),
        next_token=flags.text("page-token"),
        os=flags.on("os"),
    )
    if wants_structured(context):
        return show_structured(context, answer.body)
    if flags.on("quiet"):
        for stub in answer.value:
            context.out(short_id(stub.id, verbose=context.verbose))
    elif answer.value:
        running = None
        if flags.on("allocs"):
            allocs = context.client.allocations.list(namespace="*", task_states="false").value
            running = Counter(a.node_id for a in allocs if a.client_status == "running")
        shown = node_table(
            answer.value,
            verbose=context.verbose,
            systems=flags.on("os"),
            running=running,
            width=context.terminal.width,
        )
        context.out(shown)
    else:
        context.out("No nodes found")
    more(context, answer.next_token)
    return 0


def more(context: Context, next_token: str) -> None:
    """The foot of a page."""
    if next_token:
        command = f"hanse {context.command.name} -page-token {next_token}"
        context.out("\nResults have been paginated. To get the next page run:\n\n" + command)


def show(context: Context, node_id: str) -> int:
    """One node."""
    answer = context.client.nodes.get(node_id)
    if wants_structured(context):
        return show_structured(context, answer.body)
    node = answer.value
    stats = _stats(context, node)
    allocs = context.client.nodes.allocations(node_id, namespace="*").value
    context.out(pairs(_basics(context, node, stats)))
    if context.flags.on("short"):
        context.out(f"\n{bold('Allocations')}\n{_allocations(context, allocs)}")
        return 0
    for title, text in _sections(context, node, stats, allocs):
        context.out(f"\n{bold(title)}\n{text}")
    return 0


def _stats(context: Context, node: Node) -> HostStats | None:
    if node.status != "ready":
        return None
    try:
        return context.client.nodes.stats(node.id).value
    except HanseError:
        # Only the node itself knows, and it may be away; the rest is still worth reading.
        return None


def _basics(context: Context, node: Node, stats: HostStats | None) -> list[tuple[str, str]]:
    drivers = [
        name if driver.healthy else f"{name} (unhealthy)"
        for name, driver in sorted(node.drivers.items())
        if driver.detected
    ]
    drain = yes(node.drain_strategy is not None)
    strategy = node.drain_strategy
    if strategy is not None:
        at_ns = parse_rfc3339(strategy.force_deadline)
        if at_ns:
            drain += f"; force deadline {ago(at_ns, context.now_ns())}"
        elif strategy.deadline_ns < 0:
            drain += "; force drain"
        else:
            drain += "; no deadline"
    return [
        ("ID", short_id(node.id, verbose=context.verbose)),
        ("Name", node.name),
        ("Node Pool", node.node_pool),
        ("Class", node.node_class),
        ("DC", node.datacenter),
        ("Drain", drain),
        ("Eligibility", node.scheduling_eligibility),
        ("Status", node.status),
        ("CSI Controllers", ",".join(sorted(node.csi_controller_plugins))),
        ("CSI Drivers", ",".join(sorted(node.csi_node_plugins))),
        ("Uptime", span(stats.uptime * SECOND_NS) if stats is not None else ""),
        ("Host Volumes", ",".join(sorted(node.host_volumes))),
        ("Host Networks", ",".join(sorted(node.host_networks))),
        ("CSI Volumes", ""),
        ("Driver Status", ",".join(drivers)),
    ]


def _sections(
    context: Context,
    node: Node,
    stats: HostStats | None,
    allocs: Sequence[AllocationDetail],
) -> list[tuple[str, str]]:
    sections = []
    if context.verbose:
        sections.append(("Drivers", _drivers(node, context.terminal.width)))
    sections += [
        ("Node Events", _events(node, context.terminal.width)),
        ("Allocated Resources", allocated(node, allocs)),
    ]
    if usage := _allocation_use(context, node, allocs):
        sections.append(("Allocation Resource Utilization", usage))
    if stats is not None:
        sections.append(("Host Resource Utilization", _host_use(node, stats)))
        if context.flags.on("stats"):
            sections += host_details(stats)
    sections.append(("Allocations", _allocations(context, allocs)))
    if context.verbose:
        sections += [
            ("Attributes", pairs(sorted(node.attributes.items()))),
            ("Meta", pairs(sorted(node.meta.items()))),
        ]
    return sections


def _drivers(node: Node, width: int | None) -> str:
    rows = [
        [
            name,
            yes(driver.detected),
            yes(driver.healthy),
            driver.health_description,
            moment(parse_rfc3339(driver.update_time)),
        ]
        for name, driver in sorted(node.drivers.items())
    ]
    return table(["Driver", "Detected", "Healthy", "Message", "Time"], rows, width=width)


def _events(node: Node, width: int | None) -> str:
    newest = sorted(node.events, key=lambda e: parse_rfc3339(e.timestamp), reverse=True)
    rows = [
        [moment(parse_rfc3339(event.timestamp)), event.subsystem, event.message]
        for event in newest[:_EVENTS_SHOWN_MAX]
    ]
    return table(["Time", "Subsystem", "Message"], rows, width=width)


def _live(allocs: Sequence[AllocationDetail]) -> list[AllocationDetail]:
    over = ("complete", "failed", "lost")
    return [alloc for alloc in allocs if alloc.client_status not in over]


def _totals(node: Node) -> tuple[int, int, int]:
    """CPU in MHz, memory and disk in MiB that allocations may have."""
    has, keeps = node.node_resources, node.reserved_resources
    if has is None:
        return (0, 0, 0)
    if keeps is None:
        return (has.cpu.cpu_shares, has.memory.memory_mb, has.disk.disk_mb)
    return (
        has.cpu.cpu_shares - keeps.cpu.cpu_shares,
        has.memory.memory_mb - keeps.memory.memory_mb,
        has.disk.disk_mb - keeps.disk.disk_mb,
    )


def allocated(node: Node, allocs: Sequence[AllocationDetail]) -> str:
    """What the live allocations were given. Pure."""
    cpu = memory = disk = 0
    live = _live(allocs)
    for alloc in live:
        given = alloc.allocated_resources
        if given is None:
            continue
        cpu += sum(task.cpu.cpu_shares for task in given.tasks.values())
        memory += sum(task.memory.memory_mb for task in given.tasks.values())
        disk += given.shared.disk_mb
    mib = 1024 * 1024
    cpu_all, memory_all, disk_all = _totals(node)
    row = [
        f"{cpu}/{cpu_all} MHz",
        f"{mebibytes(memory * mib)}/{mebibytes(memory_all * mib)}",
        f"{mebibytes(disk * mib)}/{mebibytes(disk_all * mib)}",
        str(len(live)),
    ]
    return table(["CPU", "Memory", "Disk", "Alloc Count"], [row])


def _allocation_use(context: Context, node: Node, allocs: Sequence[AllocationDetail]) -> str:
    running = [alloc for alloc in allocs if alloc.client_status == "running"]
    if node.status != "ready" or len(running) > _ASKED_MAX:
        return ""
    ticks, memory = 0.0, 0
    for alloc in running:
        try:
            used = context.client.allocations.stats(alloc.id, namespace=alloc.namespace).value
        except HanseError:
            # It may just have ended.
            continue
        if used.resource_usage is None:
            continue
        cpu_stats, memory_stats = used.resource_usage.cpu_stats, used.resource_usage.memory_stats
        ticks += cpu_stats.total_ticks if cpu_stats is not None else 0.0
        memory += (memory_stats.rss or memory_stats.usage) if memory_stats is not None else 0
    cpu_all, memory_all, _ = _totals(node)
    row = [
        f"{ticks:.0f}/{cpu_all} MHz",
        f"{mebibytes(memory)}/{mebibytes(memory_all * 1024 * 1024)}",
    ]
    return table(["CPU", "Memory"], [row])


def _host_use(node: Node, stats: HostStats) -> str:
    cpu_all = node.node_resources.cpu.cpu_shares if node.node_resources is not None else 0
    memory, disk = stats.memory, stats.alloc_dir_stats
    row = [
        f"{stats.cpu_ticks_consumed:.0f}/{cpu_all} MHz",
        f"{mebibytes(memory.used)}/{mebibytes(memory.total)}" if memory is not None else "",
        f"{mebibytes(disk.used)}/{mebibytes(disk.size)}" if disk is not None else "",
    ]
    return table(["CPU", "Memory", "Disk"], [row])


def host_details(stats: HostStats) -> list[tuple[str, str]]:
    """What the host uses, in detail. Pure."""
    sections = []
    if stats.cpu:
        rows = [
            [cpu.cpu, f"{cpu.user:.1f}%", f"{cpu.system:.1f}%", f"{cpu.idle:.1f}%"]
            for cpu in stats.cpu
        ]
        sections.append(("CPU Stats", table(["CPU", "User", "System", "Idle"], rows)))
    if (memory := stats.memory) is not None:
        sizes = (memory.total, memory.available, memory.used, memory.free)
        row = [mebibytes(size) for size in sizes]
        sections.append(("Memory Stats", table(["Total", "Available", "Used", "Free"], [row])))
    if stats.disk_stats:
        rows = [
            [
                disk.device,
                disk.mountpoint,
                mebibytes(disk.size),
                mebibytes(disk.used),
                mebibytes(disk.available),
                f"{disk.used_percent:.1f}%",
                f"{disk.inodes_used_percent:.1f}%",
            ]
            for disk in stats.disk_stats
        ]
        header = "Device,MountPoint,Size,Used,Available,Used Percent,Inodes Percent".split(",")
        sections.append(("Disk Stats", table(header, rows)))
    return sections


def _allocations(context: Context, allocs: Sequence[AllocationDetail]) -> str:
    if not allocs:
        return "No allocations placed"
    verbose, now_ns = context.verbose, context.now_ns()
    newest = sorted(allocs, key=lambda alloc: (-alloc.create_index, alloc.id))
    rows = [
        [
            short_id(alloc.id, verbose=verbose),
            *([alloc.eval_id] if verbose else []),
            short_id(alloc.node_id, verbose=verbose),
            alloc.task_group,
            str(alloc.job.version) if alloc.job is not None else "",
            alloc.desired_status,
            alloc.client_status,
            moment(alloc.create_time) if verbose else ago(alloc.create_time, now_ns),
            moment(alloc.modify_time) if verbose else ago(alloc.modify_time, now_ns),
        ]
        for alloc in newest
    ]
    header = ["ID", *(["Eval ID"] if verbose else []), "Node ID"]
    header += "Task Group,Version,Desired,Status,Created,Modified".split(",")
    return table(header, rows, width=context.terminal.width)
