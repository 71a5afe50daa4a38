"""Performs what a task's machine decides: stages, drivers, timers.

Everything a machine is told goes through `feed`, which takes inputs to completion one after the
other; effects that need time run as tasks of the agent's group and feed their answers back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import structlog

from client.interpolate import node_names
from client.layout import AllocFolders
from client.taskrunner import machine as m
from client.taskrunner.spec import Situation, task_spec
from client.world import World
from hanse.driver import Driver, DriverEvent, Exit, TaskHandle, TaskSpec
from hanse.durations import SECOND_NS
from hanse.errors import DriverFailed, HanseError
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Task

log = structlog.get_logger(__name__)

#: Between two tries to reach a driver about a task it had: the first pause, and the longest.
RECOVER_PAUSE_S = 0.5
RECOVER_PAUSE_MAX_S = 15.0


class TaskRunner:
    """One task of one allocation."""

    def __init__(
        self,
        world: World,
        machine: m.TaskMachine,
        folders: AllocFolders,
        subject: tuple[Allocation, Job, TaskGroup, Task],
        moved: Callable[[TaskRunner], None],
    ) -> None:
        """`moved` is called after each input that changed the machine's memory."""
        self.machine = machine
        self._world = world
        self._folders = folders
        self._subject = subject
        self._moved = moved
        self._inbox: deque[m.Input] = deque()
        self._busy = False
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._spec: TaskSpec | None = None
        self._log = log.bind(alloc=subject[0].id, task=subject[3].name)

    @property
    def name(self) -> str:
        """The task's name."""
        return self._subject[3].name

    @property
    def driver(self) -> Driver | None:
        """The task's driver, None if this node has none of that name."""
        return self._world.drivers.get(self._subject[3].driver)

    def update(self, subject: tuple[Allocation, Job, TaskGroup, Task]) -> None:
        """The allocation was updated in place: the next attempt uses the new job."""
        self._subject = subject

    def feed(self, event: m.Input) -> None:
        """Tell the machine, and do what it wants. Never blocks."""
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                before = self.machine.memory
                effects = self.machine.handle(self._inbox.popleft(), self._world.clock.wall_ns())
                if self.machine.memory is not before:
                    self._moved(self)
                for effect in effects:
                    self._perform(effect)
        finally:
            self._busy = False

    def restore(self) -> None:
        """Take up again where an earlier agent left off."""
        memory = self.machine.memory
        if memory.phase is m.Phase.NEW:
            return
        if memory.handle is None:
            self.feed(m.Recovered(found=True))
        else:
            self._recovery = self._world.spawn(self._recover, memory.handle)

    def _perform(self, effect: m.Effect) -> None:
        spawn = self._world.spawn
        match effect:
            case m.RunStage("configure", attempt):
                self._configure(attempt)
            case m.RunStage("folders", attempt) if self._has_folders():
                self.feed(m.StageDone("folders", attempt))
            case m.RunStage(stage, attempt):
                self._work = spawn(self._run_stage, stage, attempt)
            case m.StartTask(attempt):
                self._work = spawn(self._start, attempt)
            case m.CancelWork(attempt):
                self._cancel_work(attempt)
            case m.WatchTask(attempt, handle):
                spawn(self._watch, attempt, handle)
            case m.StopTask(attempt, handle, signal, grace_s):
                spawn(self._stop, attempt, handle, signal, grace_s)
            case m.DestroyTask(handle):
                spawn(self._destroy, handle)
            case m.SetTimer(serial, delay_ns):
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = spawn(self._sleep, serial, delay_ns)

    # Stages.

    def _has_folders(self) -> bool:
        """The allocation makes them for all its tasks; here they are only looked for."""
        return self._folders.of_task(self.name).complete

    async def _run_stage(self, stage: str, attempt: int) -> None:
        try:
            assert stage == "folders"
            folders = self._folders.of_task(self.name)
            await asyncio.to_thread(folders.make, self._subject[3].user)
        except (OSError, ValueError) as error:
            self.feed(m.StageFailed(stage, attempt, str(error)))
        else:
            self.feed(m.StageDone(stage, attempt))

    def _configure(self, attempt: int) -> None:
        try:
            problems = self._make_spec(attempt)
        except HanseError as error:
            problems = [str(error)]
        except Exception as error:
            # One job that breaks its driver must not break the agent, now and at each start.
            self._log.exception("driver broke")
            problems = [f"the driver broke: {error!r}"]
        if problems:
            self.feed(m.StageFailed("configure", attempt, "; ".join(problems), invalid=True))
        else:
            self.feed(m.StageDone("configure", attempt))

    def _make_spec(self, attempt: int) -> list[str]:
        """Resolve every reference and let the driver judge the outcome."""
        allocation, job, group, task = self._subject
        driver = self.driver
        if driver is None:
            return [f'driver "{task.driver}" is not on this node']
        self._spec = task_spec(
            allocation,
            job,
            group,
            task,
            attempt=attempt,
            folders=self._folders,
            situation=situation(self._world, driver),
        )
        if self.machine.memory.in_doubt:
            return []  # It may run already: only the driver can tell.
        return driver.validate(self._spec.config)

    # The driver.

    async def _start(self, attempt: int) -> None:
        spec, driver = self._spec, self.driver
        assert spec is not None
        assert driver is not None
        try:
            await self._world.checkpoint.flush()
            handle = await driver.start(spec, self._said)
        except DriverFailed as error:
            self.feed(m.StartFailed(attempt, str(error), error.recoverable))
        except HanseError as error:
            self.feed(m.StartFailed(attempt, str(error), error.retryable))
        except Exception as error:
            self._log.exception("driver broke")
            self.feed(m.StartFailed(attempt, f"the driver broke: {error!r}"))
        else:
            self.feed(m.Started(attempt, handle))

    def _said(self, event: DriverEvent) -> None:
        self.feed(m.Said(event.message, dict(event.details)))

    def _cancel_work(self, attempt: int) -> None:
        work = self._work
        if work is None or work.done():
            self.feed(m.WorkCancelled(attempt))
            return
        work.cancel()
        work.add_done_callback(lambda _: self.feed(m.WorkCancelled(attempt)))

    async def _watch(self, attempt: int, handle: TaskHandle) -> None:
        driver = self.driver
        if driver is None:
            return
        while True:
            try:
                end = await driver.wait(handle)
            except DriverFailed as error:
                self._log.warning("lost sight of task", error=str(error))
                found, problem = await self._look_for(driver, handle)
                if found:
                    await self._world.clock.sleep(RECOVER_PAUSE_S)
                    continue
                end = Exit(error=problem)
            except Exception as error:
                self._log.exception("driver broke")
                end = Exit(error=f"the driver broke: {error!r}")
            self.feed(m.Exited(attempt, end))
            return

    async def _stop(self, attempt: int, handle: TaskHandle, signal: str, grace_s: float) -> None:
        driver = self.driver
        if driver is None:
            self.feed(m.Exited(attempt, Exit(error="the driver is not on this node any more")))
            return
        if self._recovery is not None:  # What is not in the driver's charge cannot be stopped.
            await asyncio.wait({self._recovery})
        try:
            await driver.stop(handle, signal=signal, grace_s=grace_s)
        except DriverFailed as error:
            self.feed(m.StopFailed(attempt, str(error)))
        except Exception as error:
            self._log.exception("driver broke")
            self.feed(m.StopFailed(attempt, f"the driver broke: {error!r}"))

    async def _destroy(self, handle: TaskHandle) -> None:
        """Remove what the driver has, once it is on disk that the task has ended and how."""
        driver = self.driver
        if driver is None:
            return
        try:
            await self._world.checkpoint.flush()
            await driver.destroy(handle)
            self.feed(m.Destroyed(handle))
        except HanseError as error:
            self._log.warning("could not clean up after task", error=str(error))
        except Exception:
            self._log.exception("driver broke")

    async def _recover(self, handle: TaskHandle) -> None:
        driver = self.driver
        if driver is None:
            problem = f'driver "{handle.driver}" is not on this node any more'
            self.feed(m.Recovered(found=False, problem=problem))
            return
        found, problem = await self._look_for(driver, handle)
        self._log.info("task restored" if found else "task gone", problem=problem)
        self.feed(m.Recovered(found, problem))

    async def _look_for(self, driver: Driver, handle: TaskHandle) -> tuple[bool, str]:
        """Whether the driver has the task, and why not.

        A driver that cannot answer proves nothing: the task may run. So it is asked until it
        answers; starting another copy meanwhile would be worse than not knowing.
        """
        pause_s = RECOVER_PAUSE_S
        while True:
            try:
                return await driver.recover(handle), "the driver does not know it any more"
            except DriverFailed as error:
                self._log.warning("driver does not answer", error=str(error))
            except Exception as error:
                self._log.exception("driver broke")
                return False, f"the driver broke: {error!r}"
            await self._world.clock.sleep(pause_s)
            pause_s = min(RECOVER_PAUSE_MAX_S, pause_s * 2)

    async def _sleep(self, serial: int, delay_ns: int) -> None:
        await self._world.clock.sleep(delay_ns / SECOND_NS)
        self.feed(m.TimerFired(serial))


def situation(world: World, driver: Driver | None) -> Situation:
    """What a spec depends on, now."""
    node = world.node()
    resources = node.node_resources
    return Situation(
        names=names_of(world),
        region=world.region,
        datacenter=node.datacenter,
        total_mhz=resources.cpu.cpu_shares if resources else 0,
        isolation=driver.capabilities.isolation if driver else "none",
    )


def names_of(world: World) -> Mapping[str, str]:
    """What `${...}` may mean of the node."""
    return node_names(world.node(), world.region)
