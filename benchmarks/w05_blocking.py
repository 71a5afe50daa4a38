"""W5: thousands of blocking queries on one job, one write: when does the last one wake?"""

from __future__ import annotations

import asyncio
import resource
import time

import aiohttp

from benchmarks.cluster import batch_job, cluster, submit
from benchmarks.report import Row
from tests.e2e.harness import Agent

NAME = "W5"


def run(*, quick: bool = False) -> list[Row]:
    """1,000 and 10,000 waiters; a write of another job must wake none of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    del soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[Row] = []
    for waiters, goal in (
        ((200, ""),) if quick else ((1000, "<= 40 ms"), (9000, "<= 400 ms (10,000)"))
    ):
        with cluster(100) as agent:
            last = asyncio.run(_measure(agent, waiters))
        what = f"{waiters} waiters on one job, last woken after a write"
        rows.append(Row(NAME, what, f"{last * 1000:.1f} ms after the PUT's answer", goal))
    return rows


async def _measure(agent: Agent, waiters: int) -> float:
    woken: list[float] = []
    async with aiohttp.ClientSession() as session:
        await submit(session, agent, batch_job("watched"))
        await asyncio.sleep(0.5)
        async with session.get(f"{agent.address}/v1/job/watched?stale") as answer:
            index = answer.headers["X-Nomad-Index"]
        ready = asyncio.Semaphore(0)
        path = f"/v1/job/watched?stale&index={index}&wait=120s"
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

        async def waiter() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", agent.ports["http"])
            writer.write(request)
            await writer.drain()
            ready.release()
            head = await reader.readuntil(b"\r\n\r\n")
            woken.append(time.perf_counter())
            assert head.startswith(b"HTTP/1.1 200"), head
            writer.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(waiters):
                group.create_task(waiter())
            for _ in range(waiters):
                await ready.acquire()
            await asyncio.sleep(2)
            await submit(session, agent, batch_job("another"))
            await asyncio.sleep(0.5)
            assert not woken, f"{len(woken)} were woken by another job's write"
            await submit(session, agent, batch_job("watched", 2))
            answered = time.perf_counter()
    assert len(woken) == waiters
    return max(woken) - answered
