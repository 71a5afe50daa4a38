"""Reads over the API, from the request line to the headers."""

import gzip
import json
from collections.abc import Callable

import pytest
from aiohttp.test_utils import TestClient

from hanse.structs.allocation import Allocation
from hanse.structs.api import JobSubmission
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.structs.service import ServiceRegistration
from hanse.testing.region import MemoryRegion

MakeJob = Callable[..., Job]
MakeAlloc = Callable[..., Allocation]


async def test_a_job_whose_id_has_slashes_is_found_escaped_or_not(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    region.state.put(job("batch/plan/x"))
    for path in ("/v1/job/batch/plan/x", "/v1/job/batch%2Fplan%2Fx"):
        response = await client.get(path)
        assert (response.status, (await response.json())["ID"]) == (200, "batch/plan/x")
    summary = await client.get("/v1/job/batch/plan/x/summary")
    assert (await summary.json())["JobID"] == "batch/plan/x"


async def test_every_read_has_all_of_nomads_headers(
    region: MemoryRegion, client: TestClient, job: MakeJob, node: Node, alloc: MakeAlloc
) -> None:
    region.state.put(job(), node, alloc(), Evaluation(id="e", namespace="default"))
    paths = (
        "/v1/jobs",
        "/v1/job/web",
        "/v1/job/web/allocations",
        "/v1/nodes",
        f"/v1/node/{node.id}",
        "/v1/allocations",
        "/v1/evaluations",
        "/v1/deployments",
        "/v1/services",
        "/v1/namespaces",
        "/v1/node/pools",
        "/v1/operator/scheduler/configuration",
        "/v1/scaling/policies",
        "/v1/volumes",
    )
    for path in paths:
        response = await client.get(path)
        assert response.status == 200, path
        found = {
            "X-Nomad-KnownLeader": "true",
            "X-Nomad-LastContact": "0",
            "X-Content-Type-Options": "nosniff",
            "Content-Type": "application/json",
        }
        assert {name: response.headers[name] for name in found} == found, path
        assert int(response.headers["X-Nomad-Index"]) >= 1


async def test_pages_follow_each_other_and_the_last_has_no_token(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    region.state.put(*(job(name) for name in ("a", "b", "c", "d", "e")))
    seen: list[str] = []
    token = ""
    for _ in range(3):
        response = await client.get("/v1/jobs", params={"per_page": "2", "next_token": token})
        seen += [item["ID"] for item in await response.json()]
        token = response.headers.get("X-Nomad-NextToken", "")
    assert (seen, token) == (["a", "b", "c", "d", "e"], "")


async def test_pages_of_allocations_follow_the_order_of_their_making_both_ways(
    region: MemoryRegion, client: TestClient, alloc: MakeAlloc
) -> None:
    for numbers in ((5, 3), (9, 1), (2,)):
        region.state.put(*map(alloc, numbers))
    expected = [3, 5, 1, 9, 2]
    for reverse in ("false", "true"):
        seen: list[int] = []
        token = ""
        while True:
            params = {"per_page": "2", "next_token": token, "reverse": reverse}
            response = await client.get("/v1/allocations", params=params)
            seen += [int(item["ID"][:8], 16) for item in await response.json()]
            token = response.headers.get("X-Nomad-NextToken", "")
            if not token:
                break
        assert seen == (expected[::-1] if reverse == "true" else expected)


async def test_a_filter_sees_the_whole_object_and_pages_count_what_it_keeps(
    region: MemoryRegion, client: TestClient, job: MakeJob, alloc: MakeAlloc, node: Node
) -> None:
    region.state.put(job(), node, *map(alloc, range(10)))
    wanted = 'Job.TaskGroups.0.Tasks.0.Driver == raw_exec and Name matches "[02468].$"'
    params = {"filter": wanted, "per_page": "3"}
    response = await client.get("/v1/allocations", params=params)
    assert [item["Name"][-2] for item in await response.json()] == ["0", "2", "4"]
    assert response.headers["X-Nomad-NextToken"].endswith(alloc(6).id)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("filter=Status%20%3D%3D", "column 10"),
        ("filter=Nothing%20%3D%3D%201", "column 1"),
        ("per_page=x", "Expect a number"),
        ("index=x", "Invalid index"),
        ("wait=x", "Invalid wait time"),
        ("stale=x", "Expect `true` or `false`"),
        ("next_token=x", "next_token"),
        ("reverse=x", "reverse"),
        ("prefix=%00", "NUL"),
    ],
)
async def test_a_wrong_query_is_refused_in_plain_text(
    region: MemoryRegion, client: TestClient, job: MakeJob, query: str, problem: str
) -> None:
    region.state.put(job())
    response = await client.get(f"/v1/jobs?{query}")
    assert response.status == 400
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert problem in await response.text()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/job/x", "job not found"),
        ("/v1/job/x/summary", "job not found"),
        ("/v1/job/x/versions", "job versions not found"),
        ("/v1/job/x/submission?version=0", "job source not found"),
        ("/v1/node/x", "node not found"),
        ("/v1/allocation/x", "alloc not found"),
        ("/v1/evaluation/x", "eval not found"),
        ("/v1/deployment/x", "deployment not found"),
        ("/v1/client/fs/ls/x", 'Unknown allocation "x"'),
        ("/v1/client/stats?node_id=x", 'Unknown node "x"'),
        ("/.well-known/openid-configuration", "OIDC Discovery endpoint disabled"),
        ("/v1/nothing", "404 page not found"),
    ],
)
async def test_what_is_not_there_is_said_in_nomads_words(
    client: TestClient, path: str, text: str
) -> None:
    response = await client.get(path)
    assert (response.status, await response.text()) == (404, text)


