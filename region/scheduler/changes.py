"""Which changes of a job need new instances, and which the running ones can take in place."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.structs.job import Job, TaskGroup
from hanse.structs.service import Service
from hanse.structs.task import LogConfig, NetworkResource, Resources, Task
from region.scheduler.resources import group_of


def needs_replacement(old: Job | None, new: Job, group_name: str) -> bool:
    """Whether instances of the group must be stopped and started to become the new version.

    Counts, constraints, policies for restart, reschedule, update and migration, checks, services
    without a mesh, kill settings and shutdown delays are taken in place. A version that is no
    longer known needs replacement: nobody can tell what it was.
    """
    before, after = group_of(old, group_name), group_of(new, group_name)
    if old is None or before is None or after is None:
        return True
    return any(a != b for a, b in _compared(old, before, new, after))


def _compared(
    old: Job, before: TaskGroup, new: Job, after: TaskGroup
) -> Iterator[tuple[object, object]]:
    yield before.ephemeral_disk, after.ephemeral_disk
    yield _networks(before.networks), _networks(after.networks)
    yield before.volumes, after.volumes
    yield before.consul, after.consul
    yield before.max_run_duration_ns, after.max_run_duration_ns
    yield _affinities(old, before), _affinities(new, after)
    yield (*old.spreads, *before.spreads), (*new.spreads, *after.spreads)
    yield _connects(before.services), _connects(after.services)
    tasks = {task.name: task for task in before.tasks}
    yield set(tasks), {task.name for task in after.tasks}
    for task in after.tasks:
        was = tasks.get(task.name)
        if was is not None:
            yield _essence(old, before, was), _essence(new, after, task)


def _affinities(job: Job, group: TaskGroup) -> object:
    tasks = [task.affinities for task in group.tasks]
    return job.affinities, group.affinities, tasks


def _networks(networks: tuple[NetworkResource, ...]) -> object:
    return [
        (
            net.mode,
            net.hostname,
            net.dns,
            net.cni,
            sorted((p.label, p.value, p.to, p.host_network) for p in net.reserved_ports),
            sorted((p.label, p.to, p.host_network) for p in net.dynamic_ports),
        )
        for net in networks
    ]


def _connects(services: tuple[Service, ...]) -> object:
    return {s.name: s.connect for s in services if s.connect is not None}


def _essence(job: Job, group: TaskGroup, task: Task) -> tuple[object, ...]:
    """What a running task cannot change."""
    resources = task.resources or Resources()
    return (
        task.driver,
        task.user,
        task.config,
        task.env,
        {**job.meta, **group.meta, **task.meta},
        task.artifacts,
        task.templates,
        task.vault,
        task.consul,
        task.secrets,
        task.volume_mounts,
        task.csi_plugin_config,
        task.lifecycle,
        task.leader,
        task.kind,
        task.dispatch_payload,
        task.identity,
        task.identities,
        task.schedule,
        (task.log_config or LogConfig()).disabled,
        _connects(task.services),
        (
            resources.cpu,
            resources.cores,
            resources.memory_mb,
            resources.memory_max_mb,
            resources.secrets_mb,
            resources.devices,
            resources.numa,
            _networks(resources.networks),
        ),
    )
