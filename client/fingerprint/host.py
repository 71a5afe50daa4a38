"""The machine and its system: memory, kernel, OS, name, cgroups, signals, versions."""

from __future__ import annotations

import os
import shlex
import signal
import socket
from pathlib import Path

import hanse
from client.fingerprint.cpu import architecture
from client.fingerprint.finding import Finding, read_text

#: The version of Nomad whose job files and API we are compatible with. Constraints that Nomad adds
#: to jobs by itself (`${attr.nomad.version} semver >= 1.4.0`), and users' own, are met by it.
COMPATIBLE_VERSION = "2.0.6"

_CGROUPS = "/sys/fs/cgroup"


def system() -> Finding:
    """Kernel, OS, name, signals and versions. Blocks."""
    uname = os.uname()
    release = _os_release()
    attributes = {
        "kernel.name": uname.sysname.lower(),
        "kernel.version": uname.release,
        "kernel.arch": uname.machine,
        "arch": architecture(),
        "os.name": release.get("ID", uname.sysname.lower()),
        "os.version": release.get("VERSION_ID", ""),
        "os.signals": ",".join(sorted(s.name for s in signal.Signals)),
        "unique.hostname": socket.gethostname(),
        "nomad.version": COMPATIBLE_VERSION,
        "nomad.service_discovery": "true",
        "hanse.version": hanse.__version__,
    }
    version = cgroups_version()
    if version:
        attributes["os.cgroups.version"] = version
    landlock = "landlock" in read_text("/sys/kernel/security/lsm")
    if landlock:
        attributes["kernel.landlock"] = "v1"
    return Finding(attributes=attributes)


def memory(total_mb: int = 0) -> Finding:
    """The memory there is; `total_mb` replaces it (0: does not). Blocks."""
    found = 0
    for line in read_text("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            found = int(value.split()[0]) * 1024
    total = total_mb * 1024 * 1024 or found
    return Finding(attributes={"memory.totalbytes": str(total)}, memory_mb=total // (1024 * 1024))


def storage(folder: Path, total_mb: int = 0) -> Finding:
    """The volume that allocations lie on; `total_mb` replaces what is free. Blocks."""
    stats = os.statvfs(folder)
    total, free = stats.f_blocks * stats.f_frsize, stats.f_bavail * stats.f_frsize
    if total_mb:
        total = free = total_mb * 1024 * 1024
    return Finding(
        attributes={
            "unique.storage.volume": _volume(folder),
            "unique.storage.bytestotal": str(total),
            "unique.storage.bytesfree": str(free),
        },
        disk_mb=free // (1024 * 1024),
    )


def cgroups_version() -> str:
    """`2` for the unified hierarchy, `1` for the old or mixed ones, "" for none."""
    if Path(_CGROUPS, "cgroup.controllers").exists():
        return "2"
    return "1" if Path(_CGROUPS, "memory").exists() or Path(_CGROUPS, "cpu").exists() else ""


def _volume(folder: Path) -> str:
    """The device mounted nearest above the folder."""
    path = str(folder.resolve())
    best, device = "", ""
    for line in read_text("/proc/self/mounts").splitlines():
        fields = line.split()
        point = fields[1] if len(fields) > 1 else ""
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, device = point, fields[0]
    return device


def _os_release() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in read_text("/etc/os-release").splitlines():
        key, mark, value = line.partition("=")
        if mark:
            try:
                found[key] = "".join(shlex.split(value))
            except ValueError:
                continue
    return found
