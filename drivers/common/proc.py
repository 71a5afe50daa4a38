"""What /proc says about processes. Standard library only: the supervisor imports this."""

from __future__ import annotations

import functools
import os


def read_small(path: str) -> str:
    """The text of a file of the kernel's; "" if it cannot be read. Much cheaper than `open`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    found = b""
    try:
        while data := os.read(fd, 1 << 16):
            found += data
    except OSError:
        # The process ended while it was read.
        return ""
    finally:
        os.close(fd)
    return found.decode("utf-8", "replace")


def start_time(pid: int) -> int:
    """When the process began, in clock ticks since boot; 0 if there is none.

    A pid together with this names a process for as long as the machine is up.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def alive(pid: int, started: int) -> bool:
    """Whether that very process still runs; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and int(fields[19]) == started and fields[0] not in "ZX"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on."""
    text = read_small(f"/proc/{pid}/stat")
    # The second field is the command in brackets, and may itself contain brackets and spaces.
    return text.rpartition(")")[2].split()


def cpu_ticks(pid: int) -> tuple[int, int]:
    """CPU used by the process itself in user and in system mode, clock ticks."""
    fields = _stat(pid)
    return (int(fields[11]), int(fields[12])) if fields else (0, 0)


def rss_bytes(pid: int) -> int:
    """Resident memory of the process, bytes."""
    fields = _stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, parents before children."""
    found: list[int] = []
    queue = [pid]
    while queue:
        children = _children(queue.pop())
        found += children
        queue += children
    return found


def _children(pid: int) -> list[int]:
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return _children_by_scan(pid)
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        text = read_small(f"/proc/{pid}/task/{thread}/children")
        found += [int(child) for child in text.split()]
    return found


def _children_by_scan(parent: int) -> list[int]:
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields and int(fields[1]) == parent:
                found.append(int(name))
    return found


@functools.cache
def boot_id() -> str:
    """Names this run of the machine; "" if the kernel does not say."""
    return read_small("/proc/sys/kernel/random/boot_id").strip()
