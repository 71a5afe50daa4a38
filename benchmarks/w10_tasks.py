"""W10: from nothing to a ready node; from a PUT to a task's first instruction."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cluster import cluster, processes
from benchmarks.report import Row, resident_mib, spread
from tests.e2e.harness import Agent, eventually, raw_exec_job

NAME = "W10"


def run(*, quick: bool = False) -> list[Row]:
    """Start-up, idle memory, latency of single tasks, rate of many."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(Path(folder))
        try:
            began = time.perf_counter()
            agent.start()
            rows.append(
                Row(
                    NAME,
                    "agent -dev to node ready",
                    f"{time.perf_counter() - began:.2f} s",
                    "<= 1.5 s",
                )
            )
            time.sleep(5)
            idle = sum(map(resident_mib, processes(agent)))
            rows.append(Row(NAME, "agent and etcd, idle", f"{idle:.0f} MiB", "<= 150 MiB"))
        finally:
            agent.close()
    with cluster(client=True) as agent:
        singles = [_one(agent, n) for n in range(10 if quick else 40)]
        rows.append(Row(NAME, "raw_exec PUT to first instruction", spread(singles), "p50 <= 25 ms"))
    for count in (20,) if quick else (50, 500):
        with cluster(client=True) as agent:
            rate = _many(agent, count)
        rows.append(Row(NAME, f"{count} tasks on one client", f"{rate:.0f} tasks/s", ">= 150/s"))
    return rows


def _job(job_id: str, folder: Path, count: int) -> dict[str, Any]:
    script = f"date +%s%N > {folder}/$NOMAD_ALLOC_ID; exec sleep 3000"
    job = raw_exec_job(job_id, script, count=count)
    group = job["TaskGroups"][0]
    group["EphemeralDisk"] = {"SizeMB": 10}
    group["Tasks"][0]["Resources"] = {"CPU": 1, "MemoryMB": 10}
    group["Tasks"][0]["LogConfig"] = {"MaxFiles": 1, "MaxFileSizeMB": 1}
    return job


def _one(agent: Agent, number: int) -> float:
    folder = agent.folder / f"one-{number}"
    folder.mkdir()
    began = time.time_ns()
    agent.run_job(_job(f"one-{number}", folder, 1))
    eventually("the first instruction", lambda: _stamps(folder, 1))
    return (_stamps(folder, 1)[0] - began) / 1e9


def _many(agent: Agent, count: int) -> float:
    folder = agent.folder / "many"
    folder.mkdir()
    began = time.time_ns()
    agent.run_job(_job("many", folder, count))
    eventually("all tasks", lambda: _stamps(folder, count), 300)
    stamps = _stamps(folder, count)
    agent.running("many", count)
    return count / ((max(stamps) - began) / 1e9)


def _stamps(folder: Path, count: int) -> list[int]:
    texts = [path.read_text() for path in folder.iterdir()]
    stamps = [int(text) for text in texts if text.endswith("\n")]
    return stamps if len(stamps) == count else []