async def test_other_answers_that_nomad_gives(client: TestClient) -> None:
    for method, path, expected in (
        ("DELETE", "/v1/jobs", (405, "Invalid method")),
        ("PATCH", "/v1/jobs", (405, "Invalid method")),
        ("GET", "/v1/jobs?region=nowhere", (500, "No path to region")),
        ("GET", "/v1/quotas", (501, "Nomad Enterprise only endpoint")),
        ("GET", "/v1/acl/tokens", (400, "ACL support disabled")),
        ("PUT", "/v1/acl/bootstrap", (400, "ACL support disabled")),
        ("GET", "/v1/client/stats", (400, "No local Node and node_id not provided")),
        ("GET", "/v1/job/x/submission", (400, "Unable to parse job submission version parameter")),
        ("GET", "/v1/jobs?region=global", (200, "[]")),
        ("GET", "/v1/job/x/deployment", (200, "null")),
        ("PUT", "/v1/system/gc", (200, "")),
    ):
        response = await client.request(method, path)
        assert (response.status, await response.text()) == expected, (method, path)


async def test_without_a_leader_only_stale_reads_are_answered(
    region: MemoryRegion, client: TestClient
) -> None:
    region.known_leader = False
    response = await client.get("/v1/jobs")
    assert (response.status, await response.text()) == (500, "No cluster leader")
    response = await client.get("/v1/jobs?stale")
    assert (response.status, response.headers["X-Nomad-KnownLeader"]) == (200, "false")


