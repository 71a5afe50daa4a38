"""What the driver is told of a task: everything, with every reference resolved. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from client.environment import Paths, Place, task_environment
from client.interpolate import replace_in
from client.layout import AllocFolders
from hanse.driver import LogTarget, PortMap, TaskSpec
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Task

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_MIB = 1024 * 1024


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What of the node and the agent the spec depends on."""

    names: Mapping[str, str]
    region: str
    datacenter: str
    #: The node's total compute, MHz.
    total_mhz: int
    #: The driver's way to isolate: decides which paths the task sees.
    isolation: str


def task_id(alloc_id: str, task: str, attempt: int) -> str:
    """The driver's id of one attempt: the same each time it is asked for."""
    safe = _UNSAFE.sub("_", task)[:60]
    if safe != task:
        safe += "-" + hashlib.sha256(task.encode()).hexdigest()[:8]
    return f"{safe}-{alloc_id}-{attempt}"


def task_spec(
    allocation: Allocation,
    job: Job,
    group: TaskGroup,
    task: Task,
    *,
    attempt: int,
    folders: AllocFolders,
    situation: Situation,
) -> TaskSpec:
    """The spec of one attempt."""
    own = folders.of_task(task.name)
    environment, known = task_environment(
        allocation,
        job,
        group,
        task,
        paths=paths_seen(folders, task.name, situation.isolation),
        place=Place(region=situation.region, datacenter=situation.datacenter),
        names=situation.names,
    )
    config = replace_in(task.config, situation.names, known)
    assert isinstance(config, dict)
    wanted = task.resources
    mhz = wanted.cpu if wanted else 0
    logs = task.log_config
    return TaskSpec(
        id=task_id(allocation.id, task.name, attempt),
        allocation_id=allocation.id,
        name=task.name,
        job_id=job.id,
        group=group.name,
        namespace=allocation.namespace,
        config=config,
        environment=environment,
        user=task.user,
        cpu_mhz=mhz,
        cpu_share=min(1.0, mhz / situation.total_mhz) if situation.total_mhz else 0.0,
        memory_mib=wanted.memory_mb if wanted else 0,
        memory_max_mib=wanted.memory_max_mb if wanted else 0,
        ports=tuple(
            PortMap(label=p.label, host_ip=p.host_ip, value=p.value, to=max(p.to, 0))
            for p in allocation.ports
        ),
        alloc_dir=str(folders.shared),
        local_dir=str(own.local),
        secrets_dir=str(own.secrets),
        task_dir=str(own.task),
        logs=LogTarget(
            folder=str(folders.logs),
            max_files=logs.max_files or 10 if logs else 10,
            max_file_bytes=(logs.max_file_size_mb or 10 if logs else 10) * _MIB,
            disabled=logs.disabled if logs else False,
        ),
        kill_signal=task.kill_signal,
    )


def paths_seen(folders: AllocFolders, task: str, isolation: str) -> Paths:
    """The paths of the task's folders as the task sees them."""
    if isolation != "none":
        return Paths(alloc="/alloc", local="/local", secrets="/secrets")
    own = folders.of_task(task)
    return Paths(alloc=str(folders.shared), local=str(own.local), secrets=str(own.secrets))
