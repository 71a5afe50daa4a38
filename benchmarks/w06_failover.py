"""W6: the leader of three servers dies, is paused, or is cut off, under 20 writes a second.

Measured is the time from that moment to the end of the first write that began after it and was
acknowledged; errors that clients saw; acknowledged writes that are gone. The leader of etcd is
on the same server, so both fail over. Beside it: etcd's own fail-over in the same run, three
members and the store's client alone.

Trials: HANSE_BENCH_TRIALS, 30 by default, 3 with --quick.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.report import Row, percentile
from hanse.clock import SystemClock
from hanse.config.paths import cache_dir
from hanse.errors import HanseError
from hanse.log import LogSettings, set_up
from hanse.store import Put, Txn
from region.store.binary import find
from region.store.client import opened
from region.store.maintain import maintenance
from region.store.member import MemberConfig, Peer, Supervisor
from tests.e2e.harness import eventually
from tests.netns import Network, region_in
from tests.quorum_harness import Load, Region, Server, free_ports_on, lost

NAME = "W6"
CLOCK = SystemClock()
GOAL = "p50 <= 1 s, p99 <= 2 s, 0 errors, 0 lost"
_WARM_S = 1.0
_AFTER_S = 0.5


def run(*, quick: bool = False) -> list[Row]:
    """Kill and pause, and etcd alone."""
    set_up(LogSettings(level="ERROR", json=False, stream=sys.stderr))
    trials = int(os.environ.get("HANSE_BENCH_TRIALS", "3" if quick else "30"))
    rows: list[Row] = []
    with _region() as region:
        for what, fault in (("kill -9", _kill), ("SIGSTOP", _pause)):
            rows.append(_measured(region, what, fault, trials))
    if os.geteuid() == 0:
        with _network() as (network, region):
            rows.append(_measured(region, "partition", partial(_cut, network), trials))
    else:
        rows.append(Row(NAME, "partition of the leader", "not measured: needs root", GOAL))
    alone = asyncio.run(_etcd_alone(min(trials, 10)))
    rows.append(Row(NAME, "the same, etcd and the store's client alone", _spread(alone)))
    return rows


def _measured(
    region: Region, what: str, fault: Callable[[Region, str], tuple[float, Load]], trials: int
) -> Row:
    gaps: list[float] = []
    errors = gone = writes = 0
    for trial in range(trials):
        gap_s, load = fault(region, f"{what[0]}{trial}")
        gaps.append(gap_s)
        writes += len(load.writes)
        errors += len(load.failed())
        gone += len(lost(load, region.settled()))
    assert errors == 0, f"{what}: {errors} errors of {writes} writes"
    assert gone == 0, f"{what}: {gone} acknowledged writes are lost"
    measured = f"{_spread(gaps)}; {errors} errors, {gone} lost of {writes}"
    return Row(NAME, f"{what} of the leader to the next write", measured, GOAL)


def _spread(gaps: list[float]) -> str:
    p50, p99 = percentile(gaps, 0.5), percentile(gaps, 0.99)
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s (n={len(gaps)})"


@contextmanager
def _region() -> Iterator[Region]:
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        region = Region(Path(folder))
        try:
            yield region.start()
        finally:
            region.close()


@contextmanager
def _network() -> Iterator[tuple[Network, Region]]:
    network = Network()
    try:
        network.open()
        with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
            region = region_in(network, Path(folder))
            try:
                yield network, region.start()
            finally:
                network.heal()
                region.close()
    finally:
        network.close()


def _steady(region: Region) -> Server:
    """The leader, once all servers are well and etcd's leader is its member."""

    def well() -> Server | None:
        leader = region.settled()
        if leader.get("/v1/operator/autopilot/health").status != 200:
            return None
        stats = leader.get("/v1/agent/self").json()["stats"]["raft"]
        return leader if stats["leads_etcd"] == "True" else None

    return eventually("a steady region", well)


def _kill(region: Region, name: str) -> tuple[float, Load]:
    leader = _steady(region)
    with Load(region.followers(leader), name=name) as load:
        time.sleep(_WARM_S)
        moment = time.monotonic()
        leader.kill()
        gap_s = _recovered(load, moment)
    leader.launch()
    return gap_s, load


def _pause(region: Region, name: str) -> tuple[float, Load]:
    leader = _steady(region)
    with Load(region.followers(leader), name=name) as load:
        time.sleep(_WARM_S)
        moment = time.monotonic()
        frozen = leader.freeze()
        try:
            gap_s = _recovered(load, moment)
        finally:
            leader.thaw(frozen)
    return gap_s, load


def _cut(network: Network, region: Region, name: str) -> tuple[float, Load]:
    leader = _steady(region)
    others = region.followers(leader)
    with Load(others, name=name) as load:
        time.sleep(_WARM_S)
        for other in others:
            network.cut(leader.host, other.host)
        # Counted from when nothing passes any more.
        moment = time.monotonic()
        try:
            gap_s = _recovered(load, moment)
        finally:
            network.heal()
    return gap_s, load


def _recovered(load: Load, moment: float) -> float:
    eventually("a write after the fault", lambda: load.gap_s(moment) < float("inf"))
    time.sleep(_AFTER_S)
    return load.gap_s(moment)


async def _etcd_alone(trials: int) -> list[float]:
    binary = await find(None, dev=False, private=cache_dir() / "etcd" / "bin")
    gaps: list[float] = []
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        peers = [Peer(f"e{n}", f"127.0.0.1:{free_ports_on('127.0.0.1', 1)[0]}") for n in range(3)]
        members = [
            Supervisor(
                binary,
                MemberConfig(
                    name=peer.name, region="bench", data_dir=Path(folder) / peer.name,
                    client_address=f"127.0.0.1:{free_ports_on('127.0.0.1', 1)[0]}",
                    peer_address=peer.address, peers=tuple(peers),
                ),
                CLOCK,
            )
            for peer in peers
        ]  # fmt: skip
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(member.run()) for member in members]
            try:
                gaps += [await _one_death(members) for _ in range(trials)]
            finally:
                for task in tasks:
                    task.cancel()
    return gaps


async def _one_death(members: list[Supervisor]) -> float:
    for member in members:
        await member.ready()
    leader = members[0]
    for member in members:
        async with maintenance(member.endpoint, clock=CLOCK) as operate:
            if (await operate.status()).leads:
                leader = member
    others = [member.endpoint for member in members if member is not leader]
    async with opened(others, clock=CLOCK) as store:
        await store.commit(Txn((), (Put("/bench/before", b""),)))
        assert leader.pid is not None
        began = time.monotonic()
        os.kill(leader.pid, signal.SIGKILL)
        while True:
            try:
                await store.commit(Txn((), (Put("/bench/after", b""),)))
            except HanseError:
                continue
            return time.monotonic() - began
