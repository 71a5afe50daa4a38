"""Which evaluation is next. Pure: time and evaluations come in, tickets go out.

* One evaluation of a job is in work at a time; whatever else is pending for the job when it is
  taken is settled by the same pass, because a pass looks at the job as it is now.
* Higher priority first, then who came first.
* An evaluation with `wait_until` sleeps until then; one that failed sleeps for a backoff.
* A blocked evaluation sleeps until capacity that it could use appears: a node that became
  usable, or an allocation that ended on one, of a class that the job is eligible for. What
  appeared while its plan was still on the way counts too.

The queue is rebuilt from the state alone by offering every evaluation again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from hanse.structs.evaluation import Evaluation
from hanse.structs.times import parse_rfc3339
from region.state.entries import JobKey

#: How many evaluations of a kind are settled along with the one that is worked on.
OTHERS_MAX = 25

#: The node class that stands for all of them.
ANY_CLASS = "*"


class Ticket(NamedTuple):
    """Leave to work on a job. Hand it back with `EvalQueue.done`."""

    key: JobKey
    evaluation: Evaluation
    #: Other pending evaluations of the job, settled by the same pass.
    others: tuple[Evaluation, ...]
    #: Blocked evaluations of the job, which this one replaces.
    blocked: tuple[Evaluation, ...]
    #: The queue's count of capacity events when the ticket was taken.
    capacity: int


class EvalQueue:
    """Evaluations that wait, by job."""

    def __init__(self) -> None:
        """An empty queue."""
        self._pending: dict[JobKey, dict[str, Evaluation]] = {}
        self._blocked: dict[JobKey, dict[str, Evaluation]] = {}
        self._woken: set[JobKey] = set()
        self._busy: set[JobKey] = set()
        self._not_before: dict[JobKey, int] = {}
        #: Until when a blocked evaluation that found no room is not tried again.
        self._in_vain: dict[JobKey, int] = {}
        self._ready: list[tuple[int, bool, int, JobKey]] = []
        self._waiting: list[tuple[int, int, JobKey, str]] = []
        self._numbers = count()
        self._capacity = 0
        self._freed: dict[str, int] = {}
        self._seen_until: dict[str, int] = {}

    def __len__(self) -> int:
        """Jobs that wait for a pass, sleeping ones included."""
        return len(self._pending) + len(self._woken - self._pending.keys())

    @property
    def blocked_count(self) -> int:
        """Evaluations that wait for capacity."""
        return sum(len(blocked) for blocked in self._blocked.values())

    def offer(self, evaluation: Evaluation) -> None:
        """Take in an evaluation as it is now stored."""
        key = (evaluation.namespace, evaluation.job_id)
        match evaluation.status:
            case "pending":
                self._pending.setdefault(key, {})[evaluation.id] = evaluation
                at_ns = wait_until_ns(evaluation)
                if at_ns:
                    entry = (at_ns, next(self._numbers), key, evaluation.id)
                    heapq.heappush(self._waiting, entry)
                else:
                    self._make_ready(key, evaluation.priority)
            case "blocked":
                self._blocked.setdefault(key, {})[evaluation.id] = evaluation
                if self._missed_something(evaluation):
                    self._wake(key, evaluation.priority)
            case _:
                self.remove(evaluation)

    def remove(self, evaluation: Evaluation) -> None:
        """Forget an evaluation that is over or gone."""
        key = (evaluation.namespace, evaluation.job_id)
        for table in (self._pending, self._blocked):
            members = table.get(key)
            if members is not None:
                members.pop(evaluation.id, None)
                if not members:
                    del table[key]
        if key not in self._blocked:
            self._woken.discard(key)
            self._in_vain.pop(key, None)

    def capacity_appeared(self, node_class: str) -> None:
        """A node of the class has room that it had not: wake who could use it."""
        self._capacity += 1
        self._freed[node_class] = self._capacity
        for key, blocked in self._blocked.items():
            if key in self._woken:
                continue
            for evaluation in blocked.values():
                if could_use(evaluation, node_class):
                    self._wake(key, evaluation.priority)
                    break

    def will_block(self, eval_id: str, ticket: Ticket) -> None:
        """A plan will store this blocked evaluation: remember what its pass had seen."""
        self._seen_until[eval_id] = ticket.capacity

    def will_not_block(self, eval_id: str) -> None:
        """The plan that would have stored this blocked evaluation is not stored."""
        self._seen_until.pop(eval_id, None)

    def still_blocked(self, ticket: Ticket, evaluation: Evaluation, *, until_ns: int = 0) -> None:
        """A pass over a blocked evaluation placed nothing: it sleeps on, with news of classes.

        Room that appears before `until_ns` wakes it only then, so that many which find no room
        cannot keep the scheduler from everything else.
        """
        self._in_vain[ticket.key] = until_ns
        self._blocked.setdefault(ticket.key, {})[evaluation.id] = evaluation
        self._seen_until[evaluation.id] = ticket.capacity
        if self._missed_something(evaluation):
            self._wake(ticket.key, evaluation.priority)

    def take(self, now_ns: int, limit: int) -> list[Ticket]:
        """Up to `limit` tickets for jobs that are not in work."""
        self._wake_sleepers(now_ns)
        tickets: list[Ticket] = []
        while self._ready and len(tickets) < limit:
            _, _, _, key = heapq.heappop(self._ready)
            if key in self._busy:
                continue
            ticket = self._ticket(key, now_ns)
            if ticket is not None:
                self._busy.add(key)
                self._woken.discard(key)
                tickets.append(ticket)
        return tickets

    def done(self, key: JobKey, *, not_before_ns: int = 0) -> None:
        """The job is not in work any more; with `not_before_ns` it rests until then."""
        self._busy.discard(key)
        if not_before_ns:
            self._not_before[key] = not_before_ns
            heapq.heappush(self._waiting, (not_before_ns, next(self._numbers), key, ""))
        else:
            self._not_before.pop(key, None)
        pending = self._pending.get(key)
        if pending:
            self._make_ready(key, max(e.priority for e in pending.values()))
        elif key in self._woken:
            self._make_ready(key, _priority(self._blocked[key].values()), woken=True)

    def next_due_ns(self) -> int | None:
        """When the first sleeper wakes; None if there is none."""
        return self._waiting[0][0] if self._waiting else None

    def _ticket(self, key: JobKey, now_ns: int) -> Ticket | None:
        if self._not_before.get(key, 0) > now_ns:
            return None
        pending = [e for e in self._pending.get(key, {}).values() if wait_until_ns(e) <= now_ns]
        pending.sort(key=lambda e: (e.priority, e.create_index, e.id), reverse=True)
        blocked = list(self._blocked.get(key, {}).values())
        blocked.sort(key=lambda e: (e.create_index, e.id), reverse=True)
        if pending:
            others = tuple(pending[1 : OTHERS_MAX + 1])
            replaced = tuple(blocked[:OTHERS_MAX])
            return Ticket(key, pending[0], others, replaced, self._capacity)
        if blocked and key in self._woken:
            rests_ns = self._in_vain.get(key, 0)
            if rests_ns > now_ns:
                heapq.heappush(self._waiting, (rests_ns, next(self._numbers), key, ""))
                return None
            replaced = tuple(blocked[1 : OTHERS_MAX + 1])
            return Ticket(key, blocked[0], (), replaced, self._capacity)
        return None

    def _make_ready(self, key: JobKey, priority: int, *, woken: bool = False) -> None:
        """Those that waited for room come after the others of their priority."""
        heapq.heappush(self._ready, (-priority, woken, next(self._numbers), key))

    def _wake(self, key: JobKey, priority: int) -> None:
        self._woken.add(key)
        self._make_ready(key, priority, woken=True)

    def _wake_sleepers(self, now_ns: int) -> None:
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, key, eval_id = heapq.heappop(self._waiting)
            found = self._pending.get(key, {})
            if eval_id in found:
                self._make_ready(key, found[eval_id].priority)
            elif not eval_id and (found or key in self._woken):
                members = found or self._blocked.get(key, {})
                self._make_ready(key, _priority(members.values()), woken=not found)

    def _missed_something(self, evaluation: Evaluation) -> bool:
        """Whether capacity appeared that the pass which blocked it had not seen.

        Of an evaluation that was there before this queue nothing is known, so it has.
        """
        seen = self._seen_until.pop(evaluation.id, None)
        if seen is None:
            return True
        return any(
            at > seen and could_use(evaluation, node_class)
            for node_class, at in self._freed.items()
        )


def could_use(evaluation: Evaluation, node_class: str) -> bool:
    """Whether room on a node of the class may help a blocked evaluation."""
    if evaluation.escaped_computed_class or node_class == ANY_CLASS:
        return True
    return evaluation.class_eligibility.get(node_class, True)


def wait_until_ns(evaluation: Evaluation) -> int:
    """When a pending evaluation may be worked on; 0 is at once."""
    if evaluation.wait_until.startswith("0001"):
        return 0
    try:
        return parse_rfc3339(evaluation.wait_until)
    except ValueError:
        return 0


def _priority(evaluations: Iterable[Evaluation]) -> int:
    return max((e.priority for e in evaluations), default=50)
