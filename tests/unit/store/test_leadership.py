"""Campaigning and stepping down, on the store in memory and a clock set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from hanse.errors import NotFound, Unavailable
from hanse.store import CreatedAt, Put, Txn
from hanse.testing.store import MemoryStore
from region.store.leadership import LEADER_KEY, Candidacy, Term, leaders


class HandClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.time = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self.time

    def wall_ns(self) -> int:
        return int(self.time * 1e9)

    async def sleep(self, delay_s: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self.time + delay_s, woken))
        await woken.wait()

    async def pass_by(self, seconds: float) -> None:
        """Let time go by in small steps, so that each sleeper wakes at its time."""
        end = self.time + seconds
        while self.time < end:
            self.time = min(self.time + 0.25, end)
            for at, woken in self._sleepers:
                if at <= self.time:
                    woken.set()
            await settle()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@dataclass
class Server:
    """A candidate that writes down its terms."""

    name: str
    store: MemoryStore
    clock: HandClock
    terms: list[Term] = field(default_factory=list)
    leading: bool = False
    step_down: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.candidacy = Candidacy(
            self.store, self.clock, server=self.name, address="127.0.0.1:1",
            lead=self.lead, ttl_s=4,
        )  # fmt: skip

    async def lead(self, term: Term) -> None:
        self.terms.append(term)
        self.leading = True
        try:
            await self.step_down.wait()
            self.step_down.clear()
        finally:
            self.leading = False


@asynccontextmanager
async def running(*servers: Server) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with asyncio.TaskGroup() as group:
        tasks = []
        for server in servers:
            tasks.append(group.create_task(server.candidacy.run()))
            await settle()
        yield tasks
        for task in tasks:
            task.cancel()


async def write(store: MemoryStore, fence: CreatedAt) -> bool:
    result = await store.commit(Txn((), (Put("/w", b""),), fence=fence))
    assert result.succeeded != result.fenced
    return result.succeeded


async def test_the_first_to_campaign_leads_and_the_others_know_it() -> None:
    store, clock = MemoryStore(), HandClock()
    first, second = Server("lubeck", store, clock), Server("bergen", store, clock)
    async with running(first, second):
        assert (first.leading, second.leading) == (True, False)
        assert second.candidacy.leader == first.terms[0].leader
        assert first.candidacy.term == first.terms[0]
        assert await write(store, first.terms[0].fence)


async def test_a_lease_that_is_kept_holds_for_ever() -> None:
    store, clock = MemoryStore(), HandClock()
    server = Server("lubeck", store, clock)
    async with running(server):
        await clock.pass_by(60)
        assert server.leading
        assert len(server.terms) == 1


async def test_a_leader_that_stops_cleanly_is_followed_at_once() -> None:
    store, clock = MemoryStore(), HandClock()
    first, second = Server("lubeck", store, clock), Server("bergen", store, clock)
    async with running(first, second) as tasks:
        tasks[0].cancel()
        await settle()
        assert second.leading
        assert not await write(store, first.terms[0].fence)
        assert await write(store, second.terms[0].fence)


async def test_a_leader_whose_lease_ended_steps_down_and_its_fence_fails() -> None:
    store, clock = MemoryStore(), HandClock()
    first, second = Server("lubeck", store, clock), Server("bergen", store, clock)
    async with running(first, second):
        store.expire_lease(first.terms[0].leader.lease)
        await settle()
        assert second.leading
        assert not await write(store, first.terms[0].fence)
        await clock.pass_by(2)
        assert (first.leading, second.leading) == (False, True)


async def test_a_leader_cut_off_from_the_store_steps_down_before_its_lease_ends() -> None:
    store, clock = MemoryStore(), HandClock()
    server = Server("lubeck", store, clock)
    async with running(server):
        store.go_down()
        await clock.pass_by(2.0)
        assert server.leading
        await clock.pass_by(1.75)
        assert not server.leading
        assert server.candidacy.term is None
        store.come_back()
        await clock.pass_by(1)
        assert server.leading
        assert server.terms[1].fence != server.terms[0].fence


async def test_a_leader_that_returns_steps_down_and_may_lead_again() -> None:
    store, clock = MemoryStore(), HandClock()
    server = Server("lubeck", store, clock)
    async with running(server):
        server.step_down.set()
        await settle()
        assert len(server.terms) == 2
        assert not await write(store, server.terms[0].fence)


async def test_a_server_takes_over_from_its_former_self_without_waiting() -> None:
    store, clock = MemoryStore(), HandClock()
    dead, reborn = Server("lubeck", store, clock), Server("lubeck", store, clock)
    async with running(dead), running(reborn):
        assert reborn.leading
        assert not await write(store, dead.terms[0].fence)


async def test_a_win_whose_answer_was_lost_is_found_by_looking() -> None:
    store, clock = MemoryStore(), HandClock()
    server = Server("lubeck", store, clock)
    store.fail_next_commit(Unavailable("etcd", 0.5), applied=True)
    async with running(server):
        assert server.leading
        assert await write(store, server.terms[0].fence)


async def test_a_campaign_that_was_lost_without_an_answer_is_run_again() -> None:
    store, clock = MemoryStore(), HandClock()
    server = Server("lubeck", store, clock)
    store.fail_next_commit(Unavailable("etcd", 0.5), applied=False)
    async with running(server):
        assert server.leading
        # The first lease is ended, so that the lost transaction can no more arrive.
        assert server.terms[0].leader.lease == 2
        with pytest.raises(NotFound):
            await store.keep_lease(1)


async def test_an_observer_sees_each_change_of_leader() -> None:
    store, clock = MemoryStore(), HandClock()
    server = Server("lubeck", store, clock)
    async with aclosing(leaders(store)) as seen, running(server):
        first = await anext(seen)
        assert first == server.terms[0].leader
        await store.revoke(first.lease)
        assert await anext(seen) is None
        assert (await store.get(LEADER_KEY)) is None
