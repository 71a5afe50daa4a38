"""Reads over the API, from the request line to the headers."""

from aiohttp.test_utils import TestClient

from hanse.structs.job import Job, TaskGroup
from hanse.testing.region import MemoryRegion


def job(job_id: str, **changes: object) -> Job:
    group = TaskGroup(name="web", count=2)
    fields: dict[str, object] = {
        "id": job_id,
        "name": job_id,
        "namespace": "default",
        "region": "global",
        "type": "service",
        "priority": 50,
        "task_groups": (group,),
    }
    return Job(**{**fields, **changes})  # type: ignore[arg-type]


async def test_a_job_whose_id_has_slashes_is_found_escaped_or_not(
    region: MemoryRegion, client: TestClient
) -> None:
    region.state.put(job("batch/plan/x"))
    for path in ("/v1/job/batch/plan/x", "/v1/job/batch%2Fplan%2Fx"):
        response = await client.get(path)
        assert (response.status, (await response.json())["ID"]) == (200, "batch/plan/x")
    summary = await client.get("/v1/job/batch/plan/x/summary")
    assert (await summary.json())["JobID"] == "batch/plan/x"


async def test_jobs(region: MemoryRegion, client: TestClient) -> None:
    region.state.put(job("a"), job("b"))
    response = await client.get("/v1/jobs?per_page=1")
    assert response.headers["X-Nomad-NextToken"] == "default.b"
    assert [item["ID"] for item in await response.json()] == ["a"]
