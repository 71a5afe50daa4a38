"""Three servers as one region: any of them answers, and none of them is needed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import eventually, raw_exec_job
from tests.quorum_harness import Load, Region, Server, idle_job, lost


def record(server: Server) -> dict[str, Any]:
    return dict(json.loads((server.folder / "data/server/quorum.json").read_text()))


def ready_nodes(server: Server) -> int:
    return sum(node["Status"] == "ready" for node in server.get("/v1/nodes").json())


def live(server: Server, job_id: str) -> list[Any]:
    allocs = server.get(f"/v1/job/{job_id}/allocations").json()
    return [alloc for alloc in allocs if alloc["ClientStatus"] in ("pending", "running")]


@pytest.fixture(scope="module")
def sleepers(region: Region) -> Iterator[list[Any]]:
    """Four tasks that run, on some nodes."""
    server = region.servers[0]
    eventually("three nodes", lambda: ready_nodes(server) == 3)
    server.run_job(raw_exec_job("sleepers", "echo $$ > pid; echo hello; exec sleep 3600", count=4))
    yield server.running("sleepers", 4)
    for each in region.servers:
        if each.alive():
            each.stop_jobs()
            break


def test_servers_that_start_together_begin_one_cluster(region: Region) -> None:
    phases = [record(server)["phase"] for server in region.servers]
    assert {phase["type"] for phase in phases} == {"Decided"}
    assert len({phase["cluster"] for phase in phases}) == 1
    for server in region.servers:
        peers = server.get("/v1/operator/raft/configuration").json()["Servers"]
        assert [peer["Node"] for peer in peers] == ["s1.global", "s2.global", "s3.global"]
        assert all(peer["Voter"] for peer in peers)
        assert sum(peer["Leader"] for peer in peers) == 1
        members = server.get("/v1/agent/members").json()["Members"]
        assert {member["Status"] for member in members} == {"alive"}
        assert sorted(server.get("/v1/status/peers").json()) == sorted(
            each.rpc for each in region.servers
        )

    def healthy() -> bool:
        answer = region.servers[0].get("/v1/operator/autopilot/health")
        return answer.status == 200 and json.loads(answer.text)["FailureTolerance"] == 1

    eventually("a healthy quorum", healthy)


def test_what_one_server_was_told_the_others_answer_at_once(region: Region) -> None:
    for number, server in enumerate(region.servers):
        assert server.put("/v1/jobs", {"Job": idle_job(f"told-{number}")}).status == 200
        for other in region.servers:
            assert other.get(f"/v1/job/told-{number}").status == 200


def test_a_task_is_reached_through_every_server(region: Region, sleepers: list[Any]) -> None:
    for server in region.servers:
        for alloc in sleepers:
            answer = server.get(f"/v1/client/fs/logs/{alloc['ID']}?task=t&type=stdout&plain=true")
            assert (answer.status, answer.text) == (200, "hello\n")
    assert region.servers[0].get("/v1/client/stats?node_id=" + "0" * 36).status == 404


def test_nodes_of_followers_stay_alive_for_the_leader(region: Region, sleepers: list[Any]) -> None:
    leader = region.settled()
    began = time.monotonic()
    # Twice the time after which a silent node is down.
    while time.monotonic() - began < 8.0:
        assert ready_nodes(leader) == 3
        time.sleep(0.5)
    del sleepers


def test_leadership_is_handed_over_on_request(region: Region) -> None:
    leader = region.settled()
    target = region.followers(leader)[-1]
    answer = leader.put(f"/v1/operator/raft/transfer-leadership?address={target.rpc}").json()
    assert (answer["From"]["Address"], answer["To"]["Address"]) == (leader.rpc, target.rpc)
    assert region.settled() is target


def pids(sleepers: list[Any], servers: list[Server]) -> set[int]:
    """The processes of tasks on these servers' nodes, as they wrote them down themselves."""
    found = set()
    for server in servers:
        for alloc in sleepers:
            for path in (server.folder / "data").rglob(f"{alloc['ID']}/t/pid"):
                found.add(int(Path(path).read_text()))
    return found


def test_servers_are_restarted_one_by_one_under_load(region: Region) -> None:
    for server in region.servers:
        others = region.followers(server)
        led = region.settled() is server
        with Load(others, name=f"rolling-{server.name}") as load:
            eventually("a steady load", lambda load=load: len(load.acknowledged()) >= 10)
            stopping = time.monotonic()
            process = server.process
            assert process is not None
            process.terminate()
            if led:
                new = region.settled(others)
                assert time.monotonic() - stopping < 3.0
                assert new is not server
            assert process.wait(timeout=30) == 0
            server.launch()
            region.settled()
        assert load.failed() == []
        assert load.reads > 5
        assert lost(load, server) == set()


