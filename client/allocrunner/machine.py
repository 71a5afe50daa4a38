"""One allocation's life, as a state machine that does no I/O.

Theory of operation
-------------------
An allocation waits until what it follows on this node has ended, gets its folders, and lets its
tasks begin in the order their lifecycles say (`due`). It ends when every task is dead: by
themselves, because one failed, because the leader ended, or because the servers want it stopped.
Then its services go first, its shutdown delay passes, and the tasks are killed: the leader before
the others.

The machine is fed inputs with the moment they happened and answers with effects, which
`client.allocrunner.runner` performs. Task machines run beside it; it sees of them only their
states (`TaskMoved`). Everything that must survive the agent is `Memory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from client.allocrunner.health import HealthRules, HealthState, judge
from client.taskrunner import events
from hanse.structs.taskstate import TaskEvent, TaskState


class Phase(StrEnum):
    """Where an allocation is in its life."""

    #: Something else must end first.
    WAITING = "waiting"
    PREPARING = "preparing"
    RUNNING = "running"
    #: Services are withdrawn; the group's shutdown delay passes.
    LEAVING = "leaving"
    STOPPING = "stopping"
    DONE = "done"


class TaskRole(msgspec.Struct, frozen=True, kw_only=True):
    """What the allocation must know of one of its tasks."""

    name: str
    leader: bool = False


class AllocPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine must know of the allocation."""

    tasks: tuple[TaskRole, ...]
    shutdown_delay_ns: int = 0
    health: HealthRules | None = None
    deployment_id: str = ""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """All of an allocation, beside its tasks, that outlives the agent."""

    phase: Phase = Phase.WAITING
    #: Nothing was ever started because of this.
    problem: str = ""
    #: The servers want it stopped.
    stop_wanted: bool = False
    no_delay: bool = False
    resume_at_ns: int = 0
    health: HealthState | None = None


# Inputs: what can happen to an allocation.


@dataclass(frozen=True, slots=True)
class Unblocked:
    """What it had to wait for has ended."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Its folders are there."""


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """Its folders could not be made."""

    problem: str


@dataclass(frozen=True, slots=True)
class TaskMoved:
    """A task's state is another one now."""

    task: str
    state: TaskState


@dataclass(frozen=True, slots=True)
class ChecksMoved:
    """Whether all checks of its services pass."""

    passing: bool


@dataclass(frozen=True, slots=True)
class StopWanted:
    """The servers want it stopped."""

    no_delay: bool = False


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """It was updated in place."""

    plan: AllocPlan


@dataclass(frozen=True, slots=True)
class Restored:
    """The agent is back; the tasks' states are as they were left."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The timer of this kind and number is up."""

    kind: str
    serial: int


Input = (
    Unblocked
    | Prepared
    | PrepareFailed
    | TaskMoved
    | ChecksMoved
    | StopWanted
    | PlanChanged
    | Restored
    | TimerFired
)


# Effects: what we want done about it.


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the folders; answer `Prepared` or `PrepareFailed`."""


@dataclass(frozen=True, slots=True)
class BeginTask:
    """It is this task's turn."""

    task: str


@dataclass(frozen=True, slots=True)
class KillTask:
    """This task must go. `because` is shown first."""

    task: str
    because: TaskEvent | None = None
    no_delay: bool = False


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer `TimerFired` after this long. One timer of each kind at a time."""

    kind: str
    serial: int
    delay_ns: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Every task is dead: others may follow."""


Effect = Prepare | BeginTask | KillTask | SetTimer | Ended


