"""Servers that form over real connections and disks, without etcd: killed and started midway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from hanse.clock import SystemClock
from hanse.errors import Invalid
from region.quorum.model import Card, Decided
from region.quorum.neighbours import Retry
from region.quorum.quorum import Quorum
from region.sessions import RpcServer
from tests.quorum_harness import free_ports_on

CLOCK = SystemClock()


@dataclass
class Server:
    """One server as far as forming goes; its folder outlives its runs."""

    name: str
    folder: Path
    rpc: str
    addresses: Sequence[str] = ()
    quorum: Quorum | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, expect: int = 3, rounds_max: int = 0) -> None:
        card = Card(
            id="", name=self.name, region="us", rpc=self.rpc, peer=f"{self.name}:2",
            client="127.0.0.1:1", expect=expect,
        )  # fmt: skip
        retry = Retry(interval_s=0.1, rounds_max=rounds_max)
        self.quorum = Quorum(card, self.folder, CLOCK, addresses=self.addresses, retry=retry)
        rpc = RpcServer(self.quorum.handlers(), CLOCK, self.rpc)
        self.tasks = [
            asyncio.create_task(rpc.run()),
            asyncio.create_task(self.quorum.neighbours.run()),
        ]

    async def stop(self) -> None:
        """As a crash leaves it: nothing is said or written any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    @property
    def decided(self) -> Decided | None:
        assert self.quorum is not None
        phase = self.quorum.neighbours.machine.phase
        return phase if isinstance(phase, Decided) else None


def servers(folder: Path, count: int) -> list[Server]:
    ports = free_ports_on("127.0.0.1", count)
    made = [Server(f"s{n}", folder / f"s{n}", f"127.0.0.1:{port}") for n, port in enumerate(ports)]
    for server in made:
        server.addresses = [other.rpc for other in made]
    return made


async def formed(group: Sequence[Server]) -> set[str]:
    """The clusters of all these servers, once each has one."""
    async with asyncio.timeout(40):
        while not all(server.decided for server in group):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return {server.decided.cluster for server in group if server.decided}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_servers_that_die_while_they_form_agree_in_the_end(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    group = servers(tmp_path, 3)
    for server in group:
        server.start()
    try:
        for _ in range(4):
            await asyncio.sleep(rng.random() * 0.7)
            victim = rng.choice(group)
            await victim.stop()
            await asyncio.sleep(rng.random() * 0.3)
            victim.start()
        assert len(await formed(group)) == 1
        members = {server.decided.members for server in group if server.decided}
        assert len(members) == 1
        assert [card.name for card in members.pop()] == ["s0", "s1", "s2"]
    finally:
        for server in group:
            await server.stop()


async def test_one_address_is_enough_to_find_all_others(tmp_path: Path) -> None:
    group = servers(tmp_path, 3)
    for server in group:
        server.addresses = [group[1].rpc]
        server.start()
    try:
        assert len(await formed(group)) == 1
    finally:
        for server in group:
            await server.stop()


async def test_two_of_three_begin_nothing(tmp_path: Path) -> None:
    group = servers(tmp_path, 3)
    group[0].start()
    group[2].start()
    try:
        await asyncio.sleep(2.0)
        assert not group[0].decided
        assert not group[2].decided
        group[1].start()
        assert len(await formed(group)) == 1
    finally:
        for server in group:
            await server.stop()


async def test_a_server_that_meets_nobody_gives_up_when_it_is_told_to(tmp_path: Path) -> None:
    (lonely, away) = servers(tmp_path, 2)
    lonely.start(rounds_max=3)
    try:
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.timeout(20):
                await lonely.tasks[1]
        (error,) = raised.value.exceptions
        assert isinstance(error, Invalid)
        assert f"no server answers at {away.rpc} after 3 attempts" in str(error)
    finally:
        await lonely.stop()
