"""Writes over the API."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from hanse.structs.allocation import Allocation
from hanse.structs.deployment import Deployment
from hanse.structs.job import Job
from hanse.structs.node import DrainSpec, Node
from hanse.testing.region import MemoryRegion

MakeJob = Callable[..., Job]
MakeAlloc = Callable[..., Allocation]

TASK = {
    "Name": "t",
    "Driver": "raw_exec",
    "Config": {"command": "/bin/true"},
    "Resources": {"CPU": 100, "MemoryMB": 32},
}


def body(job_id: str = "web", **changes: Any) -> dict[str, Any]:
    job: dict[str, Any] = {
        "ID": job_id,
        "Name": job_id,
        "Type": "service",
        "Datacenters": ["*"],
        "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [TASK]}],
    }
    return {"Job": {**job, **changes}}


async def test_a_job_is_registered_read_stopped_and_purged(
    region: MemoryRegion, client: TestClient
) -> None:
    made = await client.put("/v1/jobs", json=body())
    answer = await made.json()
    assert (made.status, answer["Warnings"]) == (200, "")
    assert made.headers["X-Nomad-Index"] == str(answer["Index"])
    assert answer["EvalID"]
    stopped = await client.delete("/v1/job/web")
    assert (await stopped.json())["EvalID"]
    job = region.state.job("default", "web")
    assert job is not None
    assert job.stop
    await client.delete("/v1/job/web?purge=true&eval_priority=60&no_shutdown_delay=true")
    assert region.state.job("default", "web") is None
    assert region.calls[-1] == ("deregister", (True, 60, True))


async def test_keys_in_any_case_nulls_and_unknown_keys_are_taken(
    region: MemoryRegion, client: TestClient
) -> None:
    sent = {"job": {**body()["Job"], "colour": "red", "Periodic": None}, "EnforceIndex": None}
    response = await client.post("/v1/job/web", json=sent)
    answer = await response.json()
    assert response.status == 200, answer
    assert "colour" in answer["Warnings"]
    assert region.state.job("default", "web") is not None


@pytest.mark.parametrize(
    ("path", "sent", "problem"),
    [
        ("/v1/jobs", b"", "Request body is empty"),
        ("/v1/jobs", b"{", "not valid JSON"),
        ("/v1/jobs", b"\xff\xfe", "not valid JSON"),
        ("/v1/jobs", b"[]", "JobRegister"),
        ("/v1/jobs", b'{"Job":{"ID":5}}', "ID"),
        ("/v1/jobs", b"{}", "Job must be specified"),
        ("/v1/jobs", b'{"Job":{}}', "Job ID hasn't been provided"),
        ("/v1/job/other", b'{"Job":{"ID":"web"}}', "Job ID does not match name"),
        ("/v1/jobs?namespace=*", b'{"Job":{"ID":"web"}}', "namespace"),
        ("/v1/jobs", b"[" * 100_000, "nested"),
        ("/v1/node/x/drain", b'{"DrainSpec":{"Deadline":18446744073709551616}}', "64 bits"),
        ("/v1/job/web/evaluate", b'{"JobID":"x"}', "JobID not same as job name"),
        ("/v1/job/web/evaluate", b"{}", "Job ID must be specified"),
        ("/v1/job/web/revert", b'{"JobID":"x"}', "does not match"),
        ("/v1/job/web/scale", b"{}", "missing task group name"),
        ("/v1/job/web/scale", b'{"Target":{"Group":"g"},"Count":-1}', "negative"),
        ("/v1/job/web/scale", b'{"Target":{"Group":"g"},"Count":1,"Error":true}', "error is true"),
        ("/v1/job/web/versions/v1/tag", b'{"Version":-1}', "negative"),
        ("/v1/namespace", b'{"Name":"other"}', "not supported yet"),
        ("/v1/node/pools", b'{"Name":"all"}', "built-in"),
        ("/v1/node/pools", b'{"Name":"mine"}', "not supported yet"),
        (
            "/v1/operator/scheduler/configuration",
            b'{"SchedulerAlgorithm":"best"}',
            "invalid scheduler algorithm",
        ),
        ("/v1/operator/scheduler/configuration?cas=x", b"{}", "cas"),
    ],
)
async def test_a_wrong_body_is_refused_and_changes_nothing(
    region: MemoryRegion, client: TestClient, job: MakeJob, path: str, sent: bytes, problem: str
) -> None:
    before = region.state.put(job())
    response = await client.put(path, data=sent)
    text = await response.text()
    assert (response.status, region.state.revision) == (400, before), text
    assert problem in text


async def test_a_body_that_is_too_large_or_badly_packed_is_refused(client: TestClient) -> None:
    large = await client.put("/v1/jobs", data=io.BytesIO(b" " * (17 * 1024 * 1024)))
    assert large.status == 413
    packed = await client.put("/v1/jobs", data=b"x", headers={"Content-Encoding": "gzip"})
    assert packed.status == 400


async def test_the_index_can_be_enforced(region: MemoryRegion, client: TestClient) -> None:
    await client.put("/v1/jobs", json=body())
    refused = await client.put("/v1/jobs", json={**body(), "EnforceIndex": True})
    assert refused.status == 500
    assert await refused.text() == "Enforcing job modify index 0: job already exists"
    job = region.state.job("default", "web")
    assert job is not None
    again = {**body(), "EnforceIndex": True, "JobModifyIndex": job.job_modify_index}
    assert (await client.put("/v1/jobs", json=again)).status == 200


async def test_another_region_is_not_reached(region: MemoryRegion, client: TestClient) -> None:
    refused = await client.put("/v1/jobs", json={**body(), "Region": "elsewhere"})
    assert (refused.status, await refused.text()) == (500, "No path to region")
    wrong = await client.put("/v1/jobs", json={**body(TaskGroups=[]), "Region": "elsewhere"})
    assert wrong.status == 400
    assert region.state.jobs() == []


async def test_a_dry_run_and_a_validation_change_nothing(
    region: MemoryRegion, client: TestClient
) -> None:
    plan = await client.put("/v1/job/web/plan", json={**body(), "Diff": True})
    assert (plan.status, region.calls) == (200, [("plan", (True,))])
    good = await (await client.put("/v1/validate/job", json=body())).json()
    assert (good["Error"], good["ValidationErrors"]) == ("", [])
    bad = await client.put("/v1/validate/job", json=body(Type="cron", Priority=900))
    answer = await bad.json()
    assert bad.status == 200
    assert len(answer["ValidationErrors"]) >= 2
    assert answer["Error"].startswith(f"{len(answer['ValidationErrors'])} errors occurred")
    assert region.state.jobs() == []


async def test_a_job_is_evaluated_scaled_reverted_tagged_and_marked(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    region.state.put(job())
    assert (await (await client.put("/v1/job/web/evaluate")).json())["EvalID"]
    scaled = {"Count": 5, "Target": {"Group": "g"}, "Message": "more"}
    assert (await client.put("/v1/job/web/scale", json=scaled)).status == 200
    status = await (await client.get("/v1/job/web/scale")).json()
    assert status["TaskGroups"]["g"]["Desired"] == 5
    assert status["TaskGroups"]["g"]["Events"][0]["Message"] == "more"
    revert = {"JobID": "web", "JobVersion": 0}
    assert (await client.put("/v1/job/web/revert", json=revert)).status == 200
    assert (await client.put("/v1/job/web/revert", json={**revert, "JobVersion": 9})).status == 404
    stable = {"JobID": "web", "JobVersion": 2, "Stable": True}
    assert "Index" in await (await client.put("/v1/job/web/stable", json=stable)).json()
    tag = await client.put("/v1/job/web/versions/v1/tag", json={"Version": 2, "Description": "d"})
    assert (await tag.json())["Name"] == "v1"
    assert (await client.delete("/v1/job/web/versions/v1/tag")).status == 200
    assert (await client.delete("/v1/job/web/versions/v1/tag")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("PUT", "/v1/job/x/evaluate", None),
        ("PUT", "/v1/job/x/scale", {"Count": 1, "Target": {"Group": "g"}}),
        ("PUT", "/v1/job/x/revert", {"JobID": "x"}),
        ("PUT", "/v1/job/x/stable", {"JobID": "x"}),
        ("PUT", "/v1/allocation/x/stop", None),
        ("PUT", "/v1/deployment/fail/x", None),
        ("PUT", "/v1/deployment/pause/x", {"DeploymentID": "x"}),
        ("PUT", "/v1/node/x/drain", {"DrainSpec": None}),
        ("PUT", "/v1/node/x/eligibility", {"Eligibility": "eligible"}),
        ("PUT", "/v1/node/x/purge", None),
        ("PUT", "/v1/agent/force-leave?node=x", None),
        ("DELETE", "/v1/node/pool/x", None),
        ("DELETE", "/v1/namespace/x", None),
        ("DELETE", "/v1/service/a/b", None),
    ],
)
async def test_what_is_not_there_cannot_be_changed(
    client: TestClient, method: str, path: str, sent: dict[str, Any] | None
) -> None:
    response = await client.request(method, path, json=sent)
    assert response.status == 404, await response.text()


async def test_an_allocation_is_stopped(
    region: MemoryRegion, client: TestClient, alloc: MakeAlloc
) -> None:
    region.state.put(alloc())
    stopped = await client.put(f"/v1/allocation/{alloc().id}/stop?no_shutdown_delay=true")
    answer = await stopped.json()
    assert (bool(answer["EvalID"]), answer["Index"] > 1) == (True, True)
    assert region.calls == [("stop", (True, False))]


async def test_a_deployment_is_steered_by_bodies_that_name_it(
    region: MemoryRegion, client: TestClient
) -> None:
    region.state.put(Deployment(id="d", namespace="default", status="running"))
    for path, sent, status in (
        ("pause", {"DeploymentID": "d", "Pause": True}, "paused"),
        ("pause", {"DeploymentID": "d", "Pause": False}, "running"),
        ("promote", {"DeploymentID": "d", "All": True}, "running"),
        ("promote", {"DeploymentID": "d", "Groups": ["g"]}, "running"),
        ("allocation-health", {"DeploymentID": "d", "HealthyAllocationIDs": ["a"]}, "running"),
        ("fail", None, "failed"),
    ):
        response = await client.put(f"/v1/deployment/{path}/d", json=sent)
        found = region.state.deployment("d")
        assert response.status == 200
        assert found is not None
        assert found.status == status
    assert region.calls == [("promote", (None,)), ("promote", (("g",),)), ("health", (("a",), ()))]
    for path, sent in (
        ("pause", {"DeploymentID": "x"}),
        ("pause", {}),
        ("promote", {"DeploymentID": "d"}),
        ("promote", {"DeploymentID": "d", "All": True, "Groups": ["g"]}),
        ("allocation-health", {"DeploymentID": "d"}),
    ):
        assert (await client.put(f"/v1/deployment/{path}/d", json=sent)).status == 400
    assert (await client.put("/v1/deployment/unblock/d")).status == 501


async def test_a_node_is_drained_and_let_back_in(
    region: MemoryRegion, client: TestClient, node: Node
) -> None:
    region.state.put(node)
    drain = {"DrainSpec": {"Deadline": 10**9}, "Meta": {"why": "disk"}}
    response = await client.put(f"/v1/node/{node.id}/drain", json=drain)
    assert (await response.json())["NodeModifyIndex"] > 1
    spec = DrainSpec(deadline_ns=10**9)
    assert region.calls == [("drain", (spec, False, {"why": "disk"}))]
    eligible = {"Eligibility": "eligible"}
    refused = await client.put(f"/v1/node/{node.id}/eligibility", json=eligible)
    assert refused.status == 400
    await client.put(f"/v1/node/{node.id}/drain", json={"DrainSpec": None, "MarkEligible": True})
    found = region.state.node(node.id)
    assert found is not None
    assert found.scheduling_eligibility == "eligible"
    for sent in ({"Eligibility": "maybe"}, {"NodeID": "x", "Eligibility": "eligible"}):
        assert (await client.put(f"/v1/node/{node.id}/eligibility", json=sent)).status == 400
    assert (await client.put(f"/v1/node/{node.id}/purge")).status == 200
    assert region.state.node(node.id) is None


async def test_the_scheduler_is_set_at_an_index(client: TestClient) -> None:
    path = "/v1/operator/scheduler/configuration"
    first = await client.put(path, json={"SchedulerAlgorithm": "spread"})
    index = (await first.json())["Index"]
    read = await (await client.get(path)).json()
    assert read["SchedulerConfig"]["SchedulerAlgorithm"] == "spread"
    late = await client.put(f"{path}?cas={index - 1}", json={"SchedulerAlgorithm": "binpack"})
    assert (await late.json())["Updated"] is False
    timely = await client.put(f"{path}?cas={index}", json={"SchedulerAlgorithm": "binpack"})
    assert (await timely.json())["Updated"] is True
