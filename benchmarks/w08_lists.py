"""W8: a list of 100,000 allocations, whole and by pages, while others go on working."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import aiohttp

from benchmarks.cluster import batch_job, cluster, completed, processes, submit
from benchmarks.report import Row, percentile, resident_mib, spread
from tests.e2e.harness import Agent

NAME = "W8"
JOBS, COUNT = 10, 10_000


def run(*, quick: bool = False) -> list[Row]:
    """Fill, list, page; measure a small request's delay meanwhile."""
    count = COUNT // 10 if quick else COUNT
    total = JOBS * count
    with cluster(1000) as agent:
        before = sum(map(resident_mib, processes(agent)))
        asyncio.run(_fill(agent, count))
        after = sum(map(resident_mib, processes(agent)))
        cold, whole, size, pages, delays = asyncio.run(_measure(agent, total))
    return [
        Row(NAME, f"{total} allocations whole", f"{whole:.2f} s, {size / 1e6:.1f} MB", "<= 0.35 s"),
        Row(NAME, "the same, read for the first time", f"{cold:.2f} s", "<= 0.35 s"),
        Row(NAME, "one page of 100", spread(pages), "<= 10 ms"),
        Row(NAME, "others' delay meanwhile", _most(delays), "<= 20 ms"),
        Row(
            "W9",
            f"agent and etcd per {total} allocations",
            f"+{after - before:.0f} MiB",
            "<= 200 MiB",
        ),
    ]


async def _fill(agent: Agent, count: int) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(JOBS):
            eval_id, index = await submit(session, agent, batch_job(f"big-{number}", count))
            evaluation = await completed(session, agent, eval_id, index)
            assert not evaluation.get("FailedTGAllocs"), evaluation
        await asyncio.sleep(5)


async def _measure(agent: Agent, total: int) -> tuple[float, float, int, list[float], list[float]]:
    url = f"{agent.address}/v1/allocations?stale&task_states=false"
    async with aiohttp.ClientSession() as session:
        with _bystander(agent) as delays:
            cold, _ = await _timed(session, url)
            wholes = [await _timed(session, url) for _ in range(3)]
        assert wholes[0][1].count(b'"JobID"') == total
        pages: list[float] = []
        seen, token = 0, ""
        while True:
            began = time.perf_counter()
            async with session.get(f"{url}&per_page=100&next_token={token}") as answer:
                body = await answer.read()
                token = answer.headers.get("X-Nomad-NextToken", "")
            pages.append(time.perf_counter() - began)
            seen += body.count(b'"JobID"')
            if not token:
                break
        assert seen == total, f"the pages hold {seen} of {total}"
    return cold, statistics.median(w[0] for w in wholes), len(wholes[0][1]), pages, delays


@contextmanager
def _bystander(agent: Agent) -> Generator[list[float]]:
    """Somebody who asks small questions meanwhile; the delays are in the list afterwards."""
    delays: list[float] = []
    command = [sys.executable, "-m", "benchmarks.bystander", str(agent.ports["http"])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield delays
    finally:
        out, _ = process.communicate()
        delays += map(float, out.split())


def _most(delays: list[float]) -> str:
    return f"p99 {percentile(delays, 0.99) * 1000:.1f}, max {max(delays) * 1000:.1f} ms"


async def _timed(session: aiohttp.ClientSession, url: str) -> tuple[float, bytes]:
    began = time.perf_counter()
    async with session.get(url, headers={"Accept-Encoding": "identity"}) as answer:
        body = await answer.read()
    assert answer.status == 200
    return time.perf_counter() - began, body
