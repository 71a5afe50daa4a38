"""From the state's nouns to the API's. Pure, but for a cache of encodings.

An `Allocation` in the state holds neither its job nor what it was given: both follow from the job
version it runs, and are put together here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hanse.structs.allocation import Allocation
from hanse.structs.api import AllocListStub, JobListStub
from hanse.structs.evaluation import AllocMetric
from hanse.structs.job import Job, TaskGroup
from hanse.structs.node import Node, NodeListStub
from hanse.structs.task import NetworkResource, Port, Resources, TaskLifecycleConfig
from hanse.structs.taskstate import (
    AllocatedCpuResources,
    AllocatedMemoryResources,
    AllocatedResources,
    AllocatedSharedResources,
    AllocatedTaskResources,
    AllocDeploymentStatus,
    AllocNetworkStatus,
    AllocState,
    DesiredTransition,
    RescheduleTracker,
    TaskState,
)
from hanse.structs.times import rfc3339
from hanse.structs.wire import Wire
from region.api.ports import StatePort
from region.state import packing

NO_TRANSITION = DesiredTransition()


class ApiAllocation(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """An allocation as users read it. Empty fields are left out."""

    id: str = ""
    namespace: str = ""
    eval_id: str = ""
    name: str = ""
    node_id: str = ""
    node_name: str = ""
    job_id: str = ""
    job: Job | None = None
    task_group: str = ""
    resources: Resources | None = None
    shared_resources: Resources | None = None
    task_resources: dict[str, Resources] = {}
    allocated_resources: AllocatedResources | None = None
    metrics: AllocMetric | None = None
    desired_status: str = ""
    desired_description: str = ""
    desired_transition: DesiredTransition | None = None
    client_status: str = ""
    client_description: str = ""
    task_states: dict[str, TaskState] = {}
    alloc_states: tuple[AllocState, ...] = ()
    previous_allocation: str = ""
    next_allocation: str = ""
    deployment_id: str = ""
    deployment_status: AllocDeploymentStatus | None = None
    reschedule_tracker: RescheduleTracker | None = None
    network_status: AllocNetworkStatus | None = None
    followup_eval_id: str = ""
    preempted_allocations: tuple[str, ...] = ()
    preempted_by_allocation: str = ""
    signing_key_id: str = ""
    create_index: int = 0
    modify_index: int = 0
    alloc_modify_index: int = 0
    create_time: int = 0
    modify_time: int = 0


class ApiNode(Node, frozen=True, kw_only=True):
    """A node as users read it alone: with whether it is draining."""

    drain: bool = False


def group_of(job: Job | None, name: str) -> TaskGroup | None:
    """A group of a job."""
    if job is None:
        return None
    return next((group for group in job.task_groups if group.name == name), None)


def job_of(state: StatePort, alloc: Allocation) -> Job | None:
    """The version of the job that an allocation runs."""
    job = state.job(alloc.namespace, alloc.job_id)
    born = alloc.job_create_index
    if job is not None and job.version == alloc.job_version and born in (0, job.create_index):
        return job
    return state.job_version(alloc.namespace, alloc.job_id, alloc.job_version)


def job_view(state: StatePort, job: Job) -> Job:
    """A job with its status worked out."""
    status = state.job_status(job)
    return job if job.status == status else msgspec.structs.replace(job, status=status)


def job_stub(state: StatePort, job: Job, *, meta: bool = False) -> JobListStub:
    """A job in a list."""
    return JobListStub(
        id=job.id,
        parent_id=job.parent_id,
        name=job.name,
        namespace=job.namespace,
        datacenters=job.datacenters,
        node_pool=job.node_pool,
        multiregion=job.multiregion,
        type=job.type,
        priority=job.priority,
        periodic=job.periodic is not None,
        parameterized_job=job.parameterized_job is not None,
        stop=job.stop,
        status=state.job_status(job),
        status_description=job.status_description,
        job_summary=state.summary(job.namespace, job.id),
        create_index=job.create_index,
        modify_index=job.modify_index,
        job_modify_index=job.job_modify_index,
        submit_time=job.submit_time,
        meta=job.meta if meta else {},
    )


def networks_of(group: TaskGroup, alloc: Allocation) -> tuple[NetworkResource, ...]:
    """The group's networks, with the ports that the allocation was given."""
    given = {port.label: port for port in alloc.ports}

    def filled(port: Port) -> Port:
        mapping = given.get(port.label)
        if mapping is None:
            return port
        return msgspec.structs.replace(port, value=mapping.value, to=mapping.to)

    def network(resource: NetworkResource) -> NetworkResource:
        labels = [port.label for port in (*resource.reserved_ports, *resource.dynamic_ports)]
        host_ip = next((given[label].host_ip for label in labels if label in given), "")
        return msgspec.structs.replace(
            resource,
            ip=resource.ip or host_ip,
            reserved_ports=tuple(map(filled, resource.reserved_ports)),
            dynamic_ports=tuple(map(filled, resource.dynamic_ports)),
        )

    return tuple(map(network, group.networks))


