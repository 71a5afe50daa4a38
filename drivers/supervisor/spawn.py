"""Starting a process of a task: who it is, where it runs, what it is connected to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import TypedDict

from drivers.common import cgroups
from drivers.supervisor import system

#: Those that Python or the zygote ignores; the rest is reset by exec itself.
_SIGNALS_TO_RESET = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)
_EXIT_NOT_STARTED = 127


class Process(TypedDict):
    """How to start a process; the driver has looked everything up."""

    #: An absolute path, then the arguments that the program sees, its own name first.
    path: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int | None
    gid: int | None
    groups: list[int]
    oom_score_adj: int | None
    #: Control group folders to join.
    cgroup: list[str]


class NotStarted(Exception):
    """The process could not be started; the text says which step failed and why."""


def spawn(process: Process, stdio: Sequence[int], *, terminal: bool = False) -> int:
    """Fork and exec; return the pid once the new program runs.

    `stdio` are the descriptors to become 0, 1 and 2; with `terminal` they are one and the same
    terminal, which the process will control. Raises NotStarted.
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(process, stdio, terminal)
        except OSError as error:
            step = " ".join(getattr(error, "__notes__", ["cannot start"]))
            _report(tell, f"{step}: {os.strerror(error.errno or 0).lower()}")
        except BaseException as error:
            _report(tell, f"{type(error).__name__}: {error}")
        finally:
            os._exit(_EXIT_NOT_STARTED)
    os.close(tell)
    problem = _read_all(told)
    os.close(told)
    if problem:
        os.waitpid(pid, 0)
        raise NotStarted(problem)
    return pid


def _become(process: Process, stdio: Sequence[int], terminal: bool) -> None:
    """Turn this process into the task's. Returns only by raising."""
    os.setsid()
    _try("cannot join the control group", cgroups.join, tuple(process["cgroup"]))
    if process["oom_score_adj"] is not None:
        _try("cannot set oom_score_adj", _set_oom_score, process["oom_score_adj"])
    if terminal:
        system.take_terminal(stdio[0])
    # First out of the way: a source must not be overwritten before it is used.
    for target, fd in enumerate([os.dup(fd) for fd in stdio]):
        os.dup2(fd, target)
    if process["gid"] is not None:
        _try("cannot set the groups", os.setgroups, process["groups"])
        _try("cannot set the group", os.setgid, process["gid"])
    if process["uid"] is not None:
        _try("cannot set the user", os.setuid, process["uid"])
    _try(f'cannot enter "{process["cwd"]}"', os.chdir, process["cwd"])
    system.die_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _SIGNALS_TO_RESET:
        signal.signal(number, signal.SIG_DFL)
    path = process["path"]
    _try(f'cannot run "{path}"', os.execve, path, process["argv"], process["env"])


def _try(step: str, call: Callable[..., object], *args: object) -> None:
    try:
        call(*args)
    except OSError as error:
        error.add_note(step)
        raise


def _set_oom_score(value: int) -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(value))


def _report(fd: int, text: str) -> None:
    os.write(fd, text.encode()[:4000])


def _read_all(fd: int) -> str:
    found = b""
    while data := os.read(fd, 4096):
        found += data
    return found.decode(errors="replace")
