"""Reading the engine's figures about a container. Pure."""

from __future__ import annotations

from drivers.common.stats import Sample
from hanse.structs.stats import MemoryStats

_NS = 1_000_000_000
_CPU_MEASURED = ("System Mode", "User Mode", "Throttled Periods", "Throttled Time", "Percent")
_MEMORY_MEASURED = ("RSS", "Cache", "Swap", "Usage", "Max Usage")


def _part(value: object, name: str) -> dict[str, object]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: dict[str, object], *names: str) -> int:
    """The first of the names that is there: cgroup v1 and v2 call things differently."""
    for name in names:
        if isinstance(found := value.get(name), int):
            return found
    return 0


def sample_of(answer: object, now_s: float) -> Sample:
    """Counters from the answer to `stats`."""
    cpu = _part(answer, "cpu_stats")
    used = _part(cpu, "cpu_usage")
    throttling = _part(cpu, "throttling_data")
    memory = _part(answer, "memory_stats")
    detail = _part(memory, "stats")
    return Sample(
        at_s=now_s,
        cpu_s=_number(used, "total_usage") / _NS,
        user_s=_number(used, "usage_in_usermode") / _NS,
        system_s=_number(used, "usage_in_kernelmode") / _NS,
        throttled_periods=_number(throttling, "throttled_periods"),
        throttled_ns=_number(throttling, "throttled_time"),
        cpu_measured=_CPU_MEASURED,
        memory=MemoryStats(
            rss=_number(detail, "total_rss", "rss", "anon"),
            cache=_number(detail, "total_cache", "cache", "file"),
            swap=_number(detail, "total_swap", "swap"),
            usage=_number(memory, "usage"),
            max_usage=_number(memory, "max_usage"),
            measured=_MEMORY_MEASURED,
        ),
    )