def allocated_resources(group: TaskGroup, alloc: Allocation) -> AllocatedResources:
    """What an allocation was given: what its group asks for, and its ports."""
    tasks: dict[str, AllocatedTaskResources] = {}
    for task in group.tasks:
        asked = task.resources or Resources()
        tasks[task.name] = AllocatedTaskResources(
            cpu=AllocatedCpuResources(cpu_shares=asked.cpu),
            memory=AllocatedMemoryResources(
                memory_mb=asked.memory_mb, memory_max_mb=asked.memory_max_mb
            ),
        )
    lifecycles: dict[str, TaskLifecycleConfig] = {
        task.name: task.lifecycle for task in group.tasks if task.lifecycle is not None
    }
    disk = group.ephemeral_disk.size_mb if group.ephemeral_disk is not None else 0
    return AllocatedResources(
        tasks=tasks,
        task_lifecycles=lifecycles,
        shared=AllocatedSharedResources(
            networks=networks_of(group, alloc), disk_mb=disk, ports=alloc.ports
        ),
    )


def deployment_status(alloc: Allocation) -> AllocDeploymentStatus | None:
    """The allocation's health in its deployment; None while undecided."""
    healthy = alloc.healthy
    if healthy is None and not alloc.canary:
        return None
    at_ns = alloc.client.healthy_at_ns if alloc.client is not None else 0
    return AllocDeploymentStatus(
        healthy=healthy,
        timestamp=rfc3339(at_ns),
        canary=alloc.canary,
        modify_index=alloc.modify_index,
    )


def task_states(alloc: Allocation) -> dict[str, TaskState]:
    """What the client last said of the tasks."""
    return packing.task_states(alloc.client)


def alloc_stub(
    alloc: Allocation,
    job: Job | None,
    node_name: str,
    *,
    resources: bool = False,
    states: bool = True,
) -> AllocListStub:
    """An allocation in a list."""
    group = group_of(job, alloc.group) if resources else None
    client = alloc.client
    return AllocListStub(
        id=alloc.id,
        eval_id=alloc.eval_id,
        name=alloc.name,
        namespace=alloc.namespace,
        node_id=alloc.node_id,
        node_name=node_name,
        job_id=alloc.job_id,
        job_type=job.type if job is not None else "",
        job_version=alloc.job_version,
        task_group=alloc.group,
        allocated_resources=allocated_resources(group, alloc) if group is not None else None,
        desired_status=alloc.desired_status,
        desired_description=alloc.desired_description,
        client_status=alloc.client_status,
        client_description=client.client_description if client is not None else "",
        desired_transition=alloc.transition,
        task_states=packing.task_states(client) if states else {},
        deployment_status=deployment_status(alloc),
        followup_eval_id=alloc.followup_eval_id,
        next_allocation=alloc.next_id,
        reschedule_tracker=alloc.reschedule,
        create_index=alloc.create_index,
        modify_index=alloc.modify_index,
        create_time=alloc.create_ns,
        modify_time=alloc.modify_ns,
    )


