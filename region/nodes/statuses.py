"""Stores what nodes report of their allocations: one value for each node and flush.

While one flush is on its way to the store the next gathers what comes in, from all nodes, so
the load decides how much is in one. A report is acknowledged when it is stored, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import structlog

from hanse.errors import HanseError
from hanse.store import KeyIs, Put, Txn
from hanse.structs.allocation import Allocation, AllocStatus, StatusSegment
from region.alarm import Alarm
from region.commands.drafts import evaluations_for_allocs, put_eval
from region.state.codec import encode
from region.state.state import State
from region.writer import TXN_OPS_MAX, Writer

log = structlog.get_logger(__name__)

_NODES_MAX = 500
_STATUSES_MAX = 20_000
#: Reports in one segment: all may be failures of different jobs.
_SEGMENT_MAX = TXN_OPS_MAX - 1
_RETRY_S = 0.2


@dataclass
class _Report:
    stored: Callable[[], None]
    statuses: dict[str, AllocStatus] = field(default_factory=dict)


class StatusWriter:
    """A service; sessions hand it their nodes' reports."""

    name = "statuses"

    def __init__(self, writer: Writer) -> None:
        """Nothing is waiting yet."""
        self._writer = writer
        self._waiting: dict[str, _Report] = {}
        self._alarm = Alarm(writer.clock)

    def report(
        self, node_id: str, statuses: Iterable[AllocStatus], stored: Callable[[], None]
    ) -> None:
        """Store statuses of the node's own allocations; `stored` is called when that is done.

        What the node says of others' allocations is dropped, as is what nobody knows any more.
        """
        report = self._waiting.setdefault(node_id, _Report(stored))
        # One acknowledgement is enough: the last one names all before it.
        report.stored = stored
        for status in statuses:
            alloc = self._writer.state.allocation(status.alloc_id)
            if alloc is not None and alloc.node_id != node_id:
                log.warning("status of a foreign allocation", node=node_id, alloc=alloc.id)
            elif alloc is not None:
                report.statuses[status.alloc_id] = status
        self._alarm.ring()

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            if not self._waiting:
                await self._alarm.wait(60.0)
                continue
            await self._flush(self._take())

    def _take(self) -> dict[str, _Report]:
        taken: dict[str, _Report] = {}
        count = 0
        for node_id in list(self._waiting):
            if len(taken) >= _NODES_MAX or count >= _STATUSES_MAX:
                break
            taken[node_id] = self._waiting.pop(node_id)
            count += len(taken[node_id].statuses)
        return taken

    async def _flush(self, reports: dict[str, _Report]) -> None:
        """Store the reports, however long that takes, and acknowledge them."""
        for txn in self._transactions(reports):
            await self._store(txn)
        for report in reports.values():
            report.stored()

    def _transactions(self, reports: dict[str, _Report]) -> Iterator[Txn]:
        """Segments, each with evaluations of the jobs that it reports failures of."""
        writer, now_ns = self._writer, self._writer.clock.wall_ns()
        flush = f"{now_ns:016x}{writer.rng.getrandbits(32):08x}"
        writes: list[Put] = []
        evaluated: set[tuple[str, str]] = set()
        number = 0
        for node_id, report in reports.items():
            statuses = list(report.statuses.values())
            for start in range(0, len(statuses), _SEGMENT_MAX):
                chunk = tuple(statuses[start : start + _SEGMENT_MAX])
                more = self._segment(node_id, f"{flush}{number:04x}", chunk, evaluated)
                number += 1
                if writes and len(writes) + len(more) > TXN_OPS_MAX:
                    yield Txn((KeyIs(writes[0].key, 0),), tuple(writes))
                    # An evaluation of an earlier transaction may be over before this one.
                    writes = []
                    evaluated.clear()
                    more = self._segment(node_id, f"{flush}{number:04x}", chunk, evaluated)
                writes += more
        if writes:
            yield Txn((KeyIs(writes[0].key, 0),), tuple(writes))

    def _segment(
        self,
        node_id: str,
        sequence: str,
        statuses: tuple[AllocStatus, ...],
        evaluated: set[tuple[str, str]],
    ) -> list[Put]:
        """One segment of a node's reports, and evaluations of jobs not in `evaluated` yet."""
        writer, keys = self._writer, self._writer.state.keys
        segment = StatusSegment(node_id=node_id, statuses=statuses)
        writes = [Put(keys.status(node_id, sequence), encode(segment))]
        failed = [
            a
            for a in newly_failed(writer.state, statuses)
            if (a.namespace, a.job_id) not in evaluated
        ]
        evaluated |= {(a.namespace, a.job_id) for a in failed}
        evaluations = evaluations_for_allocs(
            writer.state, writer.ids(), failed, "alloc-failure", writer.clock.wall_ns()
        )
        return writes + [put_eval(keys, evaluation) for evaluation in evaluations]

    async def _store(self, txn: Txn) -> None:
        """Commit until it is known to be stored. Refused means that an earlier try got through."""
        writer = self._writer
        while True:
            try:
                result = await writer.store.commit(txn)
            except HanseError as error:
                if error.kind not in ("unavailable", "no-leader", "out-of-space"):
                    raise
                log.warning("statuses not stored yet", error=str(error))
                await writer.clock.sleep(_RETRY_S)
            else:
                await writer.state.wait_applied(result.revision)
                return


def newly_failed(state: State, statuses: Iterable[AllocStatus]) -> Iterator[Allocation]:
    """Allocations that are wanted, and of which a node now says for the first time: failed."""
    for status in statuses:
        alloc = state.allocation(status.alloc_id)
        if (
            alloc is not None
            and status.client_status == "failed"
            and alloc.client_status != "failed"
            and alloc.desired_status == "run"
        ):
            yield alloc
