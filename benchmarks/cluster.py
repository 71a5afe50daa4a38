"""What is measured: a real dev agent, with as many simulated nodes as a row asks for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.harness import Agent, eventually

LIMITS = 'limits {\n  http_max_conns_per_client = 100000\n}\nlog_level = "WARN"\n'


@contextmanager
def cluster(nodes: int = 0, *, client: bool = False) -> Iterator[Agent]:
    """An agent with `nodes` simulated nodes, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        extra = Path(folder) / "limits.hcl"
        extra.write_text(LIMITS + ("" if client else "client {\n  enabled = false\n}\n"))
        agent = Agent(Path(folder), options=["-config", str(extra)])
        simulator: subprocess.Popen[bytes] | None = None
        try:
            if client:
                agent.start()
            else:
                agent.launch()
                eventually("the API", lambda: agent.get("/v1/status/leader").status == 200)
            if nodes:
                simulator = simulate(agent, nodes)
            yield agent
        finally:
            if simulator is not None:
                simulator.kill()
                simulator.wait()
            if agent.process is not None and agent.process.poll() is None:
                if client:
                    agent.close()
                else:
                    agent.stop()


def simulate(agent: Agent, count: int) -> subprocess.Popen[bytes]:
    """A process that plays `count` nodes; returns when all of them are ready."""
    command = [sys.executable, "-m", "benchmarks.simulate", "--count", str(count)]
    process = subprocess.Popen([*command, "--server", f"127.0.0.1:{agent.ports['rpc']}"])

    def all_ready() -> bool:
        assert process.poll() is None, "the simulator ended"
        nodes = agent.get("/v1/nodes").json()
        return sum(node["Status"] == "ready" for node in nodes) == count

    eventually(f"{count} nodes", all_ready, 600)
    return process


def processes(agent: Agent) -> list[int]:
    """The agent and its etcd."""
    assert agent.process is not None
    found = [agent.process.pid]
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        if int(stat.rsplit(")", 1)[1].split()[1]) == agent.process.pid and "(etcd)" in stat:
            found.append(int(name))
    return found


def batch_job(job_id: str, count: int = 1, *, cpu: int = 1, memory: int = 10) -> dict[str, Any]:
    """A job that simulated nodes run."""
    task = {
        "Name": "t",
        "Driver": "mock",
        "Config": {},
        "Resources": {"CPU": cpu, "MemoryMB": memory},
    }
    group = {
        "Name": "g",
        "Count": count,
        "Tasks": [task],
        "EphemeralDisk": {"SizeMB": 10},
    }
    group["Tasks"][0]["LogConfig"] = {"MaxFiles": 1, "MaxFileSizeMB": 1}  # type: ignore[index]
    return {
        "ID": job_id,
        "Name": job_id,
        "Type": "batch",
        "Datacenters": ["*"],
        "TaskGroups": [group],
    }


async def submit(
    session: aiohttp.ClientSession, agent: Agent, job: dict[str, Any]
) -> tuple[str, int]:
    """Register a job; its evaluation's id and index."""
    async with session.put(f"{agent.address}/v1/jobs", json={"Job": job}) as answer:
        text = await answer.text()
        assert answer.status == 200, f"{answer.status}: {text[:300]}"
        body = await answer.json(content_type=None)
        return body["EvalID"], body["EvalCreateIndex"]


async def completed(session: aiohttp.ClientSession, agent: Agent, eval_id: str, index: int) -> Any:
    """The evaluation once it is done, by blocking queries as a client would."""
    while True:
        url = f"{agent.address}/v1/evaluation/{eval_id}?stale&index={index}&wait=30s"
        async with session.get(url) as answer:
            if answer.status == 404:
                await asyncio.sleep(0.001)
                continue
            evaluation = await answer.json()
            if evaluation["Status"] not in ("pending", "blocked"):
                return evaluation
            index = int(answer.headers["X-Nomad-Index"])


def check_allocations(agent: Agent, expected: int) -> None:
    """Every count met, no index twice, no node over capacity."""
    allocs = agent.get("/v1/allocations?resources=true&task_states=false").json()
    live = [a for a in allocs if a["DesiredStatus"] == "run"]
    assert len(live) == expected, f"{len(live)} allocations, not {expected}"
    assert len({(a["JobID"], a["Name"]) for a in live}) == expected, "an index was used twice"
    capacity = {
        node["ID"]: (
            node["NodeResources"]["Cpu"]["CpuShares"],
            node["NodeResources"]["Memory"]["MemoryMB"],
        )
        for node in agent.get("/v1/nodes?resources=true").json()
    }
    used: dict[str, list[int]] = {}
    for alloc in live:
        sums = used.setdefault(alloc["NodeID"], [0, 0])
        for task in alloc["AllocatedResources"]["Tasks"].values():
            sums[0] += task["Cpu"]["CpuShares"]
            sums[1] += task["Memory"]["MemoryMB"]
    over = [n for n, s in used.items() if s[0] > capacity[n][0] or s[1] > capacity[n][1]]
    assert not over, f"nodes over capacity: {over[:3]}"
