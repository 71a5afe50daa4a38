"""Control groups: a folder per task under `/hanse`, in the v2 tree or in v1's controllers.

A task's group lies under our own top and not under the agent's group, so that the agent's
limits and its end do not touch tasks. Used to see every process of a task, however it forked,
to kill them all and to count. Standard library only: the supervisor imports this.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import NamedTuple

from drivers.common.proc import read_small

TOP = "hanse"
#: The v1 controllers a task's group is made in; `freezer` is what makes killing exact.
V1_CONTROLLERS = ("freezer", "memory", "cpuacct")


class Mounts(NamedTuple):
    """Where the control groups are mounted. `v2` is "" unless v2 has the resource controllers."""

    v2: str
    v1: dict[str, str]

    @property
    def version(self) -> str:
        """`2`, `1`, or "" when there are none."""
        return "2" if self.v2 else "1" if self.v1 else ""


def parse_mounts(mountinfo: str, v2_controllers: str = "") -> Mounts:
    """Read the text of /proc/self/mountinfo; `v2_controllers` is the v2 root's own list."""
    v1: dict[str, str] = {}
    v2 = ""
    for line in mountinfo.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, kind = head.split(" "), tail.split(" ")
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            v2 = fields[4]
        elif kind[0] == "cgroup":
            for option in kind[2].split(","):
                if option in V1_CONTROLLERS:
                    v1[option] = fields[4]
    usable = bool({"cpu", "memory"} <= set(v2_controllers.split()))
    return Mounts(v2=v2 if usable else "", v1={} if usable else v1)


def find_mounts() -> Mounts:
    """Look at this machine."""
    text = read_small("/proc/self/mountinfo")
    controllers = ""
    for line in text.splitlines():
        if " - cgroup2 " in line:
            controllers = read_small(line.split(" ")[4] + "/cgroup.controllers")
    return parse_mounts(text, controllers)


def prepare_top(mounts: Mounts) -> bool:
    """Make `/hanse` in every tree; False when this process may not."""
    folders = tops(mounts)
    if not folders:
        return False
    try:
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
        if mounts.v2:
            for folder in (mounts.v2, *folders):
                _write(f"{folder}/cgroup.subtree_control", "+cpu +memory +pids")
    except OSError:
        return False
    return all(os.access(folder, os.W_OK) for folder in folders)


def tops(mounts: Mounts) -> tuple[str, ...]:
    """Our `/hanse` in every tree."""
    trees = [mounts.v2] if mounts.v2 else sorted(set(mounts.v1.values()))
    return tuple(f"{tree}/{TOP}" for tree in trees)


def paths_for(mounts: Mounts, name: str) -> tuple[str, ...]:
    """The folders of a group below our top."""
    return tuple(f"{top}/{name}" for top in tops(mounts))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def create(paths: tuple[str, ...]) -> None:
    """Make the group. There already is no error."""
    for path in paths:
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            continue


def join(paths: tuple[str, ...]) -> None:
    """Move this process into the group."""
    for path in paths:
        _write(f"{path}/cgroup.procs", "0")


def members(paths: tuple[str, ...]) -> list[int]:
    """Every process in the group or below it."""
    found: set[int] = set()
    for path in paths:
        for folder, _, _ in os.walk(path):
            found.update(int(pid) for pid in read_small(f"{folder}/cgroup.procs").split())
    return sorted(found)


def kill(paths: tuple[str, ...]) -> bool:
    """Send SIGKILL to every process of the group; True when there was one.

    v2 kernels since 5.14 do it in one step. Otherwise the group is frozen meanwhile, so that
    no process forks past the walk. A process that has been killed may be seen for a moment.
    """
    for path in paths:
        try:
            _write(f"{path}/cgroup.kill", "1")
        except OSError:
            continue
        return bool(members(paths))
    _set_frozen(paths, frozen=True)
    found = members(paths)
    try:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    finally:
        _set_frozen(paths, frozen=False)
    return bool(found)


def _set_frozen(paths: tuple[str, ...], *, frozen: bool) -> None:
    for path in paths:
        for name, on, off in (("cgroup.freeze", "1", "0"), ("freezer.state", "FROZEN", "THAWED")):
            try:
                _write(f"{path}/{name}", on if frozen else off)
            except OSError:
                continue


def remove(paths: tuple[str, ...]) -> bool:
    """Remove the group and what is below it; False while a process is in it."""
    for path in paths:
        for folder, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(folder)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                return False
    return True


def oom_kills(paths: tuple[str, ...]) -> int:
    """How many processes of the group the kernel killed for want of memory."""
    count = 0
    for path in paths:
        for name in ("memory.events", "memory.oom_control"):
            for line in read_small(f"{path}/{name}").splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    count = max(count, int(value))
    return count
