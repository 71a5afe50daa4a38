"""One task's life, as a state machine that does no I/O.

Theory of operation
-------------------
A task passes its *stages* (folders, configuration; later artifacts, templates, ...), is started,
runs, ends, and is started again as its restart policy says, until it is dead. Each start is an
*attempt*; the driver's id of a task holds the attempt's number, so that starting one attempt twice
starts it once, also when the agent died in between.

The machine is fed inputs with the moment they happened and answers with effects, which
`client.taskrunner.runner` performs. It reads no clock; randomness comes from the `Random` it is
given. Everything that must survive the agent is `Memory`, which the runner writes down after each
input *before* it removes anything the driver has; a machine made from an old memory goes on where
it was when told what became of the task (`Recovered`).

Timers carry a serial number, so a late one is recognised and ignored. So do the answers to
`RunStage` and `StartTask`, which carry their attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import msgspec

from client.taskrunner import events
from client.taskrunner.restarts import Again, NoMore, RestartRules, RestartWindow, after_exit
from hanse.driver import Exit, TaskHandle
from hanse.durations import SECOND_NS
from hanse.structs.taskstate import TaskEvent, TaskState
from hanse.structs.times import rfc3339

#: Between two tries to stop a task whose driver refuses to.
STOP_RETRY_NS = 5 * SECOND_NS


class Phase(StrEnum):
    """Where a task is in its life."""

    NEW = "new"
    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    #: Runs still, but is to stop once its shutdown delay is over.
    LEAVING = "leaving"
    #: The driver has been told to stop it (or to give up starting it).
    STOPPING = "stopping"
    #: Ended; will be started again after a delay.
    BACKOFF = "backoff"
    DEAD = "dead"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done before the task can start."""

    name: str
    #: What users are told when it begins; "" says nothing.
    text: str = ""
    #: Whether each attempt needs it again, or only the first.
    each_attempt: bool = True


#: Folders first; then the configuration with every reference resolved.
STAGES = (
    Stage(name="folders", text="Building Task Directory", each_attempt=False),
    Stage(name="configure"),
)


class TaskPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine must know of a task."""

    name: str
    restart: RestartRules = RestartRules()
    kill_timeout_ns: int = 5 * SECOND_NS
    kill_signal: str = ""
    shutdown_delay_ns: int = 0
    stages: tuple[Stage, ...] = STAGES


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """All of a task that outlives the agent."""

    phase: Phase = Phase.NEW
    attempt: int = 0
    state: TaskState = TaskState(state="pending")
    window: RestartWindow = RestartWindow()
    handle: TaskHandle | None = None
    #: The task is to be dead, whatever its restart policy says.
    dying: bool = False
    #: The stop under way is a restart: "policy" counts against the policy, "user" does not.
    restart: str = ""
    resume_at_ns: int = 0
    #: The stages that are needed once only are done.
    prepared: bool = False
    #: What the driver still has of attempts that ended.
    trash: tuple[TaskHandle, ...] = ()
    #: The driver was told to start this attempt and its answer is not known.
    in_doubt: bool = False


# Inputs: what can happen to a task.


@dataclass(frozen=True, slots=True)
class Begin:
    """It is the task's turn."""


@dataclass(frozen=True, slots=True)
class StageDone:
    """A stage of this attempt is complete."""

    stage: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StageFailed:
    """A stage of this attempt failed; `invalid` if trying again is useless."""

    stage: str
    attempt: int
    problem: str
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The driver runs this attempt."""

    attempt: int
    handle: TaskHandle


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The driver does not run this attempt."""

    attempt: int
    problem: str
    recoverable: bool = False


@dataclass(frozen=True, slots=True)
class WorkCancelled:
    """The stage or start that was under way has been given up; nothing of it is left."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The attempt that ran has ended."""

    attempt: int
    end: Exit


@dataclass(frozen=True, slots=True)
class Recovered:
    """After a restart of the agent: whether the driver still has the task of our handle."""

    found: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Kill:
    """The task must go. `because` is shown before the usual events."""

    because: TaskEvent | None = None
    reason: str = ""
    no_delay: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """The task is to be restarted where it is."""

    reason: str
    #: Counts as a failure against the restart policy (a failing check, not a user).
    counted: bool = False


@dataclass(frozen=True, slots=True)
class StopFailed:
    """The driver could not stop the task."""

    attempt: int
    problem: str


@dataclass(frozen=True, slots=True)
class Destroyed:
    """The driver has nothing left of an attempt that ended."""

    handle: TaskHandle


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal was sent to the task."""

    signal: str
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """The driver has something to tell the user."""

    message: str
    details: dict[str, str]


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer with this number is up."""

    serial: int


