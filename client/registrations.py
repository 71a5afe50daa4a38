"""The service instances an allocation offers, and the checks of them. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection

import msgspec

from hanse.errors import Invalid
from hanse.structs.allocation import Allocation, ServiceInstance
from hanse.structs.job import TaskGroup
from hanse.structs.service import Service, ServiceCheck
from hanse.structs.taskstate import AllocatedPortMapping

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")

#: Makes the text of a job final for one task ("" for the group's own services).
Replace = Callable[[str, str], str]


class CheckPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One check, with every reference resolved. Times in seconds."""

    id: str
    check: ServiceCheck
    name: str
    service: str
    #: The task it belongs to; "" for a check of the whole group.
    task: str
    address: str
    port: int
    path: str
    header: dict[str, tuple[str, ...]]
    body: str
    interval_s: float
    timeout_s: float
    #: `healthiness`, or `readiness` if it does not decide about deployments.
    mode: str


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A service instance and its checks."""

    instance: ServiceInstance
    #: The tasks of which one must run for the service to be there.
    tasks: tuple[str, ...]
    checks: tuple[CheckPlan, ...]
    native: bool


def offers(
    allocation: Allocation, group: TaskGroup, address: str, final: Replace
) -> tuple[Offer, ...]:
    """Every service of the group and of its tasks; `address` is the node's own.

    Raises Invalid if a final name or port makes no sense.
    """
    everyone = tuple(task.name for task in group.tasks)
    found = [
        _offer(allocation, group, service, "", (service.task_name,) if service.task_name
               else everyone, address, final)
        for service in group.services
    ]  # fmt: skip
    for task in group.tasks:
        found += [
            _offer(allocation, group, service, task.name, (task.name,), address, final)
            for service in task.services
        ]
    return tuple(found)


def instances(
    plans: tuple[Offer, ...], serving_tasks: Collection[str]
) -> tuple[ServiceInstance, ...]:
    """The registrations while these tasks serve. Only native ones are ours to register."""
    return tuple(
        offer.instance
        for offer in plans
        if offer.native and any(task in serving_tasks for task in offer.tasks)
    )


def _offer(
    allocation: Allocation,
    group: TaskGroup,
    service: Service,
    task: str,
    tasks: tuple[str, ...],
    address: str,
    final: Replace,
) -> Offer:
    name = final(service.name, task)
    if not _NAME.match(name):
        raise Invalid(f'service "{service.name}"', f"{name!r} is not a valid service name")
    own = final(service.address, task)
    host, port = _endpoint(allocation, service.port_label, address, name)
    tags = service.canary_tags if allocation.canary and service.canary_tags else service.tags
    owner = task or f"group-{group.name}"
    instance = ServiceInstance(
        id=f"_nomad-task-{allocation.id}-{owner}-{name}-{service.port_label}",
        service=name,
        address=own or host,
        port=port,
        tags=tuple(final(tag, task) for tag in tags),
    )
    checks = tuple(
        _check(allocation, group, service, check, task, instance, final) for check in service.checks
    )
    native = service.provider in ("", "nomad")
    return Offer(instance=instance, tasks=tasks, checks=checks, native=native)


def _check(
    allocation: Allocation,
    group: TaskGroup,
    service: Service,
    check: ServiceCheck,
    task: str,
    instance: ServiceInstance,
    final: Replace,
) -> CheckPlan:
    host, port = instance.address, instance.port
    if check.port_label and check.port_label != service.port_label:
        host, port = _endpoint(allocation, check.port_label, host, instance.service)
    name = final(check.name, task) or f'service: "{instance.service}" check'
    identity = "\0".join((allocation.id, group.name, task, instance.id, name))
    return CheckPlan(
        id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        check=check,
        name=name,
        service=instance.service,
        task=task or service.task_name or check.task_name,
        address=host,
        port=port,
        path=final(check.path, task) or "/",
        header={key: tuple(final(v, task) for v in values) for key, values in check.header.items()},
        body=final(check.body, task),
        interval_s=max(check.interval_ns, 10**9) / 10**9,
        timeout_s=max(check.timeout_ns, 10**9) / 10**9,
        mode="readiness" if (check.on_update or service.on_update) == "ignore" else "healthiness",
    )


def _endpoint(allocation: Allocation, label: str, fallback: str, service: str) -> tuple[str, int]:
    if not label:
        return fallback, 0
    port = port_labelled(allocation.ports, label)
    if port is not None:
        return port.host_ip or fallback, port.value
    if label.isdecimal() and 0 < int(label) < 65536:
        return fallback, int(label)
    raise Invalid(f'service "{service}"', f"port {label!r} is none of the group's ports")


def port_labelled(
    ports: tuple[AllocatedPortMapping, ...], label: str
) -> AllocatedPortMapping | None:
    """The port of this label."""
    return next((port for port in ports if port.label == label), None)
