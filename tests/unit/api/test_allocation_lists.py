"""The list of all allocations: its order, and what of it is made anew."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hanse.clock import SystemClock
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.testing.region import MemoryRegion
from region.api.allocchunks import chunks_of
from region.api.allocorder import AllocOrder
from region.api.allocstubs import StubMaker

MakeAlloc = Callable[..., Allocation]


def allocation(number: int, **changes: Any) -> Allocation:
    fields: dict[str, Any] = {
        "id": f"{number * 7919 % 1009:04x}-{number}",
        "namespace": "default",
        "job_id": "web",
        "job_version": 0,
        "group": "g",
        "index": number,
        "node_id": "n",
        "eval_id": "e",
    }
    return Allocation(**{**fields, **changes})


@given(st.data())
def test_the_order_is_that_of_sorting_whatever_came_and_went(data: st.DataObject) -> None:
    state = MemoryRegion(SystemClock()).state
    state.put(*map(allocation, range(3)))
    order = AllocOrder(state)
    number = 3
    for _ in range(data.draw(st.integers(0, 12))):
        here = list(state.allocations())
        if here and data.draw(st.booleans()):
            state.delete(data.draw(st.sampled_from(here)))
        else:
            count = data.draw(st.integers(1, 4))
            state.put(*map(allocation, range(number, number + count)))
            number += count
    expected = sorted(state.allocations(), key=lambda alloc: (alloc.create_index, alloc.id))
    assert list(order.allocations(state, "*")) == expected
    assert list(order.allocations(state, "*", reverse=True)) == expected[::-1]
    assert list(order.allocations(state, "other")) == []
    if expected:
        start = data.draw(st.sampled_from(expected))
        key = (start.create_index, start.id)
        at = expected.index(start)
        assert list(order.allocations(state, "*", start=key)) == expected[at:]
        back = order.allocations(state, "*", start=key, reverse=True)
        assert list(back) == expected[: at + 1][::-1]


def test_chunks_end_where_a_revision_does() -> None:
    allocs = [allocation(n, create_index=n // 50) for n in range(220)]
    chunks = list(chunks_of(allocs))
    assert [len(chunk) for chunk in chunks] == [100, 100, 20]
    assert [alloc for chunk in chunks for alloc in chunk] == allocs
    assert list(chunks_of([])) == []


def test_what_one_revision_made_is_cut_where_removing_one_moves_no_later_cut() -> None:
    allocs = [allocation(n, create_index=7) for n in range(2000)]
    chunks = list(chunks_of(allocs))
    assert [alloc for chunk in chunks for alloc in chunk] == allocs
    assert max(map(len, chunks)) < 500
    without = list(chunks_of([*allocs[:70], *allocs[71:]]))
    same = {chunk[0].id for chunk in chunks} & {chunk[0].id for chunk in without}
    assert len(same) >= len(chunks) - 2


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """IDs of the allocations that were encoded."""
    made: list[str] = []
    encode = StubMaker.encode

    def noted(self: StubMaker, alloc: Allocation) -> bytes:
        made.append(alloc.id)
        return encode(self, alloc)

    monkeypatch.setattr(StubMaker, "encode", noted)
    return made


async def read(client: TestClient) -> list[dict[str, Any]]:
    response = await client.get("/v1/allocations")
    found: list[dict[str, Any]] = json.loads(await response.text())
    return found


async def test_only_the_chunk_of_a_changed_allocation_is_made_anew(
    region: MemoryRegion,
    client: TestClient,
    job: Callable[..., Job],
    alloc: MakeAlloc,
    node: Node,
    made: list[str],
) -> None:
    region.state.put(job(), node)
    for start in range(0, 500, 100):
        region.state.put(*map(alloc, range(start, start + 100)))
    first = await read(client)
    assert len(made) == 500
    made.clear()
    region.state.put(alloc(250, desired_status="stop"))
    second = await read(client)
    assert len(made) == 100
    changed = [a["ID"] for a, b in zip(first, second, strict=True) if a != b]
    assert changed == [alloc(250).id]
    made.clear()
    region.state.put(alloc(900))
    region.state.delete(alloc(120))
    third = await read(client)
    assert len(made) == 99 + 1
    assert [int(item["ID"][:8], 16) for item in third] == [
        *range(120),
        *range(121, 500),
        900,
    ]


async def test_a_node_with_another_name_is_shown_with_it(
    region: MemoryRegion, client: TestClient, alloc: MakeAlloc, node: Node, made: list[str]
) -> None:
    region.state.put(alloc())
    assert (await read(client))[0]["NodeName"] == ""
    region.state.put(node)
    assert (await read(client))[0]["NodeName"] == "node-1"
    region.state.put(replace(node, name="other"))
    assert (await read(client))[0]["NodeName"] == "other"
    made.clear()
    region.state.put(replace(node, name="other", status="down"))
    assert (await read(client))[0]["NodeName"] == "other"
    assert made == []