def test_the_leader_dies_and_no_client_notices(region: Region, sleepers: list[Any]) -> None:
    leader = region.settled()
    others = region.followers(leader)
    del sleepers
    running = others[0].running("sleepers", 4)
    assert len(pids(running, region.servers)) == 4
    tasks = pids(running, others)
    with Load(others, name="kill") as load:
        eventually("a steady load", lambda: len(load.acknowledged()) >= 20)
        killed = time.monotonic()
        leader.kill()
        eventually("writes go on", lambda: load.gap_s(killed) < 20)
        new = region.settled(others)
        eventually("more writes", lambda: len(load.acknowledged()) >= 60)
    assert load.failed() == []
    assert lost(load, new) == set()
    assert load.gap_s(killed) < 3.0
    assert all(os.path.exists(f"/proc/{pid}") for pid in tasks)
    members = {m["Name"]: m["Status"] for m in new.get("/v1/agent/members").json()["Members"]}
    eventually(
        "the dead one is shown",
        lambda: [m for m in new.get("/v1/agent/members").json()["Members"]
                 if m["Status"] == "failed"],
    )  # fmt: skip
    assert len(members) == 3
    leader.launch()
    region.settled()
    eventually("its node is back", lambda: ready_nodes(new) == 3)
    assert all(os.path.exists(f"/proc/{pid}") for pid in tasks)


def test_a_leader_that_is_paused_leads_no_more_when_it_wakes(region: Region) -> None:
    leader = region.settled()
    others = region.followers(leader)
    with Load(others, name="pause") as load:
        eventually("a steady load", lambda: len(load.acknowledged()) >= 10)
        paused = time.monotonic()
        frozen = leader.freeze()
        try:
            new = region.settled(others)
            eventually("writes go on", lambda: load.gap_s(paused) < 20)
        finally:
            leader.thaw(frozen)
        assert region.settled() is not leader
    assert load.failed() == []
    assert lost(load, leader) == set()
    assert leader.leader() == new.rpc


def test_without_a_quorum_writes_are_refused_at_once_and_stale_reads_go_on(
    region: Region,
) -> None:
    survivor, *dead = region.servers
    region.settled()
    for server in dead:
        server.kill()

    def refused() -> bool:
        answer = survivor.put("/v1/jobs", {"Job": idle_job("refused")})
        return answer.status == 500 and answer.text == "No cluster leader"

    eventually("the loss is noticed", refused)
    began = time.monotonic()
    assert refused()
    assert survivor.get("/v1/jobs").status == 500
    assert time.monotonic() - began < 2.0
    assert survivor.get("/v1/job/told-0?stale").status == 200
    for server in dead:
        server.launch()
    region.settled()
    assert survivor.get("/v1/job/told-0").status == 200
    assert survivor.put("/v1/jobs", {"Job": idle_job("again")}).status == 200


def test_all_servers_restart_at_once_and_know_everything(region: Region) -> None:
    with Load(region.servers, name="all") as load:
        eventually("a steady load", lambda: len(load.acknowledged()) >= 20)
    for server in region.servers:
        server.kill()
    for server in region.servers:
        server.launch()
    leader = region.settled()
    assert lost(load, leader) == set()


def test_a_node_moves_to_another_server_and_its_task_does_not_notice(
    region: Region, tmp_path: Path
) -> None:
    leader = region.settled()
    others = region.followers(leader)
    node = Server(tmp_path / "node", "n9", "127.0.0.31", client=True)
    node.server, node.join = False, [leader.rpc]
    node.launch()
    try:
        eventually("a fourth node", lambda: ready_nodes(leader) == 4)
        job = raw_exec_job("mover", "echo $$ > pid; echo moved; exec sleep 3600")
        job["Constraints"] = [{"LTarget": "${node.unique.name}", "RTarget": "n9", "Operand": "="}]
        leader.run_job(job)
        (alloc,) = leader.running("mover", 1)
        (pid,) = pids([alloc], [node])
        leader.kill()
        region.settled(others)

        def reached() -> bool:
            path = f"/v1/client/fs/logs/{alloc['ID']}?task=t&type=stdout&plain=true"
            return all(s.get(path).text == "moved\n" for s in others)

        eventually("its log is read through the others", reached)
        status = [n["Status"] for n in others[0].get("/v1/nodes").json() if n["Name"] == "n9"]
        assert status == ["ready"]
        assert os.path.exists(f"/proc/{pid}")
        (same,) = others[0].running("mover", 1)
        assert same["ID"] == alloc["ID"]
        node.kill()
        os.kill(pid, signal.SIGKILL)
        others[0].request("DELETE", "/v1/job/mover")
        eventually("the dead node's task is given up", lambda: not live(others[0], "mover"))
    finally:
        leader.launch()
        region.settled()
        node.close()
