"""Whether an allocation counts as healthy in its deployment or migration. Pure.

Healthy is an allocation whose main tasks have all run, without a restart, and (with `checks`)
whose checks have all passed, for `min_healthy_time` at a stretch. Unhealthy is one that has not
managed that by `healthy_deadline`, or one of whose tasks has failed for good. The verdict is given
once; a new deployment asks anew.
"""

from __future__ import annotations

import msgspec

from hanse.structs.job import Job, TaskGroup
from hanse.structs.taskstate import TaskState

_DEFAULT_MIN_NS = 10 * 10**9
_DEFAULT_DEADLINE_NS = 300 * 10**9


class HealthRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of an allocation before it counts as healthy. Times in nanoseconds."""

    #: `checks`, `task_states` or `manual`.
    judge: str = "checks"
    min_healthy_ns: int = _DEFAULT_MIN_NS
    deadline_ns: int = _DEFAULT_DEADLINE_NS


class HealthState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the allocation has come. Times in Unix nanoseconds."""

    #: What the verdict is about: the deployment's id, "" for a migration.
    deployment_id: str = ""
    started_ns: int = 0
    #: Since when everything has been well; 0: it is not.
    well_since_ns: int = 0
    restarts: int = 0
    healthy: bool | None = None
    decided_ns: int = 0


def rules_of(job: Job, group: TaskGroup, deployment_id: str) -> HealthRules | None:
    """The rules that apply, None if nobody asks for the allocation's health."""
    if job.type not in ("service", "system"):
        return None
    if deployment_id and group.update is not None:
        update = group.update
        return HealthRules(
            judge=update.health_check or "checks",
            min_healthy_ns=update.min_healthy_time_ns,
            deadline_ns=update.healthy_deadline_ns,
        )
    if not deployment_id and job.type == "service" and group.migrate is not None:
        return HealthRules(
            judge=group.migrate.health_check or "checks",
            min_healthy_ns=group.migrate.min_healthy_time_ns,
            deadline_ns=group.migrate.healthy_deadline_ns,
        )
    return None


def judge(
    rules: HealthRules,
    state: HealthState,
    tasks: dict[str, TaskState],
    *,
    checks_pass: bool,
    now_ns: int,
) -> tuple[HealthState, int]:
    """The state after a look at the tasks now, and when to look again (ns from now; 0: never).

    `tasks` are those whose running counts: the main tasks.
    """
    if state.healthy is not None or rules.judge == "manual":
        return state, 0
    if any(task.state == "dead" for task in tasks.values()):
        return _decide(state, False, now_ns), 0
    deadline_ns = state.started_ns + rules.deadline_ns - now_ns
    restarts = sum(task.restarts for task in tasks.values())
    running = bool(tasks) and all(task.state == "running" for task in tasks.values())
    well = running and (checks_pass or rules.judge == "task_states")
    if not well or restarts != state.restarts:
        # The time starts anew: now if all is well again after a restart, else when it is.
        since_ns = now_ns if well else 0
        state = msgspec.structs.replace(state, well_since_ns=since_ns, restarts=restarts)
    elif not state.well_since_ns:
        state = msgspec.structs.replace(state, well_since_ns=now_ns)
    if not state.well_since_ns:
        return (state, deadline_ns) if deadline_ns > 0 else (_decide(state, False, now_ns), 0)
    rest_ns = state.well_since_ns + rules.min_healthy_ns - now_ns
    if rest_ns <= 0:
        return _decide(state, True, now_ns), 0
    if deadline_ns <= 0:
        return _decide(state, False, now_ns), 0
    return state, min(rest_ns, deadline_ns)


def _decide(state: HealthState, healthy: bool, now_ns: int) -> HealthState:
    return msgspec.structs.replace(state, healthy=healthy, decided_ns=now_ns)
