"""Processors: number, speed, model and topology."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from client.fingerprint.finding import Finding, read_text

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
#: What a processor is taken for that does not tell its speed, MHz.
_MHZ_UNKNOWN = 1000


def architecture() -> str:
    """The processor's kind, in Go's words."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def fingerprint(total_mhz: int = 0) -> Finding:
    """Read it from the kernel; `total_mhz` replaces the total (0: does not). Blocks."""
    blocks = _blocks(read_text("/proc/cpuinfo"))
    online = sorted(os.sched_getaffinity(0))
    speeds = {core: _speed(core, blocks) for core in online}
    mhz = max(speeds.values(), default=_MHZ_UNKNOWN)
    total = total_mhz or sum(speeds.values())
    model = next((b["model name"] for b in blocks.values() if b.get("model name")), "")
    nodes = _numa_nodes()
    attributes = {
        "cpu.arch": architecture(),
        "cpu.frequency": str(mhz),
        "cpu.numcores": str(len(online)),
        "cpu.reservablecores": str(len(online)),
        "cpu.totalcompute": str(total),
        "cpu.usablecompute": str(total),
        "numa.node.count": str(len(nodes)),
    }
    if model:
        attributes["cpu.modelname"] = model
    for node, cores in nodes.items():
        attributes[f"numa.node{node}.cores"] = ",".join(map(str, cores))
    return Finding(
        attributes=attributes,
        cores=len(online),
        total_mhz=total,
        topology=_topology(online, speeds, nodes, blocks, total_mhz),
    )


def _blocks(text: str) -> dict[int, dict[str, str]]:
    """/proc/cpuinfo by the number of the core."""
    found: dict[int, dict[str, str]] = {}
    for block in text.strip().split("\n\n"):
        pairs = [line.partition(":") for line in block.splitlines()]
        values = {key.strip(): value.strip() for key, _, value in pairs}
        number = values.get("processor", "")
        if number.isdecimal():
            found[int(number)] = values
    return found


def _speed(core: int, blocks: Mapping[int, Mapping[str, str]]) -> int:
    """The core's highest speed, MHz."""
    khz = read_text(f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq").strip()
    if khz.isdecimal() and int(khz) > 0:
        return int(khz) // 1000
    try:
        return int(float(blocks.get(core, {}).get("cpu MHz", ""))) or _MHZ_UNKNOWN
    except ValueError:
        return _MHZ_UNKNOWN


def _numa_nodes() -> dict[int, list[int]]:
    """The cores of each NUMA node; one node with all cores where the kernel knows none."""
    found: dict[int, list[int]] = {}
    for path in Path("/sys/devices/system/node").glob("node[0-9]*"):
        cores = _ranges(read_text(str(path / "cpulist")).strip())
        found[int(path.name.removeprefix("node"))] = cores
    return dict(sorted(found.items())) or {0: sorted(os.sched_getaffinity(0))}


def _ranges(text: str) -> list[int]:
    """`0-2,5` as numbers."""
    found: list[int] = []
    for match in re.finditer(r"(\d+)(?:-(\d+))?", text):
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, min(last, first + 4096) + 1)
    return found


def _topology(
    online: list[int],
    speeds: Mapping[int, int],
    nodes: Mapping[int, list[int]],
    blocks: Mapping[int, Mapping[str, str]],
    override_mhz: int,
) -> dict[str, object]:
    """In the shape of the API's `Processors.Topology`."""
    node_of = {core: node for node, cores in nodes.items() for core in cores}
    distances = [
        [int(n) for n in read_text(f"/sys/devices/system/node/node{node}/distance").split()] or [10]
        for node in nodes
    ]
    cores: list[object] = [
        {
            "SocketID": int(blocks.get(core, {}).get("physical id") or 0),
            "NodeID": node_of.get(core, 0),
            "ID": core,
            "Grade": True,
            "Disable": False,
            "BaseSpeed": 0,
            "MaxSpeed": speeds[core],
            "GuessSpeed": 0,
        }
        for core in online
    ]
    return {
        "Nodes": list(nodes),
        "Distances": distances,
        "Cores": cores,
        "OverrideTotalCompute": override_mhz,
        "OverrideWitholdCompute": 0,
    }
