"""The event stream: what is an event, who gets it, and what is remembered."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from hanse.errors import Invalid
from hanse.structs.allocation import Allocation
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.node import DrainStrategy, Node
from hanse.structs.taskstate import DesiredTransition
from hanse.testing.region import MemoryRegion
from region.api import events
from region.api.events import EventBuffer, Lagged, wanted

MakeJob = Callable[..., Job]
MakeAlloc = Callable[..., Allocation]


def types(buffer: EventBuffer, number: int = 0) -> list[str]:
    found = [event for revision in buffer.after(number) for event in revision.events]
    return [json.loads(event.encoding)["Type"] for event in found]


def test_each_change_is_the_event_that_nomad_calls_it(
    region: MemoryRegion, job: MakeJob, alloc: MakeAlloc, node: Node
) -> None:
    buffer = EventBuffer(region.state)
    state = region.state
    state.put(job())
    state.put(job(stop=True))
    state.delete(job())
    state.put(node)
    state.put(replace(node, scheduling_eligibility="ineligible"))
    state.put(replace(node, drain_strategy=DrainStrategy()))
    state.put(replace(node, drain_strategy=DrainStrategy(), status="down"))
    state.delete(node)
    state.put(alloc())
    state.put(alloc(client=None))
    state.put(alloc(transition=DesiredTransition(migrate=True)))
    state.put(alloc(transition=DesiredTransition(migrate=True), alloc_modify_index=9))
    state.put(Evaluation(id="e", namespace="default"))
    state.put(Deployment(id="d", namespace="default", status="running"))
    state.put(Deployment(id="d", namespace="default", status="failed"))
    assert types(buffer) == [
        "JobRegistered",
        "JobDeregistered",
        "JobDeregistered",
        "NodeRegistration",
        "NodeEligibility",
        "NodeDrain",
        "NodeStreamEvent",
        "NodeDeregistration",
        "PlanResult",
        "AllocationUpdated",
        "AllocationUpdateDesiredStatus",
        "PlanResult",
        "EvaluationUpdated",
        "PlanResult",
        "DeploymentStatusUpdate",
    ]


def test_an_allocations_event_holds_the_allocation_but_not_its_job(
    region: MemoryRegion, job: MakeJob, alloc: MakeAlloc
) -> None:
    buffer = EventBuffer(region.state)
    region.state.put(job())
    region.state.put(alloc(deployment_id="d"))
    event = json.loads(buffer.after(1)[0].events[0].encoding)
    assert event["Payload"]["Allocation"]["ID"] == alloc().id
    assert "Job" not in event["Payload"]["Allocation"]
    assert (event["Topic"], event["Key"], event["FilterKeys"]) == (
        "Allocation",
        alloc().id,
        ["web", "d"],
    )


@pytest.mark.parametrize(
    ("topics", "namespace", "expected"),
    [
        ([], "default", {"web", "e", "n"}),
        (["*"], "default", {"web", "e", "n"}),
        (["Job"], "default", {"web"}),
        (["Job:*"], "default", {"web"}),
        (["Job:other"], "default", set()),
        (["Evaluation:web"], "default", {"e"}),
        (["Evaluation:e", "Node"], "default", {"e", "n"}),
        (["*:web"], "default", {"web", "e"}),
        ([], "other", {"n"}),
        (["Job"], "*", {"web"}),
    ],
)
def test_topics_keys_and_namespaces_choose_events(
    region: MemoryRegion, job: MakeJob, topics: list[str], namespace: str, expected: set[str]
) -> None:
    buffer = EventBuffer(region.state)
    region.state.put(
        job(), Evaluation(id="e", namespace="default", job_id="web"), Node(id="n", name="n")
    )
    keep = wanted(topics, namespace)
    assert {e.key for e in buffer.after(0)[0].events if keep(e)} == expected


@pytest.mark.parametrize("topic", ["Colour", "Job:", "", ":x"])
def test_an_unknown_topic_is_refused(topic: str) -> None:
    with pytest.raises(Invalid):
        wanted([topic], "default")


def test_the_buffer_is_bounded_and_a_slow_follower_is_told(
    region: MemoryRegion, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "REVISIONS_MAX", 3)
    buffer = EventBuffer(region.state)
    indexes = [region.state.put(job(priority=number)) for number in range(10, 20)]
    assert [revision.index for revision in buffer.after(7)] == indexes[-3:]
    with pytest.raises(Lagged):
        buffer.after(6)
    assert buffer.start(0) == 7
    assert buffer.start(indexes[8]) == 8
    assert buffer.start(10**9) == 10


def test_what_was_there_when_the_state_was_loaded_is_no_event(
    region: MemoryRegion, job: MakeJob
) -> None:
    loaded: list[bool] = []
    buffer = EventBuffer(region.state, lambda: bool(loaded))
    region.state.put(job("a"))
    loaded.append(True)
    region.state.put(job("b"))
    assert [event.key for event in buffer.after(0)[0].events] == ["b"]


def test_after_a_change_that_is_too_large_everybody_begins_anew(
    region: MemoryRegion, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHANGES_MAX", 3)
    buffer = EventBuffer(region.state)
    region.state.put(job("a"))
    region.state.put(*(job(str(number)) for number in range(4)))
    for number in (0, 1):
        with pytest.raises(Lagged):
            buffer.after(number)
    assert buffer.start(0) == 2
    region.state.put(job("b"))
    assert [event.key for event in buffer.after(2)[0].events] == ["b"]


async def lines(response: ClientResponse, count: int) -> list[Any]:
    return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_a_follower_gets_what_was_before_and_what_comes(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    before = region.state.put(job("a"))
    async with client.get("/v1/event/stream", params={"topic": "Job"}) as response:
        (first,) = await lines(response, 1)
        assert (first["Index"], first["Events"][0]["Key"]) == (before, "a")
        region.state.put(Evaluation(id="e", namespace="default"))
        after = region.state.put(job("b"))
        (second,) = await lines(response, 1)
    assert (second["Index"], second["Events"][0]["Payload"]["Job"]["ID"]) == (after, "b")


async def test_a_follower_goes_on_from_an_index(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    region.state.put(job("a"))
    index = region.state.put(job("b"))
    async with client.get(f"/v1/event/stream?index={index}") as response:
        (first,) = await lines(response, 1)
    assert first["Index"] == index


async def test_wrong_topics_and_indexes_are_refused(client: TestClient) -> None:
    for query in ("topic=Colour", "index=x", "index=-1"):
        response = await client.get(f"/v1/event/stream?{query}")
        assert response.status == 400


async def test_silence_is_filled_with_heartbeats(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region.api.event_stream.HEARTBEAT_S", 0.01)
    async with client.get("/v1/event/stream") as response:
        assert await lines(response, 2) == [{}, {}]


async def test_followers_that_leave_are_forgotten(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    async with client.get("/v1/event/stream") as response:
        assert response.status == 200
    region.state.put(job("a"))
    await asyncio.sleep(0)
    assert (await client.get("/v1/jobs")).status == 200
