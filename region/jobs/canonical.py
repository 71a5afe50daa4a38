"""Defaults that only a server can know, and rules that follow from what a job asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from hanse.structs.job import Job, TaskGroup
from hanse.structs.service import Service
from hanse.structs.task import Constraint, Task

NATIVE_SERVICES = Constraint(
    l_target="${attr.nomad.service_discovery}", r_target="true", operand="="
)
NATIVE_CHECKS = Constraint(l_target="${attr.nomad.version}", r_target=">= 1.4.0", operand="semver")

CONSUL_WARNING = (
    'service "{name}": Hanse registers services itself; provider "consul" is read as "nomad"'
)


@dataclass(frozen=True, slots=True)
class Canonical:
    """A job with nothing left to guess, and what was changed that the user should know."""

    job: Job
    warnings: tuple[str, ...]


def canonical(job: Job, *, region: str, default_priority: int) -> Canonical:
    """Fill in names, region, namespace, datacenters, pool and implied constraints."""
    warnings: list[str] = []
    job = replace(
        job,
        name=job.name or job.id,
        region=region if job.region in ("", "global") else job.region,
        namespace=job.namespace or "default",
        type=job.type or "service",
        priority=job.priority or default_priority,
        node_pool=job.node_pool or "default",
        datacenters=job.datacenters or ("*",),
        payload=job.payload or None,
        status="",
        status_description="",
    )
    groups = tuple(_group(job, group, warnings) for group in job.task_groups)
    return Canonical(replace(job, task_groups=groups), tuple(dict.fromkeys(warnings)))


def _group(job: Job, group: TaskGroup, warnings: list[str]) -> TaskGroup:
    services = tuple(_service(job, group, None, s, warnings) for s in group.services)
    tasks = tuple(_task(job, group, task, warnings) for task in group.tasks)
    every = [*services, *(service for task in tasks for service in task.services)]
    constraints = _with_implied(group.constraints, every, tasks)
    return replace(group, services=services, tasks=tasks, constraints=constraints)


def _task(job: Job, group: TaskGroup, task: Task, warnings: list[str]) -> Task:
    services = tuple(_service(job, group, task, s, warnings) for s in task.services)
    return replace(task, services=services)


def _service(
    job: Job, group: TaskGroup, task: Task | None, service: Service, warnings: list[str]
) -> Service:
    base = f"{job.id}-{group.name}" + (f"-{task.name}" if task is not None else "")
    name = service.name or base
    for variable, value in (
        ("JOB", job.id),
        ("TASKGROUP", group.name),
        ("GROUP", group.name),
        ("TASK", task.name if task is not None else ""),
        ("BASE", base),
    ):
        name = name.replace("${" + variable + "}", value)
    if service.provider not in ("nomad", ""):
        warnings.append(CONSUL_WARNING.format(name=name))
    checks = tuple(
        replace(check, name=check.name or f'service: "{name}" check') for check in service.checks
    )
    return replace(
        service,
        name=name,
        provider="nomad",
        cluster=service.cluster or "default",
        namespace=job.namespace,
        task_name=service.task_name or (task.name if task is not None else ""),
        checks=checks,
    )


def _with_implied(
    given: tuple[Constraint, ...], services: Sequence[Service], tasks: Sequence[Task]
) -> tuple[Constraint, ...]:
    implied: list[Constraint] = []
    if services:
        implied.append(NATIVE_SERVICES)
    if any(service.checks for service in services):
        implied.append(NATIVE_CHECKS)
    signals = sorted({task.kill_signal for task in tasks if task.kill_signal})
    if signals:
        wanted = Constraint(
            l_target="${attr.os.signals}", r_target=",".join(signals), operand="set_contains"
        )
        implied.append(wanted)
    return (*given, *(c for c in implied if c not in given))
