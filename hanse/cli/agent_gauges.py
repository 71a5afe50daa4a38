"""Gauges of the whole agent, read from its parts every `telemetry.collection_interval`."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from pathlib import Path

from hanse.clock import Clock
from hanse.metrics import Metrics
from region.server import Region

#: Counting every job takes time in a large region; it is not done more often than this.
_COUNT_EVERY_S = 10.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Gauges:
    """A service that keeps the agent's gauges up to date."""

    name = "gauges"

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        *,
        interval_s: float,
        region: Region | None,
        node_id: str,
    ) -> None:
        """`region` and `node_id` are of the server and the client that run in this agent."""
        self._metrics = metrics
        self._clock = clock
        self._interval_s = max(interval_s, 0.1)
        self._region = region
        self._node_id = node_id
        self._counted_at = float("-inf")

    async def run(self) -> None:
        """Look at everything, for ever."""
        while True:
            self.collect()
            await self._clock.sleep(self._interval_s)

    def collect(self) -> None:
        """Set every gauge once."""
        self._runtime()
        if self._region is None:
            return
        self._server(self._region)
        now = self._clock.now()
        if now - self._counted_at >= _COUNT_EVERY_S:
            self._counted_at = now
            self._count(self._region)

    def _runtime(self) -> None:
        gauge = self._metrics.gauge
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        gauge("nomad.runtime.alloc_bytes", pages * _PAGE_BYTES)
        gauge("nomad.runtime.num_threads", threading.active_count())
        gauge("nomad.runtime.heap_objects", gc.get_count()[0])

    def _server(self, region: Region) -> None:
        gauge = self._metrics.gauge
        gauge("nomad.raft.appliedIndex", region.state.revision)
        gauge("nomad.leader", int(region.is_leader))
        broker = region.broker
        if broker is not None:
            gauge("nomad.nomad.broker.total_ready", len(broker.queue))
            gauge("nomad.nomad.blocked_evals.total_blocked", broker.queue.blocked_count)

    def _count(self, region: Region) -> None:
        gauge = self._metrics.gauge
        state = region.state
        jobs = Counter(state.job_status(job) for job in state.jobs())
        for status in ("pending", "running", "dead"):
            gauge(f"nomad.nomad.job_status.{status}", jobs[status])
        nodes = Counter(node.status for node in state.nodes())
        for status in ("initializing", "ready", "down"):
            gauge(f"nomad.nomad.nodes.{status}", nodes[status])
        if not self._node_id:
            return
        here = Counter(a.client_status for a in state.allocations_of_node(self._node_id))
        for status in ("pending", "running", "complete", "failed"):
            gauge(f"nomad.client.allocations.{status}", here[status], node_id=self._node_id)
