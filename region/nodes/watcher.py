"""Declares nodes down that are not heard, and sees that their jobs are looked at.

Runs on the leader only.
"""

from __future__ import annotations

import structlog

from hanse.errors import HanseError
from hanse.structs.allocation import Allocation
from region.commands.drafts import put_eval
from region.nodes import drafts
from region.nodes.presence import TICK_S, Presence
from region.state.tables import Applied
from region.writer import TXN_OPS_MAX, Leading

log = structlog.get_logger(__name__)


class NodeWatcher:
    """Ticks the presence of nodes while this server leads."""

    def __init__(self, leading: Leading, presence: Presence) -> None:
        """Every node that should be there gets one fresh time to live."""
        self._leading = leading
        self._presence = presence
        state = leading.state
        presence.start(n.id for n in state.nodes() if n.status != "down")
        #: Nodes that something was placed on although they are down.
        self._suspects = {n.id for n in state.nodes() if n.status == "down"}
        self._suspects |= {id_ for id_, entry in state.tables.nodes.items() if not entry.record}

    async def run(self) -> None:
        """Watch for ever. Raises Fenced when another server leads."""
        stop = self._leading.state.listen(self._heard)
        try:
            while True:
                await self._leading.clock.sleep(TICK_S)
                try:
                    await self._step()
                except HanseError as error:
                    if not error.retryable:
                        raise
                    log.warning("cannot update nodes", error=str(error))
        finally:
            stop()

    def _heard(self, applied: Applied) -> None:
        state = self._leading.state
        for change in applied.changes:
            if change.table == "nodes" and isinstance(change.key, str):
                node = state.node(change.key)
                if node is None or node.status == "down":
                    self._presence.forget(change.key)
                    self._suspects.add(change.key)
                elif change.old is None:
                    self._presence.heard(change.key)
            elif change.old is None and isinstance(change.new, Allocation):
                node = state.node(change.new.node_id)
                if node is None or node.status == "down":
                    self._suspects.add(change.new.node_id)

    async def _step(self) -> None:
        leading, state = self._leading, self._leading.state
        silent = self._presence.tick()
        silent = [i for i in silent if state.node_state(i).status != "down"]
        for start in range(0, len(silent), TXN_OPS_MAX):
            chunk = silent[start : start + TXN_OPS_MAX]
            now_ns = leading.clock.wall_ns()
            compares, writes = drafts.silent(state, chunk, now_ns)
            result = await leading.commit(compares, writes)
            if result.succeeded:
                log.warning("nodes are down", count=len(chunk), nodes=chunk[:5])
        if self._suspects:
            suspects = list(self._suspects)
            now_ns = leading.clock.wall_ns()
            evaluations = drafts.stranded(state, suspects, leading.ids(), now_ns)
            for start in range(0, len(evaluations), TXN_OPS_MAX):
                some = evaluations[start : start + TXN_OPS_MAX]
                await leading.commit((), tuple(put_eval(state.keys, e) for e in some))
            self._suspects.difference_update(suspects)
