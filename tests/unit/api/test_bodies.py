"""What request bodies may cost."""

import asyncio
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from hanse.errors import Invalid, TooLarge
from hanse.testing.region import MemoryRegion
from region.api import bodies
from region.api.bodies import Workers, check
from region.api.errors import HTTPFailure


def job(**fields: Any) -> bytes:
    return json.dumps({"Job": {"ID": "web", "Datacenters": ["*"], **fields}}).encode()


TASK = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}


@pytest.mark.parametrize(
    "body",
    [
        job(TaskGroups=[{}] * 100_000),
        b'{"Job":{' + b",".join(b'"":0' for _ in range(260_000)) + b"}}",
        b'{"Job":' + b'[{"a":' * 60_000,
    ],
)
def test_bodies_that_could_hold_too_much_are_not_read(body: bytes) -> None:
    with pytest.raises(Invalid, match="more than"):
        check(body)


def test_bodies_that_are_too_long_are_not_read() -> None:
    with pytest.raises(TooLarge):
        check(b" " * (bodies.BODY_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ([{"Name": f"g{number}"} for number in range(2001)], "groups"),
        ([{"Name": "g", "Tasks": [TASK] * 4001}], "tasks"),
    ],
)
async def test_a_job_of_too_many_parts_is_refused(
    client: TestClient, groups: list[Any], problem: str
) -> None:
    response = await client.put("/v1/jobs", data=job(TaskGroups=groups))
    assert (response.status, problem in await response.text()) == (400, True)


async def test_a_large_job_is_registered(region: MemoryRegion, client: TestClient) -> None:
    groups = [{"Name": f"g{number}", "Count": 1, "Tasks": [TASK]} for number in range(300)]
    response = await client.put("/v1/jobs", data=job(TaskGroups=groups))
    assert response.status == 200, await response.text()
    found = region.state.job("default", "web")
    assert found is not None
    assert len(found.task_groups) == 300


async def test_too_much_work_at_once_is_refused() -> None:
    workers = Workers()
    hold = threading.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(workers.run(hold.wait)) for _ in range(bodies.WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPFailure, match="too many"):
            await workers.run(hold.wait)
        hold.set()
    assert all(task.result() for task in tasks)
    assert await workers.run(lambda: 5) == 5


SOURCE = """
variable "count" { type = number }
job "docs" {
  datacenters = ["*"]
  group "g" {
    count = var.count
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""


async def test_a_job_file_is_parsed_with_its_variables(client: TestClient) -> None:
    sent = {"JobHCL": SOURCE, "Variables": "count = 3", "Canonicalize": True}
    response = await client.post("/v1/jobs/parse", json=sent)
    parsed = await response.json()
    assert response.status == 200
    assert (parsed["ID"], parsed["TaskGroups"][0]["Count"]) == ("docs", 3)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({}, "Job spec is empty"),
        ({"JobHCL": 'job "x" {'}, "input.hcl:1"),
        ({"JobHCL": 'job "x" { a = file("/etc/passwd") }'}, "Failed to parse job"),
        ({"JobHCL": "x = " + "[" * 10_000}, "Failed to parse job"),
    ],
)
async def test_a_wrong_job_file_is_refused_with_its_place(
    client: TestClient, sent: dict[str, Any], problem: str
) -> None:
    response = await client.post("/v1/jobs/parse", json=sent)
    text = await response.text()
    assert (response.status, problem in text) == (400, True), text
    assert "root:" not in text


async def test_a_job_file_that_is_too_long_is_refused(client: TestClient) -> None:
    sent = io.BytesIO(json.dumps({"JobHCL": "#" * (1024 * 1024 + 1)}).encode())
    response = await client.post("/v1/jobs/parse", data=sent)
    assert response.status == 413


async def test_others_are_answered_while_a_job_file_is_parsed(client: TestClient) -> None:
    slow = 'job "x" { a = ' + " + ".join(["1"] * 20_000) + " }"
    order: list[str] = []

    def note(name: str) -> Callable[[object], None]:
        return lambda _: order.append(name)

    async with asyncio.TaskGroup() as group:
        parse = group.create_task(client.post("/v1/jobs/parse", json={"JobHCL": slow}))
        parse.add_done_callback(note("parse"))
        await asyncio.sleep(0)
        other = group.create_task(client.get("/v1/status/leader"))
        other.add_done_callback(note("other"))
    assert order == ["other", "parse"]
