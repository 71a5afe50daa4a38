"""From findings to the node that servers register. Pure, but for `look`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from client.fingerprint import cpu, host, network
from client.fingerprint.finding import Finding
from hanse.config.model import AgentConfig
from hanse.structs.node import (
    ClientHostVolumeConfig,
    DriverInfo,
    LegacyNodeCpuResources,
    Node,
    NodeDiskResources,
    NodeMemoryResources,
    NodeReservedCpuResources,
    NodeReservedDiskResources,
    NodeReservedMemoryResources,
    NodeReservedNetworkResources,
    NodeReservedResources,
    NodeResources,
)


async def look(config: AgentConfig, alloc_dir: Path) -> list[Finding]:
    """Everything about the machine, looked at side by side in threads."""
    client = config.client
    found = await asyncio.gather(
        asyncio.to_thread(cpu.fingerprint, client.cpu_total_compute),
        asyncio.to_thread(host.memory, client.memory_total_mb),
        asyncio.to_thread(host.storage, alloc_dir, client.disk_total_mb),
        asyncio.to_thread(
            network.fingerprint, client.network_interface, bind_addr=config.bind_addr
        ),
        asyncio.to_thread(host.system),
    )
    return list(found)


def node_of(
    config: AgentConfig,
    node_id: str,
    findings: Iterable[Finding],
    drivers: Mapping[str, DriverInfo],
    *,
    http_addr: str = "",
    meta: Mapping[str, str | None] | None = None,
) -> Node:
    """The node. `meta` is what users changed at run time, over the configured; None removes."""
    client = config.client
    found = list(findings)
    attributes = {key: value for each in found for key, value in each.attributes.items()}
    for info in drivers.values():
        if info.detected:
            attributes |= info.attributes
    address = attributes.get("unique.network.ip-address", "")
    if http_addr:
        attributes["nomad.advertise.address"] = http_addr
        attributes["unique.advertise.address"] = http_addr.rpartition(":")[0] or address
    merged: dict[str, str] = dict(client.meta)
    for key, value in (meta or {}).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    node = Node(
        id=node_id,
        datacenter=config.datacenter,
        name=config.name or attributes.get("unique.hostname", ""),
        http_addr=http_addr,
        attributes=attributes,
        node_resources=_resources(config, found),
        reserved_resources=_reserved(config),
        meta=merged,
        node_class=client.node_class,
        node_pool=client.node_pool or "default",
        status="ready",
        scheduling_eligibility="eligible",
        drivers=dict(drivers),
        host_volumes={
            volume.name: ClientHostVolumeConfig(
                name=volume.name, path=volume.path, read_only=volume.read_only
            )
            for volume in client.host_volumes
        },
    )
    return msgspec.structs.replace(node, computed_class=computed_class(node))


def _resources(config: AgentConfig, found: list[Finding]) -> NodeResources:
    client = config.client
    topology = next((each.topology for each in found if each.topology is not None), None)
    cores = max((each.cores for each in found), default=0)
    return NodeResources(
        cpu=LegacyNodeCpuResources(
            cpu_shares=max((each.total_mhz for each in found), default=0),
            total_cpu_cores=cores,
            reservable_cpu_cores=tuple(range(cores)),
        ),
        processors={"Topology": topology} if topology is not None else {},
        memory=NodeMemoryResources(memory_mb=max((e.memory_mb for e in found), default=0)),
        disk=NodeDiskResources(disk_mb=max((each.disk_mb for each in found), default=0)),
        node_networks=tuple(each for one in found for each in one.node_networks),
        networks=tuple(each for one in found for each in one.networks),
        min_dynamic_port=client.min_dynamic_port,
        max_dynamic_port=client.max_dynamic_port,
    )


def _reserved(config: AgentConfig) -> NodeReservedResources:
    reserved = config.client.reserved
    return NodeReservedResources(
        cpu=NodeReservedCpuResources(cpu_shares=reserved.cpu),
        memory=NodeReservedMemoryResources(memory_mb=reserved.memory),
        disk=NodeReservedDiskResources(disk_mb=reserved.disk),
        networks=NodeReservedNetworkResources(reserved_host_ports=reserved.reserved_ports),
    )


def computed_class(node: Node) -> str:
    """A name that two nodes share if no job can tell them apart by what is not `unique.`."""
    parts = {
        "datacenter": node.datacenter,
        "class": node.node_class,
        "pool": node.node_pool,
        **{f"attr.{k}": v for k, v in node.attributes.items() if not k.startswith("unique.")},
        **{f"meta.{k}": v for k, v in node.meta.items() if not k.startswith("unique.")},
        **{f"driver.{k}": str(d.detected and d.healthy) for k, d in node.drivers.items()},
        **{f"volume.{k}": str(v.read_only) for k, v in node.host_volumes.items()},
    }
    # The addresses of a machine are its own, whatever the attribute is called.
    parts.pop("attr.nomad.advertise.address", None)
    text = "\0".join(f"{key}\0{value}" for key, value in sorted(parts.items()))
    return "v1:" + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
