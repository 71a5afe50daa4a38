"""Drains nodes while this server leads: the edge of `region.drain.decide`."""

from __future__ import annotations

import structlog
from msgspec.structs import replace

from hanse.errors import HanseError
from hanse.store import KeyIs, Put
from hanse.structs.allocation import Allocation, AllocChange
from hanse.structs.node import DrainStrategy, Node
from region.alarm import Alarm
from region.commands.drafts import evaluations_for_allocs, put_changes, put_eval
from region.commands.nodes import drain_complete
from region.drain.decide import Decision, Facts, decide
from region.state.codec import encode
from region.state.state import State
from region.state.tables import Applied
from region.writer import TXN_OPS_MAX, Fenced, Leading

log = structlog.get_logger(__name__)

_IDLE_S = 60.0
_RETRY_S = 0.5
#: Allocations that leave in one transaction.
_MIGRATE_MAX = TXN_OPS_MAX // 2 - 2


class Drainer:
    """Looks at draining nodes when something of them or of their jobs changed."""

    def __init__(self, leading: Leading) -> None:
        """Looks at once."""
        self._leading = leading
        self._alarm = Alarm(leading.clock)
        self._draining = {
            n.id: n.drain_strategy for n in leading.state.nodes() if n.drain_strategy is not None
        }

    async def run(self) -> None:
        """Drain for ever. Raises Fenced when another server leads."""
        stop = self._leading.state.listen(self._heard)
        try:
            wait_s = 0.0 if self._draining else _IDLE_S
            while True:
                await self._alarm.wait(wait_s)
                wait_s = _IDLE_S
                if not self._draining:
                    continue
                wait_s = await self._try()
        finally:
            stop()

    async def _try(self) -> float:
        """Take a step; gives how long nothing is to be done, in seconds."""
        try:
            return await self._step()
        except Fenced:
            raise
        except HanseError as error:
            if not error.retryable:
                raise
            log.warning("drain not continued", error=str(error))
            return _RETRY_S
        except Exception:
            # Something stored is odd. Everything else that leads must go on.
            log.exception("drains cannot be judged")
            return _IDLE_S

    def _heard(self, applied: Applied) -> None:
        for change in applied.changes:
            match change:
                case (_, str() as node_id, _, Node(drain_strategy=DrainStrategy() as strategy)):
                    self._draining[node_id] = strategy
                case ("nodes", str() as node_id, _, _):
                    self._draining.pop(node_id, None)
                case ("allocs", _, _, _) if self._draining:
                    self._alarm.ring()
                    return
                case _:
                    continue
            self._alarm.ring()

    async def _step(self) -> float:
        """Take one step; gives how long nothing is to be done, in seconds."""
        leading = self._leading
        now_ns = leading.clock.wall_ns()
        facts = facts_of(leading.state, self._draining, now_ns)
        decision = decide(facts)
        if decision.migrate or decision.done:
            compares, writes = self._writes(decision, now_ns)
            result = await leading.commit(compares, writes)
            if not result.succeeded:
                return _RETRY_S
            log.info("draining", migrating=len(decision.migrate), done=list(decision.done))
            if len(decision.migrate) > _MIGRATE_MAX or len(decision.done) > TXN_OPS_MAX // 2:
                return 0.0
        if not decision.wake_at_ns:
            return _IDLE_S
        return min(_IDLE_S, max(0.0, (decision.wake_at_ns - now_ns) / 1e9) + 0.001)

    def _writes(self, decision: Decision, now_ns: int) -> tuple[tuple[KeyIs, ...], tuple[Put, ...]]:
        leading, state = self._leading, self._leading.state
        keys, ids = state.keys, leading.ids()
        leaving = decision.migrate[:_MIGRATE_MAX]
        changes = [
            AllocChange(alloc_id=a.id, transition=replace(a.transition, migrate=True))
            for a in leaving
        ]
        writes = [*put_changes(keys, ids, changes, now_ns)]
        evaluations = evaluations_for_allocs(state, ids, leaving, "node-drain", now_ns)
        writes += [put_eval(keys, evaluation) for evaluation in evaluations]
        compares: list[KeyIs] = []
        for node_id in decision.done[: TXN_OPS_MAX // 2]:
            key = keys.node_state(node_id)
            compares.append(leading.key_is(key))
            writes.append(Put(key, encode(drain_complete(state.node_state(node_id), now_ns))))
        return tuple(compares), tuple(writes)


def facts_of(state: State, draining: dict[str, DrainStrategy], now_ns: int) -> Facts:
    """What the decision depends on, read from the state."""
    on_nodes: list[Allocation] = []
    for node_id in draining:
        on_nodes += [a for a in state.allocations_of_node(node_id) if not a.client_terminal]
    names = {(a.namespace, a.job_id) for a in on_nodes}
    found = {name: state.job(*name) for name in names}
    return Facts(
        draining=dict(draining),
        on_nodes=on_nodes,
        jobs={name: job for name, job in found.items() if job is not None},
        of_jobs={name: state.allocations_of_job(*name) for name in names},
        now_ns=now_ns,
    )
