"""Whether a task that ended is started again where it is, and when. Pure."""

from __future__ import annotations

from random import Random

import msgspec

from hanse.durations import SECOND_NS, format_duration
from hanse.structs.task import RestartPolicy

#: Jitter adds up to a quarter of the policy's delay.
_JITTER = 0.25


class RestartRules(msgspec.Struct, frozen=True, kw_only=True):
    """A restart policy together with what the job's type adds to it."""

    attempts: int = 2
    interval_ns: int = 30 * 60 * SECOND_NS
    delay_ns: int = 15 * SECOND_NS
    #: `fail`: give up when the attempts are used up; `delay`: wait for the next interval.
    mode: str = "fail"
    #: Services run for ever: an end with success is a reason to start again too.
    after_success: bool = True


class RestartWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How many restarts were counted since `started_ns` (Unix, ns; 0: none yet)."""

    started_ns: int = 0
    count: int = 0


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """Start again after `delay_ns`."""

    delay_ns: int
    reason: str
    window: RestartWindow


class NoMore(msgspec.Struct, frozen=True, kw_only=True):
    """Do not start again; `reason` is "" when there is nothing to explain."""

    failed: bool
    reason: str = ""


def rules_of(policy: RestartPolicy | None, job_type: str) -> RestartRules:
    """The rules for a task of a job of this type; `policy` None means Nomad's defaults."""
    once = job_type in ("batch", "sysbatch")
    if policy is None:
        attempts, interval_s = (3, 24 * 3600) if once else (2, 30 * 60)
        return RestartRules(
            attempts=attempts, interval_ns=interval_s * SECOND_NS, after_success=not once
        )
    return RestartRules(
        attempts=policy.attempts,
        interval_ns=policy.interval_ns,
        delay_ns=policy.delay_ns,
        mode=policy.mode or "fail",
        after_success=not once,
    )


def after_exit(
    rules: RestartRules, window: RestartWindow, *, successful: bool, now_ns: int, rng: Random
) -> Again | NoMore:
    """What to do about a task that ended by itself, or failed to start and may be tried again."""
    if successful and not rules.after_success:
        return NoMore(failed=False)
    if not 0 <= now_ns - window.started_ns < rules.interval_ns:
        window = RestartWindow(started_ns=now_ns)
    if window.count < rules.attempts:
        counted = RestartWindow(started_ns=window.started_ns, count=window.count + 1)
        delay_ns = _jittered(rules.delay_ns, rng)
        return Again(delay_ns=delay_ns, reason="Within the restart policy", window=counted)
    if rules.mode == "delay":
        rest_ns = window.started_ns + rules.interval_ns - now_ns
        return Again(
            delay_ns=rest_ns + _jittered(rules.delay_ns, rng),
            reason=_used_up(rules),
            window=RestartWindow(started_ns=window.started_ns, count=window.count),
        )
    if rules.attempts == 0:
        return NoMore(failed=not successful, reason="The restart policy allows none")
    return NoMore(
        failed=True,
        reason=_used_up(rules),
    )


def _jittered(delay_ns: int, rng: Random) -> int:
    return delay_ns + int(delay_ns * _JITTER * rng.random())


def _used_up(rules: RestartRules) -> str:
    interval = format_duration(rules.interval_ns)
    several = f"All {rules.attempts} restarts allowed in {interval} are"
    which = f"The one restart allowed in {interval} is" if rules.attempts == 1 else several
    return f'{which} used up, mode is "{rules.mode}"'
