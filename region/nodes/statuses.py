"""Stores what nodes report of their allocations: one value for each node and flush.

While one flush is on its way to the store the next gathers what comes in, from all nodes, so
the load decides how much is in one. A report is acknowledged when it is stored, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from hanse.errors import HanseError
from hanse.store import KeyIs, Put, Txn
from hanse.structs.allocation import Allocation, AllocStatus, StatusSegment
from region.alarm import Alarm
from region.commands.drafts import evaluations_for_allocs, put_eval
from region.state.codec import encode
from region.state.state import State
from region.writer import Writer

log = structlog.get_logger(__name__)

_NODES_MAX = 500
_STATUSES_MAX = 20_000
_RETRY_S = 0.2


@dataclass
class _Report:
    statuses: dict[str, AllocStatus] = field(default_factory=dict)
    stored: list[Callable[[], None]] = field(default_factory=list)


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
        report = self._waiting.setdefault(node_id, _Report())
        for status in statuses:
            alloc = self._writer.state.allocation(status.alloc_id)
            if alloc is not None and alloc.node_id != node_id:
                log.warning("status of a foreign allocation", node=node_id, alloc=alloc.id)
            elif alloc is not None:
                report.statuses[status.alloc_id] = status
        report.stored.append(stored)
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
        writer = self._writer
        state, now_ns = writer.state, writer.clock.wall_ns()
        keys = state.keys
        sequence = f"{now_ns:016x}{writer.rng.getrandbits(32):08x}"
        writes = [
            Put(
                keys.status(node_id, sequence),
                encode(StatusSegment(node_id=node_id, statuses=tuple(report.statuses.values()))),
            )
            for node_id, report in reports.items()
            if report.statuses
        ]
        if writes:
            failed = list(newly_failed(state, reports))
            evaluations = evaluations_for_allocs(
                state, writer.ids(), failed, "alloc-failure", now_ns
            )
            marker = KeyIs(writes[0].key, 0)
            writes += [put_eval(keys, evaluation) for evaluation in evaluations]
            await self._store(Txn((marker,), tuple(writes)))
        for report in reports.values():
            for stored in report.stored:
                stored()

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


def newly_failed(state: State, reports: dict[str, _Report]) -> Iterable[Allocation]:
    """Allocations that are wanted, and of which a node now says for the first time: failed."""
    for report in reports.values():
        for status in report.statuses.values():
            alloc = state.allocation(status.alloc_id)
            if (
                alloc is not None
                and status.client_status == "failed"
                and alloc.client_status != "failed"
                and alloc.desired_status == "run"
            ):
                yield alloc
