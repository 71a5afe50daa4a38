"""Measurements that are worked out from the state when somebody asks for them."""

from __future__ import annotations

import resource
from collections import Counter

from hanse.metrics import GaugeValue
from region.api.endpoint import Call
from region.api.lists import Pacer

#: Jobs whose instances are counted one by one; beyond, only the sums are given.
JOBS_MAX = 2000

_STATES = ("queued", "complete", "failed", "running", "starting", "lost", "unknown")


async def gauges_of(call: Call) -> list[GaugeValue]:
    """Instances by job, group and state, with their sums, and the process's largest size."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return [*await _summaries(call), _gauge("nomad.runtime.max_resident_bytes", largest)]


def _gauge(name: str, value: float, **labels: str) -> GaugeValue:
    return GaugeValue(name=name, value=float(value), labels=labels)


async def _summaries(call: Call) -> list[GaugeValue]:
    state = call.state
    pacer = Pacer(call)
    sums: Counter[str] = Counter(dict.fromkeys(_STATES, 0))
    found: list[GaugeValue] = []
    for number, job in enumerate(state.jobs()):
        if pacer.due():
            await pacer.pause()
        summary = state.summary(job.namespace, job.id)
        if summary is None:
            continue
        for group, counts in summary.summary.items():
            labels = {"job": job.id, "namespace": job.namespace, "task_group": group}
            for name in _STATES:
                count: int = getattr(counts, name)
                sums[name] += count
                if number < JOBS_MAX:
                    found.append(_gauge(f"nomad.nomad.job_summary.{name}", count, **labels))
    found += [_gauge(f"nomad.nomad.allocs.{name}", count) for name, count in sums.items()]
    return found
