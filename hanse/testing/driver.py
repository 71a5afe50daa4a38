"""A driver whose tasks are scripted, for tests of the node agent and of other drivers' users.

The tasks live in a `FakeHost`, as real ones live on a machine: a host outlives the driver and the
agent in front of it, so a test lets an agent die, makes another driver of the same host, and looks
at what is found again. Time is the clock's, so tasks that run for an hour take none.

A task's `config` is its script; `Script` names the keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hanse.clock import Clock
from hanse.driver import (
    Capabilities,
    DriverEvent,
    EventSink,
    ExecInput,
    ExecOutput,
    Exit,
    TaskHandle,
    TaskSpec,
)
from hanse.errors import DriverFailed
from hanse.structs.node import DriverInfo
from hanse.structs.stats import CpuStats, MemoryStats, ResourceUsage
from hanse.structs.times import rfc3339

SIGKILL = 9
_SIGNALS = {"SIGHUP": 1, "SIGINT": 2, "SIGKILL": 9, "SIGUSR1": 10, "SIGTERM": 15}


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a task does, as its `config` says it."""

    #: Seconds until it ends by itself; None: never.
    run_for: float | None = None
    exit_code: int = 0
    exit_signal: int = 0
    oom: bool = False
    #: Refuses to start, with this text.
    start_error: str = ""
    start_error_recoverable: bool = False
    #: Seconds that a start takes.
    start_block_for: float = 0.0
    #: Seconds that pass between the start and the driver's answer.
    answer_block_for: float = 0.0
    #: Goes on whatever signal it gets, until it is killed.
    ignore_signals: bool = False
    stdout_string: str = ""
    #: Said to the user while it starts.
    event: str = ""
    #: Accepted and ignored: something for `${...}` to be put into.
    args: list[str] = []


@dataclass
class FakeTask:
    """A task as the host has it."""

    spec: TaskSpec
    script: Script
    pid: int
    ends_at: float | None
    exit: Exit | None = None
    signals: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, exit_: Exit) -> None:
        """Let it end, if it has not."""
        if self.exit is None:
            self.exit = exit_
            self.ended.set()


@dataclass
class FakeHost:
    """A machine with scripted tasks, by the driver's id of each."""

    clock: Clock
    tasks: dict[str, FakeTask] = field(default_factory=dict)
    #: Every start that did something, in order.
    starts: list[str] = field(default_factory=list)
    #: Every task that was removed, in order.
    destroyed: list[str] = field(default_factory=list)
    #: When set, every method of the driver fails with this.
    broken: str = ""
    #: The agent ends by being killed: what is cancelled then cleans nothing up.
    agent_killed: bool = False

    def living(self) -> list[FakeTask]:
        """The tasks that run, in the order they were started."""
        return [task for task in self.tasks.values() if self.look(task) is None]

    def look(self, task: FakeTask) -> Exit | None:
        """How the task ended, None while it runs."""
        if task.exit is None and task.ends_at is not None and self.clock.now() >= task.ends_at:
            script = task.script
            task.end(Exit(code=script.exit_code, signal=script.exit_signal, oom_killed=script.oom))
        return task.exit

    def named(self, name: str) -> FakeTask:
        """The newest task of this name. Raises LookupError."""
        return [task for task in self.tasks.values() if task.spec.name == name][-1]

    def reboot(self) -> None:
        """Every task is gone without a trace."""
        self.tasks.clear()


