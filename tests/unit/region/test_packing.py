"""Reports as the state keeps them."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from hanse.structs.allocation import Allocation, AllocStatus, StatusSegment
from hanse.structs.taskstate import TaskEvent, TaskState
from region.state.codec import Unreadable, decode, encode
from region.state.packing import Reported, ReportedSegment, packed, task_states, unpacked

ALLOC = Allocation(
    id="a1",
    namespace="default",
    job_id="j",
    job_version=0,
    group="g",
    index=0,
    node_id="n",
    eval_id="e",
)
STATES = {
    "main": TaskState(
        state="dead",
        failed=True,
        finished_at="2026-01-01T00:00:00Z",
        events=tuple(
            TaskEvent(type="Terminated", time=n, exit_code=n, details={"exit_code": str(n)})
            for n in range(10)
        ),
    )
}
STATUS = AllocStatus(
    alloc_id="a1", client_status="failed", task_states=STATES, healthy=False, modified_ns=7
)


def kept(status: AllocStatus) -> AllocStatus:
    """A report after its way through the store into the state."""
    segment = decode(ReportedSegment, encode(StatusSegment(node_id="n", statuses=(status,))))
    return packed(segment.statuses[0], ALLOC)


def test_a_report_comes_out_of_the_state_as_it_went_in() -> None:
    assert unpacked(kept(STATUS)) == STATUS
    assert task_states(kept(STATUS)) == STATES


def test_a_report_is_small_while_nobody_looks() -> None:
    status = kept(STATUS)
    assert status.task_states == {}
    assert len(status.packed_states) < 400 < len(msgspec.msgpack.encode(STATES))


def test_what_was_never_packed_can_be_read_the_same_way() -> None:
    assert task_states(STATUS) == STATES
    assert task_states(None) == {}
    assert kept(replace(STATUS, task_states={})).packed_states == b""


def test_damage_shows_no_tasks_and_stops_nothing() -> None:
    odd = Reported(alloc_id="a1", task_states=msgspec.Raw(msgspec.msgpack.encode({"t": 5})))
    assert task_states(packed(odd, ALLOC)) == {}
    with pytest.raises(Unreadable):
        decode(ReportedSegment, b"\x01\x93")


def test_no_field_of_a_report_is_lost_in_packing() -> None:
    assert Reported.__struct_fields__ == AllocStatus.__struct_fields__
