"""W2: many small jobs on 5,000 simulated nodes, through HTTP."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from benchmarks.cluster import batch_job, check_allocations, cluster, completed, processes, submit
from benchmarks.report import Row, cpu_seconds, percentile
from tests.e2e.harness import Agent

NAME = "W2"
NODES = 5000
SUBMITTERS = 20


def run(*, quick: bool = False) -> list[Row]:
    """Closed loop with 1,000 and 10,000 jobs, then an open loop at rising rates."""
    rows: list[Row] = []
    for count in (200,) if quick else (1000, 10_000):
        with cluster(NODES) as agent:
            began_cpu, began = cpu_seconds(processes(agent)), time.perf_counter()
            asyncio.run(_closed(agent, count))
            took = time.perf_counter() - began
            cpu = cpu_seconds(processes(agent)) - began_cpu
            check_allocations(agent, count)
        measured = f"{count / took:.0f} jobs/s, {cpu / count * 1000:.2f} ms CPU each"
        rows.append(Row(NAME, f"{count} jobs x 1 on {NODES} nodes", measured, "780 jobs/s"))
    with cluster(NODES) as agent:
        rate = asyncio.run(_open(agent, quick=quick))
    what = "open loop: highest rate with p99 placement < 1 s"
    rows.append(Row(NAME, what, f"{rate} jobs/s", "780 jobs/s; stretch 2,000"))
    return rows


async def _closed(agent: Agent, count: int) -> None:
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def submitter() -> None:
            for number in numbers:
                eval_id, index = await submit(session, agent, batch_job(f"small-{number}"))
                evaluation = await completed(session, agent, eval_id, index)
                assert evaluation["Status"] == "complete", evaluation

        await asyncio.gather(*(submitter() for _ in range(SUBMITTERS)))


async def _open(agent: Agent, *, quick: bool) -> int:
    best, number = 0, 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(n: int) -> float:
            began = time.perf_counter()
            eval_id, index = await submit(session, agent, batch_job(f"open-{n}"))
            await completed(session, agent, eval_id, index)
            return time.perf_counter() - began

        for rate in (50, 100) if quick else (100, 200, 300, 400, 500, 600, 700, 800, 1000):
            tasks: list[asyncio.Task[float]] = []
            began = time.perf_counter()
            for i in range(rate * 5):
                await asyncio.sleep(max(0.0, began + i / rate - time.perf_counter()))
                tasks.append(asyncio.ensure_future(one(number)))
                number += 1
            times = await asyncio.gather(*tasks)
            if percentile(times, 0.99) >= 1.0:
                break
            best = rate
    return best