class ScriptedDriver:
    """The driver in front of a `FakeHost`."""

    def __init__(self, host: FakeHost, *, name: str = "fake", isolation: str = "none") -> None:
        """`isolation` is what the driver claims, see `Capabilities`."""
        self.name = name
        self.capabilities = Capabilities(send_signals=True, exec=True, isolation=isolation)
        self.host = host

    async def fingerprint(self) -> DriverInfo:
        """Works, unless the host is broken."""
        return DriverInfo(
            attributes={f"driver.{self.name}": "1"},
            detected=True,
            healthy=not self.host.broken,
            health_description=self.host.broken or "Healthy",
            update_time=rfc3339(self.host.clock.wall_ns()),
        )

    def validate(self, config: Mapping[str, object]) -> list[str]:
        """Whether the config is a `Script`; a driver with a fault if it says `break`."""
        if "break" in config:
            raise RuntimeError("this driver has a fault")
        try:
            msgspec.convert(config, Script, strict=False)
        except msgspec.ValidationError as error:
            return [str(error)]
        return []

    async def start(self, task: TaskSpec, events: EventSink) -> TaskHandle:
        """Start it as its script says."""
        self._check()
        handle = TaskHandle(driver=self.name, version=1, state={"id": task.id})
        if task.id in self.host.tasks:
            return handle
        script = msgspec.convert(task.config, Script, strict=False)
        if script.event:
            events(DriverEvent(message=script.event))
        if script.start_block_for:
            await self.host.clock.sleep(script.start_block_for)
        if script.start_error:
            raise DriverFailed(
                self.name, script.start_error, recoverable=script.start_error_recoverable
            )
        now = self.host.clock.now()
        ends_at = None if script.run_for is None else now + script.run_for
        pid = 1000 + len(self.host.starts)
        self.host.tasks[task.id] = FakeTask(task, script, pid, ends_at)
        self.host.starts.append(task.id)
        if script.stdout_string:
            self._write_log(task, script.stdout_string)
        try:
            await self.host.clock.sleep(script.answer_block_for)
        except asyncio.CancelledError:
            if not self.host.agent_killed:
                await self.destroy(handle)
            raise
        return handle

    async def recover(self, handle: TaskHandle) -> bool:
        """Whether the host still has it."""
        self._check()
        return str(handle.state["id"]) in self.host.tasks

    async def wait(self, handle: TaskHandle) -> Exit:
        """Return when it has ended."""
        task = self._task(handle)
        while (ended := self.host.look(task)) is None:
            if task.ends_at is None:
                await task.ended.wait()
            else:
                await self._first(task, task.ends_at - self.host.clock.now())
        return ended

    async def stop(self, handle: TaskHandle, *, signal: str, grace_s: float) -> None:
        """Signal it; kill it after the grace time if it ignores that."""
        task = self._task(handle)
        wanted = signal or "SIGTERM"
        task.signals.append(wanted)
        if not task.script.ignore_signals:
            task.end(Exit(code=0, signal=_SIGNALS.get(wanted, 15)))
            return
        await self._first(task, grace_s)
        task.end(Exit(code=0, signal=SIGKILL))

    async def destroy(self, handle: TaskHandle) -> None:
        """Remove it, alive or not."""
        self._check()
        task = self.host.tasks.pop(str(handle.state["id"]), None)
        if task is not None:
            task.end(Exit(signal=SIGKILL))
            self.host.destroyed.append(task.spec.id)

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """Note the signal."""
        if signal not in _SIGNALS:
            raise DriverFailed(self.name, f"unknown signal {signal!r}")
        self._task(handle).signals.append(signal)

    async def usage(self, handle: TaskHandle) -> ResourceUsage:
        """The same for every task that runs."""
        self._task(handle)
        return ResourceUsage(
            memory_stats=MemoryStats(rss=1024, usage=2048, measured=("RSS", "Usage")),
            cpu_stats=CpuStats(percent=1.5, total_ticks=39.0, measured=("Percent",)),
        )

    async def exec(
        self, handle: TaskHandle, command: list[str], *, tty: bool, inputs: AsyncIterator[ExecInput]
    ) -> AsyncIterator[ExecOutput]:
        """`cat` gives back what it gets, `exit <n>` ends with n, all else is not found."""
        self._task(handle)
        if command[0] == "cat":
            async for given in inputs:
                if given.stdin:
                    yield ExecOutput(stdout=given.stdin)
                if given.close_stdin:
                    break
            yield ExecOutput(exit_code=0)
        elif command[0] == "exit":
            yield ExecOutput(exit_code=int(command[1]))
        else:
            yield ExecOutput(stderr=f"{command[0]}: not found{' (tty)' if tty else ''}".encode())
            yield ExecOutput(exit_code=127)

    def _task(self, handle: TaskHandle) -> FakeTask:
        self._check()
        task = self.host.tasks.get(str(handle.state["id"]))
        if task is None:
            raise DriverFailed(self.name, "no such task")
        return task

    def _check(self) -> None:
        if self.host.broken:
            raise DriverFailed(self.name, self.host.broken, recoverable=True)

    def _write_log(self, task: TaskSpec, text: str) -> None:
        path = Path(task.logs.folder) / f"{task.name}.stdout.0"
        with path.open("a") as stdout:
            stdout.write(text)

    async def _first(self, task: FakeTask, delay_s: float) -> None:
        """Return when the task has ended or the time is over."""
        async with asyncio.TaskGroup() as group:
            nap = group.create_task(self.host.clock.sleep(max(0.0, delay_s)))
            end = group.create_task(task.ended.wait())
            await asyncio.wait({nap, end}, return_when=asyncio.FIRST_COMPLETED)
            nap.cancel()
            end.cancel()
