"""W3: PUT of a job until its evaluation is complete, on an idle region of N simulated nodes."""

from __future__ import annotations

import asyncio
import statistics
import time

import aiohttp

from benchmarks.cluster import batch_job, check_allocations, cluster, completed, submit
from benchmarks.report import Row, spread
from tests.e2e.harness import Agent

NAME = "W3"
JOBS = 200


def run(*, quick: bool = False) -> list[Row]:
    """One job at a time; and the dry run of one."""
    rows: list[Row] = []
    medians: dict[int, float] = {}
    for nodes in (100,) if quick else (100, 1000, 10_000):
        with cluster(nodes) as agent:
            placed, planned = asyncio.run(_measure(agent, 50 if quick else JOBS))
            check_allocations(agent, len(placed))
        medians[nodes] = statistics.median(placed)
        rows.append(Row(NAME, f"PUT to complete, {nodes} nodes", spread(placed), "p50 <= 5 ms"))
        rows.append(Row(NAME, f"job plan, {nodes} nodes", spread(planned), "p50 <= 2 ms"))
    if len(medians) > 1:
        ratio = medians[max(medians)] / medians[min(medians)]
        what = f"p50 at {max(medians)} nodes over p50 at {min(medians)}"
        rows.append(Row(NAME, what, f"{ratio:.2f}", "<= 2 (at 100,000 nodes)"))
    return rows


async def _measure(agent: Agent, jobs: int) -> tuple[list[float], list[float]]:
    placed: list[float] = []
    planned: list[float] = []
    async with aiohttp.ClientSession() as session:
        for number in range(jobs):
            job = batch_job(f"one-{number}")
            began = time.perf_counter()
            eval_id, index = await submit(session, agent, job)
            evaluation = await completed(session, agent, eval_id, index)
            placed.append(time.perf_counter() - began)
            assert evaluation["Status"] == "complete"
        for number in range(jobs):
            job = batch_job(f"dry-{number}")
            began = time.perf_counter()
            url = f"{agent.address}/v1/job/{job['ID']}/plan"
            async with session.put(url, json={"Job": job, "Diff": False}) as answer:
                plan = await answer.json(content_type=None)
            planned.append(time.perf_counter() - began)
            assert plan["Annotations"]["DesiredTGUpdates"]["g"]["Place"] == 1, plan
    return placed, planned
