"""kill -9 of the agent: tasks run on, are taken over, and no line of their logs is lost."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from tests.e2e.harness import Agent, eventually, raw_exec_job

COUNTER = "i=0; while true; do i=$((i+1)); echo line-$i; sleep 0.05; done"


def docker_job(count: int) -> dict[str, Any]:
    job = raw_exec_job("boxes", "", count=count)
    task = job["TaskGroups"][0]["Tasks"][0]
    task["Driver"] = "docker"
    task["Config"] = {
        "image": "localhost/hanse-busybox:1",
        "command": "/bin/sh",
        "args": ["-c", COUNTER],
    }
    return job


def logs(agent: Agent, alloc_id: str) -> list[int]:
    text = agent.get(f"/v1/client/fs/logs/{alloc_id}?task=t&type=stdout&plain=true").text
    return [int(n) for n in re.findall(r"^line-(\d+)$", text, re.MULTILINE)]


def starts(agent: Agent) -> dict[str, tuple[str, int]]:
    """When each task began, and how often it was restarted."""
    return {
        alloc["ID"]: (
            alloc["TaskStates"]["t"]["StartedAt"],
            alloc["TaskStates"]["t"]["Restarts"],
        )
        for alloc in agent.get("/v1/allocations").json()
    }


def shells() -> set[int]:
    """Processes that run our counter, on the host or in a container."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as cmdline:
                if b"echo line-$i" not in cmdline.read():
                    continue
            with open(f"/proc/{name}/stat") as stat:
                found[int(name)] = int(stat.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    # Its child, about to become `sleep`, still looks like it for an instant.
    return {pid for pid, parent in found.items() if parent not in found}


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_twenty_tasks_survive_kill_9_with_their_logs(own_agent: Agent, docker_engine: str) -> None:
    agent = own_agent.start()
    before_any = shells()
    agent.run_job(raw_exec_job("shells", COUNTER, count=10))
    agent.run_job(docker_job(10))
    allocs = [*agent.running("shells", 10), *agent.running("boxes", 10)]
    ids = [alloc["ID"] for alloc in allocs]
    eventually("output of all", lambda: all(len(logs(agent, i)) > 5 for i in ids))
    pids = shells() - before_any
    started = starts(agent)

    agent.kill()
    assert shells() - before_any == pids
    agent.start()

    agent.running("shells", 10)
    agent.running("boxes", 10)
    assert shells() - before_any == pids
    assert starts(agent) == started
    eventually("the node's session", lambda: all(logs(agent, i) for i in ids))
    seen = {i: logs(agent, i)[-1] for i in ids}
    eventually("more output", lambda: all(logs(agent, i)[-1] > seen[i] + 5 for i in ids))
    for alloc_id in ids:
        numbers = logs(agent, alloc_id)
        assert numbers == list(range(1, len(numbers) + 1)), f"{alloc_id} lost or doubled lines"


def test_a_task_that_ended_while_the_agent_was_away_is_reported_once(own_agent: Agent) -> None:
    agent = own_agent.start()
    flag = agent.folder / "go"
    job = raw_exec_job("wait", f"until [ -e {flag} ]; do sleep 0.1; done; echo bye; exit 3")
    job["Type"] = "batch"
    job["TaskGroups"][0]["RestartPolicy"] = {
        "Attempts": 0,
        "Interval": 24 * 3600 * 10**9,
        "Delay": 10**9,
        "Mode": "fail",
    }
    job["TaskGroups"][0]["ReschedulePolicy"] = {"Attempts": 0, "Unlimited": False}
    agent.run_job(job)
    (alloc,) = agent.running("wait", 1)
    agent.kill()
    flag.touch()
    agent.start()

    def ended() -> Any:
        found = agent.get(f"/v1/allocation/{alloc['ID']}").json()
        return found if found["ClientStatus"] == "failed" else None

    events = eventually("the end to be known", ended)["TaskStates"]["t"]["Events"]
    terminated = [e for e in events if e["Type"] == "Terminated"]
    assert [e["Details"]["exit_code"] for e in terminated] == ["3"]
    text = agent.get(f"/v1/client/fs/logs/{alloc['ID']}?task=t&type=stdout&plain=true").text
    assert text == "bye\n"


def test_an_agent_that_keeps_its_data_leaves_its_tasks_running_when_it_stops(
    own_agent: Agent,
) -> None:
    agent = own_agent.start()
    agent.run_job(raw_exec_job("stays", COUNTER))
    (alloc,) = agent.running("stays", 1)
    pids = shells()
    assert agent.stop() == 0
    assert shells() == pids
    agent.start()
    (again,) = agent.running("stays", 1)
    assert again["ID"] == alloc["ID"]
    assert again["TaskStates"]["t"]["Restarts"] == 0
