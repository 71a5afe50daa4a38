"""Health of allocations in deployments."""

import pytest

from client.allocrunner.health import HealthRules, HealthState, judge, rules_of
from hanse.structs.job import Job, MigrateStrategy, TaskGroup, UpdateStrategy
from hanse.structs.taskstate import TaskState

S = 10**9
RULES = HealthRules(min_healthy_ns=10 * S, deadline_ns=60 * S)
START = HealthState(deployment_id="d", started_ns=1000 * S)
RUNS = {"a": TaskState(state="running")}
WAITS = {"a": TaskState(state="pending")}


def look(
    state: HealthState,
    tasks: dict[str, TaskState],
    now_s: int,
    *,
    checks_pass: bool = True,
    rules: HealthRules = RULES,
) -> tuple[HealthState, int]:
    return judge(rules, state, tasks, checks_pass=checks_pass, now_ns=now_s * S)


def test_it_is_healthy_after_the_time_and_not_before() -> None:
    state, again_ns = look(START, RUNS, 1005)
    assert (state.healthy, again_ns) == (None, 10 * S)
    state, again_ns = look(state, RUNS, 1014)
    assert (state.healthy, again_ns) == (None, 1 * S)
    state, again_ns = look(state, RUNS, 1015)
    assert (state.healthy, state.decided_ns, again_ns) == (True, 1015 * S, 0)


def test_a_failing_check_starts_the_time_anew() -> None:
    state, _ = look(START, RUNS, 1005)
    state, again_ns = look(state, RUNS, 1010, checks_pass=False)
    assert (state.well_since_ns, again_ns) == (0, 50 * S)
    state, _ = look(state, RUNS, 1012)
    state, _ = look(state, RUNS, 1021)
    assert state.healthy is None
    assert look(state, RUNS, 1022)[0].healthy


def test_a_restart_starts_the_time_anew_even_if_nobody_looked_while_it_was_down() -> None:
    state, _ = look(START, RUNS, 1005)
    restarted = {"a": TaskState(state="running", restarts=1)}
    state, again_ns = look(state, restarted, 1014)
    assert (state.healthy, again_ns) == (None, 10 * S)
    state, _ = look(state, restarted, 1023)
    assert state.healthy is None
    assert look(state, restarted, 1024)[0].healthy


def test_task_states_do_not_mind_the_checks() -> None:
    rules = HealthRules(judge="task_states", min_healthy_ns=0, deadline_ns=60 * S)
    assert look(START, RUNS, 1001, checks_pass=False, rules=rules)[0].healthy


def test_manual_is_never_decided_here() -> None:
    rules = HealthRules(judge="manual", min_healthy_ns=0, deadline_ns=0)
    assert look(START, RUNS, 5000, rules=rules) == (START, 0)


def test_the_deadline_makes_it_unhealthy() -> None:
    state, again_ns = look(START, WAITS, 1001)
    assert (state.healthy, again_ns) == (None, 59 * S)
    assert look(state, WAITS, 1060)[0].healthy is False


def test_the_deadline_holds_also_when_it_would_soon_be_healthy() -> None:
    state, _ = look(START, RUNS, 1055)
    assert look(state, RUNS, 1060)[0].healthy is False


def test_a_dead_task_makes_it_unhealthy_at_once() -> None:
    tasks = RUNS | {"b": TaskState(state="dead")}
    assert look(START, tasks, 1001)[0].healthy is False


def test_a_verdict_stands() -> None:
    state, _ = look(START, WAITS, 1060)
    assert look(state, RUNS, 1100) == (state, 0)


@pytest.mark.parametrize(
    ("kind", "deployment", "asked"),
    [("service", "d", True), ("service", "", True), ("batch", "", False), ("batch", "d", False)],
)
def test_health_is_asked_of_services_in_a_deployment_or_a_migration(
    kind: str, deployment: str, asked: bool
) -> None:
    group = TaskGroup(
        update=UpdateStrategy(min_healthy_time_ns=1), migrate=MigrateStrategy(max_parallel=1)
    )
    assert (rules_of(Job(type=kind), group, deployment) is not None) == asked


def test_no_strategy_no_question() -> None:
    assert rules_of(Job(type="service"), TaskGroup(), "d") is None
    assert rules_of(Job(type="service"), TaskGroup(), "") is None
