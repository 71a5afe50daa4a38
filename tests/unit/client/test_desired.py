"""What a node does about the servers' word."""

from typing import Any

import msgspec

from client.desired import Forget, Report, Run, Update, Want, actions, blockers
from hanse.rpc.messages import Desired
from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import NetworkResource, Port
from hanse.structs.taskstate import AllocatedPortMapping

JOB = Job(id="web", namespace="default", version=1, task_groups=(TaskGroup(name="g"),))


def alloc(alloc_id: str = "a", **more: Any) -> Allocation:
    values = {"job_version": 1, **more}
    return Allocation(
        id=alloc_id, namespace="default", job_id="web", group="g", index=0, node_id="n",
        eval_id="e", **values,
    )  # fmt: skip


def decide(
    *allocations: Allocation, ours: str = "", known: bool = True, **more: Any
) -> list[object]:
    desired = Desired(revision=1, allocations=allocations, **more)
    return list(actions(desired, set(ours), lambda _: JOB if known else None))


def test_new_ones_run_and_known_ones_are_updated_and_what_ends_comes_first() -> None:
    new, stop = alloc("a"), alloc("b", desired_status="stop")
    assert decide(new, stop, ours="b") == [Update(stop, JOB), Run(new, JOB)]


def test_a_job_may_come_along_or_must_be_asked_for() -> None:
    new = alloc()
    assert decide(new, known=False, jobs=(JOB,)) == [Run(new, JOB)]
    assert decide(new, alloc("b"), known=False) == [Want((("default", "web", 1),))]


def test_a_stop_needs_no_job() -> None:
    stop = alloc(desired_status="stop")
    assert decide(stop, ours="a", known=False) == [Update(stop, None)]


def test_what_we_never_had_and_need_not_run_is_reported_complete_once() -> None:
    (report,) = decide(alloc(desired_status="stop"))
    assert isinstance(report, Report)
    assert report.status.client_status == "complete"
    done = AllocStatus(alloc_id="a", client_status="complete")
    assert decide(alloc(desired_status="stop", client=done)) == []


def test_what_has_ended_is_not_run_again() -> None:
    failed = AllocStatus(alloc_id="a", client_status="failed")
    assert decide(alloc(client=failed)) == []


def test_a_complete_list_dooms_the_rest() -> None:
    kept = alloc("a")
    assert decide(kept, ours="abc", complete=True, gone=("c", "x")) == [
        Forget("b"),
        Forget("c"),
        Update(kept, JOB),
    ]
    assert decide(kept, ours="abc", gone=("c",)) == [Forget("c"), Update(kept, JOB)]


def group(port: int, **more: Any) -> TaskGroup:
    network = NetworkResource(reserved_ports=(Port(label="p", value=port, **more),))
    return TaskGroup(name="g", networks=(network,))


def test_one_waits_for_its_predecessor_and_for_static_ports_of_what_is_to_stop() -> None:
    stopping = {"desired_status": "stop"}
    leaving = {
        "leaving": (alloc("leaving", **stopping), group(80)),
        "other": (alloc("other", **stopping), group(81)),
        "shares": (alloc("shares", **stopping), group(80, ignore_collision=True)),
        "dynamic": (
            alloc("dynamic", ports=(AllocatedPortMapping(label="p", value=20000),), **stopping),
            TaskGroup(),
        ),
    }
    living = {"before", "staying", *leaving}
    mine = alloc("me", previous_id="before")
    assert blockers(mine, group(80), living, leaving) == {"before", "leaving"}
    again = alloc("me", ports=(AllocatedPortMapping(label="q", value=20000),))
    assert blockers(again, TaskGroup(), living, leaving) == {"dynamic"}
    assert (
        blockers(alloc("me", previous_id="elsewhere"), TaskGroup(), living, leaving) == frozenset()
    )


def test_an_allocation_never_waits_for_itself() -> None:
    me = msgspec.structs.replace(alloc("me"), desired_status="stop")
    assert blockers(me, group(80), {"me"}, {"me": (me, group(80))}) == frozenset()
