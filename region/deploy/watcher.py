"""Watches deployments while this server leads: the edge of `region.deploy.decide`."""

from __future__ import annotations

import structlog

from hanse.errors import HanseError
from hanse.structs.allocation import Allocation
from hanse.structs.deployment import Deployment
from region.alarm import Alarm
from region.commands.jobs import History
from region.deploy import drafts
from region.deploy.decide import NOTHING, decide
from region.state.tables import Applied
from region.writer import Fenced, Leading

log = structlog.get_logger(__name__)

_RETRY_S = 0.5
_IDLE_S = 60.0


class DeploymentWatcher:
    """Looks at a deployment when something of it changed, and when its deadline passes."""

    def __init__(self, leading: Leading, history: History) -> None:
        """All deployments are looked at once."""
        self._leading = leading
        self._history = history
        self._alarm = Alarm(leading.clock)
        self._dirty: dict[str, None] = {d.id: None for d in leading.state.deployments()}
        self._due_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Watch for ever. Raises Fenced when another server leads."""
        stop = self._leading.state.listen(self._heard)
        try:
            while True:
                self._take_due()
                while self._dirty:
                    deployment_id = next(iter(self._dirty))
                    del self._dirty[deployment_id]
                    await self._try(deployment_id)
                await self._alarm.wait(self._sleep_s())
        finally:
            stop()

    async def _try(self, deployment_id: str) -> None:
        """Take a step; what is wrong with one deployment does not stop the others."""
        try:
            await self._step(deployment_id)
        except Fenced:
            raise
        except HanseError as error:
            if not error.retryable:
                raise
            log.warning("deployment not updated", deployment=deployment_id, error=str(error))
            self._dirty[deployment_id] = None
            await self._leading.clock.sleep(_RETRY_S)
        except Exception:
            # It is looked at again when something of it changes.
            log.exception("deployment cannot be judged", deployment=deployment_id)

    def _heard(self, applied: Applied) -> None:
        for change in applied.changes:
            match change.new if change.new is not None else change.old:
                case Deployment(id=deployment_id):
                    self._dirty[deployment_id] = None
                case Allocation(deployment_id=deployment_id) if deployment_id:
                    self._dirty[deployment_id] = None
                case _:
                    pass
        if self._dirty:
            self._alarm.ring()

    def _take_due(self) -> None:
        now_ns = self._leading.clock.wall_ns()
        for deployment_id, due_ns in list(self._due_ns.items()):
            if due_ns <= now_ns:
                del self._due_ns[deployment_id]
                self._dirty[deployment_id] = None

    def _sleep_s(self) -> float:
        if not self._due_ns:
            return _IDLE_S
        left_ns = min(self._due_ns.values()) - self._leading.clock.wall_ns()
        return min(_IDLE_S, max(0.0, left_ns / 1e9) + 0.001)

    async def _step(self, deployment_id: str) -> None:
        leading, state = self._leading, self._leading.state
        self._due_ns.pop(deployment_id, None)
        deployment = state.deployment(deployment_id)
        if deployment is None:
            return
        if deployment.status == "successful":
            stable = drafts.mark_stable(state, deployment)
            if stable is not None:
                await leading.commit((leading.key_is(stable.key),), (stable,))
            return
        facts = drafts.facts_of(state, deployment, leading.clock.wall_ns())
        decision = decide(facts)
        if decision.wake_at_ns:
            self._due_ns[deployment_id] = decision.wake_at_ns
        if decision == NOTHING or not (
            decision.status or decision.promote or decision.replace or decision.evaluate
        ):
            return
        draft = drafts.decided(leading, facts, decision, leading.ids(), self._history)
        result = await leading.commit(draft.compares, draft.writes)
        if not result.succeeded:
            self._dirty[deployment_id] = None
        elif decision.status:
            log.info(
                "deployment ended",
                deployment=deployment_id,
                job=deployment.job_id,
                status=decision.status,
                why=decision.description,
            )
