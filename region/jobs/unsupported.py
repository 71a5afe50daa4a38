"""What Nomad's jobs can ask for and this version does not do: found by name, never dropped."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.structs.job import Job, TaskGroup, UpdateStrategy
from hanse.structs.service import Service
from hanse.structs.task import NetworkResource, Resources, Task

TYPES = ("service", "batch")
NETWORK_MODES = ("", "host", "none")


def unsupported(job: Job) -> list[str]:
    """Everything in the job that is not done yet, each as a path a user can find."""
    return [
        *_job_level(job),
        *(f'group "{g.name}" {what}' for g in job.task_groups for what in _group_level(g)),
    ]


def _job_level(job: Job) -> Iterator[str]:
    if job.type in ("system", "sysbatch"):
        yield f'type = "{job.type}"'
    for what, given in (
        ("periodic", job.periodic is not None),
        ("parameterized", job.parameterized_job is not None),
        ("multiregion", job.multiregion is not None),
        ("all_at_once = true", job.all_at_once),
        ("consul_namespace", bool(job.consul_namespace)),
        ("vault_namespace", bool(job.vault_namespace)),
    ):
        if given:
            yield what
    yield from _update(job.update)


def _update(update: UpdateStrategy | None) -> Iterator[str]:
    if update is not None and (update.canary > 0 or update.auto_promote):
        yield "update canary"


def _group_level(group: TaskGroup) -> Iterator[str]:
    yield from _update(group.update)
    for what, given in (
        ("disconnect", group.disconnect is not None),
        ("stop_after_client_disconnect", group.stop_after_client_disconnect_ns is not None),
        ("max_client_disconnect", group.max_client_disconnect_ns is not None),
        ("prevent_reschedule_on_lost", group.prevent_reschedule_on_lost),
        ("max_run_duration", group.max_run_duration_ns is not None),
        ("consul", group.consul is not None and bool(group.consul.namespace)),
    ):
        if given:
            yield what
    yield from (f'volume "{name}"' for name in group.volumes)
    disk = group.ephemeral_disk
    if disk is not None and disk.sticky:
        yield "ephemeral_disk sticky"
    if disk is not None and disk.migrate:
        yield "ephemeral_disk migrate"
    for network in group.networks:
        yield from _network(network)
    for service in group.services:
        yield from (f'service "{service.name}" {what}' for what in _service(service))
    for task in group.tasks:
        yield from (f'task "{task.name}" {what}' for what in _task(task))


def _network(network: NetworkResource) -> Iterator[str]:
    if network.mode not in NETWORK_MODES:
        yield f'network mode = "{network.mode}"'
    for what, given in (
        ("hostname", network.hostname),
        ("dns", network.dns),
        ("cni", network.cni),
    ):
        if given:
            yield f"network {what}"
    for port in (*network.reserved_ports, *network.dynamic_ports):
        if port.host_network not in ("", "default"):
            yield f'network port "{port.label}" host_network'


def _service(service: Service) -> Iterator[str]:
    if service.connect is not None:
        yield "connect"
    if service.kind:
        yield "kind"
    for check in service.checks:
        if check.type in ("grpc", "script"):
            yield f'check type = "{check.type}"'
        if check.expose:
            yield "check expose"


def _task(task: Task) -> Iterator[str]:
    for what, given in (
        ("lifecycle", task.lifecycle),
        ("vault", task.vault),
        ("consul", task.consul),
        ("identity", task.identity or task.identities),
        ("csi_plugin", task.csi_plugin_config and task.csi_plugin_config.id),
        ("dispatch_payload", task.dispatch_payload),
        ("schedule", task.schedule),
        ("template", task.templates),
        ("artifact", task.artifacts),
        ("volume_mount", task.volume_mounts),
        ("secret", task.secrets),
        ("action", task.actions),
        ("scaling", task.scaling_policies),
        ("kind", task.kind),
    ):
        if given:
            yield what
    if task.resources is not None:
        yield from _resources(task.resources)
    for service in task.services:
        yield from (f'service "{service.name}" {what}' for what in _service(service))


def _resources(resources: Resources) -> Iterator[str]:
    for what, given in (
        ("device", resources.devices),
        ("cores", resources.cores),
        ("numa", resources.numa is not None and resources.numa.affinity not in ("", "none")),
        ("network", resources.networks),
    ):
        if given:
            yield f"resources {what}"
