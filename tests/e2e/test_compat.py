"""What clients of Nomad's API rely on, found with Nomad's Go client; here in plain HTTP.

Each test states one fact that a client written for Nomad takes for granted and no schema shows.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.e2e.harness import Agent, eventually, raw_exec_job


def stream_until(agent: Agent, topic: str, job: dict[str, Any]) -> dict[str, Any]:
    """Register a job and return the first event of a topic that follows."""
    connection = http.client.HTTPConnection("127.0.0.1", agent.ports["http"], timeout=30)
    try:
        index = agent.get("/v1/jobs").headers["X-Nomad-Index"]
        connection.request("GET", f"/v1/event/stream?topic={topic}&index={int(index) + 1}")
        answer = connection.getresponse()
        agent.run_job(job)
        while True:
            frame = json.loads(answer.readline())
            for event in frame.get("Events") or ():
                return dict(event)
    finally:
        connection.close()


def test_a_job_without_payload_has_null_there_since_clients_take_text_for_a_broken_list(
    agent: Agent,
) -> None:
    job = raw_exec_job("compat-payload", "exec sleep 1000", count=0)
    event = stream_until(agent, "Job", job)
    assert event["Payload"]["Job"]["ID"] == "compat-payload"
    assert event["Payload"]["Job"]["Payload"] is None
    assert agent.get("/v1/job/compat-payload").json()["Payload"] is None
    parsed = agent.put("/v1/jobs/parse", {"JobHCL": 'job "x" {\n group "g" {}\n}'}).json()
    assert not parsed["Payload"]


def test_a_node_says_in_events_whether_it_drains(agent: Agent) -> None:
    (node,) = agent.get("/v1/nodes").json()
    connection = http.client.HTTPConnection("127.0.0.1", agent.ports["http"], timeout=30)
    try:
        index = int(agent.get("/v1/nodes").headers["X-Nomad-Index"])
        connection.request("GET", f"/v1/event/stream?topic=Node&index={index + 1}")
        answer = connection.getresponse()
        path = f"/v1/node/{node['ID']}/eligibility"
        agent.put(path, {"NodeID": node["ID"], "Eligibility": "ineligible"})
        event = json.loads(answer.readline())["Events"][0]
        agent.put(path, {"NodeID": node["ID"], "Eligibility": "eligible"})
    finally:
        connection.close()
    assert event["Payload"]["Node"]["ID"] == node["ID"]
    assert event["Payload"]["Node"]["Drain"] is False
    assert not event["Payload"]["Node"]["SecretID"]


def test_a_topic_with_two_colons_is_refused_in_words_clients_look_for(agent: Agent) -> None:
    refused = agent.get("/v1/event/stream?topic=Evaluation:::*")
    assert refused.status == 400
    assert "Invalid key value pair" in refused.text


def canonicalised_by_a_client(job: dict[str, Any]) -> dict[str, Any]:
    """The job as a client sends it that fills in defaults of its own."""
    group = job["TaskGroups"][0]
    services = [
        {**service, "Cluster": "default", "OnUpdate": "require_healthy", "AddressMode": "auto"}
        for service in group["Services"]
    ]
    return {**job, "TaskGroups": [{**group, "Services": services}]}


def test_defaults_that_a_client_fills_in_are_no_change_of_the_job(agent: Agent) -> None:
    job = raw_exec_job("compat-service", "exec sleep 1000", count=0)
    job["TaskGroups"][0]["Services"] = [{"Name": "s", "Provider": "nomad", "Checks": None}]
    agent.run_job(job)
    body = {"Job": canonicalised_by_a_client(job), "Diff": True}
    plan = agent.put("/v1/job/compat-service/plan", body).json()
    assert plan["Diff"]["Type"] == "None"
    stored = agent.get("/v1/job/compat-service").json()
    assert stored["TaskGroups"][0]["Services"][0]["Cluster"] == "default"
    again = agent.put("/v1/job/compat-service/plan", {"Job": stored, "Diff": True}).json()
    assert again["Diff"]["Type"] == "None"


def test_a_batch_job_can_be_registered_as_it_was_read(agent: Agent) -> None:
    job = {**raw_exec_job("compat-batch", "exec true", count=0), "Type": "batch"}
    agent.run_job(job)
    stored = agent.get("/v1/job/compat-batch").json()
    assert stored["Update"]["MaxParallel"] == 0
    again = agent.put("/v1/jobs", {"Job": stored}).json()
    assert again["JobModifyIndex"] == stored["JobModifyIndex"]


def test_an_allocation_that_is_called_unhealthy_makes_its_deployment_fail(agent: Agent) -> None:
    job = raw_exec_job("compat-health", "exec sleep 1000")
    job["Update"] = {"HealthCheck": "manual", "AutoRevert": True}

    def deployed(version: int, healthy: bool) -> Any:
        alloc = eventually(
            "the allocation",
            lambda: next(
                (
                    found
                    for found in agent.running("compat-health", 1)
                    if found["JobVersion"] == version
                ),
                None,
            ),
        )
        deployment = agent.get("/v1/job/compat-health/deployment").json()["ID"]
        which = "HealthyAllocationIDs" if healthy else "UnhealthyAllocationIDs"
        body = {"DeploymentID": deployment, which: [alloc["ID"]]}
        answer = agent.put(f"/v1/deployment/allocation-health/{deployment}", body).json()
        return answer, f"/v1/deployment/{deployment}"

    agent.run_job(job)
    answer, path = deployed(0, healthy=True)
    assert answer["RevertedJobVersion"] is None
    eventually("success", lambda: agent.get(path).json()["Status"] == "successful")
    job["TaskGroups"][0]["Tasks"][0]["Env"] = {"A": "1"}
    agent.run_job(job)
    answer, path = deployed(1, healthy=False)
    assert answer["RevertedJobVersion"] == 0
    failed = agent.get(path).json()
    assert failed["Status"] == "failed"
    assert failed["StatusDescription"].startswith("Failed due to unhealthy allocations")
    assert agent.get("/v1/job/compat-health").json()["Version"] == 2


def test_an_eval_priority_of_zero_is_no_priority(agent: Agent) -> None:
    agent.run_job(raw_exec_job("compat-zero", "exec sleep 1000", count=0))
    stopped = agent.request("DELETE", "/v1/job/compat-zero?eval_priority=0").json()
    assert agent.get(f"/v1/evaluation/{stopped['EvalID']}").json()["Priority"] == 50


def test_stopping_a_job_that_is_not_there_is_no_error(agent: Agent) -> None:
    before = agent.get("/v1/evaluations").json()
    stopped = agent.request("DELETE", "/v1/job/compat-nowhere")
    assert stopped.json()["EvalID"] == ""
    assert int(stopped.headers["X-Nomad-Index"]) > 0
    assert len(agent.get("/v1/evaluations").json()) == len(before)


def test_scaling_names_the_missing_group_before_the_missing_job(agent: Agent) -> None:
    assert agent.put("/v1/job/compat-none/scale", {"Count": 1, "Target": {}}).status == 400
    body = {"Count": 1, "Target": {"Group": "g"}}
    assert agent.put("/v1/job/compat-none/scale", body).status == 404
    assert agent.put("/v1/job//scale", body).status == 400


def test_forcing_a_job_that_is_not_periodic_is_refused_in_nomads_words(agent: Agent) -> None:
    assert agent.put("/v1/job/compat-none/periodic/force").status == 404
    agent.run_job(raw_exec_job("compat-force", "exec true", count=0))
    refused = agent.put("/v1/job/compat-force/periodic/force")
    assert refused.status == 400
    assert "can't force launch non-periodic job" in refused.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/node/pools", {"Name": "p", "NodeIdentityTTL": "24h0m0s"}),
        ("/v1/node/pools", {"Name": "p", "NodeIdentityTTL": 5}),
    ],
)
def test_what_is_not_there_yet_is_refused_by_name(agent: Agent, path: str, body: object) -> None:
    refused = agent.put(path, body)
    assert refused.status == 400
    assert "not supported yet" in refused.text


def test_collecting_an_allocation_answers_an_object_and_a_bad_signal_is_the_callers_fault(
    agent: Agent,
) -> None:
    agent.run_job(raw_exec_job("compat-gc", "exec sleep 1000"))
    (alloc,) = agent.running("compat-gc", 1)
    path = f"/v1/client/allocation/{alloc['ID']}"
    refused = agent.put(f"{path}/signal", {"Task": "t", "Signal": "SIGNOPE"})
    assert refused.status == 400
    assert 'unknown signal "SIGNOPE"' in refused.text
    agent.request("DELETE", "/v1/job/compat-gc?no_shutdown_delay=true")
    eventually(
        "the allocation's end",
        lambda: agent.get(f"/v1/allocation/{alloc['ID']}").json()["ClientStatus"] == "complete",
    )
    assert agent.get(f"{path}/gc").json() == {}
