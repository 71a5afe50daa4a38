"""What etcd allows through the store's own client, on a member of its own: the floor of writes."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from benchmarks.report import Row
from hanse.clock import SystemClock
from hanse.config.paths import cache_dir
from hanse.store import Put, Txn
from region.store.binary import find
from region.store.client import opened
from region.store.member import MemberConfig, Supervisor
from tests.e2e.harness import free_ports

WRITERS, PUTS, PACKED = 512, 20_000, 200
RECORD, RECORDS_PER_VALUE = 200, 100


def constants() -> list[Row]:
    """Small puts, and records packed a hundred to a value, each durable before it counts."""
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    clock = SystemClock()
    client, peer = free_ports(2)
    binary = await find(None, dev=True, private=cache_dir() / "etcd" / "bin")
    with tempfile.TemporaryDirectory() as folder:
        config = MemberConfig(
            name="bench",
            region="bench",
            data_dir=Path(folder),
            client_address=f"127.0.0.1:{client}",
            peer_address=f"127.0.0.1:{peer}",
        )
        member = Supervisor(binary, config, clock)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(member.run())
            await member.ready()
            async with opened([member.endpoint], clock=clock) as store:

                async def put(key: str, value: bytes) -> None:
                    result = await store.commit(Txn((), (Put(key, value),)))
                    assert result.succeeded, key

                small = await _rate(put, PUTS, os.urandom(RECORD))
                packed = await _rate(put, PACKED, os.urandom(RECORD * RECORDS_PER_VALUE))
            running.cancel()
    per_value = RECORDS_PER_VALUE
    return [
        Row("", f"etcd, puts of {RECORD} B, {WRITERS} writers", f"{small:.0f}/s"),
        Row("", f"etcd, records packed {per_value} to a value", f"{packed * per_value:.0f}/s"),
    ]


async def _rate(put: object, count: int, value: bytes) -> float:
    assert callable(put)
    numbers = iter(range(count))

    async def writer() -> None:
        for number in numbers:
            await put(f"/floor/{number}", value)

    began = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return count / (time.perf_counter() - began)
