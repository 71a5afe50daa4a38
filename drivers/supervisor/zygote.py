"""The fork server: makes a supervisor for a task in a millisecond or two.

Starting Python for each task would cost 70 ms and 10 MB. This process is started once per
driver, imports what a supervisor needs, and forks at each request; the supervisors share its
memory. A request is one byte with one end of a socket; all else is between the driver and the
supervisor at the other end. It ends when its driver does; the supervisors then belong to init
and stay with their tasks.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys

from drivers.common import cgroups
from drivers.supervisor import system
from drivers.supervisor.supervisor import supervise

#: The descriptor the driver's socket has in this process.
DRIVER_FD = 3


def main() -> None:
    """Serve until the driver's end of the socket closes. `argv[1:]`: cgroup folders to live in."""
    # Whatever the agent was started with is not for tasks.
    os.closerange(DRIVER_FD + 1, os.sysconf("SC_OPEN_MAX"))
    with contextlib.suppress(OSError):
        os.setsid()
    # The agent's own group may have limits that are not meant for tasks.
    with contextlib.suppress(OSError):
        cgroups.create(tuple(sys.argv[1:]))
        cgroups.join(tuple(sys.argv[1:]))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Nobody waits for supervisors while the driver lives.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    system.name_process("hanse-zygote")
    driver = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, DRIVER_FD)
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        word, fds, _, _ = socket.recv_fds(driver, 16, 1)
        if not word:
            return
        for fd in fds:
            os.set_inheritable(fd, False)
            _fork_supervisor(driver, fd)


def _fork_supervisor(driver: socket.socket, fd: int) -> None:
    try:
        pid = os.fork()
    except OSError:
        # No memory or no process ids left: the asker sees its socket close, and asks again.
        pid = -1
    if pid:
        os.close(fd)
        return
    code = 1
    try:
        driver.close()
        supervise(fd)
        code = 0
    finally:
        # Never back into the zygote's loop.
        os._exit(code)
