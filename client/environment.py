"""The environment variables a task starts with. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from client.interpolate import replace
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Task
from hanse.structs.taskstate import AllocatedPortMapping

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of a task as the task sees them."""

    alloc: str
    local: str
    secrets: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the task runs, and with which share of it."""

    region: str
    datacenter: str
    #: Compute (MHz) of the cores given to the task, when it asked for whole cores.
    cores: tuple[int, ...] = ()
    cpu_mhz: int = 0
    parent_cgroup: str = ""


def task_environment(
    allocation: Allocation,
    job: Job,
    group: TaskGroup,
    task: Task,
    *,
    paths: Paths,
    place: Place,
    names: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """The variables, and a larger map for `${...}` that also holds names as the job spells them.

    `env` of the job may refer to the node and to our own variables, in any order; it may also
    replace one of ours.
    """
    ours = _identity(allocation, job, group, task, place) | _resources(task, place)
    ours["NOMAD_ALLOC_DIR"] = paths.alloc
    ours["NOMAD_TASK_DIR"] = paths.local
    ours["NOMAD_SECRETS_DIR"] = paths.secrets
    if place.parent_cgroup:
        ours["NOMAD_PARENT_CGROUP"] = place.parent_cgroup
    spelled = _ports(allocation.ports)
    known = ours | spelled
    for key, value in (job.meta | group.meta | task.meta).items():
        text = replace(value, names, known)
        for name in (f"NOMAD_META_{key}", f"NOMAD_META_{key.upper()}"):
            spelled[name] = text
    known |= spelled
    variables = ours | {_clean(key): value for key, value in spelled.items()}
    env = {key: replace(value, names, known) for key, value in task.env.items()}
    env = {_clean_env(key): replace(value, {}, env) for key, value in env.items()}
    return variables | env, known | env


def _identity(
    allocation: Allocation, job: Job, group: TaskGroup, task: Task, place: Place
) -> dict[str, str]:
    found = {
        "NOMAD_ALLOC_ID": allocation.id,
        "NOMAD_SHORT_ALLOC_ID": allocation.id[:8],
        "NOMAD_ALLOC_NAME": allocation.name,
        "NOMAD_ALLOC_INDEX": str(allocation.index),
        "NOMAD_TASK_NAME": task.name,
        "NOMAD_GROUP_NAME": group.name,
        "NOMAD_JOB_ID": job.id,
        "NOMAD_JOB_NAME": job.name or job.id,
        "NOMAD_DC": place.datacenter,
        "NOMAD_REGION": place.region,
        "NOMAD_NAMESPACE": allocation.namespace,
    }
    if job.parent_id:
        found["NOMAD_JOB_PARENT_ID"] = job.parent_id
    return found


def _resources(task: Task, place: Place) -> dict[str, str]:
    wanted = task.resources
    if wanted is None:
        return {}
    found = {"NOMAD_MEMORY_LIMIT": str(wanted.memory_mb)}
    if wanted.memory_max_mb > 0:
        found["NOMAD_MEMORY_MAX_LIMIT"] = str(wanted.memory_max_mb)
    found["NOMAD_CPU_LIMIT"] = str(place.cpu_mhz or wanted.cpu)
    if place.cores:
        found["NOMAD_CPU_CORES"] = ",".join(map(str, place.cores))
    return found


def port_inside(port: AllocatedPortMapping) -> int:
    """The port the task binds: `to` if the job maps it, else the same as on the host."""
    return port.to if port.to > 0 else port.value


def _ports(ports: tuple[AllocatedPortMapping, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for port in ports:
        label, host = port.label, port.host_ip
        address = f"[{host}]" if ":" in host else host
        found |= {
            f"NOMAD_IP_{label}": host,
            f"NOMAD_PORT_{label}": str(port_inside(port)),
            f"NOMAD_ADDR_{label}": f"{address}:{port.value}",
            f"NOMAD_HOST_IP_{label}": host,
            f"NOMAD_HOST_PORT_{label}": str(port.value),
            f"NOMAD_HOST_ADDR_{label}": f"{address}:{port.value}",
            f"NOMAD_ALLOC_PORT_{label}": str(port_inside(port)),
        }
    return found


def _clean(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)


def _clean_env(name: str) -> str:
    """A name from the job's own `env`: kept as it is unless no process could have it."""
    return name.replace("=", "_").replace("\0", "_")
