"""The client library python-nomad, as it comes from PyPI, against our agent."""

from __future__ import annotations

import queue
from typing import Any

import nomad
import nomad.api.exceptions
import pytest

from tests.e2e.harness import Agent, eventually, raw_exec_job

TALK = "echo hello; echo oops >&2; exec sleep 1000"


@pytest.fixture
def client(agent: Agent) -> Any:
    return nomad.Nomad(host="127.0.0.1", port=agent.ports["http"], timeout=30)


def test_it_sees_the_agent_and_its_node(client: Any) -> None:
    node = client.nodes.get_nodes()[0]
    assert client.node.get_node(node["ID"])["Attributes"]["kernel.name"] == "linux"
    assert client.node.get_allocations(node["ID"]) is not None
    assert client.agent.get_members()["Members"][0]["Status"] == "alive"
    assert client.agent.get_agent()["config"]["Region"] == "global"
    assert client.regions.get_regions() == ["global"]
    assert client.status.leader.get_leader()
    assert client.namespaces.get_namespaces()[0]["Name"] == "default"
    assert client.metrics.get_metrics()["Gauges"]


def quick_job(count: int = 1) -> dict[str, Any]:
    """A job whose deployments are over as soon as its tasks run."""
    job = raw_exec_job("pynomad", TALK, count=count)
    job["Update"] = {"MinHealthyTime": 0, "HealthCheck": "task_states"}
    return job


def test_a_job_through_its_whole_life(agent: Agent, client: Any) -> None:
    job = quick_job()
    plan = client.job.plan_job("pynomad", {"Job": job}, diff=True)
    assert plan["Diff"]["Type"] == "Added"
    assert plan["Annotations"]["DesiredTGUpdates"]["g"]["Place"] == 1
    assert "pynomad" not in client.jobs

    registered = client.jobs.register_job({"Job": job})
    assert client.evaluation.get_evaluation(registered["EvalID"])["JobID"] == "pynomad"
    assert not client.validate.validate_job({"Job": job}).json()["ValidationErrors"]
    (alloc,) = agent.running("pynomad", 1)
    assert "pynomad" in client.jobs
    assert client.job.get_job("pynomad")["TaskGroups"][0]["Count"] == 1
    assert client.job.get_summary("pynomad")["Summary"]["g"]["Running"] == 1
    assert [a["ID"] for a in client.job.get_allocations("pynomad")] == [alloc["ID"]]
    assert client.allocation.get_allocation(alloc["ID"])["Job"]["ID"] == "pynomad"
    found = client.search.search("pynomad", "jobs")
    assert found["Matches"]["jobs"] == ["pynomad"]

    client.jobs.register_job({"Job": quick_job(2)})
    agent.running("pynomad", 2)
    versions = client.job.get_versions("pynomad")["Versions"]
    assert [v["Version"] for v in versions] == [1, 0]
    client.job.revert_job("pynomad", 0)
    agent.running("pynomad", 1)
    eventually(
        "the deployment's end",
        lambda: client.job.get_deployment("pynomad")["Status"] == "successful",
    )
    scaled = agent.put(
        "/v1/job/pynomad/scale", {"Target": {"Group": "g"}, "Count": 3, "Message": "more"}
    )
    assert scaled.json()["EvalID"]
    agent.running("pynomad", 3)

    client.job.deregister_job("pynomad")
    eventually("the end of all", lambda: not [a for a in agent.live() if a["JobID"] == "pynomad"])
    assert client.job.get_job("pynomad")["Stop"] is True
    client.job.deregister_job("pynomad", purge=True)
    with pytest.raises(nomad.api.exceptions.URLNotFoundNomadException):
        client.job.get_job("pynomad")


def test_files_logs_stats_signals_and_restarts(agent: Agent, client: Any) -> None:
    client.jobs.register_job({"Job": raw_exec_job("files", TALK)})
    (alloc,) = agent.running("files", 1)
    alloc_id = alloc["ID"]
    read = client.client.stream_logs.stream
    eventually("output", lambda: read(alloc_id, "t", "stdout", plain=True) == "hello\n")
    assert read(alloc_id, "t", "stderr", plain=True) == "oops\n"
    framed = read(alloc_id, "t", "stdout")
    assert "aGVsbG8K" in framed
    names = {entry["Name"] for entry in client.client.ls.list_files(alloc_id)}
    assert {"alloc", "t"} <= names
    log = "/alloc/logs/t.stdout.0"
    assert client.client.cat.read_file(alloc_id, log) == "hello\n"
    assert client.client.stat.stat_file(alloc_id, log)["Size"] == 6
    assert client.client.read_at.read_file_offset(alloc_id, 1, 3, log) == "ell"
    stats = client.client.allocation.read_allocation_stats(alloc_id)
    assert "t" in stats["Tasks"]
    assert client.client.stats.read_stats(alloc["NodeID"])["Memory"]["Total"] > 0
    client.client.allocation.restart_allocation(alloc_id)

    def restarted() -> bool:
        state = client.allocation.get_allocation(alloc_id)["TaskStates"]["t"]
        return bool(state["Restarts"] == 1 and state["State"] == "running")

    eventually("the restart", restarted)
    client.client.allocation.signal_allocation(alloc_id, "SIGHUP", "t")
    client.job.deregister_job("files", purge=True)


def test_events_of_a_job_arrive_in_order(agent: Agent, client: Any) -> None:
    thread, leave, events = client.event.stream.get_stream(topic={"Job": "evented"}, timeout=20)
    thread.daemon = True
    thread.start()
    client.jobs.register_job({"Job": raw_exec_job("evented", "exec sleep 1000")})
    agent.running("evented", 1)
    client.job.deregister_job("evented", purge=False)
    seen: list[str] = []
    last = 0
    while "JobDeregistered" not in seen:
        try:
            message = events.get(timeout=20)
        except queue.Empty:
            raise AssertionError(f"no more events after {seen}") from None
        assert message["Index"] >= last
        last = message["Index"]
        seen += [event["Type"] for event in message["Events"] if event["Key"] == "evented"]
    leave.set()
    assert seen[0] == "JobRegistered"


def test_the_parser_answers_with_api_json(client: Any) -> None:
    source = 'job "x" {\n group "g" {\n task "t" { driver = "raw_exec" }\n }\n}\n'
    job = client.jobs.parse(source)
    assert job["TaskGroups"][0]["Tasks"][0]["Driver"] == "raw_exec"


def test_deployments_can_be_read_and_failed(agent: Agent, client: Any) -> None:
    job = raw_exec_job("deployed", "exec sleep 1000")
    job["Update"] = {
        "MaxParallel": 1,
        "MinHealthyTime": 3600 * 10**9,
        "HealthyDeadline": 7200 * 10**9,
        "ProgressDeadline": 7300 * 10**9,
        "HealthCheck": "task_states",
    }
    client.jobs.register_job({"Job": job})
    agent.running("deployed", 1)
    deployment = client.job.get_deployment("deployed")
    assert (deployment["Status"], deployment["TaskGroups"]["g"]["DesiredTotal"]) == ("running", 1)
    assert client.deployment.get_deployment_allocations(deployment["ID"])[0]["JobID"] == "deployed"
    client.deployment.pause_deployment(deployment["ID"], True)
    assert client.deployment.get_deployment(deployment["ID"])["Status"] == "paused"
    client.deployment.fail_deployment(deployment["ID"])
    assert client.deployment.get_deployment(deployment["ID"])["Status"] == "failed"
    client.job.deregister_job("deployed", purge=True)
