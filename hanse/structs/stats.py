"""Files and resource usage, as clients report them."""

from __future__ import annotations

from msgspec import field

from hanse.structs.wire import ZERO_TIME, Wire


class AllocFileInfo(Wire, frozen=True, kw_only=True):
    """A file in an allocation's folder."""

    name: str = ""
    is_dir: bool = False
    size: int = 0
    file_mode: str = ""
    mod_time: str = ZERO_TIME
    content_type: str = ""


class StreamFrame(Wire, frozen=True, kw_only=True):
    """A piece of a streamed file."""

    offset: int = 0
    data: str = ""
    file: str = ""
    file_event: str = ""


class MemoryStats(Wire, frozen=True, kw_only=True):
    """Memory in use, bytes."""

    rss: int = 0
    cache: int = 0
    swap: int = 0
    usage: int = 0
    max_usage: int = 0
    kernel_usage: int = 0
    kernel_max_usage: int = 0
    measured: tuple[str, ...] = ()


class CpuStats(Wire, frozen=True, kw_only=True):
    """CPU in use."""

    system_mode: float = 0.0
    user_mode: float = 0.0
    total_ticks: float = 0.0
    throttled_periods: int = 0
    throttled_time: int = 0
    percent: float = 0.0
    measured: tuple[str, ...] = ()


class ResourceUsage(Wire, frozen=True, kw_only=True):
    """What is in use."""

    memory_stats: MemoryStats | None = None
    cpu_stats: CpuStats | None = field(default=None, name="CpuStats")
    device_stats: tuple[object, ...] = ()


class TaskResourceUsage(Wire, frozen=True, kw_only=True):
    """What a task uses."""

    resource_usage: ResourceUsage | None = None
    timestamp: int = 0
    pids: dict[str, ResourceUsage] = {}


class AllocResourceUsage(Wire, frozen=True, kw_only=True):
    """What an allocation uses."""

    resource_usage: ResourceUsage | None = None
    tasks: dict[str, TaskResourceUsage] = {}
    timestamp: int = 0


class HostCPUStats(Wire, frozen=True, kw_only=True):
    """One CPU's load, percent."""

    cpu: str = ""
    user: float = 0.0
    system: float = 0.0
    idle: float = 0.0


class HostMemoryStats(Wire, frozen=True, kw_only=True):
    """The host's memory, bytes."""

    total: int = 0
    available: int = 0
    used: int = 0
    free: int = 0


class HostDiskStats(Wire, frozen=True, kw_only=True):
    """A file system of the host, bytes."""

    device: str = ""
    mountpoint: str = ""
    size: int = 0
    used: int = 0
    available: int = 0
    used_percent: float = 0.0
    inodes_used_percent: float = 0.0


class HostStats(Wire, frozen=True, kw_only=True):
    """What the host uses."""

    memory: HostMemoryStats | None = None
    cpu: tuple[HostCPUStats, ...] = ()
    disk_stats: tuple[HostDiskStats, ...] = ()
    alloc_dir_stats: HostDiskStats | None = None
    device_stats: tuple[object, ...] = ()
    uptime: int = 0
    cpu_ticks_consumed: float = 0.0
