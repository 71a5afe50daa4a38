"""The network interface that allocations' ports are on."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

from client.fingerprint.finding import Finding, read_text
from hanse.structs.node import NodeNetworkAddress, NodeNetworkResource
from hanse.structs.task import NetworkResource

LOOPBACK = "lo"
_GET_ADDRESS = 0x8915
_GET_MASK = 0x891B
#: What an interface is taken for that does not tell its speed, Mbit/s.
_SPEED_UNKNOWN = 1000


def fingerprint(interface: str = "", *, bind_addr: str = "") -> Finding:
    """The interface named, else that of the default route, else the loopback one. Blocks.

    An agent that listens on a loopback address keeps to it: so do the ports of its tasks, and
    several agents on one machine, each with an address of its own, are several nodes.
    """
    keeps_to_itself = not interface and _is_loopback(bind_addr)
    device = interface or (LOOPBACK if keeps_to_itself else default_interface()) or LOOPBACK
    address, network = _address(device)
    if keeps_to_itself:
        address, network = bind_addr, f"{bind_addr}/{128 if ':' in bind_addr else 32}"
    if not address and not interface:
        device, address, network = LOOPBACK, "127.0.0.1", "127.0.0.1/32"
    if not address:
        return Finding()
    speed = _speed(device)
    mac = read_text(f"/sys/class/net/{device}/address").strip()
    family = "ipv6" if ":" in address else "ipv4"
    node_network = NodeNetworkResource(
        mode="host",
        device=device,
        mac_address=mac,
        speed=speed,
        addresses=(NodeNetworkAddress(family=family, alias="default", address=address),),
    )
    return Finding(
        attributes={"unique.network.ip-address": address},
        node_networks=(node_network,),
        networks=(
            NetworkResource(mode="host", device=device, cidr=network, ip=address, m_bits=speed),
        ),
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def default_interface() -> str:
    """The interface of the default route, "" if there is none."""
    best, name = 1 << 32, ""
    for line in read_text("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and int(fields[6]) < best:
            best, name = int(fields[6]), fields[0]
    return name


def _address(device: str) -> tuple[str, str]:
    """The interface's IPv4 address, or global IPv6 one, with its network; "" if it has none."""
    request = struct.pack("256s", device[:15].encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            address = socket.inet_ntoa(fcntl.ioctl(probe, _GET_ADDRESS, request)[20:24])
            mask = socket.inet_ntoa(fcntl.ioctl(probe, _GET_MASK, request)[20:24])
        except OSError:
            return _address_v6(device)
    if device == LOOPBACK:
        return address, f"{address}/32"
    return address, str(ipaddress.ip_interface(f"{address}/{mask}"))


def _address_v6(device: str) -> tuple[str, str]:
    for line in read_text("/proc/net/if_inet6").splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[5] == device and fields[3] == "00":
            address = str(ipaddress.IPv6Address(bytes.fromhex(fields[0])))
            return address, f"{address}/{int(fields[2], 16)}"
    return "", ""


def _speed(device: str) -> int:
    text = read_text(f"/sys/class/net/{device}/speed").strip()
    return int(text) if text.isdecimal() and int(text) > 0 else _SPEED_UNKNOWN
