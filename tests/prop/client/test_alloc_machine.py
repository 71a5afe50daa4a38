"""Every order in which things can happen to an allocation and its tasks."""

from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.allocrunner import machine as m
from client.allocrunner.health import HealthRules
from hanse.structs.allocation import CLIENT_TERMINAL
from hanse.structs.taskstate import TaskEvent, TaskState

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(m.Memory).decode
EVENT = (TaskEvent(type="Received"),)


@dataclass
class Bench:
    """A machine, and tasks that begin, restart, end and die as they like."""

    seed: int
    plan: m.AllocPlan
    now_ns: int = 10**18
    todo: list[m.Effect] = field(default_factory=list)
    states: dict[str, TaskState] = field(default_factory=dict)
    dying: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    ended: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.machine = m.AllocMachine(self.plan)
        self.states = {role.name: TaskState(state="pending") for role in self.plan.tasks}

    def feed(self, event: m.Input) -> None:
        self.now_ns += self.rng.randrange(10**8)
        before = self.machine.memory
        effects = self.machine.handle(event, self.now_ns)
        after = self.machine.memory
        assert _decode(_encode(after)) == after
        assert not (after.stop_wanted and after.phase is m.Phase.RUNNING)
        if before.health and after.health and before.health.healthy is not None:
            same = before.health.deployment_id == after.health.deployment_id
            assert not same or after.health.healthy == before.health.healthy
        status, sentence = self.machine.status
        assert sentence
        assert (status in CLIENT_TERMINAL) == self.machine.done
        if self.machine.done:
            assert after.problem or all(s.state == "dead" for s in self.states.values())
            failed = any(s.failed for s in self.states.values()) or bool(after.problem)
            assert status == ("failed" if failed else "complete")
        for effect in effects:
            if isinstance(effect, m.SetTimer):
                kind = effect.kind
                self.todo = [
                    e for e in self.todo if not (isinstance(e, m.SetTimer) and e.kind == kind)
                ]
            self.todo.append(effect)

    def answer(self, index: int) -> None:
        effect = self.todo.pop(index)
        match effect:
            case m.Prepare():
                failed = self.rng.random() < 0.05
                self.feed(m.PrepareFailed("disk full") if failed else m.Prepared())
            case m.BeginTask(task):
                assert self.machine.memory.phase is not m.Phase.WAITING
                if not self.states[task].events and self.states[task].state == "pending":
                    self.begun.append(task)
                    self.move(task, state="pending", events=EVENT)
            case m.KillTask(task):
                self.kills.append(task)
                self.dying.add(task)
                if not self.states[task].events:  # It never began: it is dead at once.
                    self.move(task, state="dead")
            case m.SetTimer(kind, serial, delay_ns):
                self.now_ns += delay_ns
                self.feed(m.TimerFired(kind, serial))
            case m.Ended():
                self.ended += 1

    def move(self, task: str, **changes: object) -> None:
        if self.states[task].state != "dead":
            self.states[task] = msgspec.structs.replace(self.states[task], **changes)
            self.feed(m.TaskMoved(task, self.states[task]))

    def step(self) -> None:
        roll = self.rng.random()
        live = [t for t, s in self.states.items() if s.events and s.state != "dead"]
        task = self.rng.choice(live) if live else ""
        if roll < 0.03:
            self.feed(m.StopWanted(no_delay=self.rng.random() < 0.3))
        elif roll < 0.06:
            self.die()
        elif roll < 0.10:
            self.feed(m.ChecksMoved(self.rng.random() < 0.7))
        elif roll < 0.12:
            self.plan = msgspec.structs.replace(self.plan, deployment_id=str(self.now_ns))
            self.feed(m.PlanChanged(self.plan))
        elif roll < 0.14:
            self.feed(m.TimerFired(self.rng.choice(["leave", "health", "x"]), 0))
        elif roll < 0.3 and task:
            if task in self.dying:
                self.move(task, state="dead")
            elif self.states[task].state == "pending":
                self.move(task, state="running")
            elif self.rng.random() < 0.5:
                self.move(task, state="pending", restarts=self.states[task].restarts + 1)
            else:
                self.move(task, state="dead", failed=self.rng.random() < 0.5)
        elif self.todo:
            self.answer(self.rng.randrange(len(self.todo)))

    def die(self) -> None:
        """The agent is killed; what was under way is done again by the next one."""
        memory = _decode(_encode(self.machine.memory))
        self.machine = m.AllocMachine(self.plan, memory, dict(self.states))
        self.todo.clear()
        self.feed(m.Restored())
        if memory.phase is m.Phase.WAITING:
            self.feed(m.Unblocked())

    def finish(self) -> None:
        self.feed(m.StopWanted())
        for _ in range(3000):
            if self.machine.done and not self.todo:
                return
            for task in [t for t in self.dying if self.states[t].state != "dead"]:
                self.move(task, state="dead")
            if self.todo:
                self.answer(self.rng.randrange(len(self.todo)))
        raise AssertionError(f"it does not end: {self}")


