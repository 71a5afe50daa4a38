"""The tables that several commands show. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hanse.cli.text import ago, moment, pairs, plural, short_id, table
from hanse.structs.api import AllocListStub, JobListStub
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import AllocMetric, Evaluation
from hanse.structs.node import NodeListStub
from hanse.structs.times import parse_rfc3339


def yes(value: object) -> str:
    """`true` or `false`."""
    return "true" if value else "false"


def job_status_text(stub: JobListStub) -> str:
    """`dead (stopped)`."""
    return f"{stub.status} (stopped)" if stub.stop else stub.status


def job_type(kind: str, *, periodic: bool, parameterized: bool) -> str:
    """`batch/periodic`."""
    return kind + "/periodic" * periodic + "/parameterized" * parameterized


def job_table(
    stubs: Sequence[JobListStub], *, namespaces: bool = False, width: int | None = None
) -> str:
    """ID, Type, Priority, Status, Submit Date."""
    header = ["ID", "Type", "Priority", "Status", "Submit Date"]
    rows = [
        [
            stub.id,
            job_type(stub.type, periodic=stub.periodic, parameterized=stub.parameterized_job),
            str(stub.priority),
            job_status_text(stub),
            moment(stub.submit_time),
        ]
        for stub in stubs
    ]
    if namespaces:
        header.insert(1, "Namespace")
        for row, stub in zip(rows, stubs, strict=True):
            row.insert(1, stub.namespace)
    return table(header, rows, width=width)


def newest_first(stubs: Iterable[AllocListStub]) -> list[AllocListStub]:
    """The order in which allocations are shown."""
    return sorted(stubs, key=lambda stub: (-stub.create_index, stub.id))


def alloc_table(
    stubs: Sequence[AllocListStub],
    *,
    now_ns: int,
    verbose: bool = False,
    width: int | None = None,
) -> str:
    """Allocations, newest first."""
    stubs = newest_first(stubs)
    if verbose:
        header = (
            "ID,Eval ID,Node ID,Node Name,Task Group,Version,Desired,Status,Created,Modified"
        ).split(",")
        rows = [
            [
                stub.id,
                stub.eval_id,
                stub.node_id,
                stub.node_name,
                stub.task_group,
                str(stub.job_version),
                stub.desired_status,
                stub.client_status,
                moment(stub.create_time),
                moment(stub.modify_time),
            ]
            for stub in stubs
        ]
        return table(header, rows, width=width)
    header = "ID,Node ID,Task Group,Version,Desired,Status,Created,Modified".split(",")
    rows = [
        [
            short_id(stub.id),
            short_id(stub.node_id),
            stub.task_group,
            str(stub.job_version),
            stub.desired_status,
            stub.client_status,
            ago(stub.create_time, now_ns),
            ago(stub.modify_time, now_ns),
        ]
        for stub in stubs
    ]
    return table(header, rows, width=width)


def eval_failures(evaluation: Evaluation) -> str:
    """`true`, `false`, or that it is too early to say."""
    if evaluation.status in ("pending", "blocked"):
        return "N/A - In Progress"
    return yes(evaluation.failed_tg_allocs)


def eval_table(
    evaluations: Sequence[Evaluation], *, verbose: bool = False, width: int | None = None
) -> str:
    """Evaluations in the order given."""
    header = ("ID,Priority,Triggered By,Job ID,Namespace,Node ID,Status,Placement Failures").split(
        ","
    )
    rows = [
        [
            short_id(evaluation.id, verbose=verbose),
            str(evaluation.priority),
            evaluation.triggered_by,
            evaluation.job_id,
            evaluation.namespace,
            short_id(evaluation.node_id, verbose=verbose),
            evaluation.status,
            eval_failures(evaluation),
        ]
        for evaluation in evaluations
    ]
    return table(header, rows, width=width)


def deployment_table(
    deployments: Sequence[Deployment], *, verbose: bool = False, width: int | None = None
) -> str:
    """ID, Job ID, Job Version, Status, Description."""
    rows = [
        [
            short_id(deployment.id, verbose=verbose),
            deployment.job_id,
            str(deployment.job_version),
            deployment.status,
            deployment.status_description,
        ]
        for deployment in deployments
    ]
    return table("ID,Job ID,Job Version,Status,Description".split(","), rows, width=width)


def deployed_table(deployment: Deployment, *, width: int | None = None) -> str:
    """How the groups of a deployment are getting on. Columns that say nothing are left out."""
    groups = sorted(deployment.task_groups.items())
    states = [state for _, state in groups]
    columns: list[tuple[str, list[str]]] = [("Task Group", [name for name, _ in groups])]
    if any(state.auto_revert for state in states):
        columns.append(("Auto Revert", [yes(state.auto_revert) for state in states]))
    if any(state.desired_canaries for state in states):
        promoted = [yes(s.promoted) if s.desired_canaries else "N/A" for s in states]
        columns.append(("Promoted", promoted))
    columns.append(("Desired", [str(state.desired_total) for state in states]))
    if any(state.desired_canaries for state in states):
        columns.append(("Canaries", [str(state.desired_canaries) for state in states]))
    columns += [
        ("Placed", [str(state.placed_allocs) for state in states]),
        ("Healthy", [str(state.healthy_allocs) for state in states]),
        ("Unhealthy", [str(state.unhealthy_allocs) for state in states]),
        (
            "Progress Deadline",
            [moment(parse_rfc3339(state.require_progress_by)) or "N/A" for state in states],
        ),
    ]
    cells = [cells for _, cells in columns]
    return table([title for title, _ in columns], list(zip(*cells, strict=True)), width=width)


def deployment_pairs(deployment: Deployment, *, verbose: bool = False) -> str:
    """What a deployment is."""
    return pairs(
        [
            ("ID", short_id(deployment.id, verbose=verbose)),
            ("Job ID", deployment.job_id),
            ("Job Version", str(deployment.job_version)),
            ("Status", deployment.status),
            ("Description", deployment.status_description),
        ]
    )


def node_table(
    stubs: Sequence[NodeListStub],
    *,
    verbose: bool = False,
    systems: bool = False,
    running: Mapping[str, int] | None = None,
    width: int | None = None,
) -> str:
    """Nodes; `running` adds how many allocations run on each."""
    header = ["ID", "Node Pool", "DC", "Name", "Class"]
    header += ["OS"] * systems + ["Address", "Version"] * verbose
    header += ["Drain", "Eligibility", "Status"] + ["Running Allocs"] * (running is not None)
    rows = [
        [
            short_id(stub.id, verbose=verbose),
            stub.node_pool,
            stub.datacenter,
            stub.name,
            stub.node_class,
            *([stub.attributes.get("os.name", "")] if systems else []),
            *([stub.address, stub.version] if verbose else []),
            yes(stub.drain),
            stub.scheduling_eligibility,
            stub.status,
            *([str(running.get(stub.id, 0))] if running is not None else []),
        ]
        for stub in stubs
    ]
    return table(header, rows, width=width)


def reasons(metric: AllocMetric) -> list[str]:
    """Why instances found no place, a line for each reason."""
    lines: list[str] = []
    if metric.nodes_evaluated == 0:
        lines.append("* No nodes were eligible for evaluation")
    lines += [
        f'* No nodes are available in datacenter "{name}"'
        for name, count in sorted(metric.nodes_available.items())
        if count == 0
    ]
    lines += [
        f'* Class "{name}": {plural(count, "node")} excluded by filter'
        for name, count in sorted(metric.class_filtered.items())
    ]
    lines += [
        f'* Constraint "{name}": {plural(count, "node")} excluded by filter'
        for name, count in sorted(metric.constraint_filtered.items())
    ]
    if metric.nodes_exhausted:
        lines.append(f"* Resources exhausted on {plural(metric.nodes_exhausted, 'node')}")
    lines += [
        f'* Class "{name}" exhausted on {plural(count, "node")}'
        for name, count in sorted(metric.class_exhausted.items())
    ]
    lines += [
        f'* Dimension "{name}" exhausted on {plural(count, "node")}'
        for name, count in sorted(metric.dimension_exhausted.items())
    ]
    lines += [f'* Quota limit hit "{name}"' for name in metric.quota_exhausted]
    return lines


def failed_groups(failures: Mapping[str, AllocMetric]) -> list[str]:
    """Each group that found no place for all its instances, and why."""
    lines: list[str] = []
    for name, metric in sorted(failures.items()):
        count = metric.coalesced_failures + 1
        lines.append(f'Task Group "{name}" (failed to place {plural(count, "allocation")}):')
        lines += [f"  {line}" for line in reasons(metric)]
    return lines
