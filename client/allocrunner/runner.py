"""Performs what an allocation's machine decides, and runs its tasks' runners."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from client.allocrunner import machine as m
from client.allocrunner.offering import Offering
from client.allocrunner.plan import alloc_plan, group_of, task_plan
from client.layout import AllocFolders, alloc_folders
from client.taskrunner import machine as task_machine
from client.taskrunner.runner import TaskRunner, names_of
from client.world import World
from hanse.durations import SECOND_NS
from hanse.errors import Invalid, NotFound
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Task
from hanse.structs.times import parse_rfc3339

log = structlog.get_logger(__name__)


class AllocRunner:
    """One allocation on this node."""

    def __init__(
        self,
        world: World,
        allocation: Allocation,
        job: Job,
        ended: Callable[[AllocRunner], None],
        *,
        memory: m.Memory | None = None,
        tasks: dict[str, task_machine.Memory] | None = None,
    ) -> None:
        """`ended` is called once nothing of it runs. `memory` and `tasks` are for a restore.

        Raises Invalid if the job has no such group.
        """
        group = group_of(job, allocation.group)
        if group is None:
            raise Invalid("group", f'job "{job.id}" has no group "{allocation.group}"')
        self.allocation = allocation
        self.job = job
        self.group: TaskGroup = group
        self.folders: AllocFolders = alloc_folders(world.alloc_root, allocation.id)
        self._world = world
        self._ended = ended
        self._inbox: deque[m.Input] = deque()
        self._busy = False
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._log = log.bind(alloc=allocation.id, job=job.id)
        remembered = tasks or {}
        self.machine = m.AllocMachine(
            alloc_plan(allocation, job, group),
            memory=memory or m.Memory(),
            tasks={name: known.state for name, known in remembered.items()},
        )
        self.tasks = {
            task.name: self._task_runner(task, remembered.get(task.name)) for task in group.tasks
        }
        self.offering = Offering(world, self._started_ns, self._checks_moved, self._restart_task)
        self._passing = False
        self._problem = self._plan_offering()

    # What others ask.

    @property
    def id(self) -> str:
        """The allocation's id."""
        return self.allocation.id

    def status(self) -> AllocStatus:
        """The whole of what there is to report."""
        client_status, description = self.machine.status
        health = self.machine.memory.health
        return AllocStatus(
            alloc_id=self.id,
            client_status=client_status,
            client_description=description,
            task_states={name: runner.machine.memory.state for name, runner in self.tasks.items()},
            healthy=health.healthy if health else None,
            healthy_at_ns=health.decided_ns if health else 0,
            healthy_in=health.deployment_id if health else None,
            services=self.offering.instances,
            modified_ns=self._world.clock.wall_ns(),
        )

    def task(self, name: str) -> TaskRunner:
        """The runner of a task. Raises NotFound."""
        runner = self.tasks.get(name)
        if runner is None:
            raise NotFound("task", name, text=f'unknown task name "{name}"')
        return runner

    # What others tell.

    def start(self) -> None:
        """Put it on disk; it begins when `feed(Unblocked())` says so."""
        self._world.checkpoint.put_alloc(_desired(self.allocation), self.job)
        self._serve()
        self._publish()

    def restore(self) -> None:
        """Take up again where an earlier agent left off."""
        for runner in self.tasks.values():
            runner.restore()
        self.feed(m.Restored())
        self._serve()

    def update(self, allocation: Allocation, job: Job) -> None:
        """The servers changed what they want of it: in place, or to be stopped."""
        group = group_of(job, allocation.group)
        if _desired(allocation) == _desired(self.allocation) and job == self.job:
            return
        if group is not None:
            changed = job.version != self.job.version or (
                allocation.deployment_id != self.allocation.deployment_id
            )
            self.allocation, self.job, self.group = allocation, job, group
            self._world.checkpoint.put_alloc(_desired(allocation), job)
            if changed:
                self._update_in_place()
        if allocation.desired_status != "run" or allocation.verdict == "lost":
            self.stop(no_delay=bool(allocation.transition.no_shutdown_delay))

    def stop(self, *, no_delay: bool = False) -> None:
        """End it."""
        self.feed(m.StopWanted(no_delay))

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
                    self._world.checkpoint.put_memory(self.id, self.machine.memory)
                    self._serve()
                for effect in effects:
                    self._perform(effect)
        finally:
            self._busy = False
        self._publish()

    def close(self) -> None:
        """Let go of timers and checks. Tasks are not touched."""
        self.offering.close()
        for timer in self._timers.values():
            timer.cancel()

    def _perform(self, effect: m.Effect) -> None:
        match effect:
            case m.Prepare():
                self._world.spawn(self._prepare)
            case m.BeginTask(task):
                self.tasks[task].feed(task_machine.Begin())
            case m.KillTask(task, because, no_delay):
                self.tasks[task].feed(task_machine.Kill(because, no_delay=no_delay))
            case m.SetTimer(kind, serial, delay_ns):
                if kind in self._timers:
                    self._timers[kind].cancel()
                self._timers[kind] = self._world.spawn(self._sleep, kind, serial, delay_ns)
            case m.Ended():
                status, _ = self.machine.status
                self._log.info("allocation ended", status=status)
                self.close()
                self._ended(self)

    async def _prepare(self) -> None:
        if self._problem:
            self.feed(m.PrepareFailed(self._problem))
            return
        try:
            await asyncio.to_thread(self._make_folders)
        except (OSError, ValueError) as error:
            self.feed(m.PrepareFailed(f"cannot make the allocation's folder: {error}"))
        else:
            self.feed(m.Prepared())

    def _make_folders(self) -> None:
        """All of them in one go: each trip to a thread costs more than a folder."""
        self.folders.make()
        for task in self.group.tasks:
            self.folders.of_task(task.name).make(task.user)

    async def _sleep(self, kind: str, serial: int, delay_ns: int) -> None:
        await self._world.clock.sleep(delay_ns / SECOND_NS)
        self.feed(m.TimerFired(kind, serial))

    # Tasks.

    def _task_runner(self, task: Task, memory: task_machine.Memory | None) -> TaskRunner:
        plan = task_plan(self.job, self.group, task, self._world.max_kill_timeout_ns)
        machine = task_machine.TaskMachine(plan, self._world.rng, memory or task_machine.Memory())
        subject = (self.allocation, self.job, self.group, task)
        return TaskRunner(self._world, machine, self.folders, subject, self._task_moved)

    def _task_moved(self, runner: TaskRunner) -> None:
        memories = {name: each.machine.memory for name, each in self.tasks.items()}
        self._world.checkpoint.put_tasks(self.id, memories)
        self._serve()
        self.feed(m.TaskMoved(runner.name, runner.machine.memory.state))

    def _started_ns(self, task: str) -> int:
        states = [
            runner.machine.memory.state for name, runner in self.tasks.items() if task in ("", name)
        ]
        return max((parse_rfc3339(state.started_at) for state in states), default=0)

    def _restart_task(self, task: str, reason: str) -> None:
        for name, runner in self.tasks.items():
            if task in ("", name):
                runner.feed(task_machine.Restart(reason, counted=True))

    def _update_in_place(self) -> None:
        for task in self.group.tasks:
            runner = self.tasks.get(task.name)
            if runner is not None:
                runner.machine.plan = task_plan(
                    self.job, self.group, task, self._world.max_kill_timeout_ns
                )
                runner.update((self.allocation, self.job, self.group, task))
        self._plan_offering()
        self._serve()
        self.feed(m.PlanChanged(alloc_plan(self.allocation, self.job, self.group)))

    # Services and reports.

    def _plan_offering(self) -> str:
        """Resolve the services; the answer is what is wrong with them, if anything."""
        try:
            self.offering.plan(self.allocation, self.job, self.group, names_of(self._world))
        except Invalid as error:
            self._log.warning("services not offered", error=str(error))
            return str(error)
        return ""

    def _serve(self) -> None:
        serving = self.machine.serving
        self.offering.serve(
            [name for name, runner in self.tasks.items() if serving and runner.machine.serving]
        )
        if self.offering.passing != self._passing:
            self._checks_moved()

    def _checks_moved(self) -> None:
        self._passing = self.offering.passing
        self.feed(m.ChecksMoved(self._passing))

    def _publish(self) -> None:
        self._world.publish(self.status())


def _desired(allocation: Allocation) -> Allocation:
    """What is desired, without what is large and not ours to remember."""
    return msgspec.structs.replace(allocation, client=None, metrics=None, reschedule=None)