def alloc_view(
    alloc: Allocation, job: Job | None, node_name: str, *, embed_job: bool = True
) -> ApiAllocation:
    """An allocation in full."""
    group = group_of(job, alloc.group)
    asked = {task.name: task.resources or Resources() for task in group.tasks} if group else {}
    disk = group.ephemeral_disk.size_mb if group and group.ephemeral_disk is not None else 0
    networks = networks_of(group, alloc) if group else ()
    client = alloc.client
    return ApiAllocation(
        id=alloc.id,
        namespace=alloc.namespace,
        eval_id=alloc.eval_id,
        name=alloc.name,
        node_id=alloc.node_id,
        node_name=node_name,
        job_id=alloc.job_id,
        job=job if embed_job else None,
        task_group=alloc.group,
        resources=total(asked, disk, networks) if group else None,
        shared_resources=Resources(disk_mb=disk, networks=networks) if group else None,
        task_resources=asked,
        allocated_resources=allocated_resources(group, alloc) if group else None,
        metrics=alloc.metrics,
        desired_status=alloc.desired_status,
        desired_description=alloc.desired_description,
        desired_transition=alloc.transition if alloc.transition != NO_TRANSITION else None,
        client_status=alloc.client_status,
        client_description=client.client_description if client is not None else "",
        task_states=packing.task_states(client),
        previous_allocation=alloc.previous_id,
        next_allocation=alloc.next_id,
        deployment_id=alloc.deployment_id,
        deployment_status=deployment_status(alloc),
        reschedule_tracker=alloc.reschedule,
        network_status=client.network if client is not None else None,
        followup_eval_id=alloc.followup_eval_id,
        create_index=alloc.create_index,
        modify_index=alloc.modify_index,
        alloc_modify_index=alloc.alloc_modify_index,
        create_time=alloc.create_ns,
        modify_time=alloc.modify_ns,
    )


def total(
    asked: Mapping[str, Resources], disk_mb: int, networks: tuple[NetworkResource, ...]
) -> Resources:
    """The sum of what the tasks ask for."""
    return Resources(
        cpu=sum(item.cpu for item in asked.values()),
        memory_mb=sum(item.memory_mb for item in asked.values()),
        memory_max_mb=sum(item.memory_max_mb or item.memory_mb for item in asked.values()),
        disk_mb=disk_mb,
        networks=networks,
    )


def node_view(node: Node) -> ApiNode:
    """A node alone; its secret is blanked, wherever it came from."""
    fields = {name: getattr(node, name) for name in Node.__struct_fields__}
    fields["secret_id"] = ""
    return ApiNode(**fields, drain=node.drain_strategy is not None)


def node_stub(node: Node, *, resources: bool = False, os: bool = False) -> NodeListStub:
    """A node in a list."""
    wanted = {"os.name": node.attributes.get("os.name", "")} if os else {}
    return NodeListStub(
        address=node.http_addr.rpartition(":")[0].strip("[]"),
        id=node.id,
        attributes=wanted,
        datacenter=node.datacenter,
        name=node.name,
        node_pool=node.node_pool,
        node_class=node.node_class,
        version=node.attributes.get("nomad.version", ""),
        drain=node.drain_strategy is not None,
        scheduling_eligibility=node.scheduling_eligibility,
        status=node.status,
        status_description=node.status_description,
        drivers=node.drivers,
        host_volumes=node.host_volumes,
        node_resources=node.node_resources if resources else None,
        reserved_resources=node.reserved_resources if resources else None,
        last_drain=node.last_drain,
        create_index=node.create_index,
        modify_index=node.modify_index,
    )
