"""What the scheduler reads out of a node's registration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import msgspec

from hanse.structs.node import Node, NodeResources

DYNAMIC_PORT_MIN = 20_000
DYNAMIC_PORT_MAX = 32_000
PORT_MAX = 65_535

_ENCODER = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Room:
    """What a node has for allocations: its resources less what it keeps back."""

    cpu_mhz: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    dynamic_min: int = DYNAMIC_PORT_MIN
    dynamic_max: int = DYNAMIC_PORT_MAX
    reserved_ports: frozenset[int] = frozenset()

    @property
    def dynamic_ports(self) -> int:
        """How many ports the dynamic range has that are not kept back."""
        kept = sum(self.dynamic_min <= port <= self.dynamic_max for port in self.reserved_ports)
        return self.dynamic_max - self.dynamic_min + 1 - kept


NO_ROOM = Room()


def room_of(node: Node) -> Room:
    """What the node has for allocations."""
    has = node.node_resources or NodeResources()
    keeps = node.reserved_resources
    spans = [address.reserved_ports for net in has.node_networks for address in net.addresses]
    if keeps is not None:
        spans.append(keeps.networks.reserved_host_ports)
    return Room(
        cpu_mhz=has.cpu.cpu_shares - (keeps.cpu.cpu_shares if keeps is not None else 0),
        memory_mb=has.memory.memory_mb - (keeps.memory.memory_mb if keeps is not None else 0),
        disk_mb=has.disk.disk_mb - (keeps.disk.disk_mb if keeps is not None else 0),
        dynamic_min=has.min_dynamic_port or DYNAMIC_PORT_MIN,
        dynamic_max=has.max_dynamic_port or DYNAMIC_PORT_MAX,
        reserved_ports=port_set(",".join(span for span in spans if span)),
    )


@lru_cache(maxsize=1024)
def port_set(text: str) -> frozenset[int]:
    """The ports of a text like `22,80,8500-8600`; what is no port is left out."""
    return frozenset(_ports(text))


def _ports(text: str) -> Iterator[int]:
    for span in text.split(","):
        first, dash, last = span.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            continue
        yield from range(int(first), min(int(last) if dash else int(first), PORT_MAX) + 1)


def host_ip(node: Node) -> str:
    """The address that ports of the default host network are bound to."""
    has = node.node_resources or NodeResources()
    addresses = [address for network in has.node_networks for address in network.addresses]
    for address in addresses:
        if address.alias == "default" and address.address:
            return address.address
    for network in has.networks:
        if network.ip:
            return network.ip
    if addresses and addresses[0].address:
        return addresses[0].address
    return node.attributes.get("unique.network.ip-address", "")


def usable(node: Node) -> bool:
    """Whether new allocations may go there."""
    return (
        node.status == "ready"
        and node.scheduling_eligibility == "eligible"
        and node.drain_strategy is None
    )


def has_driver(node: Node, driver: str) -> bool:
    """Whether the driver is there and works."""
    info = node.drivers.get(driver)
    if info is not None:
        return info.detected and info.healthy
    return node.attributes.get(f"driver.{driver}", "").lower() in ("1", "t", "true")


def computed_class(node: Node) -> str:
    """A name for all that nodes of one make share: nodes of one class pass the same constraints.

    What is `unique.` is left out, so a constraint on such a value does not go by classes.
    """
    drivers = sorted(name for name in node.drivers if has_driver(node, name))
    content = (
        node.datacenter,
        node.node_pool,
        node.node_class,
        {k: v for k, v in node.attributes.items() if not _unique(k)},
        {k: v for k, v in node.meta.items() if not _unique(k)},
        drivers,
        sorted(node.host_volumes),
    )
    return f"v1:{int.from_bytes(blake2b(_ENCODER.encode(content), digest_size=8).digest())}"


def _unique(name: str) -> bool:
    return name.startswith("unique.")