Input = (
    Begin
    | StageDone
    | StageFailed
    | Started
    | StartFailed
    | WorkCancelled
    | Exited
    | Recovered
    | Kill
    | Restart
    | StopFailed
    | Destroyed
    | Signalled
    | Said
    | TimerFired
)


# Effects: what we want done about it.


@dataclass(frozen=True, slots=True)
class RunStage:
    """Do the stage; answer `StageDone` or `StageFailed`."""

    stage: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StartTask:
    """Start the attempt; answer `Started` or `StartFailed`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class CancelWork:
    """Give up the stage or start; answer `WorkCancelled` unless its own answer came first."""

    attempt: int


@dataclass(frozen=True, slots=True)
class WatchTask:
    """Wait for the end of the task; answer `Exited`."""

    attempt: int
    handle: TaskHandle


@dataclass(frozen=True, slots=True)
class StopTask:
    """Make the driver stop the task; `StopFailed` if it cannot."""

    attempt: int
    handle: TaskHandle
    signal: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class DestroyTask:
    """Remove what the driver has of the task, once the memory is safe; answer `Destroyed`."""

    handle: TaskHandle


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer `TimerFired` with this number after this long. One timer at a time."""

    serial: int
    delay_ns: int


Effect = RunStage | StartTask | CancelWork | WatchTask | StopTask | DestroyTask | SetTimer

_RUNS = (Phase.RUNNING, Phase.LEAVING)
_WORKS = (Phase.PREPARING, Phase.STARTING)


