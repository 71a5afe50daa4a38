"""What a test may bring about in the store in memory."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from hanse.errors import NoLeader, OutOfSpace, Unavailable
from hanse.store import Batch, Put, Txn
from hanse.testing.store import MemoryStore

PUT = Txn((), (Put("/a", b""),))


async def test_a_commit_can_fail_without_or_after_being_carried_out() -> None:
    store = MemoryStore()
    store.fail_next_commit()
    with pytest.raises(Unavailable):
        await store.commit(PUT)
    assert await store.get("/a") is None
    store.fail_next_commit(applied=True)
    with pytest.raises(Unavailable):
        await store.commit(PUT)
    assert await store.get("/a") is not None
    store.fail_next_commit(OutOfSpace("the test says so"))
    with pytest.raises(OutOfSpace):
        await store.commit(PUT)
    assert store.committed == [PUT]


async def test_a_store_that_is_down_answers_nothing_and_its_watches_wait() -> None:
    store = MemoryStore()
    await store.commit(PUT)
    store.go_down("no-leader")
    for call in (store.commit(PUT), store.get("/a"), store.list("/"), store.revision()):
        with pytest.raises(NoLeader):
            await call
    async with aclosing(store.watch("/", 1)) as watch, asyncio.TaskGroup() as group:
        first = group.create_task(anext(watch))
        await asyncio.sleep(0)
        assert not first.done()
        store.come_back()
    assert isinstance(first.result(), Batch)
