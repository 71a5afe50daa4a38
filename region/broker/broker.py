"""The leader's loop: evaluations in, committed plans out.

One pass works on many evaluations, each seeing the room that those before it took. While a
pass is committed the next one is made (the store keeps the order), so neither waits for the
other. Large passes run in a thread of their own, so that no heartbeat waits for them.

Everything here is rebuilt from the state when a server starts to lead. A plan that is not
stored, for whatever reason, leaves its evaluation pending, and it is made anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import NamedTuple

import structlog

from hanse.errors import HanseError, OutOfSpace, TooLarge
from hanse.store import KeyIs, Put
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.plan import Plan
from region.alarm import Alarm, give_way
from region.broker.capacity import Capacity
from region.broker.plans import Made, Seen, failed, nothing_new, transactions
from region.broker.queue import EvalQueue, Ticket
from region.broker.snapshots import snapshot_of
from region.scheduler.fleet import FleetView
from region.scheduler.schedule import schedule
from region.scheduler.snapshot import Snapshot
from region.state.codec import encode
from region.state.tables import Applied, Changed
from region.writer import Leading

log = structlog.get_logger(__name__)

Schedule = Callable[[Snapshot], Plan]


class Limits(NamedTuple):
    """How much is in one pass, and on the way."""

    evaluations: int = 64
    #: Instances, roughly.
    weight: int = 2_000
    #: Passes of less than about this run without a thread, in seconds.
    inline_s: float = 0.010
    commits: int = 4
    attempts: int = 3
    backoff_s: float = 1.0
    #: How long a blocked evaluation that found no room is not tried again.
    in_vain_s: float = 0.25


LIMITS = Limits()


class Pass(NamedTuple):
    """One evaluation of a pass, and all it is decided on."""

    ticket: Ticket
    seen: Seen
    make: Callable[[], Snapshot]
    job: Job | None
    weight: int


class Counters:
    """What the broker has done since it began to lead."""

    def __init__(self) -> None:
        """All zero."""
        self.evaluations = 0
        self.placements = 0
        self.stale = 0
        self.failures = 0
        self.pass_s = 0.0


class Broker:
    """Runs while this server leads, with the fence of its term."""

    def __init__(
        self,
        leading: Leading,
        *,
        executor: Executor | None = None,
        limits: Limits = LIMITS,
        plan: Schedule = schedule,
    ) -> None:
        """Without an `executor` every pass runs where it is called."""
        self._leading = leading
        self._state = state = leading.state
        self._clock = clock = leading.clock
        self._rng = leading.rng
        self._ids = leading.ids()
        self._executor = executor
        self._limits = limits
        self._plan = plan
        self._alarm = Alarm(clock)
        self._events: deque[Changed | tuple[str, ...]] = deque()
        self._attempts: dict[str, int] = {}
        self._committing = asyncio.Semaphore(limits.commits)
        #: Measured cost of an evaluation and of an instance, in seconds.
        self._cost_s = (0.001, 0.00005)
        self.queue = EvalQueue()
        self.capacity = Capacity(state, leading.region)
        self.counters = Counters()
        for evaluation in state.evaluations():
            self.queue.offer(evaluation)
        self._stop_listening = state.listen(self._heard)

    async def run(self) -> None:
        """Work for ever. Raises Fenced (in a group) when another server leads."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._catch_up()
                    batch = self._take()
                    if not batch:
                        await self._alarm.wait(self._sleep_s())
                        continue
                    plans = await self._make(batch)
                    await self._committing.acquire()
                    group.create_task(self._commit_all(batch, plans), name="plan commit")
                    await give_way()
        finally:
            self._stop_listening()

    # What happened.

    def _heard(self, applied: Applied) -> None:
        """A revision was applied. Perhaps a pass runs in its thread: only note it."""
        self._events.extend(
            change for change in applied.changes if change.table in ("allocs", "nodes", "evals")
        )
        self._alarm.ring()

    def _catch_up(self) -> None:
        """Take in what happened since the last pass began."""
        freed: dict[str, None] = {}
        while self._events:
            event = self._events.popleft()
            if not isinstance(event, Changed):
                for alloc_id in event:
                    if self._state.allocation(alloc_id) is None:
                        self.capacity.release(alloc_id)
                continue
            if event.table == "evals":
                if isinstance(event.new, Evaluation):
                    self.queue.offer(event.new)
                elif isinstance(event.old, Evaluation):
                    self.queue.remove(event.old)
                continue
            node_class = self.capacity.take(event)
            if node_class is not None:
                freed[node_class] = None
        for node_class in freed:
            self.queue.capacity_appeared(node_class)

    def _sleep_s(self) -> float:
        due_ns = self.queue.next_due_ns()
        if due_ns is None or self._state.scheduler_config.pause_eval_broker:
            return 30.0
        return min(30.0, max(0.0, (due_ns - self._clock.wall_ns()) / 1e9) + 0.001)

    # Passes.

    def _take(self) -> list[Pass]:
        if self._state.scheduler_config.pause_eval_broker:
            return []
        now_ns = self._clock.wall_ns()
        view = self.capacity.view()
        batch: list[Pass] = []
        weight = 0
        while len(batch) < self._limits.evaluations and weight < self._limits.weight:
            tickets = self.queue.take(now_ns, 1)
            if not tickets:
                break
            batch.append(self._prepare(tickets[0], view, now_ns))
            weight += batch[-1].weight
        return batch

    def _prepare(self, ticket: Ticket, view: FleetView, now_ns: int) -> Pass:
        """Read all a pass needs but the fleet, which those before it in the batch change."""
        state = self._state
        keys = state.keys
        evaluation = ticket.evaluation
        job = state.job(*ticket.key)
        seed = self._rng.getrandbits(63)
        deployment_id = state.latest_deployment_id(*ticket.key)
        seen = Seen(
            state.stored_revision(keys.job(*ticket.key)),
            state.stored_revision(keys.evaluation(evaluation.id)),
            deployment_id,
            state.stored_revision(keys.deployment(deployment_id)) if deployment_id else 0,
        )
        problem: Exception | None = None
        base: Snapshot | None = None
        try:
            base = snapshot_of(state, evaluation, view, now_ns=now_ns, seed=seed)
        except Exception as error:  # what is stored must not stop the broker
            problem = error

        def make() -> Snapshot:
            if base is None:
                raise problem or ValueError("no snapshot")
            return replace(base, fleet=self.capacity.view())

        weight = sum(group.count for group in job.task_groups) if job is not None else 0
        return Pass(ticket, seen, make, job, weight)

    async def _make(self, batch: Sequence[Pass]) -> list[Plan | Exception]:
        """All plans of a batch, in a thread if that may take long."""
        per_eval, per_instance = self._cost_s
        weight = sum(one.weight for one in batch)
        expected_s = len(batch) * per_eval + weight * per_instance
        started = self._clock.now()
        if self._executor is None or expected_s < self._limits.inline_s:
            plans = self._make_now(batch)
        else:
            loop = asyncio.get_running_loop()
            plans = await loop.run_in_executor(self._executor, self._make_now, batch)
        took_s = self._clock.now() - started
        self.counters.pass_s += took_s
        if expected_s > 0:
            scale = min(4.0, max(0.25, took_s / expected_s)) * 0.2 + 0.8
            self._cost_s = (max(1e-4, per_eval * scale), max(1e-6, per_instance * scale))
        return plans

    def _make_now(self, batch: Sequence[Pass]) -> list[Plan | Exception]:
        """Make the plans one after the other, each charging the fleet before the next."""
        plans: list[Plan | Exception] = []
        for one in batch:
            try:
                plan = self._plan(one.make())
            except Exception as error:  # one bad job must not stop the others
                plans.append(error)
                continue
            if one.job is not None and plan.placements:
                self.capacity.reserve(one.job, plan.placements)
            plans.append(plan)
        return plans

    # Commits.

    async def _commit_all(self, batch: Sequence[Pass], plans: list[Plan | Exception]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for one, plan in zip(batch, plans, strict=True):
                    group.create_task(self._settle(one, plan))
        finally:
            self._committing.release()
            self._alarm.ring()

    async def _settle(self, one: Pass, plan: Plan | Exception) -> None:
        """See one evaluation through: its plan stored, or the evaluation back in the queue."""
        ticket = one.ticket
        if isinstance(plan, Exception):
            await self._scheduler_failed(one, plan)
            return
        blocks_on = nothing_new(plan, ticket)
        if blocks_on is not None:
            until_ns = self._clock.wall_ns() + int(self._limits.in_vain_s * 1e9)
            self.queue.still_blocked(ticket, blocks_on, until_ns=until_ns)
            self.queue.done(ticket.key)
            return
        for evaluation in (plan.evaluation, *plan.evaluations):
            if evaluation.status == "blocked":
                self.queue.will_block(evaluation.id, ticket)
        rest_ns = 0
        try:
            made = self._transactions(one, plan)
        except Exception as error:  # nor must what cannot be written
            self._events.append(tuple(placement.id for placement in plan.placements))
            await self._scheduler_failed(one, error)
            return
        try:
            stored = await self._store_plan(made)
        except TooLarge as error:
            stored = False
            await self._give_up(one, str(error))
        except HanseError as error:
            stored = False
            rest_ns = await self._look(error)
        if stored:
            self._attempts.pop(ticket.evaluation.id, None)
            self.counters.evaluations += 1 + len(ticket.others)
            self.counters.placements += len(plan.placements)
        else:
            self.counters.stale += 1
            for evaluation in plan.evaluations:
                self.queue.will_not_block(evaluation.id)
            self._events.append(tuple(placement.id for placement in plan.placements))
        self.queue.done(ticket.key, not_before_ns=rest_ns)

    def _transactions(self, one: Pass, plan: Plan) -> Made:
        now_ns = self._clock.wall_ns()
        return transactions(plan, one.ticket, one.seen, self._state.keys, self._ids, now_ns)

    async def _store_plan(self, made: Made) -> bool:
        """Commit a plan and wait until the state shows it; False if it was refused as stale."""
        revision = 0
        for part in made.parts:
            compares = part.compares
            if revision:
                compares = (*compares, KeyIs(made.eval_key, revision))
            result = await self._leading.commit(compares, part.writes)
            if not result.succeeded:
                return False
            revision = result.revision
        return True

    async def _look(self, error: HanseError) -> int:
        """A commit has no known outcome: wait until the state shows it. Gives a time to rest."""
        if not error.retryable and not isinstance(error, OutOfSpace):
            raise error
        log.warning("plan not committed", error=str(error), kind=error.kind)
        while True:
            try:
                await self._state.wait_applied(await self._leading.store.revision())
            except HanseError as again:
                if not again.retryable:
                    raise
                await self._clock.sleep(0.2)
            else:
                rest_s = 5.0 if isinstance(error, OutOfSpace) else 0.05
                return self._clock.wall_ns() + int(rest_s * 1e9)

    async def _scheduler_failed(self, one: Pass, error: Exception) -> None:
        """Try again later, or after some attempts give the evaluation up."""
        ticket = one.ticket
        eval_id = ticket.evaluation.id
        attempts = self._attempts.get(eval_id, 0) + 1
        self._attempts[eval_id] = attempts
        self.counters.failures += 1
        log.error(
            "scheduling failed",
            eval=eval_id,
            job=ticket.key[1],
            attempt=attempts,
            exc_info=error,
        )
        rest_ns = 0
        if attempts >= self._limits.attempts:
            problem = f"scheduling failed {attempts} times: {type(error).__name__}: {error}"
            await self._give_up(one, problem[:500])
        else:
            rest_s = self._limits.backoff_s * 2 ** (attempts - 1)
            rest_ns = self._clock.wall_ns() + int(rest_s * 1e9)
        self.queue.done(ticket.key, not_before_ns=rest_ns)

    async def _give_up(self, one: Pass, problem: str) -> None:
        """Store the evaluation as failed. If that fails too, it comes up again."""
        ticket = one.ticket
        keys = self._state.keys
        now_ns = self._clock.wall_ns()
        members = (ticket.evaluation, *ticket.others)
        writes = tuple(
            Put(keys.evaluation(e.id), encode(failed(e, problem, now_ns))) for e in members
        )
        compare = KeyIs(keys.evaluation(ticket.evaluation.id), one.seen.eval_revision)
        try:
            await self._leading.commit((compare,), writes)
        except HanseError as error:
            await self._look(error)
            return
        self._attempts.pop(ticket.evaluation.id, None)
