"""What a node says of itself."""

import os
from pathlib import Path

import msgspec
import pytest

from client.fingerprint import cpu, host, network
from client.fingerprint.finding import Finding
from client.fingerprint.node import computed_class, look, node_of
from hanse.config.model import AgentConfig, ClientConfig, HostVolume, Reserved
from hanse.structs.node import DriverInfo, Node


async def test_a_node_has_all_that_jobs_ask_for(tmp_path: Path) -> None:
    config = AgentConfig(
        bind_addr="127.0.0.1", name="lubeck", client=ClientConfig(meta={"rack": "r1"})
    )
    findings = await look(config, tmp_path)
    driver = DriverInfo(attributes={"driver.x": "1"}, detected=True, healthy=True)
    node = node_of(config, "id", findings, {"x": driver}, http_addr="127.0.0.1:4646")
    for name in (
        "cpu.arch", "cpu.frequency", "cpu.numcores", "cpu.reservablecores", "cpu.totalcompute",
        "cpu.usablecompute", "memory.totalbytes", "kernel.name", "kernel.version", "kernel.arch",
        "os.name", "os.version", "os.signals", "unique.hostname", "unique.network.ip-address",
        "unique.storage.volume", "unique.storage.bytestotal", "unique.storage.bytesfree",
        "nomad.version", "hanse.version", "numa.node.count", "driver.x",
    ):  # fmt: skip
        assert node.attributes.get(name), name
    assert node.attributes["unique.network.ip-address"] == "127.0.0.1"
    assert node.attributes["nomad.service_discovery"] == "true"
    assert "SIGTERM" in node.attributes["os.signals"].split(",")
    resources = node.node_resources
    assert resources is not None
    assert resources.cpu.cpu_shares == int(node.attributes["cpu.totalcompute"]) > 0
    assert resources.cpu.total_cpu_cores == len(os.sched_getaffinity(0))
    assert resources.memory.memory_mb > 100
    assert resources.disk.disk_mb > 0
    assert resources.networks[0].device == "lo"
    assert resources.node_networks[0].addresses[0].address == "127.0.0.1"
    topology = resources.processors["Topology"]
    assert isinstance(topology, dict)
    assert len(topology["Cores"]) == resources.cpu.total_cpu_cores
    assert (node.name, node.meta, node.status) == ("lubeck", {"rack": "r1"}, "ready")


def test_the_version_of_nomad_meets_what_nomad_itself_demands() -> None:
    version = tuple(int(part) for part in host.COMPATIBLE_VERSION.split("."))
    assert version >= (1, 8, 0)


def test_configured_sizes_replace_what_was_found(tmp_path: Path) -> None:
    assert cpu.fingerprint(9999).total_mhz == 9999
    assert host.memory(512).memory_mb == 512
    assert host.storage(tmp_path, 1000).disk_mb == 1000


def test_an_interface_that_is_named_must_be_there() -> None:
    assert network.fingerprint("nosuch0") == Finding()
    assert network.fingerprint("lo").networks[0].ip == "127.0.0.1"
    assert network.fingerprint(bind_addr="127.0.0.9").networks[0].cidr == "127.0.0.9/32"


def test_reserves_volumes_and_changed_meta_are_told() -> None:
    config = AgentConfig(
        client=ClientConfig(
            reserved=Reserved(cpu=100, memory=200, disk=300, reserved_ports="22,80"),
            host_volumes=(HostVolume(name="data", path="/srv", read_only=True),),
            meta={"a": "1", "b": "2"},
            node_class="big",
            node_pool="gpu",
        )
    )
    node = node_of(config, "id", [], {}, meta={"a": None, "c": "3"})
    assert node.meta == {"b": "2", "c": "3"}
    reserved = node.reserved_resources
    assert reserved is not None
    assert (reserved.cpu.cpu_shares, reserved.memory.memory_mb) == (100, 200)
    assert reserved.networks.reserved_host_ports == "22,80"
    assert node.host_volumes["data"].read_only
    assert (node.node_class, node.node_pool) == ("big", "gpu")


NODE = Node(datacenter="dc1", attributes={"kernel.name": "linux", "unique.hostname": "a"})


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"attributes": {"kernel.name": "linux", "unique.hostname": "b"}}, True),
        ({"id": "x", "name": "y", "http_addr": "z"}, True),
        ({"attributes": {"kernel.name": "freebsd", "unique.hostname": "a"}}, False),
        ({"datacenter": "dc2"}, False),
        ({"node_class": "big"}, False),
        ({"meta": {"unique.slot": "1"}}, True),
        ({"meta": {"rack": "1"}}, False),
        ({"drivers": {"x": DriverInfo(detected=True, healthy=True)}}, False),
    ],
)
def test_nodes_of_one_class_are_those_no_job_can_tell_apart(
    change: dict[str, object], same: bool
) -> None:
    other = msgspec.structs.replace(NODE, **change)
    assert (computed_class(NODE) == computed_class(other)) == same
