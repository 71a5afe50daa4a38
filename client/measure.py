"""What the machine and its allocations use now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from client.fingerprint.finding import read_text
from hanse.structs.stats import (
    AllocResourceUsage,
    CpuStats,
    HostCPUStats,
    HostDiskStats,
    HostMemoryStats,
    HostStats,
    MemoryStats,
    ResourceUsage,
    TaskResourceUsage,
)

#: Of each processor since the machine started, in ticks: user, system, idle.
CpuTimes = dict[str, tuple[int, int, int]]


class HostMeter:
    """Measures the machine; processor load is that since the measurement before."""

    def __init__(self, folder: Path, total_mhz: int) -> None:
        """`folder` is on the volume whose use is shown."""
        self._folder = folder
        self._total_mhz = total_mhz
        self._before: CpuTimes = {}

    def measure(self) -> HostStats:
        """Look now. Blocks for a moment."""
        now = cpu_times(read_text("/proc/stat"))
        cpus = loads(self._before, now)
        self._before = now
        busy = [cpu.user + cpu.system for cpu in cpus]
        share = sum(busy) / len(busy) / 100 if busy else 0.0
        disk = disk_stats(self._folder)
        return HostStats(
            memory=memory_stats(read_text("/proc/meminfo")),
            cpu=tuple(cpus),
            disk_stats=(disk,),
            alloc_dir_stats=disk,
            uptime=int(float((read_text("/proc/uptime").split() or ["0"])[0])),
            cpu_ticks_consumed=share * self._total_mhz,
        )


def cpu_times(text: str) -> CpuTimes:
    """Of `/proc/stat`. Pure."""
    found: CpuTimes = {}
    for line in text.splitlines():
        fields = line.split()
        if fields and fields[0].startswith("cpu") and fields[0] != "cpu" and len(fields) > 5:
            user, nice, system, idle, iowait = map(int, fields[1:6])
            rest = sum(map(int, fields[6:9]))
            found[fields[0]] = (user + nice, system + rest, idle + iowait)
    return found


def loads(before: CpuTimes, now: CpuTimes) -> list[HostCPUStats]:
    """The load of each processor between two looks, percent. Pure."""
    found: list[HostCPUStats] = []
    for cpu, times in now.items():
        parts = [b - a for a, b in zip(before.get(cpu, (0, 0, 0)), times, strict=True)]
        total = sum(parts)
        user, system, idle = (100 * part / total if total > 0 else 0.0 for part in parts)
        found.append(HostCPUStats(cpu=cpu, user=user, system=system, idle=idle))
    return found


def memory_stats(text: str) -> HostMemoryStats:
    """Of `/proc/meminfo`. Pure."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdecimal():
            values[name] = int(number[0]) * 1024
    total, available = values.get("MemTotal", 0), values.get("MemAvailable", 0)
    return HostMemoryStats(
        total=total, available=available, used=total - available, free=values.get("MemFree", 0)
    )


def disk_stats(folder: Path) -> HostDiskStats:
    """The volume of the folder. Blocks."""
    stats = os.statvfs(folder)
    size = stats.f_blocks * stats.f_frsize
    available = stats.f_bavail * stats.f_frsize
    used = size - stats.f_bfree * stats.f_frsize
    return HostDiskStats(
        device="",
        mountpoint=str(folder),
        size=size,
        used=used,
        available=available,
        used_percent=100 * used / size if size else 0.0,
        inodes_used_percent=(
            100 * (stats.f_files - stats.f_ffree) / stats.f_files if stats.f_files else 0.0
        ),
    )


def total_usage(tasks: dict[str, ResourceUsage], at_ns: int) -> AllocResourceUsage:
    """The tasks' use and its sum. Pure."""
    return AllocResourceUsage(
        resource_usage=_sum(tasks.values()),
        tasks={
            name: TaskResourceUsage(resource_usage=usage, timestamp=at_ns)
            for name, usage in tasks.items()
        },
        timestamp=at_ns,
    )


def _sum(usages: Iterable[ResourceUsage]) -> ResourceUsage:
    memories = [u.memory_stats for u in usages if u.memory_stats is not None]
    cpus = [u.cpu_stats for u in usages if u.cpu_stats is not None]
    return ResourceUsage(
        memory_stats=MemoryStats(
            rss=sum(m.rss for m in memories),
            cache=sum(m.cache for m in memories),
            swap=sum(m.swap for m in memories),
            usage=sum(m.usage for m in memories),
            max_usage=sum(m.max_usage for m in memories),
            kernel_usage=sum(m.kernel_usage for m in memories),
            kernel_max_usage=sum(m.kernel_max_usage for m in memories),
            measured=tuple(dict.fromkeys(name for m in memories for name in m.measured)),
        ),
        cpu_stats=CpuStats(
            system_mode=sum(c.system_mode for c in cpus),
            user_mode=sum(c.user_mode for c in cpus),
            total_ticks=sum(c.total_ticks for c in cpus),
            throttled_periods=sum(c.throttled_periods for c in cpus),
            throttled_time=sum(c.throttled_time for c in cpus),
            percent=sum(c.percent for c in cpus),
            measured=tuple(dict.fromkeys(name for c in cpus for name in c.measured)),
        ),
    )
