"""The API over the real region."""

import asyncio
from typing import Any

import nomad
from aiohttp import ClientSession

JOB: dict[str, Any] = {
    "ID": "web",
    "Name": "web",
    "Type": "service",
    "Datacenters": ["*"],
    "TaskGroups": [
        {
            "Name": "g",
            "Count": 2,
            "Tasks": [
                {"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sleep"}},
            ],
        }
    ],
}


async def test_a_job_is_registered_blocked_on_and_stopped(url: str) -> None:
    async with ClientSession(url) as client:
        made = await client.put("/v1/jobs", json={"Job": JOB})
        answer = await made.json()
        assert made.status == 200, answer
        read = await client.get("/v1/job/web")
        assert (await read.json())["Status"] in ("pending", "running")
        index = int(read.headers["X-Nomad-Index"])
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(client.get(f"/v1/job/web?index={index}&wait=30s"))
            await asyncio.sleep(0)
            stopped = await client.delete("/v1/job/web")
            assert stopped.status == 200
            changed = await waiting
        assert (await changed.json())["Stop"] is True
        evaluation = await client.get(f"/v1/evaluation/{answer['EvalID']}")
        assert (await evaluation.json())["JobID"] == "web"
        listed = await (await client.get("/v1/jobs")).json()
        assert [(item["ID"], item["Stop"]) for item in listed] == [("web", True)]


async def test_python_nomad_finds_what_it_knows(url: str) -> None:
    await asyncio.to_thread(_use_python_nomad, url)


def _use_python_nomad(url: str) -> None:
    client = nomad.Nomad(host=url.removeprefix("http://").split(":")[0], port=_port(url))
    planned = client.job.plan_job("web", {"Job": JOB, "Diff": True})
    assert planned["Diff"]["Type"] == "Added"
    assert "g" in planned["FailedTGAllocs"]
    client.job.register_job("web", {"Job": JOB})
    assert [job["ID"] for job in client.jobs.get_jobs()] == ["web"]
    assert client.job.get_job("web")["TaskGroups"][0]["Count"] == 2
    assert client.job.get_summary("web")["JobID"] == "web"
    assert client.job.get_versions("web")["Versions"][0]["Version"] == 0
    assert client.job.get_evaluations("web")[-1]["TriggeredBy"] == "job-register"
    assert client.job.get_allocations("web") == []
    assert client.nodes.get_nodes() == []
    assert client.evaluations.get_evaluations()
    assert client.status.leader.get_leader() is not None
    assert client.agent.get_members()["ServerName"] == "agent-1"
    assert client.regions.get_regions() == ["global"]
    assert client.namespaces.get_namespaces()[0]["Name"] == "default"
    assert client.metrics.get_metrics()["Gauges"] is not None
    assert client.search.search("we", "jobs")["Matches"] == {"jobs": ["web"]}
    assert client.validate.validate_job({"Job": JOB}).status_code == 200
    client.job.deregister_job("web")
    assert client.job.get_job("web")["Stop"] is True
    assert client.system.initiate_garbage_collection()


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