async def test_answers_are_indented_and_compressed_on_request(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    region.state.put(*(job(f"job-{number}") for number in range(40)))
    plain = await (await client.get("/v1/jobs", headers={"Accept-Encoding": "identity"})).read()
    pretty = await (await client.get("/v1/jobs?pretty")).read()
    assert pretty.startswith(b'[\n    {\n        "ID": "job-0"')
    assert pretty.endswith(b"]\n")
    assert json.loads(pretty) == json.loads(plain)
    not_pretty = await client.get("/v1/jobs?pretty=0", headers={"Accept-Encoding": "identity"})
    assert await not_pretty.read() == plain
    async with client.session.get(
        client.make_url("/v1/jobs"), headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == plain


async def test_a_large_list_is_whole_compressed_or_not(
    region: MemoryRegion, client: TestClient, job: MakeJob, alloc: MakeAlloc, node: Node
) -> None:
    region.state.put(job(), node, *map(alloc, range(3000)))
    for encoding in ("identity", "gzip"):
        headers = {"Accept-Encoding": encoding}
        for query in ("", "?pretty"):
            response = await client.get(f"/v1/allocations{query}", headers=headers)
            text = await response.text()
            found = json.loads(text)
            assert [int(item["ID"][:8], 16) for item in found] == list(range(3000))
            if query:
                assert text == json.dumps(found, indent=4) + "\n"


async def test_secrets_of_nodes_are_never_shown(
    region: MemoryRegion, client: TestClient, node: Node
) -> None:
    region.state.put(node)
    for path in (f"/v1/node/{node.id}", "/v1/nodes?resources=true", "/v1/agent/self"):
        assert "do-not-show" not in await (await client.get(path)).text()
    shown = await (await client.get(f"/v1/node/{node.id}")).json()
    assert (shown["Drain"], shown["SecretID"]) == (False, "")
    listed = (await (await client.get("/v1/nodes?os=true")).json())[0]
    assert (listed["Address"], listed["Version"]) == ("10.0.0.1", "0.1.0")
    assert listed["Attributes"] == {"os.name": "debian"}


async def test_an_allocation_is_shown_with_its_job_and_what_it_was_given(
    region: MemoryRegion, client: TestClient, job: MakeJob, alloc: MakeAlloc, node: Node
) -> None:
    region.state.put(job(), node, alloc())
    shown = await (await client.get(f"/v1/allocation/{alloc().id}")).json()
    assert (shown["Job"]["ID"], shown["NodeName"], shown["Name"]) == ("web", "node-1", "web.g[0]")
    given = shown["AllocatedResources"]
    assert given["Tasks"]["front"]["Cpu"] == {"CpuShares": 100, "ReservedCores": []}
    assert given["Tasks"]["front"]["Memory"] == {"MemoryMB": 64, "MemoryMaxMB": 0}
    assert given["Shared"]["DiskMB"] == 300
    assert given["Shared"]["Ports"][0]["Value"] == 20000
    assert given["Shared"]["Networks"][0]["DynamicPorts"][0]["Value"] == 20000
    assert shown["TaskStates"]["front"]["State"] == "running"
    assert "PreemptedAllocations" not in shown
    stub = (await (await client.get("/v1/allocations")).json())[0]
    assert (stub["JobType"], stub["PreemptedAllocations"]) == ("service", [])
    assert stub["AllocatedResources"] is None
    stub = (await (await client.get("/v1/allocations?resources=true&task_states=false")).json())[0]
    assert (stub["AllocatedResources"]["Shared"]["DiskMB"], stub["TaskStates"]) == (300, {})
    full = (await (await client.get(f"/v1/node/{node.id}/allocations")).json())[0]
    assert full == shown


async def test_allocations_of_an_older_job_with_the_same_id_are_shown_only_on_request(
    region: MemoryRegion, client: TestClient, job: MakeJob, alloc: MakeAlloc
) -> None:
    index = region.state.put(job())
    region.state.put(alloc(1, job_create_index=index), alloc(2, job_create_index=index + 500))
    path = "/v1/job/web/allocations"
    assert len(await (await client.get(path)).json()) == 1
    assert len(await (await client.get(f"{path}?all=true")).json()) == 2


async def test_versions_are_compared_with_each_other(
    region: MemoryRegion, client: TestClient, job: MakeJob
) -> None:
    for version, priority in enumerate((50, 60, 70)):
        region.state.put(job(version=version, priority=priority))
    shown = await (await client.get("/v1/job/web/versions?diffs=true")).json()
    assert [item["Version"] for item in shown["Versions"]] == [2, 1, 0]
    fields = [diff["Fields"][0] for diff in shown["Diffs"]]
    assert [(field["Old"], field["New"]) for field in fields] == [("60", "70"), ("50", "60")]
    assert shown["KnownLeader"] is True
    plain = await (await client.get("/v1/job/web/versions")).json()
    assert plain["Diffs"] is None
    based = await (await client.get("/v1/job/web/versions?diffs=true&diff_version=0")).json()
    assert [diff["Fields"][0]["Old"] for diff in based["Diffs"]] == ["50", "50"]
    refused = await client.get("/v1/job/web/versions?diffs=true&diff_version=9")
    assert refused.status == 400


async def test_the_source_of_a_version_is_shown(region: MemoryRegion, client: TestClient) -> None:
    source = JobSubmission(
        source="job x", format="hcl2", namespace="default", job_id="x", version=2
    )
    region.state.set_submission(source)
    shown = await (await client.get("/v1/job/x/submission?version=2")).json()
    assert (shown["Source"], shown["Format"]) == ("job x", "hcl2")


async def test_related_evaluations_are_found_in_both_directions(
    region: MemoryRegion, client: TestClient
) -> None:
    def one(name: str, **more: str) -> Evaluation:
        return Evaluation(id=name, namespace="default", job_id="web", **more)

    region.state.put(one("a", next_eval="b"), one("b", blocked_eval="c"), one("c"), one("d"))
    shown = await (await client.get("/v1/evaluation/b?related=true")).json()
    assert sorted(item["ID"] for item in shown["RelatedEvals"]) == ["a", "c"]


async def test_evaluations_are_filtered_by_status_and_job_but_not_with_a_filter_as_well(
    region: MemoryRegion, client: TestClient
) -> None:
    region.state.put(
        Evaluation(id="a", namespace="default", job_id="x", status="complete"),
        Evaluation(id="b", namespace="default", job_id="y", status="complete"),
        Evaluation(id="c", namespace="default", job_id="x", status="failed"),
    )
    shown = await (await client.get("/v1/evaluations?job=x&status=complete")).json()
    assert [item["ID"] for item in shown] == ["a"]
    refused = await client.get("/v1/evaluations?job=x&filter=Status%20%3D%3D%20failed")
    assert refused.status == 400
    count = await (await client.get("/v1/evaluations/count?filter=JobID%20%3D%3D%20x")).json()
    assert count["Count"] == 2


async def test_services_are_grouped_and_chosen_steadily(
    region: MemoryRegion, client: TestClient
) -> None:
    instances = [
        ServiceRegistration(
            id=f"s{number}",
            service_name="db",
            namespace="default",
            job_id="web",
            tags=("a", f"t{number % 2}"),
        )
        for number in range(20)
    ]
    region.state.put(*instances)
    listed = await (await client.get("/v1/services")).json()
    tags = ["a", "t0", "t1"]
    expected = [{"Namespace": "default", "Services": [{"ServiceName": "db", "Tags": tags}]}]
    assert listed == expected
    chosen = await (await client.get("/v1/service/db?choose=3|key")).json()
    region.state.delete(next(i for i in instances if i.id not in {c["ID"] for c in chosen}))
    again = await (await client.get("/v1/service/db?choose=3|key")).json()
    assert (len(chosen), {c["ID"] for c in chosen}) == (3, {c["ID"] for c in again})
    assert (await client.get("/v1/service/db?choose=x")).status == 400
    assert len(await (await client.get("/v1/job/web/services")).json()) == 19


async def test_the_jobs_page_shows_the_last_changed_first(
    region: MemoryRegion, client: TestClient, job: MakeJob, alloc: MakeAlloc
) -> None:
    region.state.put(job("a"))
    region.state.put(job("web"))
    region.state.put(
        alloc(), Deployment(id="d", namespace="default", job_id="web", status="running")
    )
    shown = await (await client.get("/v1/jobs/statuses")).json()
    assert [item["ID"] for item in shown] == ["web", "a"]
    assert (shown[0]["GroupCountSum"], shown[0]["Allocs"][0]["ClientStatus"]) == (2, "running")
    assert shown[0]["LatestDeployment"]["IsActive"] is True
    body = {"Jobs": [{"ID": "a", "Namespace": "default"}, {"ID": "z", "Namespace": "default"}]}
    named = await client.post("/v1/jobs/statuses", json=body)
    assert [item["ID"] for item in await named.json()] == ["a"]
    assert "X-Nomad-KnownLeader" in named.headers


async def test_search_finds_prefixes_and_fuzzy_search_names(
    region: MemoryRegion, client: TestClient, job: MakeJob, node: Node, alloc: MakeAlloc
) -> None:
    region.state.put(node, *(job(f"web-{number}") for number in range(25)), alloc())
    found = await (await client.post("/v1/search", json={"Prefix": "web", "Context": "all"})).json()
    assert (len(found["Matches"]["jobs"]), found["Truncations"]["jobs"]) == (20, True)
    assert found["Matches"]["nodes"] == []
    nodes = {"Prefix": node.id[:4], "Context": "nodes"}
    found = await (await client.post("/v1/search", json=nodes)).json()
    assert found["Matches"] == {"nodes": [node.id]}
    fuzzy = {"Text": "EDIS", "Context": "all"}
    found = await (await client.post("/v1/search/fuzzy", json=fuzzy)).json()
    first = found["Matches"]["images"][0]
    assert (first["ID"], first["Scope"]) == ("redis:7", ["default", "web-0", "g", "front"])
    assert (await client.post("/v1/search/fuzzy", json={"Text": "a"})).status == 400
    assert (await client.post("/v1/search", json={"Context": "colours"})).status == 400


async def test_the_agent_says_who_and_how_it_is(region: MemoryRegion, client: TestClient) -> None:
    assert await (await client.get("/v1/status/leader")).json() == "127.0.0.1:4647"
    assert await (await client.get("/v1/regions")).json() == ["global"]
    self = await (await client.get("/v1/agent/self")).json()
    assert self["config"]["Version"]["Version"] == "0.1.0"
    health = await client.get("/v1/agent/health")
    assert (health.status, await health.json()) == (200, {"server": {"ok": True, "message": "ok"}})
    region.known_leader = False
    health = await client.get("/v1/agent/health?type=server")
    expected = {"server": {"ok": False, "message": "no leader"}}
    assert (health.status, await health.json()) == (500, expected)
    assert (await client.get("/v1/agent/servers")).status == 501
    assert (await client.put("/v1/agent/join")).status == 400


async def test_pages_of_other_sites_may_read_files_but_change_nothing(
    region: MemoryRegion, client: TestClient, alloc: MakeAlloc
) -> None:
    region.state.put(alloc())
    listed = await client.get("/v1/client/fs/ls/x", headers={"Origin": "http://elsewhere"})
    assert listed.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in (await client.get("/v1/jobs")).headers
    preflight = await client.options("/v1/client/stats")
    assert (preflight.status, preflight.headers["Access-Control-Allow-Methods"]) == (
        204,
        "HEAD, GET",
    )
    refused = await client.put("/v1/system/gc", headers={"Origin": "http://elsewhere"})
    assert (refused.status, region.calls) == (403, [])
