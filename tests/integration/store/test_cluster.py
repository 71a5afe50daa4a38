"""Three members: what the loss of one, and of two, looks like through the client."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest

from hanse.clock import SystemClock
from hanse.errors import NoLeader, Unavailable
from hanse.store import KeyValue, Put, Txn
from region.store.binary import Binary
from region.store.client import EtcdStore, opened
from region.store.maintain import maintenance
from region.store.member import MemberConfig, Peer, Supervisor
from region.store.members import Options

CLOCK = SystemClock()
NAMES = ("lubeck", "bergen", "riga")


@asynccontextmanager
async def cluster(
    binary: Binary, folder: Path, new_address: Callable[[], str]
) -> AsyncIterator[list[Supervisor]]:
    peers = tuple(Peer(name, new_address()) for name in NAMES)
    members = [
        Supervisor(
            binary,
            MemberConfig(
                name=peer.name, region="global", data_dir=folder / peer.name,
                client_address=new_address(), peer_address=peer.address, peers=peers, dev=True,
            ),
            CLOCK,
        )
        for peer in peers
    ]  # fmt: skip
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(member.run()) for member in members]
        try:
            await asyncio.gather(*(member.ready(timeout_s=40) for member in members))
            yield members
        finally:
            for member in members:
                if member.pid is not None:
                    os.kill(member.pid, signal.SIGCONT)
            for task in tasks:
                task.cancel()


async def leader_of(members: list[Supervisor]) -> Supervisor:
    for member in members:
        async with maintenance(member.endpoint, clock=CLOCK) as operate:
            if (await operate.status()).leads:
                return member
    raise AssertionError("nobody leads")


async def test_losing_one_of_three_costs_a_pause_and_two_the_quorum(
    binary: Binary, tmp_path: Path, new_address: Callable[[], str]
) -> None:
    async with AsyncExitStack() as stack:
        members = await stack.enter_async_context(cluster(binary, tmp_path, new_address))
        async with maintenance(members[0].endpoint, clock=CLOCK) as operate:
            assert {member.name for member in await operate.list_members()} == set(NAMES)
        leader = await leader_of(members)
        others = [member for member in members if member is not leader]
        # The client prefers the one that will go.
        endpoints = [leader.endpoint, *(member.endpoint for member in others)]
        options = Options(call_deadline_s=1.0, patience_s=2.0)
        store = await stack.enter_async_context(opened(endpoints, clock=CLOCK, options=options))
        async with asyncio.timeout(90):
            await one_lost(store, leader)
            await two_lost(store, leader, others)


async def one_lost(store: EtcdStore, leader: Supervisor) -> None:
    """Freeze the leader: a watch and writes go on with the other two."""
    start = await store.revision()
    async with aclosing(store.watch("/w/", start)) as watch:
        assert leader.pid is not None
        os.kill(leader.pid, signal.SIGSTOP)
        written = await write_until_done(store, "/w/1")
        async for news in watch:
            if events := getattr(news, "events", ()):
                assert isinstance(events[0], KeyValue)
                assert events[0].mod_revision == written
                break
    assert await store.revision() >= written


async def two_lost(store: EtcdStore, leader: Supervisor, others: list[Supervisor]) -> None:
    """Freeze one more: writes are refused; when it is back, all is as before."""
    second = others[0]
    assert second.pid is not None
    os.kill(second.pid, signal.SIGSTOP)
    outage = (NoLeader, Unavailable)
    while True:
        try:
            await store.commit(Txn((), (Put("/w/2", b""),)))
        except NoLeader:
            break
        except Unavailable:
            continue
    began = CLOCK.now()
    with pytest.raises(outage):
        await store.get("/w/1")
    # Patience is counted over all calls: in an outage each fails after one round.
    assert CLOCK.now() - began < 4.5
    os.kill(second.pid, signal.SIGCONT)
    await write_until_done(store, "/w/3")


async def write_until_done(store: EtcdStore, key: str) -> int:
    while True:
        try:
            result = await store.commit(Txn((), (Put(key, b""),)))
        except (NoLeader, Unavailable):
            found = None
            try:
                found = await store.get(key)
            except (NoLeader, Unavailable):
                continue
            if found is not None:
                return found.mod_revision
            continue
        return result.revision
