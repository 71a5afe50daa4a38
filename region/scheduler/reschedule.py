"""When a failed instance is placed anew: attempts, delays and the trail of earlier placements."""

from __future__ import annotations

from hanse.structs.allocation import Allocation
from hanse.structs.job import ReschedulePolicy
from hanse.structs.taskstate import RescheduleEvent, RescheduleTracker
from hanse.structs.times import parse_rfc3339

#: A failed instance that is due so soon is placed at once.
WINDOW_NS = 10**9
#: Trail kept for a policy without limit.
EVENTS_MAX = 5


def failed_at(allocation: Allocation) -> int:
    """When the allocation failed, nanoseconds since 1970."""
    client = allocation.client
    if client is None:
        return allocation.modify_ns
    finished = [parse_rfc3339(task.finished_at) for task in client.task_states.values()]
    return max(finished, default=0) or client.modified_ns or allocation.modify_ns


def events_of(allocation: Allocation) -> tuple[RescheduleEvent, ...]:
    """The earlier placements of the instance."""
    return allocation.reschedule.events if allocation.reschedule is not None else ()


def due_at(allocation: Allocation, policy: ReschedulePolicy | None) -> int | None:
    """When the failed allocation may be placed anew; None if never."""
    if policy is None or not (policy.unlimited or policy.attempts > 0):
        return None
    failed = failed_at(allocation)
    if not policy.unlimited:
        since = failed - policy.interval_ns
        used = sum(event.reschedule_time > since for event in events_of(allocation))
        if used >= policy.attempts:
            return None
    return failed + delay_ns(allocation, policy)


def delay_ns(allocation: Allocation, policy: ReschedulePolicy) -> int:
    """How long to wait after this failure; growing delays start anew after a good long run."""
    delays = [event.delay_ns for event in events_of(allocation)]
    if not delays or policy.delay_function not in ("exponential", "fibonacci"):
        return policy.delay_ns
    if policy.delay_function == "exponential":
        following = delays[-1] * 2
    elif len(delays) < 2 or delays[-1] < delays[-2]:
        # The second delay of the series is the first again, also after it started anew.
        following = delays[-1] if len(delays) < 2 else delays[-1] + policy.delay_ns
    else:
        following = delays[-1] + delays[-2]
    if policy.max_delay_ns and following > policy.max_delay_ns:
        last = events_of(allocation)[-1].reschedule_time
        ran_long = failed_at(allocation) - last > policy.max_delay_ns
        return policy.delay_ns if ran_long else policy.max_delay_ns
    return following


def tracker_after(
    allocation: Allocation, policy: ReschedulePolicy | None, now_ns: int
) -> RescheduleTracker:
    """The trail of the instance that replaces the failed allocation."""
    events = events_of(allocation)
    if policy is None or policy.unlimited:
        events = events[-(EVENTS_MAX - 1) :]
    else:
        events = tuple(e for e in events if e.reschedule_time > now_ns - policy.interval_ns)
    event = RescheduleEvent(
        reschedule_time=now_ns,
        prev_alloc_id=allocation.id,
        prev_node_id=allocation.node_id,
        delay_ns=delay_ns(allocation, policy) if policy is not None else 0,
    )
    return RescheduleTracker(events=(*events, event), last_reschedule="ok")
