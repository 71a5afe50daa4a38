"""Nodes, jobs and a small world in which plans are carried out, for tests of the scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from hanse.structs.allocation import Allocation, AllocChange, AllocStatus
from hanse.structs.api import SchedulerConfiguration
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import EphemeralDisk, Job, ReschedulePolicy, TaskGroup, UpdateStrategy
from hanse.structs.node import (
    DriverInfo,
    LegacyNodeCpuResources,
    Node,
    NodeDiskResources,
    NodeMemoryResources,
    NodeResources,
)
from hanse.structs.plan import Plan
from hanse.structs.task import NetworkResource, Port, Resources, Task
from hanse.structs.taskstate import TaskState
from hanse.structs.times import rfc3339
from region.scheduler.fleet import Fleet
from region.scheduler.resources import usage_of
from region.scheduler.schedule import Snapshot, schedule
from region.scheduler.snapshot import Taint

SECOND_NS = 10**9


def node_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def make_node(number: int, **given: Any) -> Node:
    """A ready node of 4000 MHz, 8000 MB, 100,000 MB of disk, unless told otherwise."""
    cpu, memory = given.pop("cpu", 4000), given.pop("memory", 8000)
    disk = given.pop("disk", 100_000)
    fields: dict[str, Any] = {
        "id": node_id(number),
        "name": f"node-{number}",
        "datacenter": "dc1",
        "node_pool": "default",
        "status": "ready",
        "scheduling_eligibility": "eligible",
        "attributes": {"kernel.name": "linux", "unique.hostname": f"host-{number}"},
        "drivers": {"raw_exec": DriverInfo(detected=True, healthy=True)},
        "node_resources": NodeResources(
            cpu=LegacyNodeCpuResources(cpu_shares=cpu),
            memory=NodeMemoryResources(memory_mb=memory),
            disk=NodeDiskResources(disk_mb=disk),
        ),
    }
    return Node(**{**fields, **given})


def make_group(name: str = "web", count: int = 1, **given: Any) -> TaskGroup:
    """A group of one raw_exec task of 500 MHz and 256 MB."""
    cpu, memory = given.pop("cpu", 500), given.pop("memory", 256)
    static, dynamic = given.pop("static", {}), given.pop("dynamic", ())
    env, driver = given.pop("env", {}), given.pop("driver", "raw_exec")
    constraints = given.pop("task_constraints", ())
    networks: tuple[NetworkResource, ...] = ()
    if static or dynamic:
        networks = (
            NetworkResource(
                reserved_ports=tuple(Port(label=k, value=v) for k, v in static.items()),
                dynamic_ports=tuple(Port(label=k) for k in dynamic),
            ),
        )
    task = Task(
        name="main",
        driver=driver,
        env=env,
        constraints=constraints,
        resources=Resources(cpu=cpu, memory_mb=memory),
    )
    fields: dict[str, Any] = {
        "name": name,
        "count": count,
        "tasks": (task,),
        "networks": networks,
        "ephemeral_disk": EphemeralDisk(size_mb=300),
    }
    return TaskGroup(**{**fields, **given})


def make_job(*groups: TaskGroup, **given: Any) -> Job:
    """A service job of the groups."""
    fields: dict[str, Any] = {
        "id": "example",
        "name": "example",
        "namespace": "default",
        "type": "service",
        "priority": 50,
        "datacenters": ("*",),
        "node_pool": "default",
        "task_groups": groups,
        "create_index": 10,
    }
    return Job(**{**fields, **given})


ROLLING = UpdateStrategy(max_parallel=1, health_check="task_states")
FOREVER = ReschedulePolicy(
    delay_ns=30 * SECOND_NS,
    delay_function="exponential",
    max_delay_ns=3600 * SECOND_NS,
    unlimited=True,
)


class World:
    """A region with one job: carries out plans and lets clients report."""

    def __init__(self, nodes: Iterable[Node] = (), seed: int = 1) -> None:
        self.fleet = Fleet.empty()
        self.nodes = {node.id: node for node in nodes}
        for node in self.nodes.values():
            self.fleet.set_node(node)
        self.versions: dict[int, Job] = {}
        self.job: Job | None = None
        self.allocations: dict[str, Allocation] = {}
        self.deployment: Deployment | None = None
        self.deployments: dict[str, Deployment] = {}
        self.tainted: dict[str, Taint] = {}
        self.config = SchedulerConfiguration()
        self.now_ns = 1_700_000_000 * SECOND_NS
        self.seed = seed
        self.revision = 100

    def submit(self, job: Job) -> None:
        version = self.job.version + 1 if self.job is not None else 0
        self.job = replace(job, version=version)
        self.versions[version] = self.job

    def snapshot(self, **given: Any) -> Snapshot:
        evaluation = Evaluation(
            id=given.pop("eval_id", f"eval-{self.revision}"),
            namespace="default",
            priority=50,
            type="service",
            triggered_by=given.pop("triggered_by", "job-register"),
            job_id=self.job.id if self.job is not None else "example",
            status="pending",
        )
        fields: dict[str, Any] = {
            "revision": self.revision,
            "evaluation": evaluation,
            "job": self.job,
            "allocations": list(self.allocations.values()),
            "fleet": self.fleet.snapshot(),
            "versions": self.versions,
            "deployment": self.counted(),
            "tainted": self.tainted,
            "config": self.config,
            "now_ns": self.now_ns,
            "seed": self.seed,
        }
        return Snapshot(**{**fields, **given})

    def run(self, **given: Any) -> Plan:
        """One scheduling pass, carried out."""
        plan = schedule(self.snapshot(**given))
        self.apply(plan)
        return plan

    def counted(self) -> Deployment | None:
        """The latest deployment with the counts that follow from the allocations."""
        if self.deployment is None:
            return None
        groups = {}
        for name, state in self.deployment.task_groups.items():
            mine = [
                a
                for a in self.allocations.values()
                if a.deployment_id == self.deployment.id and a.group == name
            ]
            groups[name] = replace(
                state,
                placed_allocs=len(mine),
                healthy_allocs=sum(a.healthy is True for a in mine),
                unhealthy_allocs=sum(a.healthy is False for a in mine),
            )
        return replace(self.deployment, task_groups=groups)

    def apply(self, plan: Plan) -> None:
        """Carry out a plan as the broker does: changes, placements, deployments, charges."""
        self.revision += 1
        self.seed += 1
        for deployment in plan.ended_deployments:
            self.deployments[deployment.id] = deployment
        if plan.deployment is not None:
            self.deployment = plan.deployment
            self.deployments[plan.deployment.id] = plan.deployment
        elif plan.ended_deployments:
            self.deployment = plan.ended_deployments[-1]
        for change in plan.changes:
            self._set(self._changed(self.allocations[change.alloc_id], change))
        for placement in plan.placements:
            self._set(
                Allocation(
                    id=placement.id,
                    namespace="default",
                    job_id=plan.evaluation.job_id,
                    job_version=plan.job_version,
                    job_create_index=plan.job_create_index,
                    group=placement.group,
                    index=placement.index,
                    node_id=placement.node_id,
                    eval_id=plan.evaluation.id,
                    deployment_id=placement.deployment_id,
                    previous_id=placement.previous_id,
                    reschedule=placement.reschedule,
                    ports=placement.ports,
                    metrics=plan.metrics.get(placement.group),
                    create_index=self.revision,
                    create_ns=self.now_ns,
                    modify_ns=self.now_ns,
                )
            )

    def _changed(self, allocation: Allocation, change: AllocChange) -> Allocation:
        fields: dict[str, Any] = {
            name: value
            for name in (
                "desired_status",
                "desired_description",
                "verdict",
                "transition",
                "followup_eval_id",
                "next_id",
                "job_version",
                "deployment_id",
                "eval_id",
                "reschedule",
            )
            if (value := getattr(change, name)) is not None
        }
        return replace(allocation, **fields)

    def _set(self, new: Allocation) -> None:
        old = self.allocations.get(new.id)
        if old is not None and not old.terminal:
            self.fleet.release(old.node_id, usage_of(old, self.versions.get(old.job_version)))
        if not new.terminal:
            self.fleet.charge(new.node_id, usage_of(new, self.versions.get(new.job_version)))
        self.allocations[new.id] = new

    def report(self, allocation_id: str, status: str, *, healthy: bool | None = None) -> None:
        """What the client says of an allocation now."""
        finished = rfc3339(self.now_ns) if status in ("complete", "failed") else rfc3339(0)
        report = AllocStatus(
            alloc_id=allocation_id,
            client_status=status,
            task_states={
                "main": TaskState(state="dead", finished_at=finished, failed=status == "failed")
            },
            healthy=healthy,
            modified_ns=self.now_ns,
        )
        self._set(replace(self.allocations[allocation_id], client=report))

    def all_healthy(self) -> None:
        for allocation in self.live():
            self.report(allocation.id, "running", healthy=True)

    def change(self, allocation_id: str, **fields: Any) -> None:
        self._set(replace(self.allocations[allocation_id], **fields))

    def lose(self, node: str, taint: Taint = "down") -> None:
        self.tainted[node] = taint
        self.fleet.set_node(replace(self.nodes[node], status="down"))

    def live(self) -> list[Allocation]:
        """Allocations that run or shall run, by group and index."""
        found = [a for a in self.allocations.values() if not a.terminal]
        return sorted(found, key=lambda a: (a.group, a.index))

    def indexes(self, group: str = "web") -> list[int]:
        return [a.index for a in self.live() if a.group == group]


def usage_by_node(
    allocations: Iterable[Allocation], versions: Mapping[int, Job]
) -> dict[str, list[int]]:
    """CPU, memory and disk that live allocations take, by node."""
    found: dict[str, list[int]] = {}
    for allocation in allocations:
        usage = usage_of(allocation, versions[allocation.job_version])
        total = found.setdefault(allocation.node_id, [0, 0, 0])
        for place, amount in enumerate((usage.cpu_mhz, usage.memory_mb, usage.disk_mb)):
            total[place] += amount
    return found
