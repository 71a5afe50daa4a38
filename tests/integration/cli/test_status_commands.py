"""What is printed of what an agent says."""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

Hanse = Callable[..., Any]


def test_jobs_are_listed(agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]) -> None:
    stopped = {**fixtures["job_stub"], "ID": "old", "Type": "batch", "Status": "dead", "Stop": True}
    stopped["Periodic"] = True
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"], stopped])
    ended = hanse("job status")
    assert ended.code == 0
    assert ended.out == (
        "ID   Type            Priority  Status          Submit Date\n"
        "web  service         50        running         2026-01-02T03:03:05Z\n"
        "old  batch/periodic  50        dead (stopped)  2026-01-02T03:03:05Z\n"
    )
    agent.on("GET", "/v1/jobs", [])
    assert hanse("status").out == "No running jobs\n"


def test_of_all_namespaces_each_row_says_its_own(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    header, row = hanse("job status -namespace=*").out.splitlines()
    assert header.split() == "ID Namespace Type Priority Status Submit Date".split()
    assert row.split()[:2] == ["web", "default"]
    assert agent.requests[-1].query == {"namespace": "*"}


def script_job(agent: Any, fixtures: Mapping[str, Any]) -> None:
    summary = {
        "JobID": "web",
        "Namespace": "default",
        "Summary": {"g": {"Queued": 1, "Running": 1}},
    }
    blocked = {
        **fixtures["eval"],
        "ID": "c4eb0bd6-0000-0000-0000-000000000000",
        "Status": "blocked",
        "TriggeredBy": "queued-allocs",
        "FailedTGAllocs": {
            "g": {
                "NodesEvaluated": 1,
                "NodesExhausted": 1,
                "DimensionExhausted": {"memory": 1},
                "ConstraintFiltered": None,
            }
        },
    }
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    agent.on("GET", "/v1/job/web", fixtures["job"])
    agent.on("GET", "/v1/job/web/summary", summary)
    agent.on("GET", "/v1/job/web/evaluations", [fixtures["eval"], blocked])
    agent.on("GET", "/v1/job/web/deployment", fixtures["deployment"])
    agent.on("GET", "/v1/job/web/allocations", [fixtures["alloc_stub"]])


def test_a_job_is_shown_with_its_summary_deployment_and_allocations(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_job(agent, fixtures)
    ended = hanse("job status we")
    assert ended.out == (
        "ID            = web\n"
        "Name          = web\n"
        "Submit Date   = 2026-01-02T03:03:05Z\n"
        "Type          = service\n"
        "Priority      = 50\n"
        "Datacenters   = dc1,dc2\n"
        "Namespace     = default\n"
        "Node Pool     = default\n"
        "Status        = running\n"
        "Periodic      = false\n"
        "Parameterized = false\n"
        "\n"
        "Summary\n"
        "Task Group  Queued  Starting  Running  Failed  Complete  Lost  Unknown\n"
        "g           1       0         1        0       0         0     0\n"
        "\n"
        "Placement Failure\n"
        'Task Group "g" (failed to place 1 allocation):\n'
        "  * Resources exhausted on 1 node\n"
        '  * Dimension "memory" exhausted on 1 node\n'
        "\n"
        "Latest Deployment\n"
        "ID          = b1839b6c\n"
        "Status      = running\n"
        "Description = Deployment is running\n"
        "\n"
        "Deployed\n"
        "Task Group  Auto Revert  Desired  Placed  Healthy  Unhealthy  Progress Deadline\n"
        "g           true         1        1       0        0          2026-01-02T03:13:05Z\n"
        "\n"
        "Allocations\n"
        "ID        Node ID   Task Group  Version  Desired  Status   Created  Modified\n"
        "83c381b1  c404221f  g           2        run      running  1m ago   50s ago\n"
    )


def test_short_and_evals_change_what_is_shown_of_a_job(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_job(agent, fixtures)
    assert hanse("job status -short web").out.splitlines()[-1] == "Parameterized = false"
    assert (
        "Evaluations\n"
        "ID        Priority  Triggered By   Node ID  Status    Placement Failures\n"
        "026ca1bb  50        job-register   <none>   complete  false\n"
        "c4eb0bd6  50        queued-allocs  <none>   blocked   N/A - In Progress\n"
    ) in hanse("job status -evals web").out


def test_json_and_templates_give_the_answer_itself(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_job(agent, fixtures)
    assert json.loads(hanse("job status -json web").out) == fixtures["job"]
    assert hanse("job status -t {{.ID}}:{{.Version}} web").out == "web:2\n"
    wrong = hanse("job status -t {{.Idd}} web")
    assert (wrong.code, wrong.out) == (1, "")
    assert "Error in the template: can't evaluate field Idd (did you mean .ID?)" in wrong.err
    assert hanse("job status -json -t x web").code == 1


def test_a_prefix_of_several_jobs_is_refused_and_an_exact_id_is_not(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    script_job(agent, fixtures)
    other = {**fixtures["job_stub"], "ID": "web-2"}
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"], other])
    ended = hanse("job status we")
    assert ended.code == 1
    assert ended.err.startswith("Prefix matched multiple jobs\n\nID ")
    assert hanse("job status -short web").code == 0
    agent.on("GET", "/v1/jobs", [])
    ended = hanse("job status x")
    assert (ended.code, ended.err) == (1, 'No job(s) with prefix or ID "x" found\n')


def test_an_allocation_is_shown_with_its_ports_tasks_and_events(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    alloc = fixtures["ids"]["alloc"]
    agent.on("GET", "/v1/allocations", [fixtures["alloc_stub"]])
    agent.on("GET", f"/v1/allocation/{alloc}", fixtures["alloc"])
    usage = {
        "Tasks": {
            "t": {
                "ResourceUsage": {
                    "MemoryStats": {"RSS": 12 * 1024**2, "Measured": ["RSS"]},
                    "CpuStats": {"TotalTicks": 7.2},
                }
            }
        }
    }
    agent.on("GET", f"/v1/client/allocation/{alloc}/stats", usage)
    ended = hanse("alloc status 83c3")
    assert ended.err == ""
    assert ended.out == (
        "ID                  = 83c381b1\n"
        "Eval ID             = 026ca1bb\n"
        "Name                = web.g[0]\n"
        "Node ID             = c404221f\n"
        "Node Name           = host1\n"
        "Job ID              = web\n"
        "Job Version         = 2\n"
        "Client Status       = running\n"
        "Client Description  = <none>\n"
        "Desired Status      = run\n"
        "Desired Description = <none>\n"
        "Created             = 1m ago\n"
        "Modified            = 50s ago\n"
        "Deployment ID       = b1839b6c\n"
        "Deployment Health   = healthy\n"
        "\n"
        "Allocation Addresses:\n"
        "Label  Dynamic  Address\n"
        "*http  yes      10.0.0.1:23077 -> 8080\n"
        "\n"
        'Task "t" is "running"\n'
        "Task Resources:\n"
        "CPU       Memory         Disk     Addresses\n"
        "7/50 MHz  12 MiB/32 MiB  300 MiB\n"
        "\n"
        "Task Events:\n"
        "Started At     = 2026-01-02T03:03:06Z\n"
        "Finished At    = N/A\n"
        "Total Restarts = 0\n"
        "Last Restart   = N/A\n"
        "\n"
        "Recent Events:\n"
        "Time                  Type      Description\n"
        "2026-01-02T03:03:06Z  Started   Task started\n"
        "2026-01-02T03:03:05Z  Received  Task received\n"
    )
    short = hanse(f"alloc status -short {alloc}").out
    assert "Tasks\nName  State    Last Event  Time                  Lifecycle\n" in short
    assert "t     running  Started     2026-01-02T03:03:06Z  main\n" in short


def test_an_allocation_needs_two_characters_at_least(agent: Any, hanse: Hanse) -> None:
    assert hanse("alloc status 8").err == "Identifier must contain at least two characters.\n"
    agent.on("GET", "/v1/allocations", [])
    for said in ("83", "not-an-id"):
        ended = hanse(f"alloc status {said}")
        assert ended.err == f'No allocation(s) with prefix or id "{said}" found\n'


def test_nodes_are_listed_and_shown(agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]) -> None:
    node = fixtures["ids"]["node"]
    agent.on("GET", "/v1/nodes", [fixtures["node_stub"]])
    assert hanse("node status").out == (
        "ID        Node Pool  DC   Name   Class   Drain  Eligibility  Status\n"
        "c404221f  default    dc1  host1  <none>  false  eligible     ready\n"
    )
    assert hanse("node status -quiet").out == "c404221f\n"
    whole = {
        **fixtures["node_stub"],
        "Attributes": {"os.name": "debian"},
        "NodeResources": {
            "Cpu": {"CpuShares": 4000},
            "Memory": {"MemoryMB": 2048},
            "Disk": {"DiskMB": 10240},
        },
        "ReservedResources": None,
        "Drivers": {
            "docker": {"Detected": True, "Healthy": True},
            "raw_exec": {"Detected": True, "Healthy": False},
            "qemu": {"Detected": False},
        },
        "Events": [
            {
                "Message": "Node registered",
                "Subsystem": "Cluster",
                "Timestamp": "2026-01-02T03:00:00Z",
            }
        ],
    }
    stats = {
        "Memory": {"Total": 2 * 1024**3, "Used": 1024**3},
        "AllocDirStats": {"Size": 10 * 1024**3, "Used": 1024**3},
        "Uptime": 3720,
        "CPUTicksConsumed": 123.4,
    }
    agent.on("GET", f"/v1/node/{node}", whole)
    agent.on("GET", f"/v1/node/{node}/allocations", [fixtures["alloc"]])
    agent.on("GET", "/v1/client/stats", stats)
    text = hanse("node status c404").out
    assert "Uptime          = 1h2m\n" in text
    assert "Driver Status   = docker,raw_exec (unhealthy)\n" in text
    assert "Allocated Resources\nCPU          Memory          Disk            Alloc Count\n" in text
    assert "50/4000 MHz  32 MiB/2.0 GiB  300 MiB/10 GiB  1\n" in text
    assert "123/4000 MHz  1.0 GiB/2.0 GiB  1.0 GiB/10 GiB\n" in text
    assert "2026-01-02T03:00:00Z  Cluster    Node registered\n" in text
    assert "83c381b1  c404221f  g           2        run      running  1m ago   50s ago\n" in text
    assert "os.name = debian" in hanse("node status -verbose host1").out


def test_evaluations_and_deployments_are_shown(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    ids = fixtures["ids"]
    agent.on("GET", "/v1/evaluations", [fixtures["eval"]])
    agent.on("GET", f"/v1/evaluation/{ids['eval']}", fixtures["eval"])
    agent.on("GET", f"/v1/evaluation/{ids['eval']}/allocations", [fixtures["alloc_stub"]])
    assert hanse("eval list").out.splitlines()[1].split() == (
        "026ca1bb 50 job-register web default <none> complete false".split()
    )
    text = hanse("eval status 026c").out
    assert "TriggeredBy        = job-register\n" in text
    assert "Placed Allocations\nID " in text
    agent.on("GET", "/v1/deployments", [fixtures["deployment"]])
    agent.on("GET", f"/v1/deployment/{ids['deployment']}", fixtures["deployment"])
    assert "Deployment is running" in hanse("deployment list").out
    assert hanse("deployment status b183").out.startswith(
        "ID          = b1839b6c\nJob ID      = web\nJob Version = 2\nStatus      = running\n"
    )


def test_status_finds_whatever_an_id_belongs_to(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    ids = fixtures["ids"]
    agent.on("POST", "/v1/search", {"Matches": {"deployment": [ids["deployment"]], "jobs": None}})
    agent.on("GET", f"/v1/deployment/{ids['deployment']}", fixtures["deployment"])
    assert hanse("status b1").out.startswith("ID          = b1839b6c\n")
    agent.on("POST", "/v1/search", {"Matches": {"deployment": ["b1"], "evals": ["b1x"]}})
    ended = hanse("status b")
    assert ended.code == 1
    assert ended.err == 'Several things match "b":\n\n  evaluation b1x\n  deployment b1\n'
    agent.on("POST", "/v1/search", {"Matches": {}})
    assert hanse("status b").err == 'Nothing with prefix or id "b" found\n'


def test_a_page_ends_with_the_command_for_the_next_one(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any], scripted_reply: Any
) -> None:
    reply = scripted_reply([fixtures["node_stub"]], headers={"X-Nomad-NextToken": "abc"})
    agent.on("GET", "/v1/nodes", reply)
    ended = hanse("node status -per-page 1 -filter Status==ready")
    assert ended.out.endswith(
        "\nResults have been paginated. To get the next page run:\n\n"
        "hanse node status -page-token abc\n"
    )
    assert agent.requests[-1].query == {"per_page": "1", "filter": "Status==ready"}


def test_server_members_say_who_leads_and_which_region_does_not_answer(
    agent: Any, hanse: Hanse, scripted_reply: Any
) -> None:
    def member(region: str) -> dict[str, object]:
        tags = {"region": region, "dc": "dc1", "port": "4647", "rpc_addr": "10.0.0.1"}
        tags |= {"build": "0.1.0", "raft_vsn": "3"}
        return {
            "Name": f"a.{region}",
            "Addr": "10.0.0.1",
            "Port": 4648,
            "Status": "alive",
            "Tags": tags,
        }

    agent.on("GET", "/v1/agent/members", {"Members": [member("east"), member("west")]})

    def leader(request: Any) -> Any:
        if request.query["region"] == "west":
            return scripted_reply(b"No path to region", status=500)
        return scripted_reply("10.0.0.1:4647")

    agent.on("GET", "/v1/status/leader", leader)
    ended = hanse("server members")
    assert ended.code == 1
    assert [line.split()[4] for line in ended.out.splitlines()[1:]] == ["true", "false"]
    assert 'Error determining leaders: 1 error occurred:\n* Region "west": ' in ended.err


def test_what_nomad_sends_as_null_is_as_good_as_left_out(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    agent.on("GET", "/v1/allocations", [fixtures["alloc_stub"]])
    alloc = copy.deepcopy(fixtures["alloc"])
    alloc |= {"TaskStates": None, "DeploymentStatus": None, "Metrics": None, "DeploymentID": ""}
    alloc["AllocatedResources"]["Shared"]["Ports"] = None
    alloc["Job"]["TaskGroups"][0]["Networks"] = None
    agent.on("GET", f"/v1/allocation/{fixtures['ids']['alloc']}", alloc)
    ended = hanse("alloc status 83c381")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("Modified            = 50s ago\n")


def test_text_from_jobs_cannot_drive_the_terminal(
    agent: Any, hanse: Hanse, fixtures: Mapping[str, Any]
) -> None:
    evil = {**fixtures["job_stub"], "ID": "a\x1b]0;x\x07b", "Status": "run\u202ening\n"}
    agent.on("GET", "/v1/jobs", [evil])
    out = hanse("job status").out
    assert "a\\x1b]0;x\\x07b" in out
    assert "run\\u202ening\\n" in out
    assert "\x1b" not in hanse("job status -json").out
