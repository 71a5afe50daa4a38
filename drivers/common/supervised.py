"""Tasks under supervisors, seen from the agent: start, find again, wait, stop, exec.

Each task has a folder: `state.json` (pid, start time), `ctl.sock`, and in the end `exit.json`.
The folder's path is all that is needed to find the task again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import threading
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

import drivers
from drivers.common import cgroups, proc
from drivers.common.frames import Broken, Frames, Message, encode
from hanse.clock import Clock
from hanse.driver import Exit
from hanse.errors import DriverFailed

_LOST = "the task's supervisor ended unexpectedly; how the task ended is not known"
_REQUEST_TRIES = 3
_BUSY_S = 0.002
_KILL_TRIES = 300
_KILL_PAUSE_S = 0.01
_REQUEST_S = 30.0


def _close_when_dropped(owner: object, sock: socket.socket) -> None:
    """A driver that is dropped, not closed, gives back what it holds."""
    weakref.finalize(owner, sock.close).atexit = False


class Link:
    """One connection to a supervisor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        _close_when_dropped(self, sock)
        self._frames = Frames()
        self._ready: list[Message] = []

    async def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send one message; the descriptors go with its first byte. Raises OSError."""
        data = encode(message)
        if fds:
            socket.send_fds(self._sock, [data[:1]], list(fds))
            data = data[1:]
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def receive(self) -> Message | None:
        """The next message; None when the supervisor has closed the connection."""
        while not self._ready:
            try:
                data = await asyncio.get_running_loop().sock_recv(self._sock, 1 << 16)
                self._ready += self._frames.feed(data)
            except (ConnectionError, Broken):
                return None
            if not data:
                return None
        return self._ready.pop(0)

    def send_at_once(self, message: Message) -> None:
        """Send a short message without waiting; a peer that is gone is no error."""
        with contextlib.suppress(OSError):
            self._sock.send(encode(message))

    def close(self) -> None:
        """End the connection."""
        self._sock.close()


async def connect(folder: str) -> Link | None:
    """Reach the supervisor of the task in `folder`; None when there is none."""
    try:
        # The folder's path may be longer than an address can be; a descriptor's is not.
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{at}/ctl.sock")
    except (ConnectionRefusedError, FileNotFoundError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(at)
    return Link(sock)


class ForkServer:
    """The zygote, seen from the driver. Started when first needed and again when it is gone."""

    def __init__(self, driver: str, home: tuple[str, ...], tops: tuple[str, ...]) -> None:
        """Control group folders: those supervisors live in, those tasks' groups are made in."""
        self._driver = driver
        self._groups = (":".join(home), ":".join(tops))
        self._sock: socket.socket | None = None
        self.pid = 0

    def ensure(self) -> None:
        """Start the zygote unless it runs. Takes about a millisecond; it is ready 50 ms later."""
        if self._sock is not None and not _hung_up(self._sock):
            return
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        root = str(Path(drivers.__file__).parents[1])
        code = (
            f"import sys; sys.path.insert(0, {root!r}); "
            "from drivers.supervisor.zygote import main; main()"
        )
        with theirs:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-c", code, *self._groups],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)],
            )
        self._sock = ours
        _close_when_dropped(self, ours)

    def _hand_over(self, fd: int) -> bool:
        """Give the zygote a socket; False when it cannot take more just now."""
        self.ensure()
        assert self._sock is not None
        try:
            socket.send_fds(self._sock, [b"s"], [fd])
        except BlockingIOError:
            return False
        return True

    async def request(self, spec: Message, clock: Clock) -> tuple[Message, Link]:
        """Have a supervisor started; return its first word and the connection to it.

        A request may be repeated: the lock in the task's folder lets one supervisor start it.
        Cancelled: no task is left behind. Raises DriverFailed.
        """
        for _ in range(_REQUEST_TRIES):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            ours.setblocking(False)
            link = Link(ours)
            sent = False
            try:
                with theirs:
                    while not self._hand_over(theirs.fileno()):
                        await clock.sleep(_BUSY_S)
                await link.send(spec)
                sent = True
                async with asyncio.timeout(_REQUEST_S):
                    answer = await link.receive()
            except (ConnectionError, TimeoutError):
                answer = None
            except BaseException:
                if sent:
                    link.send_at_once({"op": "abandon"})
                link.close()
                raise
            if answer is not None:
                return answer, link
            link.close()
        raise DriverFailed(self._driver, "the fork server does not answer", recoverable=True)

    def close(self) -> None:
        """Let the zygote go; supervisors stay with their tasks."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            self.pid = 0


def _hung_up(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class State(msgspec.Struct, frozen=True):
    """What the supervisor recorded when it started the task."""

    pid: int
    start_time: int
    boot_id: str = ""
    supervisor: int = 0
    cgroup: tuple[str, ...] = ()


class _Ending(msgspec.Struct, frozen=True):
    code: int = 0
    signal: int = 0
    oom_killed: bool = False
    error: str = ""


def read_exit(folder: str) -> Exit | None:
    """How the task ended, if its supervisor has written that down."""
    try:
        text = Path(folder, "exit.json").read_bytes()
        return _exit_of(json.loads(text))
    except (OSError, ValueError):
        return None


def _exit_of(message: object) -> Exit:
    ending = msgspec.convert(message, _Ending)
    return Exit(
        code=ending.code,
        signal=ending.signal,
        oom_killed=ending.oom_killed,
        error=ending.error,
    )


class Supervised:
    """All tasks of one driver, by folder."""

    def __init__(self, driver: str, clock: Clock, fork_server: ForkServer) -> None:
        self._driver = driver
        self._clock = clock
        self._fork_server = fork_server
        #: Connections that starts left open; a wait takes them over.
        self._links: dict[str, Link] = {}

    async def start(self, spec: Message) -> State:
        """Start what `spec` says, once per folder. Raises DriverFailed, with nothing running."""
        answer, link = await self._fork_server.request(spec, self._clock)
        if "error" in answer:
            link.close()
            raise DriverFailed(self._driver, str(answer["error"]))
        if answer.pop("existing", False):
            link.close()
        else:
            self._links[str(spec["dir"])] = link
        return msgspec.convert(answer, State)

    async def running(self, folder: str) -> bool:
        """Whether a supervisor is there."""
        link = await connect(folder)
        if link is None:
            return False
        link.close()
        return True

    async def recover(self, folder: str, state: State) -> bool:
        """Whether the task runs, or how it ended is known. Else make sure that it is gone."""
        if read_exit(folder) is not None or await self.running(folder):
            return True
        # It may have ended between the two looks.
        if read_exit(folder) is not None:
            return True
        await asyncio.to_thread(kill_rest, state)
        return False

    async def wait(self, folder: str, state: State) -> Exit:
        """Return when the task has ended and its output is on disk."""
        link = self._links.pop(folder, None)
        try:
            if (ended := read_exit(folder)) is not None:
                return ended
            if link is None:
                link = await connect(folder)
            if link is not None:
                with contextlib.suppress(OSError):
                    await link.send({"op": "wait"})
                while (message := await link.receive()) is not None:
                    if "exit" in message:
                        return _exit_of(message["exit"])
        finally:
            if link is not None:
                link.close()
        if (ended := read_exit(folder)) is not None:
            return ended
        await asyncio.to_thread(kill_rest, state)
        return Exit(error=_LOST)

    async def ask(self, folder: str, message: Message) -> Message | None:
        """Send one request; None when the task has no supervisor any more."""
        link = await connect(folder)
        if link is None:
            return None
        try:
            await link.send(message)
            return await link.receive()
        except OSError:
            return None
        finally:
            link.close()

    async def stop(self, folder: str, state: State, number: int, grace_s: float) -> None:
        """Send a signal, and SIGKILL to all after `grace_s`; return when the task has ended."""
        await self.ask(folder, {"op": "stop", "signal": number, "grace_s": max(0.0, grace_s)})
        await self.wait(folder, state)

    async def destroy(self, folder: str, state: State) -> None:
        """Kill the task if it runs and forget it."""
        if read_exit(folder) is None and await self.running(folder):
            await self.stop(folder, state, int(signal.SIGKILL), 0)
        if (link := self._links.pop(folder, None)) is not None:
            link.close()
        await asyncio.to_thread(_remove, folder, state)

    async def exec(
        self, folder: str, request: Message, fds: tuple[int, ...]
    ) -> AsyncGenerator[Message]:
        """Run a command in the task's context; its pid comes first, its exit code last.

        `fds` are to be the command's stdin, stdout and stderr, or its terminal; once the first
        message has come they may be closed here. Closing the generator kills the command.
        Raises DriverFailed when it cannot be started.
        """
        link = await connect(folder)
        if link is None:
            raise DriverFailed(self._driver, "the task is not running")
        try:
            await link.send({"op": "exec", **request}, fds)
            while (message := await link.receive()) is not None:
                if "error" in message:
                    raise DriverFailed(self._driver, str(message["error"]))
                yield message
        except OSError as error:
            raise DriverFailed(self._driver, "the task is not running") from error
        finally:
            link.close()


def kill_rest(state: State) -> None:
    """Kill what a dead supervisor left running, and remove its group.

    Blocks for some milliseconds, seconds at worst. Does nothing after a reboot.
    """
    if state.boot_id != proc.boot_id():
        return
    pause = threading.Event()
    for _ in range(_KILL_TRIES):
        found = cgroups.kill(state.cgroup)
        if proc.alive(state.pid, state.start_time):
            found = True
            for pid in (state.pid, *proc.descendants(state.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not found and cgroups.remove(state.cgroup):
            return
        pause.wait(_KILL_PAUSE_S)


def _remove(folder: str, state: State) -> None:
    if Path(folder).exists():
        kill_rest(state)
        shutil.rmtree(folder, ignore_errors=True)


def state_of(handle: dict[str, object]) -> State:
    """Read the part of a handle that `State` is. Raises msgspec.ValidationError."""
    return msgspec.convert(handle, State)
