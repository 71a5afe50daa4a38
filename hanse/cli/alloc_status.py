"""`hanse alloc status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli.command import Context
from hanse.cli.lookup import find_alloc
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import alloc_table, reasons
from hanse.cli.text import ago, bold, mebibytes, moment, pairs, short_id, table
from hanse.errors import HanseError
from hanse.structs.evaluation import AllocMetric
from hanse.structs.stats import AllocResourceUsage
from hanse.structs.taskstate import TaskEvent, TaskState
from hanse.structs.times import parse_rfc3339

if TYPE_CHECKING:
    from hanse.sdk.types import AllocationDetail

_EVENTS_SHOWN_MAX = 10
_NOT_YET = "N/A"


def run(context: Context) -> int:
    """List allocations, or show one."""
    if not context.arguments:
        answer = context.client.allocations.list()
        if wants_structured(context):
            return show_structured(context, answer.body)
        shown = alloc_table(
            answer.value,
            now_ns=context.now_ns(),
            verbose=context.verbose,
            width=context.terminal.width,
        )
        context.out(shown if answer.value else "No allocations placed")
        return 0
    return show(context, find_alloc(context, context.arguments[0]).id)


def show(context: Context, alloc_id: str) -> int:
    """One allocation."""
    answer = context.client.allocations.get(alloc_id)
    if wants_structured(context):
        return show_structured(context, answer.body)
    alloc = answer.value
    context.out(pairs(_basics(context, alloc)))
    if context.flags.on("short"):
        context.out(f"\n{bold('Tasks')}\n{_short_tasks(alloc, width=context.terminal.width)}")
        return 0
    if addresses := _addresses(alloc):
        mode = _network_mode(alloc)
        title = f"Allocation Addresses{mode}:"
        context.out(f"\n{bold(title)}\n{addresses}")
    if checks := _checks(context, alloc):
        context.out(f"\n{bold('Nomad Service Checks:')}\n{checks}")
    usage = _usage(context, alloc)
    for name in _in_order(alloc):
        context.out("\n" + _task(context, alloc, name, usage))
    if (context.verbose or alloc.client_status == "failed") and alloc.metrics is not None:
        context.out("\n" + placement_metrics(alloc.metrics, scores=True))
    return 0


def _basics(context: Context, alloc: AllocationDetail) -> list[tuple[str, str]]:
    verbose, now_ns = context.verbose, context.now_ns()

    def when(at_ns: int) -> str:
        return moment(at_ns) if verbose else ago(at_ns, now_ns)

    version = str(alloc.job.version) if alloc.job is not None else ""
    rows = [
        ("ID", alloc.id if verbose else short_id(alloc.id)),
        ("Eval ID", short_id(alloc.eval_id, verbose=verbose)),
        ("Name", alloc.name),
        ("Node ID", short_id(alloc.node_id, verbose=verbose)),
        ("Node Name", alloc.node_name),
        ("Job ID", alloc.job_id),
        ("Job Version", version),
        ("Client Status", alloc.client_status),
        ("Client Description", alloc.client_description),
        ("Desired Status", alloc.desired_status),
        ("Desired Description", alloc.desired_description),
        ("Created", when(alloc.create_time)),
        ("Modified", when(alloc.modify_time)),
    ]
    if alloc.deployment_id:
        status = alloc.deployment_status
        health = {True: "healthy", False: "unhealthy"}.get(
            status.healthy if status is not None and status.healthy is not None else None,  # type: ignore[arg-type]
            "unset",
        )
        rows += [
            ("Deployment ID", short_id(alloc.deployment_id, verbose=verbose)),
            ("Deployment Health", health),
        ]
        if status is not None and status.canary:
            rows.append(("Canary", "true"))
    if alloc.next_allocation:
        next_id = short_id(alloc.next_allocation, verbose=verbose)
        rows.append(("Replacement Alloc ID", next_id))
    rows += _rescheduling(context, alloc)
    if verbose and alloc.metrics is not None:
        rows += [
            ("Evaluated Nodes", str(alloc.metrics.nodes_evaluated)),
            ("Filtered Nodes", str(alloc.metrics.nodes_filtered)),
            ("Exhausted Nodes", str(alloc.metrics.nodes_exhausted)),
            ("Allocation Time", f"{alloc.metrics.allocation_time_ns / 1000:g}µs"),
            ("Failures", str(alloc.metrics.coalesced_failures)),
        ]
    return rows


def _rescheduling(context: Context, alloc: AllocationDetail) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    tracker = alloc.reschedule_tracker
    group = next(
        (g for g in (alloc.job.task_groups if alloc.job else ()) if g.name == alloc.task_group),
        None,
    )
    policy = group.reschedule_policy if group is not None else None
    if tracker is not None and tracker.events and policy is not None:
        limit = "" if policy.unlimited else f"/{policy.attempts}"
        rows.append(("Reschedule Attempts", f"{len(tracker.events)}{limit}"))
    if alloc.client_status == "failed" and alloc.followup_eval_id and not alloc.next_allocation:
        followup = context.client.evaluations.get(
            alloc.followup_eval_id, namespace=alloc.namespace
        ).value
        at_ns = parse_rfc3339(followup.wait_until)
        if at_ns > context.now_ns():
            rows.append(("Reschedule Eligibility", ago(at_ns, context.now_ns())))
    return rows


def _network_mode(alloc: AllocationDetail) -> str:
    resources = alloc.allocated_resources
    modes = [n.mode for n in resources.shared.networks if n.mode] if resources else []
    return f' (mode = "{modes[0]}")' if modes and modes[0] != "host" else ""


def _addresses(alloc: AllocationDetail) -> str:
    resources = alloc.allocated_resources
    if resources is None or not resources.shared.ports:
        return ""
    static = {
        port.label
        for group in (alloc.job.task_groups if alloc.job else ())
        if group.name == alloc.task_group
        for network in group.networks
        for port in network.reserved_ports
    }
    rows = [
        [
            f"*{port.label}",
            "" if port.label in static else "yes",
            f"{_host(port.host_ip)}:{port.value}" + (f" -> {port.to}" if port.to > 0 else ""),
        ]
        for port in resources.shared.ports
    ]
    header = ["Label", "Dynamic", "Address"]
    return table(header, [[cell or " " for cell in row] for row in rows])


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _checks(context: Context, alloc: AllocationDetail) -> str:
    if alloc.client_status not in ("pending", "running") or not _has_checks(alloc):
        return ""
    try:
        results = context.client.allocations.checks(alloc.id).value
    except HanseError:
        # The node may be away; the rest of the page is still worth reading.
        return ""
    rows = [
        [check.service, check.task or "(group)", check.check, check.mode, check.status]
        for check in sorted(results.values(), key=lambda c: (c.service, c.task, c.check))
    ]
    return table(["Service", "Task", "Name", "Mode", "Status"], rows) if rows else ""


def _has_checks(alloc: AllocationDetail) -> bool:
    return any(
        service.checks
        for group in (alloc.job.task_groups if alloc.job else ())
        if group.name == alloc.task_group
        for service in (*group.services, *(s for task in group.tasks for s in task.services))
    )


def _usage(context: Context, alloc: AllocationDetail) -> AllocResourceUsage:
    if alloc.client_status != "running":
        return AllocResourceUsage()
    try:
        return context.client.allocations.stats(alloc.id).value
    except HanseError:
        # Usage comes from the node, which may be away; the servers' answer stands without it.
        return AllocResourceUsage()


def _in_order(alloc: AllocationDetail) -> list[str]:
    """Task names: those that run before the main ones first."""
    lifecycles = alloc.allocated_resources.task_lifecycles if alloc.allocated_resources else {}
    order = {"prestart": 0, "poststart": 2, "poststop": 3}

    def place(name: str) -> tuple[int, str]:
        lifecycle = lifecycles.get(name)
        return (order.get(lifecycle.hook, 1) if lifecycle is not None else 1, name)

    return sorted(alloc.task_states, key=place)


def _task(context: Context, alloc: AllocationDetail, name: str, usage: AllocResourceUsage) -> str:
    state = alloc.task_states[name]
    lifecycle = None
    if alloc.allocated_resources is not None:
        lifecycle = alloc.allocated_resources.task_lifecycles.get(name)
    kind = ""
    if lifecycle is not None and lifecycle.hook:
        kind = f" ({lifecycle.hook}{' sidecar' if lifecycle.sidecar else ''})"
    parts = [bold(f'Task "{name}"{kind} is "{state.state}"')]
    if resources := _task_resources(alloc, name, usage):
        parts.append(f"Task Resources:\n{resources}")
    if context.flags.on("stats") and (stats := task_stats(usage, name)):
        parts.append(stats)
    parts.append(f"Task Events:\n{pairs(_times(state, verbose=context.verbose))}")
    parts.append(f"Recent Events:\n{_events(context, state)}")
    first, second, *rest = parts
    return "\n".join([f"{first}\n{second}"] + [f"\n{part}" for part in rest])


def _task_resources(alloc: AllocationDetail, name: str, usage: AllocResourceUsage) -> str:
    resources = alloc.allocated_resources
    given = resources.tasks.get(name) if resources is not None else None
    if resources is None or given is None:
        return ""
    cpu = f"{given.cpu.cpu_shares} MHz"
    memory = f"{given.memory.memory_mb} MiB"
    used = usage.tasks.get(name)
    if used is not None and used.resource_usage is not None:
        if (cpu_stats := used.resource_usage.cpu_stats) is not None:
            cpu = f"{cpu_stats.total_ticks:.0f}/{cpu}"
        if (memory_stats := used.resource_usage.memory_stats) is not None:
            in_use = memory_stats.rss or memory_stats.usage
            memory = f"{mebibytes(in_use)}/{memory}"
    if given.memory.memory_max_mb > given.memory.memory_mb:
        memory += f" Max: {given.memory.memory_max_mb} MiB"
    addresses = [
        f"{port.label}: {_host(network.ip)}:{port.value}"
        for network in given.networks
        for port in (*network.reserved_ports, *network.dynamic_ports)
    ]
    rows = [[cpu, memory, f"{resources.shared.disk_mb} MiB", addresses[0] if addresses else " "]]
    rows += [[" ", " ", " ", address] for address in addresses[1:]]
    return table(["CPU", "Memory", "Disk", "Addresses"], rows)


def task_stats(usage: AllocResourceUsage, name: str) -> str:
    """What a task uses, in detail. Pure."""
    used = usage.tasks.get(name)
    if used is None or used.resource_usage is None:
        return ""
    parts = []
    if (memory := used.resource_usage.memory_stats) is not None:
        known = [
            ("RSS", memory.rss),
            ("Cache", memory.cache),
            ("Swap", memory.swap),
            ("Usage", memory.usage),
            ("Max Usage", memory.max_usage),
            ("Kernel Usage", memory.kernel_usage),
            ("Kernel Max Usage", memory.kernel_max_usage),
        ]
        shown = [(title, value) for title, value in known if title in memory.measured] or known[:1]
        header = [title for title, _ in shown]
        parts.append(f"Memory Stats\n{table(header, [[mebibytes(value) for _, value in shown]])}")
    if (cpu := used.resource_usage.cpu_stats) is not None:
        header = ["Percent", "System Mode", "User Mode", "Throttled Periods", "Throttled Time"]
        row = [
            f"{cpu.percent:.2f}%",
            f"{cpu.system_mode:.2f}%",
            f"{cpu.user_mode:.2f}%",
            str(cpu.throttled_periods),
            str(cpu.throttled_time),
        ]
        parts.append(f"CPU Stats\n{table(header, [row])}")
    return "\n\n".join(parts)


def _times(state: TaskState, *, verbose: bool) -> list[tuple[str, str]]:
    del verbose
    return [
        ("Started At", moment(parse_rfc3339(state.started_at)) or _NOT_YET),
        ("Finished At", moment(parse_rfc3339(state.finished_at)) or _NOT_YET),
        ("Total Restarts", str(state.restarts)),
        ("Last Restart", moment(parse_rfc3339(state.last_restart)) or _NOT_YET),
    ]


def _events(context: Context, state: TaskState) -> str:
    # Later in the list is later in time, also where the clock saw no difference.
    newest = sorted(state.events, key=lambda event: event.time)[::-1]
    rows = [
        [moment(event.time), event.type, event_text(event) or " "]
        for event in newest[:_EVENTS_SHOWN_MAX]
    ]
    return table(["Time", "Type", "Description"], rows, width=context.terminal.width)


def event_text(event: TaskEvent) -> str:
    """What happened, in words. Pure."""
    return (
        event.display_message
        or event.message
        or event.driver_message
        or event.driver_error
        or event.setup_error
        or event.validation_error
    )


def _short_tasks(alloc: AllocationDetail, *, width: int | None) -> str:
    lifecycles = alloc.allocated_resources.task_lifecycles if alloc.allocated_resources else {}
    rows = []
    for name in _in_order(alloc):
        state = alloc.task_states[name]
        last = max(state.events, key=lambda event: event.time, default=TaskEvent())
        lifecycle = lifecycles.get(name)
        hook = lifecycle.hook if lifecycle is not None else ""
        rows.append([name, state.state, last.type, moment(last.time), hook or "main"])
    return table(["Name", "State", "Last Event", "Time", "Lifecycle"], rows, width=width)


def placement_metrics(metric: AllocMetric, *, scores: bool) -> str:
    """Which nodes were looked at for an allocation, and how they were scored. Pure."""
    lines = [bold("Placement Metrics"), *(f"  {line}" for line in reasons(metric))]
    if scores and metric.score_meta_data:
        names = sorted({name for meta in metric.score_meta_data for name in meta.scores})
        rows = [
            [
                short_id(meta.node_id),
                *(f"{meta.scores.get(name, 0.0):.3g}" for name in names),
                f"{meta.norm_score:.3g}",
            ]
            for meta in metric.score_meta_data
        ]
        lines.append(table(["Node", *names, "final score"], rows))
    return "\n".join(lines)
