"""What a task uses, from its control group, or from /proc where it has none."""

from __future__ import annotations

import os

import msgspec

from drivers.common import proc
from hanse.structs.stats import CpuStats, MemoryStats, ResourceUsage

_NS = 1_000_000_000
_V1_FILES = (
    "cpuacct.usage",
    "cpuacct.stat",
    "memory.stat",
    "memory.usage_in_bytes",
    "memory.max_usage_in_bytes",
)


class Sample(msgspec.Struct, frozen=True):
    """Counters at one moment. CPU times in seconds since the task began, memory in bytes."""

    at_s: float
    cpu_s: float
    user_s: float = 0.0
    system_s: float = 0.0
    throttled_periods: int = 0
    throttled_ns: int = 0
    memory: MemoryStats = MemoryStats()
    cpu_measured: tuple[str, ...] = ("System Mode", "User Mode", "Percent")


def usage_between(before: Sample | None, now: Sample, core_mhz: float) -> ResourceUsage:
    """The usage over the time between two samples; without an earlier one, CPU is zero.

    100 percent is one core. `total_ticks` is MHz, to be compared with what the task asked for.
    """
    elapsed = now.at_s - before.at_s if before else 0.0

    def percent(late: float, early: float) -> float:
        return max(0.0, (late - early) / elapsed * 100) if elapsed > 0 else 0.0

    total = percent(now.cpu_s, before.cpu_s) if before else 0.0
    return ResourceUsage(
        memory_stats=now.memory,
        cpu_stats=CpuStats(
            system_mode=percent(now.system_s, before.system_s) if before else 0.0,
            user_mode=percent(now.user_s, before.user_s) if before else 0.0,
            percent=total,
            total_ticks=total / 100 * core_mhz,
            throttled_periods=now.throttled_periods,
            throttled_time=now.throttled_ns,
            measured=now.cpu_measured,
        ),
    )


def pairs(text: str) -> dict[str, int]:
    """Lines of `name number`, as control group files have them."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdigit():
            found[name] = int(value)
    return found


def _number(path: str) -> int:
    text = proc.read_small(path).strip()
    return int(text) if text.isdigit() else 0


def sample_group(paths: tuple[str, ...], now_s: float) -> Sample | None:
    """Read a task's control group; None when it is gone."""
    if not paths or not os.path.exists(paths[0]):
        return None
    if len(paths) == 1 and os.path.exists(f"{paths[0]}/cgroup.controllers"):
        return _sample_v2(paths[0], now_s)
    return _sample_v1(paths, now_s)


def _sample_v2(path: str, now_s: float) -> Sample:
    cpu = pairs(proc.read_small(f"{path}/cpu.stat"))
    memory = pairs(proc.read_small(f"{path}/memory.stat"))
    return Sample(
        at_s=now_s,
        cpu_s=cpu.get("usage_usec", 0) / 1e6,
        user_s=cpu.get("user_usec", 0) / 1e6,
        system_s=cpu.get("system_usec", 0) / 1e6,
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_ns=cpu.get("throttled_usec", 0) * 1000,
        cpu_measured=("System Mode", "User Mode", "Throttled Periods", "Throttled Time", "Percent"),
        memory=MemoryStats(
            rss=memory.get("anon", 0),
            cache=memory.get("file", 0),
            swap=_number(f"{path}/memory.swap.current"),
            usage=_number(f"{path}/memory.current"),
            max_usage=_number(f"{path}/memory.peak"),
            measured=("RSS", "Cache", "Swap", "Usage", "Max Usage"),
        ),
    )


def _sample_v1(paths: tuple[str, ...], now_s: float) -> Sample:
    texts = {
        name: next((text for path in paths if (text := proc.read_small(f"{path}/{name}"))), "")
        for name in _V1_FILES
    }
    modes = pairs(texts["cpuacct.stat"])
    memory = pairs(texts["memory.stat"])
    ticks = os.sysconf("SC_CLK_TCK")
    return Sample(
        at_s=now_s,
        cpu_s=int(texts["cpuacct.usage"] or 0) / _NS,
        user_s=modes.get("user", 0) / ticks,
        system_s=modes.get("system", 0) / ticks,
        memory=MemoryStats(
            rss=memory.get("total_rss", 0),
            cache=memory.get("total_cache", 0),
            swap=memory.get("total_swap", 0),
            usage=int(texts["memory.usage_in_bytes"] or 0),
            max_usage=int(texts["memory.max_usage_in_bytes"] or 0),
            measured=("RSS", "Cache", "Swap", "Usage", "Max Usage"),
        ),
    )


def sample_tree(pid: int, now_s: float) -> Sample:
    """Add up a process and its descendants. What has ended since is not counted."""
    user = system = rss = 0
    for each in (pid, *proc.descendants(pid)):
        in_user, in_system = proc.cpu_ticks(each)
        user, system = user + in_user, system + in_system
        rss += proc.rss_bytes(each)
    ticks = os.sysconf("SC_CLK_TCK")
    return Sample(
        at_s=now_s,
        cpu_s=(user + system) / ticks,
        user_s=user / ticks,
        system_s=system / ticks,
        memory=MemoryStats(rss=rss, usage=rss, measured=("RSS", "Usage")),
    )


def core_mhz() -> float:
    """The speed of one core as the kernel states it; 1000 when it does not."""
    text = proc.read_small("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()
    if text.isdigit():
        return int(text) / 1000
    speeds = [
        float(line.partition(":")[2])
        for line in proc.read_small("/proc/cpuinfo").splitlines()
        if line.startswith("cpu MHz")
    ]
    return max(speeds, default=1000.0)
