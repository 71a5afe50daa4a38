"""From the job to what the machines must know. Pure."""

from __future__ import annotations

from client.allocrunner.health import rules_of as health_rules
from client.allocrunner.machine import AllocPlan, TaskRole
from client.taskrunner.machine import TaskPlan
from client.taskrunner.restarts import rules_of as restart_rules
from hanse.durations import SECOND_NS
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Task

_KILL_TIMEOUT_NS = 5 * SECOND_NS


def group_of(job: Job, name: str) -> TaskGroup | None:
    """The group of this name."""
    return next((group for group in job.task_groups if group.name == name), None)


def alloc_plan(allocation: Allocation, job: Job, group: TaskGroup) -> AllocPlan:
    """What the allocation's machine must know."""
    return AllocPlan(
        tasks=tuple(TaskRole(name=task.name, leader=task.leader) for task in group.tasks),
        shutdown_delay_ns=group.shutdown_delay_ns or 0,
        health=health_rules(job, group, allocation.deployment_id),
        deployment_id=allocation.deployment_id,
    )


def task_plan(job: Job, group: TaskGroup, task: Task, max_kill_timeout_ns: int) -> TaskPlan:
    """What the task's machine must know; the node's limit caps the kill timeout."""
    return TaskPlan(
        name=task.name,
        restart=restart_rules(task.restart_policy or group.restart_policy, job.type),
        kill_timeout_ns=min(task.kill_timeout_ns or _KILL_TIMEOUT_NS, max_kill_timeout_ns),
        kill_signal=task.kill_signal,
        shutdown_delay_ns=task.shutdown_delay_ns,
    )


def static_ports(group: TaskGroup) -> frozenset[int]:
    """Ports of the host that only one allocation can have at a time."""
    return frozenset(
        port.value
        for network in group.networks
        for port in network.reserved_ports
        if not port.ignore_collision
    )