@dataclass
class AllocMachine:
    """The machine. `memory` is replaced, never changed, by each input."""

    plan: AllocPlan
    memory: Memory = field(default_factory=Memory)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    _checks_pass: bool = False
    _serials: dict[str, int] = field(default_factory=dict)
    _now_ns: int = 0

    @property
    def serving(self) -> bool:
        """Its services may be used, as far as the allocation is concerned."""
        return self.memory.phase is Phase.RUNNING and not self.memory.stop_wanted

    @property
    def done(self) -> bool:
        """Nothing of it runs, and nothing will."""
        return self.memory.phase is Phase.DONE

    @property
    def status(self) -> tuple[str, str]:
        """The client status and the sentence about it."""
        return status_of(self.memory, self.tasks)

    def handle(self, event: Input, now_ns: int) -> list[Effect]:
        """Take one input to completion. The only way in."""
        self._now_ns = now_ns
        match event:
            case Unblocked():
                return self._on_unblocked()
            case Prepared():
                return self._on_prepared()
            case PrepareFailed(problem):
                return self._on_prepare_failed(problem)
            case TaskMoved(task, state):
                return self._on_task(task, state)
            case ChecksMoved(passing):
                self._checks_pass = passing
                return self._look_at_health()
            case StopWanted(no_delay):
                return self._on_stop(no_delay)
            case PlanChanged(plan):
                return self._on_plan(plan)
            case Restored():
                return self._on_restored()
            case TimerFired(kind, serial):
                return self._on_timer(kind) if serial == self._serials.get(kind) else []

    def _on_unblocked(self) -> list[Effect]:
        if self.memory.phase is not Phase.WAITING:
            return []
        self._set(phase=Phase.PREPARING)
        return [Prepare()]

    def _on_prepared(self) -> list[Effect]:
        if self.memory.phase is not Phase.PREPARING:
            return []
        if self.memory.stop_wanted:
            return self._kill_all()
        self._set(phase=Phase.RUNNING)
        self._ask_for_health()
        return [*self._begin_due(), *self._look_at_health()]

    def _on_prepare_failed(self, problem: str) -> list[Effect]:
        if self.memory.phase is not Phase.PREPARING:
            return []
        self._set(phase=Phase.DONE, problem=problem)
        return [Ended()]

    def _on_task(self, task: str, state: TaskState) -> list[Effect]:
        if task not in {role.name for role in self.plan.tasks}:
            return []
        self.tasks[task] = state
        if self.memory.phase is Phase.DONE:
            return []
        if all(self._is_dead(role.name) for role in self.plan.tasks):
            effects = self._look_at_health()
            self._set(phase=Phase.DONE)
            return [*effects, Ended()]
        if state.state != "dead":
            return [*self._begin_due(), *self._look_at_health()]
        return [*self._on_death(task, state), *self._begin_due(), *self._look_at_health()]

    def _on_death(self, task: str, state: TaskState) -> list[Effect]:
        """One of several tasks is dead: do the others go on?"""
        if self.memory.phase in (Phase.LEAVING, Phase.STOPPING):
            return self._kill_all() if self.memory.phase is Phase.STOPPING else []
        leader = any(role.leader for role in self.plan.tasks if role.name == task)
        if state.failed:
            because = events.sibling_failed(self._now_ns, task)
        elif leader:
            because = events.leader_dead(self._now_ns)
        else:
            return []
        return [KillTask(name, because) for name in self._living()]

    def _on_stop(self, no_delay: bool) -> list[Effect]:
        memory = self.memory
        if memory.phase is Phase.DONE or (memory.stop_wanted and not no_delay):
            return []
        self._set(stop_wanted=True, no_delay=no_delay)
        match memory.phase:
            case Phase.WAITING:
                return self._kill_all()
            case Phase.PREPARING:
                return []  # `Prepared` or `PrepareFailed` is on its way and finds the wish.
            case Phase.RUNNING:
                if self.plan.shutdown_delay_ns > 0 and not no_delay:
                    return self._leave()
                return self._kill_all()
            case _:
                return self._kill_all() if no_delay else []

    def _leave(self) -> list[Effect]:
        delay_ns = self.plan.shutdown_delay_ns
        self._set(phase=Phase.LEAVING, resume_at_ns=self._now_ns + delay_ns)
        return [self._timer("leave", delay_ns)]

    def _kill_all(self) -> list[Effect]:
        """Kill what lives: first the leader, and the others when it is gone."""
        self._set(phase=Phase.STOPPING)
        living = self._living()
        leaders = [role.name for role in self.plan.tasks if role.leader and role.name in living]
        no_delay = self.memory.no_delay
        return [KillTask(name, no_delay=no_delay) for name in leaders or living]

    def _on_plan(self, plan: AllocPlan) -> list[Effect]:
        self.plan = plan
        if self.memory.phase is not Phase.RUNNING:
            return []
        self._ask_for_health()
        return self._look_at_health()

    def _on_restored(self) -> list[Effect]:
        if self.memory.phase is not Phase.DONE and not self._living():
            self._set(phase=Phase.DONE)
            return [Ended()]
        match self.memory.phase:
            case Phase.PREPARING:
                return [Prepare()]
            case Phase.RUNNING:
                return [*self._begin_due(), *self._look_at_health()]
            case Phase.LEAVING:
                rest_ns = max(0, self.memory.resume_at_ns - self._now_ns)
                return [self._timer("leave", rest_ns)]
            case Phase.STOPPING:
                return self._kill_all()
            case _:
                return []

    def _on_timer(self, kind: str) -> list[Effect]:
        if kind == "leave" and self.memory.phase is Phase.LEAVING:
            return self._kill_all()
        return self._look_at_health() if kind == "health" else []

    # Health.

    def _ask_for_health(self) -> None:
        if self.plan.health is None:
            self._set(health=None)
            return
        health = self.memory.health
        if health is not None and health.deployment_id == self.plan.deployment_id:
            return
        restarts = sum(state.restarts for state in self.tasks.values())
        self._set(
            health=HealthState(
                deployment_id=self.plan.deployment_id,
                started_ns=self._now_ns,
                restarts=restarts,
            )
        )

    def _look_at_health(self) -> list[Effect]:
        rules, health = self.plan.health, self.memory.health
        if rules is None or health is None or self.memory.phase is not Phase.RUNNING:
            return []
        main = {role.name: self._state(role.name) for role in self.plan.tasks}
        after, again_ns = judge(
            rules, health, main, checks_pass=self._checks_pass, now_ns=self._now_ns
        )
        self._set(health=after)
        return [self._timer("health", again_ns)] if again_ns else []

    # Bookkeeping.

    def _begin_due(self) -> list[Effect]:
        if self.memory.phase is not Phase.RUNNING:
            return []
        return [BeginTask(name) for name in due(self.plan.tasks, self.tasks)]

    def _state(self, task: str) -> TaskState:
        return self.tasks.get(task) or TaskState(state="pending")

    def _is_dead(self, task: str) -> bool:
        return self._state(task).state == "dead"

    def _living(self) -> list[str]:
        return [role.name for role in self.plan.tasks if not self._is_dead(role.name)]

    def _timer(self, kind: str, delay_ns: int) -> SetTimer:
        self._serials[kind] = self._serials.get(kind, 0) + 1
        return SetTimer(kind, self._serials[kind], delay_ns)

    def _set(self, **changes: object) -> None:
        self.memory = msgspec.structs.replace(self.memory, **changes)


def due(roles: tuple[TaskRole, ...], states: Mapping[str, TaskState]) -> list[str]:
    """The tasks that may begin and have not: here lifecycle hooks will have their say.

    A task that has begun has events; to begin a task twice does nothing.
    """
    return [role.name for role in roles if role.name not in states or not states[role.name].events]


def status_of(memory: Memory, tasks: Mapping[str, TaskState]) -> tuple[str, str]:
    """The client status, one of Nomad's words, and a sentence about it.

    `complete` and `failed` are said only when nothing runs any more: that is when the servers
    may give the ports and the name to another.
    """
    failed = any(state.failed for state in tasks.values())
    if memory.phase is Phase.DONE:
        if memory.problem:
            return "failed", memory.problem
        return ("failed", "Failed tasks") if failed else ("complete", "All tasks have completed")
    if any(state.state in ("running", "dead") or state.restarts for state in tasks.values()):
        return "running", "Tasks are running"
    return "pending", "No tasks have started"
