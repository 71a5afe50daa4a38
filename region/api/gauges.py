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
    """Jobs, instances, evaluations and nodes by state, and the process's memory."""
    found = [
        *await _jobs(call),
        *await _evaluations(call),
        *_nodes(call),
        _gauge("nomad.raft.appliedIndex", call.state.revision),
        _gauge(
            "nomad.runtime.sys_bytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        ),
        _gauge("nomad.agent.leader", call.region.is_leader),
    ]
    host = call.agent.name
    return [_with_host(item, host) for item in found]


def _gauge(name: str, value: float, **labels: str) -> GaugeValue:
    return GaugeValue(name=name, value=float(value), labels=labels)


def _with_host(gauge: GaugeValue, host: str) -> GaugeValue:
    return GaugeValue(name=gauge.name, value=gauge.value, labels={**gauge.labels, "host": host})


async def _jobs(call: Call) -> list[GaugeValue]:
    state = call.state
    pacer = Pacer(call)
    jobs = state.jobs()
    statuses: Counter[str] = Counter({"pending": 0, "running": 0, "dead": 0})
    sums: Counter[str] = Counter(dict.fromkeys(_STATES, 0))
    found: list[GaugeValue] = []
    for number, job in enumerate(jobs):
        if pacer.due():
            await pacer.pause()
        statuses[state.job_status(job)] += 1
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
    found += [_gauge(f"nomad.nomad.job_status.{name}", n) for name, n in statuses.items()]
    found += [_gauge(f"nomad.nomad.allocs.{name}", n) for name, n in sums.items()]
    return found


async def _evaluations(call: Call) -> list[GaugeValue]:
    pacer = Pacer(call)
    counts: Counter[str] = Counter()
    for item in list(call.state.evaluations()):
        if pacer.due():
            await pacer.pause()
        counts[item.status] += 1
    return [
        _gauge("nomad.nomad.broker.total_ready", counts["pending"]),
        _gauge("nomad.nomad.blocked_evals.total_blocked", counts["blocked"]),
    ]


def _nodes(call: Call) -> list[GaugeValue]:
    counts: Counter[str] = Counter({"ready": 0, "down": 0, "initializing": 0})
    counts.update(node.status for node in call.state.nodes())
    return [
        *(_gauge(f"nomad.nomad.nodes.{name}", count) for name, count in counts.items()),
        _gauge("nomad.nomad.heartbeat.active", counts["ready"]),
    ]
