"""Three servers in network namespaces, with the links between them cut."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.e2e.harness import eventually
from tests.netns import Network, region_in
from tests.quorum_harness import Load, Region, Server, idle_job, lost


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    network = Network()
    try:
        try:
            network.open()
        except (OSError, subprocess.CalledProcessError):
            missing("the right to make network namespaces", "run the tests as root")
        yield network
    finally:
        network.close()


@pytest.fixture(scope="module")
def region(
    network: Network, tmp_path_factory: pytest.TempPathFactory, etcd_binary: Path
) -> Iterator[Region]:
    del etcd_binary
    region = region_in(network, tmp_path_factory.mktemp("region"))
    try:
        yield region.start()
    finally:
        network.heal()
        region.close()


@pytest.fixture(autouse=True)
def _healed(network: Network, region: Region) -> Iterator[None]:
    yield
    network.heal()
    region.settled()


def test_a_leader_that_is_cut_off_acknowledges_nothing_and_the_others_go_on(
    network: Network, region: Region
) -> None:
    leader = region.settled()
    others = region.followers(leader)
    with Load(others, name="cut") as load:
        eventually("a steady load", lambda: len(load.acknowledged()) >= 20)
        for other in others:
            network.cut(leader.host, other.host)
        moment = time.monotonic()
        eventually("writes go on", lambda: load.gap_s(moment) < 20)
        new = region.settled(others)
        assert refused_by(leader)
        assert leader.leader() != leader.rpc
        network.heal()
        assert region.settled() is not None
    assert load.failed() == []
    assert load.gap_s(moment) < 3.0
    assert lost(load, leader) == set()
    assert new.get("/v1/job/refused").status == 404


def refused_by(server: Server) -> bool:
    """A write at the wrong side of a cut: it is not acknowledged, and soon refused at once."""
    for _ in range(3):
        assert server.put("/v1/jobs", {"Job": idle_job("refused")}).status == 500
    began = time.monotonic()
    answer = server.put("/v1/jobs", {"Job": idle_job("refused")})
    return (
        answer.status == 500
        and answer.text == "No cluster leader"
        and time.monotonic() - began < 2.0
    )


@pytest.mark.parametrize("deaf", ["the leader", "the others"])
def test_a_link_that_fails_in_one_direction_only_stops_nobody(
    network: Network, region: Region, deaf: str
) -> None:
    leader = region.settled()
    others = region.followers(leader)
    with Load(others, name=f"deaf-{deaf[4:]}") as load:
        eventually("a steady load", lambda: len(load.acknowledged()) >= 20)
        for other in others:
            if deaf == "the leader":
                network.deafen(leader.host, other.host)
            else:
                network.deafen(other.host, leader.host)
        moment = time.monotonic()
        eventually("writes go on", lambda: load.gap_s(moment) < 20)
        region.settled(others)
    assert load.failed() == []
    assert lost(load, others[0]) == set()


def test_a_bad_cable_between_two_servers_changes_no_leader(
    network: Network, region: Region
) -> None:
    leader = region.settled()
    one, other = region.followers(leader)
    with Load(region.servers, name="cable") as load:
        eventually("a steady load", lambda: len(load.acknowledged()) >= 20)
        network.cut(one.host, other.host)
        until = time.monotonic() + 5.0
        while time.monotonic() < until:
            assert {server.leader() for server in region.servers} == {leader.rpc}
            time.sleep(0.2)
    assert load.failed() == []
    assert lost(load, one) == set()