@dataclass
class TaskMachine:
    """The machine. `memory` is replaced, never changed, by each input."""

    plan: TaskPlan
    rng: Random
    memory: Memory = field(default_factory=Memory)
    _serial: int = 0
    _now_ns: int = 0
    #: An earlier agent started the attempt and nobody knows what came of it: a start that is
    #: given up now may leave that earlier one behind.
    _inherited_doubt: bool = False

    @property
    def serving(self) -> bool:
        """The task runs and is not about to stop: its services may be used."""
        return self.memory.phase is Phase.RUNNING

    @property
    def dead(self) -> bool:
        """Nothing more will happen."""
        return self.memory.phase is Phase.DEAD

    def handle(self, event: Input, now_ns: int) -> list[Effect]:
        """Take one input to completion. The only way in."""
        self._now_ns = now_ns
        match event:
            case Begin():
                return self._begin()
            case StageDone() | StageFailed() | Started() | StartFailed() | WorkCancelled():
                return self._on_work(event)
            case Exited(attempt, end):
                return self._on_exit(end) if self._has_task(attempt) else []
            case Recovered(found, problem):
                return self._on_recovered(found, problem)
            case Kill():
                return self._on_kill(event)
            case Restart(reason, counted):
                return self._on_restart(reason, counted)
            case StopFailed(attempt, problem):
                return self._on_stop_failed(problem) if self._has_task(attempt) else []
            case Destroyed(handle):
                self._set(trash=tuple(each for each in self.memory.trash if each != handle))
                return []
            case Signalled(signal, reason):
                self._note(events.signaling(now_ns, signal, reason))
                return []
            case Said(message, details):
                self._note(events.driver_said(now_ns, message, details))
                return []
            case TimerFired(serial):
                return self._on_timer() if serial == self._serial else []

    # Towards running.

    def _begin(self) -> list[Effect]:
        if self.memory.phase is not Phase.NEW:
            return []
        self._note(events.received(self._now_ns))
        return self._prepare()

    def _prepare(self) -> list[Effect]:
        self._set(phase=Phase.PREPARING)
        return self._next_stage(after="")

    def _next_stage(self, after: str) -> list[Effect]:
        due = [s for s in self.plan.stages if s.each_attempt or not self.memory.prepared]
        names = [stage.name for stage in due]
        index = names.index(after) + 1 if after in names else 0
        if index < len(due):
            stage = due[index]
            if stage.text:
                self._note(events.setup(self._now_ns, stage.text))
            return [RunStage(stage.name, self.memory.attempt)]
        self._set(phase=Phase.STARTING, prepared=True, in_doubt=True)
        return [StartTask(self.memory.attempt)]

    def _on_work(
        self, event: StageDone | StageFailed | Started | StartFailed | WorkCancelled
    ) -> list[Effect]:
        memory = self.memory
        if event.attempt != memory.attempt or memory.handle is not None or self.dead:
            return []
        if isinstance(event, StageFailed) and memory.in_doubt and not event.invalid:
            return self._settle_later()
        if isinstance(event, Started | StartFailed | WorkCancelled):
            self._set(in_doubt=False)
        if memory.phase is Phase.STOPPING:
            return self._on_given_up(event)
        match event:
            case StageDone(stage) if memory.phase is Phase.PREPARING:
                return self._next_stage(after=stage)
            case _ if memory.dying:
                return self._on_given_up(event)
            case StageFailed(problem=problem, invalid=invalid) if memory.phase is Phase.PREPARING:
                if invalid:
                    self._note(events.invalid(self._now_ns, problem))
                    return self._die(failed=True)
                self._note(events.setup_failed(self._now_ns, problem, fails_task=False))
                return self._again_or_die(successful=False)
            case Started(handle=handle) if memory.phase is Phase.STARTING:
                return self._on_started(handle)
            case StartFailed(problem=problem, recoverable=recoverable) if (
                memory.phase is Phase.STARTING
            ):
                self._note(events.driver_failed(self._now_ns, problem))
                if recoverable:
                    return self._again_or_die(successful=False)
                reason = "The error cannot be mended by starting again"
                self._note(events.not_restarting(self._now_ns, reason))
                return self._die(failed=True)
            case _:
                return []

    def _on_started(self, handle: TaskHandle) -> list[Effect]:
        self._note(events.started(self._now_ns))
        self._state(state="running", started_at=rfc3339(self._now_ns))
        self._set(phase=Phase.RUNNING, handle=handle)
        return [WatchTask(self.memory.attempt, handle)]

    def _on_given_up(
        self, event: StageDone | StageFailed | Started | StartFailed | WorkCancelled
    ) -> list[Effect]:
        """The work was cancelled; its own answer may have been quicker."""
        if isinstance(event, Started):
            self._on_started(event.handle)
            return [WatchTask(event.attempt, event.handle), *self._stop()]
        self._note(events.killed(self._now_ns))
        return self._die(failed=False)

    # Towards the end.

    def _on_exit(self, end: Exit) -> list[Effect]:
        memory = self.memory
        handle = memory.handle
        assert handle is not None
        self._note(events.terminated(self._now_ns, end))
        self._set(handle=None, trash=(*memory.trash, handle))
        done: list[Effect] = [DestroyTask(handle)]
        if memory.dying:
            self._note(events.killed(self._now_ns))
            return done + self._die(failed=False)
        if memory.restart == "user":
            self._set(restart="")
            return done + self._back_off(0, "")
        # A task stopped by a failing check has failed, whatever code it ended with.
        successful = end.successful and not memory.restart
        self._set(restart="")
        return done + self._again_or_die(successful=successful)

    def _again_or_die(self, *, successful: bool) -> list[Effect]:
        verdict = after_exit(
            self.plan.restart,
            self.memory.window,
            successful=successful,
            now_ns=self._now_ns,
            rng=self.rng,
        )
        match verdict:
            case Again(delay_ns=delay_ns, reason=reason, window=window):
                self._set(window=window)
                return self._back_off(delay_ns, reason)
            case NoMore(failed=failed, reason=reason):
                if reason:
                    self._note(events.not_restarting(self._now_ns, reason))
                return self._die(failed=failed)

    def _back_off(self, delay_ns: int, reason: str) -> list[Effect]:
        self._note(events.restarting(self._now_ns, delay_ns, reason))
        self._state(
            state="pending",
            restarts=self.memory.state.restarts + 1,
            last_restart=rfc3339(self._now_ns),
        )
        self._set(
            phase=Phase.BACKOFF,
            attempt=self.memory.attempt + 1,
            resume_at_ns=self._now_ns + delay_ns,
        )
        return [self._timer(delay_ns)]

    def _die(self, *, failed: bool) -> list[Effect]:
        self._serial += 1
        self._state(state="dead", failed=failed, finished_at=rfc3339(self._now_ns))
        self._set(phase=Phase.DEAD, restart="")
        return []

    def _on_kill(self, kill: Kill) -> list[Effect]:
        memory = self.memory
        if memory.phase is Phase.DEAD:
            return []
        if memory.dying:
            return self._hurry() if kill.no_delay else []
        if kill.because is not None:
            self._note(kill.because)
        self._set(dying=True, restart="")
        if self._inherited_doubt and memory.in_doubt:
            # Only the answer of the driver tells whether there is something to stop.
            return self._prepare() if memory.phase is Phase.BACKOFF else []
        match memory.phase:
            case Phase.NEW | Phase.BACKOFF:
                self._note(events.killed(self._now_ns))
                return self._die(failed=False)
            case Phase.PREPARING | Phase.STARTING:
                self._set(phase=Phase.STOPPING)
                return [CancelWork(memory.attempt)]
            case Phase.RUNNING:
                self._note(events.killing(self._now_ns, self.plan.kill_timeout_ns, kill.reason))
                return self._leave(no_delay=kill.no_delay)
            case Phase.LEAVING:
                return self._hurry() if kill.no_delay else []
            case _:
                return []

    def _hurry(self) -> list[Effect]:
        if self.memory.phase is not Phase.LEAVING:
            return []
        self._note(events.skipping_shutdown(self._now_ns))
        return self._stop()

    def _leave(self, *, no_delay: bool = False) -> list[Effect]:
        delay_ns = self.plan.shutdown_delay_ns
        if delay_ns <= 0:
            return self._stop()
        if no_delay:
            self._note(events.skipping_shutdown(self._now_ns))
            return self._stop()
        self._note(events.waiting_for_shutdown(self._now_ns, delay_ns))
        self._set(phase=Phase.LEAVING, resume_at_ns=self._now_ns + delay_ns)
        return [self._timer(delay_ns)]

    def _stop(self) -> list[Effect]:
        handle = self.memory.handle
        assert handle is not None
        self._serial += 1
        self._set(phase=Phase.STOPPING)
        grace_s = self.plan.kill_timeout_ns / SECOND_NS
        return [StopTask(self.memory.attempt, handle, self.plan.kill_signal, grace_s)]

    def _on_stop_failed(self, problem: str) -> list[Effect]:
        if self.memory.phase is not Phase.STOPPING:
            return []
        self._note(events.killing(self._now_ns, self.plan.kill_timeout_ns, problem=problem))
        return [self._timer(STOP_RETRY_NS)]

    def _on_restart(self, reason: str, counted: bool) -> list[Effect]:
        memory = self.memory
        if memory.dying or memory.restart:
            return []
        if memory.phase is Phase.RUNNING:
            self._note(events.restart_signaled(self._now_ns, reason))
            self._set(restart="policy" if counted else "user")
            return self._leave()
        if memory.phase is Phase.BACKOFF and not counted:
            self._note(events.restart_signaled(self._now_ns, reason))
            self._serial += 1
            return self._prepare()
        return []

    def _on_timer(self) -> list[Effect]:
        match self.memory.phase:
            case Phase.BACKOFF:
                return self._prepare()
            case Phase.LEAVING | Phase.STOPPING if self.memory.handle is not None:
                return self._stop()
            case _:
                return []

    # After the agent was away.

    def _on_recovered(self, found: bool, problem: str) -> list[Effect]:
        trash = [DestroyTask(handle) for handle in self.memory.trash]
        return [*trash, *self._resume(found, problem)]

    def _resume(self, found: bool, problem: str) -> list[Effect]:
        memory = self.memory
        rest_ns = max(0, memory.resume_at_ns - self._now_ns)
        self._inherited_doubt = memory.in_doubt
        if memory.phase in _WORKS:
            return self._prepare()
        if memory.phase is Phase.BACKOFF:
            return [self._timer(rest_ns)]
        if memory.phase is Phase.STOPPING and memory.handle is None:
            return self._settle_doubt()
        if memory.handle is None:
            return []
        if not found:
            self._note(events.not_restored(self._now_ns, problem))
            return self._on_exit(Exit(error=problem))
        watch: list[Effect] = [WatchTask(memory.attempt, memory.handle)]
        if memory.phase is Phase.LEAVING:
            return [*watch, self._timer(rest_ns)]
        return watch + self._stop() if memory.phase is Phase.STOPPING else watch

    def _settle_doubt(self) -> list[Effect]:
        """A start was being given up when the agent died, and may have succeeded.

        Only starting the attempt again tells: the driver answers with the task that runs, or
        starts it, and either way it is stopped at once. Nothing may be left running unseen.
        """
        if self.memory.in_doubt:
            return self._prepare()
        self._note(events.killed(self._now_ns))
        return self._die(failed=False)

    def _settle_later(self) -> list[Effect]:
        """A stage failed before the driver could be asked about a start in doubt."""
        self._set(phase=Phase.BACKOFF, resume_at_ns=self._now_ns + STOP_RETRY_NS)
        return [self._timer(STOP_RETRY_NS)]

    # Bookkeeping.

    def _has_task(self, attempt: int) -> bool:
        return attempt == self.memory.attempt and self.memory.handle is not None

    def _timer(self, delay_ns: int) -> SetTimer:
        self._serial += 1
        return SetTimer(self._serial, delay_ns)

    def _set(self, **changes: object) -> None:
        self.memory = msgspec.structs.replace(self.memory, **changes)

    def _state(self, **changes: object) -> None:
        self._set(state=msgspec.structs.replace(self.memory.state, **changes))

    def _note(self, event: TaskEvent) -> None:
        """Add an event; each is later than the one before, so that any reader can order them."""
        before = self.memory.state.events
        if before and event.time <= before[-1].time:
            event = msgspec.structs.replace(event, time=before[-1].time + 1)
        self._state(events=(*self.memory.state.events, event)[-events.EVENTS_MAX :])
