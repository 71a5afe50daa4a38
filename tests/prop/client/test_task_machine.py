"""Every order in which things can happen to a task: no two copies run, and it ends when told."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.taskrunner import machine as m
from client.taskrunner.events import EVENTS_MAX
from client.taskrunner.restarts import RestartRules
from hanse.driver import Exit, TaskHandle

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(m.Memory).decode
STATE_OF = {
    m.Phase.NEW: "pending",
    m.Phase.PREPARING: "pending",
    m.Phase.STARTING: "pending",
    m.Phase.RUNNING: "running",
    m.Phase.LEAVING: "running",
    m.Phase.BACKOFF: "pending",
    m.Phase.DEAD: "dead",
}


@dataclass
class Bench:
    """A machine, a host that runs attempts, and all effects not answered yet."""

    seed: int
    rules: RestartRules
    shutdown_delay_ns: int = 0
    now_ns: int = 10**18
    todo: list[m.Effect] = field(default_factory=list)
    running: dict[int, bool] = field(default_factory=dict)
    destroyed: Counter[int] = field(default_factory=Counter)
    started: list[int] = field(default_factory=list)
    killed: bool = False
    ends_told: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.plan = m.TaskPlan(
            name="t", restart=self.rules, shutdown_delay_ns=self.shutdown_delay_ns
        )
        self.machine = m.TaskMachine(self.plan, self.rng)

    def feed(self, event: m.Input) -> None:
        self.now_ns += self.rng.randrange(10**8)
        restarts = self.machine.memory.state.restarts
        effects = self.machine.handle(event, self.now_ns)
        self.check(restarts)
        for effect in effects:
            if isinstance(effect, m.SetTimer):
                # One timer at a time, as the runner has it; a late one may fire nevertheless.
                keep = self.rng.random() < 0.1
                self.todo = [e for e in self.todo if keep or not isinstance(e, m.SetTimer)]
            self.todo.append(effect)

    def check(self, restarts: int) -> None:
        memory = self.machine.memory
        if memory.phase is not m.Phase.STOPPING:
            assert memory.state.state == STATE_OF[memory.phase]
        times = [event.time for event in memory.state.events]
        assert len(times) <= EVENTS_MAX
        assert times == sorted(set(times))
        assert memory.state.restarts in (restarts, restarts + 1)
        assert (memory.handle is None) or memory.phase in (
            m.Phase.RUNNING,
            m.Phase.LEAVING,
            m.Phase.STOPPING,
        )
        assert self.machine.serving == (memory.phase is m.Phase.RUNNING)
        assert _decode(_encode(memory)) == memory

    def answer(self, index: int) -> None:
        """Carry out one of the effects, with any outcome it can have."""
        effect = self.todo.pop(index)
        match effect:
            case m.RunStage(stage, attempt):
                if self.rng.random() < 0.1:
                    # The runner judges no configuration of an attempt that may run already.
                    invalid = not self.machine.memory.in_doubt and self.rng.random() < 0.3
                    self.feed(m.StageFailed(stage, attempt, "no", invalid=invalid))
                else:
                    self.feed(m.StageDone(stage, attempt))
            case m.StartTask(attempt):
                self.start(attempt)
            case m.CancelWork(attempt):
                self.todo = [e for e in self.todo if not isinstance(e, m.RunStage | m.StartTask)]
                self.feed(m.WorkCancelled(attempt))
            case m.WatchTask(attempt, _):
                if self.running[attempt]:
                    self.todo.append(effect)
                else:
                    self.ends_told[attempt] += 1
                    self.feed(m.Exited(attempt, Exit(code=self.rng.choice((0, 1)))))
            case m.StopTask(attempt, _):
                if self.rng.random() < 0.1:
                    self.feed(m.StopFailed(attempt, "busy"))
                else:
                    self.running[attempt] = False
            case m.DestroyTask(handle):
                attempt = int(str(handle.state["attempt"]))
                assert not self.running[attempt]
                self.destroyed[attempt] += 1
                self.feed(m.Destroyed(handle))
            case m.SetTimer(serial, delay_ns):
                self.now_ns += delay_ns
                self.feed(m.TimerFired(serial))

    def start(self, attempt: int) -> None:
        handle = TaskHandle(driver="d", version=1, state={"attempt": attempt})
        if attempt in self.running:  # Started before the agent died: the driver knows.
            self.feed(m.Started(attempt, handle))
        elif self.rng.random() < 0.15:
            self.feed(m.StartFailed(attempt, "no", recoverable=self.rng.random() < 0.7))
        else:
            assert not any(self.running.values()), "two copies at once"
            self.running[attempt] = True
            self.started.append(attempt)
            if self.rng.random() < 0.1:
                self.die()  # The agent dies after the driver started it, before it was told.
            else:
                self.feed(m.Started(attempt, handle))

    def die(self) -> None:
        """The agent is killed and comes back with what was written down."""
        self.machine = m.TaskMachine(self.plan, self.rng, _decode(_encode(self.machine.memory)))
        self.todo.clear()
        memory = self.machine.memory
        if memory.phase is m.Phase.NEW:
            self.feed(m.Begin())
        else:
            found = memory.handle is None or self.rng.random() < 0.8
            if not found:
                self.running[memory.attempt] = False
            self.feed(m.Recovered(found, "" if found else "gone"))

    def step(self) -> None:
        roll = self.rng.random()
        running = [attempt for attempt, runs in self.running.items() if runs]
        if roll < 0.05 and running:
            self.running[running[0]] = False
        elif roll < 0.09:
            self.feed(m.Restart("so", counted=self.rng.random() < 0.5))
        elif roll < 0.12:
            self.die()
        elif roll < 0.14:
            self.feed(m.Kill(reason="so", no_delay=self.rng.random() < 0.5))
            self.killed = True
        elif roll < 0.16:
            self.feed(m.Signalled("SIGHUP", "so"))
        elif roll < 0.18:
            self.feed(m.Said("so", {}))
        elif roll < 0.22:
            self.feed(self.stray())
        elif self.todo:
            self.answer(self.rng.randrange(len(self.todo)))

    def stray(self) -> m.Input:
        """An answer that nobody waits for any more."""
        old = self.machine.memory.attempt - 1
        handle = TaskHandle(driver="d", version=1, state={"attempt": old})
        return self.rng.choice(
            [
                m.StageDone("configure", old),
                m.StageFailed("configure", old, "late"),
                m.StartFailed(old, "late"),
                m.Started(old, handle),
                m.Exited(old, Exit(code=9)),
                m.WorkCancelled(old),
                m.StopFailed(old, "late"),
                m.TimerFired(0),
                m.Begin(),
            ]
        )

    def finish(self) -> None:
        """Kill it and let everything complete: it must end, with nothing left running."""
        self.feed(m.Kill(reason="end"))
        for _ in range(2000):
            if self.machine.dead and not self.todo:
                break
            if self.todo:
                self.answer(self.rng.randrange(len(self.todo)))
        assert self.machine.dead
        assert not any(self.running.values())


RULES = st.sampled_from(
    [
        RestartRules(attempts=2, interval_ns=10**12, delay_ns=10**9),
        RestartRules(attempts=0, interval_ns=10**10, delay_ns=0),
        RestartRules(attempts=1, interval_ns=10**10, delay_ns=10**9, mode="delay"),
        RestartRules(attempts=3, interval_ns=10**12, delay_ns=10**9, after_success=False),
    ]
)


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32), rules=RULES, delay_s=st.sampled_from([0, 3]))
def test_whatever_happens_one_copy_runs_and_a_kill_ends_it(
    seed: int, rules: RestartRules, delay_s: int
) -> None:
    bench = Bench(seed, rules, shutdown_delay_ns=delay_s * 10**9)
    bench.feed(m.Begin())
    for _ in range(60):
        bench.step()
    bench.finish()
    assert sorted(bench.destroyed) == sorted(bench.started), "something was left behind"
    assert sorted(bench.started) == sorted(set(bench.started)), "an attempt was started twice"


@given(seed=st.integers(0, 2**32), rules=RULES)
def test_a_task_left_alone_is_restarted_no_more_than_its_policy_says(
    seed: int, rules: RestartRules
) -> None:
    bench = Bench(seed, rules)
    bench.feed(m.Begin())
    starts: list[int] = []
    for _ in range(300):
        if bench.machine.dead:
            break
        for attempt in [a for a, runs in bench.running.items() if runs]:
            bench.running[attempt] = False
        if bench.todo:
            before = len(bench.started)
            bench.answer(0)
            starts += [bench.now_ns] * (len(bench.started) - before)
    if rules.mode == "fail":
        assert bench.machine.dead
        assert len(starts) <= rules.attempts + 1
    else:
        for at_ns in starts:
            # The window begins with the first failure, not with the start before it.
            within = [s for s in starts if at_ns <= s < at_ns + rules.interval_ns // 2]
            assert len(within) <= rules.attempts + 2


@pytest.mark.parametrize("phase", list(m.Phase))
@pytest.mark.parametrize("dying", [False, True])
@pytest.mark.parametrize("with_handle", [False, True])
def test_no_input_surprises_any_state(phase: m.Phase, dying: bool, with_handle: bool) -> None:
    """All states times all inputs: no exception, and a dead task stays dead."""
    if with_handle and phase not in (m.Phase.RUNNING, m.Phase.LEAVING, m.Phase.STOPPING):
        return
    if not with_handle and phase in (m.Phase.RUNNING, m.Phase.LEAVING):
        return
    handle = TaskHandle(driver="d", version=1, state={"attempt": 1})
    memory = m.Memory(phase=phase, attempt=1, dying=dying, handle=handle if with_handle else None)
    inputs: list[m.Input] = [
        m.Begin(),
        m.StageDone("folders", 1),
        m.StageDone("configure", 1),
        m.StageFailed("configure", 1, "no"),
        m.StageFailed("configure", 1, "no", invalid=True),
        m.Started(1, handle),
        m.StartFailed(1, "no"),
        m.StartFailed(1, "no", recoverable=True),
        m.WorkCancelled(1),
        m.Exited(1, Exit(code=1)),
        m.Exited(1, Exit()),
        m.Recovered(found=True),
        m.Recovered(found=False, problem="gone"),
        m.Kill(),
        m.Kill(no_delay=True),
        m.Restart("so"),
        m.Restart("so", counted=True),
        m.StopFailed(1, "no"),
        m.Destroyed(handle),
        m.Signalled("SIGHUP", ""),
        m.Said("so", {}),
        m.TimerFired(0),
        m.TimerFired(7),
    ]
    for event in inputs:
        machine = m.TaskMachine(m.TaskPlan(name="t"), Random(1), memory)
        machine.handle(event, 10**18)
        if phase is m.Phase.DEAD:
            assert machine.dead
        assert machine.memory.attempt in (1, 2)