def plans() -> st.SearchStrategy[m.AllocPlan]:
    roles = st.integers(1, 3).flatmap(
        lambda count: st.integers(-1, count - 1).map(
            lambda leader: tuple(m.TaskRole(name=f"t{i}", leader=i == leader) for i in range(count))
        )
    )
    health = st.sampled_from(
        [
            None,
            HealthRules(min_healthy_ns=10**9, deadline_ns=10**10),
            HealthRules(judge="task_states", min_healthy_ns=10**8, deadline_ns=10**9),
            HealthRules(judge="manual"),
        ]
    )
    return st.builds(
        m.AllocPlan,
        tasks=roles,
        shutdown_delay_ns=st.sampled_from([0, 10**9]),
        health=health,
        deployment_id=st.just("d1"),
    )


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32), plan=plans())
def test_whatever_happens_a_stop_ends_it_and_each_task_begins_once(
    seed: int, plan: m.AllocPlan
) -> None:
    bench = Bench(seed, plan)
    if bench.rng.random() < 0.9:
        bench.feed(m.Unblocked())
    for _ in range(60):
        bench.step()
    bench.finish()
    assert len(bench.begun) == len(set(bench.begun))
    assert bench.ended >= 1 or bench.machine.done
    if all(state.failed is False for state in bench.states.values()) and not (
        bench.machine.memory.problem
    ):
        assert bench.machine.status[0] == "complete"


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32))
def test_on_a_stop_the_leader_goes_before_the_others(seed: int) -> None:
    roles = tuple(m.TaskRole(name=f"t{i}", leader=i == 1) for i in range(3))
    bench = Bench(seed, m.AllocPlan(tasks=roles))
    bench.feed(m.Unblocked())
    while bench.todo:
        bench.answer(0)
    if bench.machine.done:
        return
    for name in bench.states:
        bench.move(name, state="running")
    bench.feed(m.StopWanted())
    while bench.todo:
        bench.answer(bench.rng.randrange(len(bench.todo)))
    assert bench.kills == ["t1"]
    bench.move("t1", state="dead")
    while bench.todo:
        bench.answer(bench.rng.randrange(len(bench.todo)))
    assert set(bench.kills) == {"t0", "t1", "t2"}


@pytest.mark.parametrize("phase", list(m.Phase))
@pytest.mark.parametrize("stop_wanted", [False, True])
def test_no_input_surprises_any_state(phase: m.Phase, stop_wanted: bool) -> None:
    if stop_wanted and phase is m.Phase.RUNNING:
        return  # A stop never leaves it there.
    plan = m.AllocPlan(tasks=(m.TaskRole(name="a"), m.TaskRole(name="b")), health=HealthRules())
    memory = m.Memory(phase=phase, stop_wanted=stop_wanted)
    dead, failed = TaskState(state="dead"), TaskState(state="dead", failed=True)
    inputs: list[m.Input] = [
        m.Unblocked(),
        m.Prepared(),
        m.PrepareFailed("no"),
        m.TaskMoved("a", TaskState(state="running", events=EVENT)),
        m.TaskMoved("a", dead),
        m.TaskMoved("a", failed),
        m.TaskMoved("nobody", failed),
        m.ChecksMoved(True),
        m.ChecksMoved(False),
        m.StopWanted(),
        m.StopWanted(no_delay=True),
        m.PlanChanged(plan),
        m.Restored(),
        m.TimerFired("leave", 0),
        m.TimerFired("leave", 1),
        m.TimerFired("health", 1),
    ]
    for event in inputs:
        machine = m.AllocMachine(plan, memory, {"a": TaskState(state="running", events=EVENT)})
        effects = machine.handle(event, 10**18)
        if phase is m.Phase.DONE:
            assert machine.done
            assert effects == []
        if stop_wanted:
            assert not any(isinstance(effect, m.BeginTask) for effect in effects)
