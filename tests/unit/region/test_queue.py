"""Which evaluation is next."""

from hanse.structs.evaluation import Evaluation
from hanse.structs.times import rfc3339
from region.broker.queue import OTHERS_MAX, EvalQueue, Ticket

SECOND = 10**9


def evaluation(eval_id: str, job: str = "a", **fields: object) -> Evaluation:
    given = {
        "namespace": "default",
        "priority": 50,
        "status": "pending",
        "create_index": 1,
        **fields,
    }
    return Evaluation(id=eval_id, job_id=job, **given)  # type: ignore[arg-type]


def taken(queue: EvalQueue, now_ns: int = 0) -> list[str]:
    return [ticket.evaluation.id for ticket in queue.take(now_ns, 100)]


def only(queue: EvalQueue, now_ns: int = 0) -> Ticket:
    (ticket,) = queue.take(now_ns, 100)
    return ticket


def test_higher_priority_comes_first_and_equals_in_order() -> None:
    queue = EvalQueue()
    for name, priority in (("x", 50), ("y", 90), ("z", 50)):
        queue.offer(evaluation(f"e{name}", name, priority=priority))
    assert taken(queue) == ["ey", "ex", "ez"]


def test_one_evaluation_of_a_job_is_in_work_at_a_time() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("e1"))
    assert taken(queue) == ["e1"]
    queue.offer(evaluation("e2", create_index=2))
    assert taken(queue) == []
    queue.remove(evaluation("e1"))
    queue.done(("default", "a"))
    assert taken(queue) == ["e2"]


def test_the_newest_is_worked_on_and_the_others_are_settled_with_it() -> None:
    queue = EvalQueue()
    for number in (1, 2, 3):
        queue.offer(evaluation(f"e{number}", create_index=number))
    ticket = only(queue)
    assert ticket.evaluation.id == "e3"
    assert {e.id for e in ticket.others} == {"e1", "e2"}


def test_not_more_are_settled_than_fit_a_transaction() -> None:
    queue = EvalQueue()
    for number in range(200):
        queue.offer(evaluation(f"e{number}", create_index=number))
    assert len(only(queue).others) == OTHERS_MAX


def test_a_delayed_evaluation_sleeps_until_its_time() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("e1", wait_until=rfc3339(10 * SECOND)))
    assert taken(queue, 9 * SECOND) == []
    assert queue.next_due_ns() == 10 * SECOND
    assert taken(queue, 10 * SECOND) == ["e1"]


def test_a_delayed_evaluation_is_not_settled_by_an_earlier_pass() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("later", wait_until=rfc3339(10 * SECOND)))
    queue.offer(evaluation("now"))
    ticket = only(queue, SECOND)
    assert ticket.evaluation.id == "now"
    assert ticket.others == ()


def test_after_a_failure_the_job_rests_even_if_more_comes_in() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("e1"))
    only(queue)
    queue.done(("default", "a"), not_before_ns=5 * SECOND)
    queue.offer(evaluation("e2", create_index=2))
    assert taken(queue, 4 * SECOND) == []
    assert taken(queue, 5 * SECOND) == ["e2"]


def test_an_evaluation_that_is_over_elsewhere_is_forgotten() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("e1"))
    queue.offer(evaluation("e1", status="complete"))
    assert taken(queue) == []


def blocked(queue: EvalQueue, eval_id: str = "b", **fields: object) -> None:
    """Have an evaluation block whose pass has seen everything so far."""
    queue.offer(evaluation("before-" + eval_id))
    ticket = only(queue)
    queue.will_block(eval_id, ticket)
    queue.remove(ticket.evaluation)
    queue.offer(evaluation(eval_id, status="blocked", **fields))
    queue.done(ticket.key)
    assert taken(queue) == []


def test_a_blocked_evaluation_wakes_when_room_of_its_class_appears() -> None:
    queue = EvalQueue()
    blocked(queue, class_eligibility={"big": True, "small": False})
    queue.capacity_appeared("small")
    assert taken(queue) == []
    queue.capacity_appeared("big")
    assert taken(queue) == ["b"]


def test_a_class_that_was_never_looked_at_may_help() -> None:
    queue = EvalQueue()
    blocked(queue, class_eligibility={"small": False})
    queue.capacity_appeared("new")
    assert taken(queue) == ["b"]


def test_room_of_any_class_wakes_an_evaluation_that_escapes_classes() -> None:
    queue = EvalQueue()
    blocked(queue, class_eligibility={"small": False}, escaped_computed_class=True)
    queue.capacity_appeared("small")
    assert taken(queue) == ["b"]


def test_room_that_appeared_while_the_plan_was_on_its_way_wakes_it_too() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("e1"))
    ticket = only(queue)
    queue.will_block("b", ticket)
    queue.capacity_appeared("big")
    queue.remove(ticket.evaluation)
    queue.offer(evaluation("b", status="blocked", class_eligibility={"big": True}))
    queue.done(ticket.key)
    assert taken(queue) == ["b"]


def test_room_that_the_pass_had_seen_does_not_wake_it() -> None:
    queue = EvalQueue()
    queue.capacity_appeared("big")
    blocked(queue, class_eligibility={"big": True})
    assert queue.blocked_count == 1


def test_a_new_leader_looks_once_at_every_blocked_evaluation() -> None:
    queue = EvalQueue()
    queue.offer(evaluation("b", status="blocked"))
    assert taken(queue) == ["b"]


def test_a_pass_in_vain_over_a_blocked_evaluation_lets_it_sleep_on() -> None:
    queue = EvalQueue()
    blocked(queue, class_eligibility={"big": True})
    queue.capacity_appeared("big")
    ticket = only(queue)
    queue.still_blocked(ticket, ticket.evaluation)
    queue.done(ticket.key)
    assert taken(queue) == []
    queue.capacity_appeared("big")
    assert taken(queue) == ["b"]


def test_one_that_looked_in_vain_rests_before_it_looks_again() -> None:
    queue = EvalQueue()
    blocked(queue)
    queue.capacity_appeared("big")
    ticket = only(queue)
    queue.still_blocked(ticket, ticket.evaluation, until_ns=5 * SECOND)
    queue.done(ticket.key)
    queue.capacity_appeared("big")
    assert taken(queue, 4 * SECOND) == []
    assert queue.next_due_ns() == 5 * SECOND
    assert taken(queue, 5 * SECOND) == ["b"]


def test_a_new_evaluation_does_not_rest_with_the_blocked_one() -> None:
    queue = EvalQueue()
    blocked(queue)
    queue.capacity_appeared("big")
    ticket = only(queue)
    queue.still_blocked(ticket, ticket.evaluation, until_ns=5 * SECOND)
    queue.done(ticket.key)
    queue.offer(evaluation("e2", create_index=2))
    assert taken(queue, SECOND) == ["e2"]


def test_those_that_wait_for_room_come_after_new_ones() -> None:
    queue = EvalQueue()
    blocked(queue)
    queue.capacity_appeared("big")
    queue.offer(evaluation("new", "other"))
    assert taken(queue) == ["new", "b"]


def test_a_new_evaluation_of_the_job_replaces_the_blocked_one() -> None:
    queue = EvalQueue()
    blocked(queue)
    queue.offer(evaluation("e2", create_index=2))
    ticket = only(queue)
    assert ticket.evaluation.id == "e2"
    assert [e.id for e in ticket.blocked] == ["b"]
