"""A small network of namespaces on one bridge, in which links between servers can be cut.

Needs root. Nothing leaves the machine: the bridge has no other port, and an address of its own by
which the tests reach every namespace, whatever is cut between them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.quorum_harness import PORTS, Region, Server

#: In a namespace of its own every server can have the same ports.
FIRST_PORT = 4646


class Network:
    """Namespaces with one address each."""

    def __init__(self) -> None:
        """Nothing is made yet. The names hold our process id, and so does the network's address."""
        self.tag = f"hq{os.getpid() % 100_000}"
        self.net = f"10.231.{os.getpid() % 250 + 1}"
        self.hub = f"{self.tag}hub"
        self.names: list[str] = []

    def open(self) -> None:
        """Make the bridge. Raises CalledProcessError without the right to.

        It is in a namespace too: the firewall of the machine, Docker's for one, is not in the way.
        """
        run("ip", "netns", "add", self.hub)
        run("ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.hub, "link", "set", "bridge", "up")
        own = ("ip", "link", "add", self.tag, "type", "veth", "peer", "name", "tests")
        run(*own, "netns", self.hub)
        run("ip", "-n", self.hub, "link", "set", "tests", "master", "bridge", "up")
        run("ip", "addr", "add", f"{self.net}.254/24", "dev", self.tag)
        run("ip", "link", "set", self.tag, "up")

    def add(self) -> str:
        """One more namespace; gives its address."""
        number = len(self.names) + 1
        name, port = f"{self.tag}n{number}", f"n{number}"
        run("ip", "netns", "add", name)
        self.names.append(name)
        pair = ("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "-n", self.hub, *pair)
        run("ip", "-n", self.hub, "link", "set", port, "master", "bridge", "up")
        address = f"{self.net}.{number}"
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", name, "link", "set", device, "up")
        return address

    def inside(self, address: str) -> tuple[str, ...]:
        """The words before a command that is to run at an address."""
        return ("ip", "netns", "exec", self._name(address))

    def deafen(self, listener: str, speaker: str) -> None:
        """`listener` hears nothing of `speaker` any more; the other way still works."""
        run(*self.inside(listener), "iptables", "-A", "INPUT", "-s", speaker, "-j", "DROP")

    def cut(self, one: str, other: str) -> None:
        """Neither hears the other."""
        self.deafen(one, other)
        self.deafen(other, one)

    def heal(self) -> None:
        """Everybody hears everybody."""
        for name in self.names:
            run("ip", "netns", "exec", name, "iptables", "-F", "INPUT")

    def close(self) -> None:
        """Leave nothing behind."""
        for name in (*self.names, self.hub):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", self.tag], check=False, stderr=subprocess.DEVNULL)

    def _name(self, address: str) -> str:
        return self.names[int(address.rpartition(".")[2]) - 1]


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def region_in(network: Network, folder: Path, count: int = 3) -> Region:
    """Servers that are to be one region, each in a namespace."""
    region = Region(folder, 0)
    ports = {name: FIRST_PORT + number for number, name in enumerate(PORTS)}
    for number in range(1, count + 1):
        address = network.add()
        server = Server(folder / f"s{number}", f"s{number}", address, ports=ports)
        server.prefix = network.inside(address)
        server.expect = count
        region.servers.append(server)
    for server in region.servers:
        server.join = [other.rpc for other in region.servers]
    return region
