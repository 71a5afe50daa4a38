"""All allocations of this node: begins, updates, ends and forgets them as the servers say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import msgspec
import structlog

from client.allocrunner import machine as m
from client.allocrunner.runner import AllocRunner
from client.checkpoint import JobKey, Remembered, job_key
from client.desired import Forget, Report, Run, Update, Want, actions, blockers
from client.world import World
from hanse.errors import HanseError, NotFound
from hanse.rpc.messages import Desired
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job

log = structlog.get_logger(__name__)


class Allocations:
    """The runners, by allocation id."""

    def __init__(
        self, world: World, forgotten: Callable[[str], None], settled: Callable[[str], bool]
    ) -> None:
        """`forgotten` is told of each allocation that is gone for good.

        `settled` says whether the servers know the end of an allocation: until then it stays, or
        they would have it run again.
        """
        self._world = world
        self._settled = settled
        self._forgotten = forgotten
        self._runners: dict[str, AllocRunner] = {}
        self._waiting: dict[str, None] = {}
        self._doomed: set[str] = set()
        self._jobs: dict[JobKey, Job] = {}
        #: Allocations whose jobs the servers have been asked for.
        self._without_job: dict[str, Allocation] = {}

    def __iter__(self) -> Iterator[AllocRunner]:
        return iter(list(self._runners.values()))

    def __len__(self) -> int:
        return len(self._runners)

    def get(self, alloc_id: str) -> AllocRunner:
        """The runner of an allocation. Raises NotFound."""
        runner = self._runners.get(alloc_id)
        if runner is None:
            raise NotFound("allocation", alloc_id, text=f'Unknown allocation "{alloc_id}"')
        return runner

    def restore(self, remembered: list[Remembered]) -> None:
        """Take up again what an earlier agent had."""
        for each in remembered:
            try:
                self._runners[each.allocation.id] = AllocRunner(
                    self._world,
                    each.allocation,
                    each.job,
                    self._on_ended,
                    memory=each.memory,
                    tasks=each.tasks,
                )
            except Exception:
                log.exception("allocation not restored", alloc=each.allocation.id)
        for runner in self:
            if runner.machine.memory.phase is m.Phase.WAITING:
                self._waiting[runner.id] = None
            runner.restore()
        self._begin_unblocked()

    def apply(self, desired: Desired) -> tuple[JobKey, ...]:
        """Do as the servers say; the answer names the jobs they must send first."""
        wanted: tuple[JobKey, ...] = ()
        desired = self._with_those_that_waited(desired)
        for action in actions(desired, self._runners.keys(), self._job):
            match action:
                case Run(allocation, job):
                    self._run(allocation, job)
                case Update(allocation, job):
                    self._update(allocation, job)
                case Report(status):
                    self._world.publish(status)
                case Forget(alloc_id):
                    self._doom(alloc_id)
                case Want(jobs):
                    wanted = jobs
        self._begin_unblocked()
        return wanted

    def collect(self, alloc_id: str) -> None:
        """Remove an allocation that has ended from this node; its files go. Raises NotFound."""
        runner = self.get(alloc_id)
        if runner.machine.done and self._settled(alloc_id):
            self._doom(alloc_id)

    def job_keys(self) -> set[JobKey]:
        """The versions of jobs that anything here runs; others are forgotten."""
        keys = {job_key(runner.job) for runner in self._runners.values()}
        self._jobs = {key: job for key, job in self._jobs.items() if key in keys}
        return keys

    async def stop_all(self) -> None:
        """Stop everything and return when nothing runs (for an agent whose node is temporary)."""
        for runner in self:
            runner.stop(no_delay=True)
        while any(not runner.machine.done for runner in self):
            await self._world.clock.sleep(0.02)

    def _with_those_that_waited(self, desired: Desired) -> Desired:
        """The same, and the allocations that could not begin before for want of their job."""
        named = {allocation.id for allocation in desired.allocations}
        late = [each for alloc_id, each in self._without_job.items() if alloc_id not in named]
        late = [each for each in late if each.id not in desired.gone and not desired.complete]
        all_of_them = (*desired.allocations, *late)
        sent = {job_key(job) for job in desired.jobs}
        self._without_job = {
            each.id: each
            for each in all_of_them
            if each.desired_status == "run"
            and (key := _key(each)) not in sent
            and self._job(key) is None
        }
        return msgspec.structs.replace(desired, allocations=all_of_them)

    def _job(self, key: JobKey) -> Job | None:
        job = self._jobs.get(key)
        if job is None:
            for runner in self._runners.values():
                self._jobs[job_key(runner.job)] = runner.job
            job = self._jobs.get(key)
        return job

    # One allocation that cannot be dealt with must not break the agent, now and at each start.

    def _run(self, allocation: Allocation, job: Job) -> None:
        try:
            runner = AllocRunner(self._world, allocation, job, self._on_ended)
        except (HanseError, ValueError) as error:
            self._refuse(allocation.id, str(error))
        except Exception as error:
            log.exception("allocation broke", alloc=allocation.id)
            self._refuse(allocation.id, f"the agent cannot run it: {error!r}")
        else:
            self._runners[allocation.id] = runner
            self._waiting[allocation.id] = None
            runner.start()

    def _update(self, allocation: Allocation, job: Job | None) -> None:
        runner = self._runners[allocation.id]
        try:
            runner.update(allocation, job or runner.job)
        except Exception:
            log.exception("allocation broke", alloc=allocation.id)

    def _refuse(self, alloc_id: str, problem: str) -> None:
        log.error("allocation refused", alloc=alloc_id, error=problem)
        self._world.publish(
            AllocStatus(
                alloc_id=alloc_id,
                client_status="failed",
                client_description=problem,
                modified_ns=self._world.clock.wall_ns(),
            )
        )

    def _begin_unblocked(self) -> None:
        if not self._waiting:
            return
        runners = [runner for runner in self._runners.values() if not runner.machine.done]
        living = {runner.id for runner in runners}
        leaving = {
            runner.id: (runner.allocation, runner.group)
            for runner in runners
            if runner.machine.memory.stop_wanted
        }
        for alloc_id in list(self._waiting):
            runner = self._runners.get(alloc_id)
            if runner is None or runner.machine.memory.phase is not m.Phase.WAITING:
                del self._waiting[alloc_id]
                continue
            if not blockers(runner.allocation, runner.group, living, leaving):
                del self._waiting[alloc_id]
                runner.feed(m.Unblocked())

    def _on_ended(self, runner: AllocRunner) -> None:
        self._world.spawn(self._after_end, runner.id)

    async def _after_end(self, alloc_id: str) -> None:
        self._begin_unblocked()
        if alloc_id in self._doomed:
            await self._remove(alloc_id)

    def _doom(self, alloc_id: str) -> None:
        """Stop it if it runs, then remove all of it."""
        runner = self._runners[alloc_id]
        self._doomed.add(alloc_id)
        if runner.machine.done:
            self._world.spawn(self._remove, alloc_id)
        else:
            runner.stop()

    async def _remove(self, alloc_id: str) -> None:
        runner = self._runners.pop(alloc_id, None)
        self._doomed.discard(alloc_id)
        if runner is None:
            return
        runner.close()
        self._world.checkpoint.forget(alloc_id)
        self._forgotten(alloc_id)
        await asyncio.to_thread(runner.folders.remove)
        log.info("allocation removed", alloc=alloc_id)


def _key(allocation: Allocation) -> JobKey:
    return allocation.namespace, allocation.job_id, allocation.job_version
