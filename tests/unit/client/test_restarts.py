"""Restart policies."""

from random import Random

import pytest
from msgspec.structs import replace

from client.taskrunner.restarts import (
    Again,
    NoMore,
    RestartRules,
    RestartWindow,
    after_exit,
    rules_of,
)
from hanse.structs.task import RestartPolicy

S = 10**9
RULES = RestartRules(attempts=2, interval_ns=60 * S, delay_ns=4 * S)


def ends(
    rules: RestartRules, window: RestartWindow, *, successful: bool = False, now_s: int = 1000
) -> Again | NoMore:
    return after_exit(rules, window, successful=successful, now_ns=now_s * S, rng=Random(1))


def test_the_first_failure_opens_the_window_and_waits_the_delay_with_jitter() -> None:
    again = ends(RULES, RestartWindow())
    assert isinstance(again, Again)
    assert again.window == RestartWindow(started_ns=1000 * S, count=1)
    assert 4 * S <= again.delay_ns <= 5 * S


def test_after_all_attempts_the_task_has_failed() -> None:
    verdict = ends(RULES, RestartWindow(started_ns=999 * S, count=2))
    assert verdict == NoMore(
        failed=True, reason='All 2 restarts allowed in 1m0s are used up, mode is "fail"'
    )


def test_one_restart_is_told_as_one() -> None:
    verdict = ends(replace(RULES, attempts=1), RestartWindow(started_ns=999 * S, count=1))
    assert verdict == NoMore(
        failed=True, reason='The one restart allowed in 1m0s is used up, mode is "fail"'
    )


def test_a_new_interval_forgets_the_old_one() -> None:
    again = ends(RULES, RestartWindow(started_ns=900 * S, count=2))
    assert isinstance(again, Again)
    assert again.window.count == 1


def test_a_clock_that_was_set_back_forgets_the_interval_too() -> None:
    assert isinstance(ends(RULES, RestartWindow(started_ns=5000 * S, count=2)), Again)


def test_mode_delay_waits_for_the_next_interval() -> None:
    rules = RestartRules(attempts=1, interval_ns=60 * S, delay_ns=4 * S, mode="delay")
    again = ends(rules, RestartWindow(started_ns=990 * S, count=1))
    assert isinstance(again, Again)
    assert 54 * S <= again.delay_ns <= 55 * S


def test_a_batch_task_that_succeeds_is_done_and_a_service_goes_on() -> None:
    batch = rules_of(RestartPolicy(attempts=3, interval_ns=60 * S, mode="fail"), "batch")
    service = rules_of(RestartPolicy(attempts=3, interval_ns=60 * S, mode="fail"), "service")
    assert ends(batch, RestartWindow(), successful=True) == NoMore(failed=False)
    assert isinstance(ends(service, RestartWindow(), successful=True), Again)


def test_no_attempts_means_no_restart_and_no_failure_of_what_succeeded() -> None:
    rules = RestartRules(attempts=0)
    assert ends(rules, RestartWindow(), successful=True) == NoMore(
        failed=False, reason="The restart policy allows none"
    )
    verdict = ends(rules, RestartWindow())
    assert isinstance(verdict, NoMore)
    assert verdict.failed


@pytest.mark.parametrize(
    ("kind", "attempts", "interval_h"), [("service", 2, 0.5), ("batch", 3, 24), ("sysbatch", 3, 24)]
)
def test_without_a_policy_nomads_defaults_hold(kind: str, attempts: int, interval_h: float) -> None:
    rules = rules_of(None, kind)
    assert (rules.attempts, rules.interval_ns) == (attempts, interval_h * 3600 * S)
    assert rules.delay_ns == 15 * S
