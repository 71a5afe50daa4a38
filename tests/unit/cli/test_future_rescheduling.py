"""Which groups wait for a new place, and until when."""

from hanse.cli.job_status import future_rescheduling
from hanse.structs.api import AllocListStub
from hanse.structs.evaluation import Evaluation
from hanse.structs.times import parse_rfc3339

WHEN = "2026-01-02T03:04:05Z"
NOW_NS = parse_rfc3339(WHEN) - 5_000_000_000
WAITING = Evaluation(id="3b7b3c05-0000", status="pending", wait_until=WHEN)


def test_a_waiting_evaluation_is_named_with_the_group_whose_allocation_failed() -> None:
    failed = AllocListStub(task_group="web", desired_status="run", followup_eval_id=WAITING.id)
    shown = future_rescheduling([WAITING], [failed], NOW_NS, verbose=False)
    assert shown.splitlines()[1].split() == ["web", "3b7b3c05", "5s", "from", "now"]


def test_what_was_stopped_since_does_not_wait_for_a_place() -> None:
    stopped = AllocListStub(task_group="web", desired_status="stop", followup_eval_id=WAITING.id)
    assert future_rescheduling([WAITING], [stopped], NOW_NS, verbose=False) == ""
    assert future_rescheduling([WAITING], [], NOW_NS, verbose=False) == ""
