"""Servers that come, lose their data, or belong elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import eventually
from tests.quorum_harness import Load, Region, Server, lost


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory, etcd_binary: Path) -> Iterator[Region]:
    del etcd_binary
    region = Region(tmp_path_factory.mktemp("region"))
    try:
        yield region.start()
    finally:
        region.close()


@pytest.fixture
def stranger(tmp_path: Path, region: Region) -> Iterator[Server]:
    """One more server, told of the region's, with nothing started."""
    server = Server(tmp_path / "s9", "s9", "127.0.0.30")
    server.join = [each.rpc for each in region.servers]
    try:
        yield server
    finally:
        server.close()


def peers(server: Server) -> dict[str, Any]:
    found = server.get("/v1/operator/raft/configuration").json()["Servers"]
    return {peer["Node"].partition(".")[0]: peer for peer in found}


def exit_of(server: Server) -> str:
    """What a server said before it ended with an error."""
    assert server.process is not None
    assert server.process.wait(timeout=60) == 1
    return server.log.read_text()


def cluster_of(server: Server) -> str:
    record = json.loads((server.folder / "data/server/quorum.json").read_text())
    return str(record["phase"]["cluster"])


def test_a_server_that_lost_its_data_joins_anew_and_votes(region: Region) -> None:
    leader = region.settled()
    victim = region.followers(leader)[0]
    before = peers(leader)[victim.name]
    put = {"ServerStabilizationTime": "1s"}
    assert leader.put("/v1/operator/autopilot/configuration", put).json() is True
    with Load(region.followers(victim), name="replace") as load:
        victim.kill()
        shutil.rmtree(victim.folder / "data")
        victim.launch()

        def votes_again() -> bool:
            now = peers(leader).get(victim.name, {})
            return bool(now.get("Voter")) and now["ID"] != before["ID"]

        eventually("the new one votes", votes_again)
    assert load.failed() == []
    assert len(peers(leader)) == 3
    region.settled()
    assert lost(load, victim) == set()


def test_a_removed_server_says_so_and_comes_back_as_another(
    region: Region, stranger: Server
) -> None:
    leader = region.settled()
    stranger.launch()
    eventually("the fourth votes", lambda: peers(leader).get("s9", {}).get("Voter"))
    stranger.kill()
    first = peers(leader)["s9"]["ID"]
    assert leader.request("DELETE", f"/v1/operator/raft/peer?id={first}").status == 200
    assert "s9" not in peers(leader)
    stranger.launch()
    assert "was removed from its cluster" in exit_of(stranger)
    stranger.launch()
    eventually("it is back", lambda: peers(leader).get("s9", {}).get("Voter"))
    again = peers(leader)["s9"]["ID"]
    assert again != first
    stranger.kill()

    def left() -> bool:
        leader.put("/v1/agent/force-leave?node=s9")
        return "s9" not in peers(leader)

    eventually("it has left", left)


def test_a_server_of_another_cluster_is_refused_with_both_ids(
    region: Region, stranger: Server
) -> None:
    joined = stranger.join
    stranger.join, stranger.expect = (), 1
    stranger.launch()
    eventually("a cluster of its own", stranger.leader)
    assert stranger.stop() == 0
    stranger.join = joined
    stranger.launch()
    said = exit_of(stranger)
    assert cluster_of(stranger) in said
    assert cluster_of(region.servers[0]) in said
    assert set(peers(region.settled())) == {"s1", "s2", "s3"}


def test_a_server_of_another_region_is_refused(region: Region, stranger: Server) -> None:
    stranger.region = "elsewhere"
    stranger.launch()
    said = "server s9 at .* belongs to region 'elsewhere', this one .* to 'global'"
    eventually("the reason is logged", lambda: re.search(said, stranger.log.read_text()))
    assert set(peers(region.settled())) == {"s1", "s2", "s3"}


def test_data_of_another_region_are_refused(region: Region, stranger: Server) -> None:
    source = region.servers[0]
    (stranger.folder / "data/server").mkdir(parents=True)
    shutil.copy(
        source.folder / "data/server/quorum.json", stranger.folder / "data/server/quorum.json"
    )
    stranger.region = "elsewhere"
    stranger.launch()
    assert "has the data of a server of region 'global', not 'elsewhere'" in exit_of(stranger)


def test_a_name_that_is_taken_is_refused(region: Region, stranger: Server) -> None:
    stranger.name = "s1"
    stranger.launch()
    eventually(
        "the reason is logged", lambda: "two servers are called 's1'" in stranger.log.read_text()
    )
    assert peers(region.settled())["s1"]["Address"] == region.servers[0].rpc
