"""The fork server: has a supervisor ready for the next task, and makes more as they are taken.

Starting Python for each task would cost 70 ms and 10 MB. This process is started once per
driver, imports what a supervisor needs, and forks; the supervisors share its memory. A request is
one byte with one end of a socket, which is handed to the supervisor that stands by; all else is
between the driver and that supervisor. It ends when its driver does; the supervisors then belong
to init and stay with their tasks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time

from drivers.common import cgroups, proc
from drivers.supervisor import system
from drivers.supervisor.supervisor import stand_by

#: The descriptor the driver's socket has in this process.
DRIVER_FD = 3


def main() -> None:
    """Serve until the driver's end of the socket closes.

    `argv[1]` are the control group folders to live in, `argv[2]` those that tasks' groups are to
    be made in, parted by colons; both may be empty.
    """
    home, tops = (tuple(filter(None, text.split(":"))) for text in sys.argv[1:3])
    # Whatever the agent was started with is not for tasks.
    os.closerange(DRIVER_FD + 1, os.sysconf("SC_OPEN_MAX"))
    with contextlib.suppress(OSError):
        os.setsid()
    # The agent's own group may have limits that are not meant for tasks.
    with contextlib.suppress(OSError):
        cgroups.create(home)
        cgroups.join(home)
    sweep(tops)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Nobody waits for supervisors while the driver lives.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    system.name_process("hanse-zygote")
    # Once for all supervisors.
    proc.boot_id()
    gc.collect()
    gc.freeze()
    gc.disable()
    Zygote(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, DRIVER_FD), tops).run()


def sweep(tops: tuple[str, ...]) -> None:
    """Remove groups that supervisors of fork servers now gone have left empty.

    One with a process in it cannot be removed, so tasks are safe.
    """
    for top in tops:
        for name in os.listdir(top):
            maker = name.partition("-")[0]
            if maker.isdigit() and not os.path.exists(f"/proc/{maker}"):
                cgroups.remove((f"{top}/{name}",))


class Zygote:
    """See the module."""

    def __init__(self, driver: socket.socket, tops: tuple[str, ...]) -> None:
        self._driver = driver
        self._tops = tops
        self._made = 0

    def run(self) -> None:
        """Serve until the driver is gone."""
        ready = self._fork_supervisor()
        while True:
            word, fds, _, _ = socket.recv_fds(self._driver, 16, 1)
            if not word:
                return
            for fd in fds:
                if ready is None or not _hand_over(ready, fd):
                    # It died standing by, or could not be made.
                    ready = self._fork_supervisor()
                    if ready is not None:
                        _hand_over(ready, fd)
                # Unless it was handed over, the driver sees its socket close, and asks again.
                os.close(fd)
                ready = self._fork_supervisor()

    def _fork_supervisor(self) -> socket.socket | None:
        """Start a supervisor; return the end of a socket on which it waits for a task."""
        self._made += 1
        # Never used before, whatever pids and groups there have been since the machine started.
        name = f"{os.getpid()}-{time.monotonic_ns()}-{self._made}"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return None
        if pid:
            theirs.close()
            return ours
        code = 1
        try:
            self._driver.close()
            ours.close()
            system.name_process("hanse-task")
            gc.enable()
            stand_by(theirs, tuple(f"{top}/{name}" for top in self._tops))
            code = 0
        finally:
            # Never back into the zygote's loop.
            os._exit(code)


def _hand_over(supervisor: socket.socket, fd: int) -> bool:
    """Give a supervisor its task; False when it is gone."""
    try:
        socket.send_fds(supervisor, [b"s"], [fd])
    except OSError:
        return False
    finally:
        supervisor.close()
    return True
