"""What an instance of a group takes from its node."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Resources, Task

#: The disk an allocation gets when its group does not say, MB.
DISK_MB_DEFAULT = 300


@dataclass(frozen=True, slots=True)
class PortAsk:
    """One port that a group wants: `value` 0 stands for any free one."""

    label: str
    value: int = 0
    to: int = 0
    ignore_collision: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """What one instance needs."""

    cpu_mhz: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    static_ports: tuple[PortAsk, ...] = ()
    dynamic_ports: tuple[PortAsk, ...] = ()

    @property
    def exclusive_ports(self) -> tuple[PortAsk, ...]:
        """The static ports that only one instance of a node can have."""
        return tuple(port for port in self.static_ports if not port.ignore_collision)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one allocation takes: charged to its node while the allocation is not terminal."""

    cpu_mhz: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    ports: tuple[int, ...] = ()


NOTHING = Usage()


def ask_of(group: TaskGroup) -> Ask:
    """What one instance of the group needs, tasks and shared things together."""
    disk = group.ephemeral_disk
    cpu, memory = _tasks_need(group.tasks)
    return Ask(
        cpu_mhz=cpu,
        memory_mb=memory,
        disk_mb=disk.size_mb if disk is not None else DISK_MB_DEFAULT,
        static_ports=tuple(
            PortAsk(port.label, port.value, port.to, port.ignore_collision)
            for network in group.networks
            for port in network.reserved_ports
        ),
        dynamic_ports=tuple(
            PortAsk(port.label, 0, port.to)
            for network in group.networks
            for port in network.dynamic_ports
        ),
    )


def _tasks_need(tasks: tuple[Task, ...]) -> tuple[int, int]:
    """CPU and memory: tasks that never run at the same time share what they take."""
    sides = {"side": (0, 0), "prestart": (0, 0), "main": (0, 0), "poststop": (0, 0)}
    for task in tasks:
        given = task.resources or Resources()
        phase = _phase(task)
        cpu, memory = sides[phase]
        sides[phase] = (cpu + given.cpu, memory + given.memory_mb)
    one_at_a_time = [sides["prestart"], sides["main"], sides["poststop"]]
    cpu = sides["side"][0] + max(cpu for cpu, _ in one_at_a_time)
    memory = sides["side"][1] + max(memory for _, memory in one_at_a_time)
    return cpu, memory


def _phase(task: Task) -> str:
    cycle = task.lifecycle
    if cycle is None or cycle.hook == "poststart":
        return "main"
    if cycle.hook == "prestart":
        return "side" if cycle.sidecar else "prestart"
    return "poststop"


def usage_of(allocation: Allocation, job: Job | None) -> Usage:
    """What the allocation takes, by the version of the job that it runs.

    Nothing if that version, or the group in it, is no longer known.
    """
    group = group_of(job, allocation.group)
    if group is None:
        return NOTHING
    return usage_with_ports(ask_of(group), allocation)


def usage_with_ports(ask: Ask, allocation: Allocation) -> Usage:
    """The same for a caller who has the group's `ask_of` at hand."""
    ports = tuple(p.value for p in allocation.ports if not p.ignore_collision)
    return Usage(ask.cpu_mhz, ask.memory_mb, ask.disk_mb, ports)


def group_of(job: Job | None, name: str) -> TaskGroup | None:
    """The group of that name."""
    if job is None:
        return None
    return next((group for group in job.task_groups if group.name == name), None)
