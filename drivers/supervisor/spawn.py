"""Starting a process of a task: who it is, where it runs, what it is connected to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Generator, Sequence
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
_TOLD_BYTES = 4000


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
    #: Control group folders to join; for a task, empty is a group of its own.
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
        with _reporting(tell):
            os.setsid()
            _join(process["cgroup"])
            _become(process, stdio, terminal=terminal)
    os.close(tell)
    _check(pid, told)
    return pid


class Parked:
    """A child that sits in its control group and waits to be told what to become.

    Joining a group costs up to 20 ms on an idle machine, for the kernel must wait for all its
    CPUs. So it is done before anybody waits for the task. The child's output pipes are ready too.
    """

    def __init__(self, cgroup: tuple[str, ...], null: int) -> None:
        """Raises OSError when there is no group, process or descriptor to be had."""
        cgroups.create(cgroup)
        self.cgroup = cgroup
        feed, self._feed = os.pipe()
        self._told, tell = os.pipe()
        self.stdout, stdout = os.pipe()
        self.stderr, stderr = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            with _reporting(tell):
                os.close(self._feed)
                _wait_and_become(cgroup, feed, (null, stdout, stderr))
        for fd in (feed, tell, stdout, stderr):
            os.close(fd)

    def release(self, process: Process, *, keep_output: bool) -> int:
        """Let the child become the process; return its pid once that runs. Raises NotStarted."""
        try:
            _write_all(self._feed, json.dumps([process, keep_output]).encode())
        except BrokenPipeError:
            # It has failed already, and said why.
            pass
        finally:
            os.close(self._feed)
        _check(self._pid, self._told)
        return self._pid

    def discard(self) -> None:
        """End the child, and remove its group."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for fd in (self._feed, self._told, self.stdout, self.stderr):
            os.close(fd)
        cgroups.remove(self.cgroup)


def _wait_and_become(cgroup: tuple[str, ...], feed: int, stdio: tuple[int, int, int]) -> None:
    system.die_with_parent()
    os.setsid()
    _join(cgroup)
    told = _read_all(feed)
    if not told:
        return
    process, keep_output = json.loads(told)
    null = stdio[0]
    _become(process, stdio if keep_output else (null, null, null), terminal=False)


@contextlib.contextmanager
def _reporting(tell: int) -> Generator[None]:
    """In a child: whatever goes wrong is told to the parent; the child ends in any case."""
    try:
        yield
    except OSError as error:
        step = " ".join(getattr(error, "__notes__", ["cannot start"]))
        os.write(tell, f"{step}: {os.strerror(error.errno or 0).lower()}".encode()[:_TOLD_BYTES])
    except BaseException as error:
        os.write(tell, f"{type(error).__name__}: {error}".encode()[:_TOLD_BYTES])
    finally:
        os._exit(_EXIT_NOT_STARTED)


def _check(pid: int, told: int) -> None:
    """Wait until the child runs its program. Raises NotStarted with what it told."""
    problem = _read_all(told).decode(errors="replace")
    os.close(told)
    if problem:
        os.waitpid(pid, 0)
        raise NotStarted(problem)


def _join(cgroup: Sequence[str]) -> None:
    _try("cannot join the control group", cgroups.join, tuple(cgroup))


def _become(process: Process, stdio: Sequence[int], *, terminal: bool) -> None:
    """Turn this process into the task's. Returns only by raising."""
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


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    found = b""
    while data := os.read(fd, 1 << 16):
        found += data
    return found
