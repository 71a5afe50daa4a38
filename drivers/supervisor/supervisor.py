"""What stays with one task from its first instruction to its last byte of output.

Theory of operation. A supervisor is forked by the zygote before it is needed. It prepares what does
not depend on the task (`spawn.Parked`) and waits for one end of a socket, on which the driver
sends what to start. It takes a lock in the task's folder, so that a task is started once
however often that is asked; starts the task; and then, alone in one loop without threads:

* moves the task's output from two pipes to rotated files, so nothing is lost while no agent is
  there, and a full pipe never stops the task for want of a reader;
* is the parent of every process of the task whose own parent ended, so none escapes;
* answers on `ctl.sock`: state, signal, stop, wait, exec. A stop's deadline is kept here, so the
  task is killed in time even if the agent that asked is gone.

When the task's main process has ended, what it left behind is killed (after a moment, if it still
holds the output), the output is read to its end, and `exit.json` appears by a rename. So who sees
`exit.json` sees complete logs. If the supervisor itself is killed, the kernel kills the task.

Left out: limits on CPU and memory (the exec driver's business), and any knowledge of jobs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import cast

from drivers.common import cgroups, proc
from drivers.common.frames import FDS_MAX, Broken, Frames, Message, encode
from drivers.common.rotate import RotatedLog
from drivers.supervisor import system
from drivers.supervisor.spawn import NotStarted, Parked, Process, spawn

#: How long processes that the task left behind may keep its output open, seconds.
LINGER_S = 1.0
#: How long to go on killing before giving up on processes the kernel will not end, seconds.
KILL_S = 10.0
_KILL_EVERY_S = 0.05
_STATE_WAIT_S = 5.0
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 16
_PIPE_BYTES_BUSY = 1 << 20
#: A full pipe is read in a few; the bound is for a stranger that writes for ever.
_DRAIN_READS_MAX = 64
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


def stand_by(zygote: socket.socket, cgroup: tuple[str, ...]) -> None:
    """Prepare for a task, wait for one, supervise it; return when it is over, or none comes."""
    os.setsid()
    # The zygote ignores it, and then there is nothing to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    system.adopt_orphans()
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    parked = Parked(cgroup, null)
    _, fds, _, _ = socket.recv_fds(zygote, 16, 1)
    zygote.close()
    task = _claim(fds[0]) if fds else None
    if task is None:
        parked.discard()
        return
    spec, asker, rest = task
    Supervisor(spec, asker, parked, null).run(rest)


def _claim(fd: int) -> tuple[Message, _Peer, list[Message]] | None:
    """The task that is asked for on `fd`, in its folder and locked; None if it is not for us."""
    os.set_inheritable(fd, False)
    asker = _Peer(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd))
    messages = _read_first(asker)
    if not messages:
        return None
    spec, *rest = messages
    folder = str(spec["dir"])
    os.makedirs(folder, 0o700, exist_ok=True)
    os.chdir(folder)
    # Closed when this process ends, however it ends: the lock says that there is a supervisor.
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        asker.sock.sendall(encode(_await_state()))
        return None
    if os.path.exists("state.json"):
        asker.sock.sendall(encode(_await_state()))
        return None
    return spec, asker, rest


def _read_first(asker: _Peer) -> list[Message]:
    """What is to be started, and whatever else came with it; nothing if the asker has gone."""
    while data := asker.sock.recv(1 << 16):
        if messages := asker.frames.feed(data):
            return messages
    return []


def _await_state() -> Message:
    """What an earlier request for the same task came to."""
    until = time.monotonic() + _STATE_WAIT_S
    while time.monotonic() < until:
        try:
            with open("state.json", encoding="utf-8") as file:
                return {"existing": True, **json.load(file)}
        except FileNotFoundError:
            select.select([], [], [], 0.01)
    return {"error": "the task is being started by another supervisor, which does not finish"}


def write_json(name: str, value: Message) -> None:
    """Make the file appear whole, in the current folder."""
    fd = os.open(name + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(value).encode())
    finally:
        os.close(fd)
    os.rename(name + ".tmp", name)


class _Peer:
    """Somebody connected to the control socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = Frames()
        self.fds: list[int] = []
        #: Wants to hear of the task's end.
        self.waits = False
        #: The command this peer runs in the task, 0 for none.
        self.command = 0

    def send(self, message: Message) -> None:
        """Say something; a peer that went away or does not read is not waited for."""
        with contextlib.suppress(OSError):
            self.sock.send(encode(message))


class Supervisor:
    """One task. `run` is the only way in."""

    def __init__(self, spec: Message, asker: _Peer, parked: Parked, null: int) -> None:
        self._process = cast("Process", spec["process"])
        self._logs = cast("dict[str, object] | None", spec["logs"])
        self._parked = parked
        #: The group that is the task's own, to be killed and removed with it; may be empty.
        self._cgroup = parked.cgroup
        self._null = null
        self._poll = select.poll()
        self._on_ready: dict[int, Callable[[], None]] = {}
        self._peers: dict[int, _Peer] = {}
        self._outputs: dict[int, RotatedLog] = {}
        self._pid = 0
        self._ended: Message | None = None
        #: When to kill everything; None while nobody asked.
        self._kill_at: float | None = None
        #: Whether what the main process left behind is being killed.
        self._killing = False
        #: When to stop waiting for what cannot be killed.
        self._give_up_at = 0.0
        self._abandoned = False
        self._asker = asker

    def run(self, messages: list[Message]) -> None:
        """Start the task, obey what the asker has said already, and stay until it is over."""
        try:
            state = self._start()
        except (OSError, NotStarted) as error:
            self._kill_all()
            self._clean_up()
            for name in ("ctl.sock", "lock"):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            self._asker.sock.sendall(encode({"error": str(error)}))
            return
        self._add_peer(self._asker)
        self._asker.waits = True
        self._asker.send(state)
        for message in messages:
            self._obey(self._asker, message)
        try:
            while not self._over():
                self._step()
        except Exception as error:
            self._kill_all()
            self._ended = {"error": f"the supervisor failed: {type(error).__name__}: {error}"}
        self._finish()

    # --- starting -------------------------------------------------------------------------

    def _start(self) -> Message:
        """Start the task and record it. Raises OSError or NotStarted, with nothing running."""
        wake, wake_write = os.pipe()
        for fd in (wake, wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._watch(wake, lambda: self._on_child(wake))
        self._listen()
        self._pid = self._become_task()
        state: Message = {
            "pid": self._pid,
            "start_time": proc.start_time(self._pid),
            "boot_id": proc.boot_id(),
            "supervisor": os.getpid(),
            "cgroup": list(self._cgroup),
        }
        write_json("state.json", state)
        return state

    def _become_task(self) -> int:
        """Have the parked child become the task; in a group of another's, a new child."""
        parked = self._parked
        if not self._process["cgroup"]:
            try:
                self._open_outputs(parked.stdout, parked.stderr)
            except OSError:
                parked.discard()
                raise
            self._process["cgroup"] = list(parked.cgroup)
            return parked.release(self._process, keep_output=self._logs is not None)
        parked.discard()
        self._cgroup = ()
        (stdout, stdout_write), (stderr, stderr_write) = os.pipe(), os.pipe()
        self._open_outputs(stdout, stderr)
        writes = (stdout_write, stderr_write)
        try:
            return spawn(self._process, (self._null, *(writes if self._logs else [self._null] * 2)))
        finally:
            for fd in writes:
                os.close(fd)

    def _listen(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink("ctl.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A relative name: the folder's own may be longer than an address can be.
        listener.bind("ctl.sock")
        listener.listen(64)
        listener.setblocking(False)
        self._watch(listener.fileno(), lambda: self._accept(listener))

    def _open_outputs(self, stdout: int, stderr: int) -> None:
        """Have what comes out of the two pipes moved to files. Raises OSError."""
        if self._logs is None:
            for fd in (stdout, stderr):
                os.close(fd)
            return
        folder, stem = str(self._logs["folder"]), str(self._logs["stem"])
        max_files, max_bytes = (int(cast("int", self._logs[k])) for k in ("max_files", "max_bytes"))
        for stream, read in (("stdout", stdout), ("stderr", stderr)):
            log = RotatedLog(folder, f"{stem}.{stream}", max_files=max_files, max_bytes=max_bytes)
            os.set_blocking(read, False)
            self._outputs[read] = log
            self._watch(read, lambda read=read: self._pump(read))  # type: ignore[misc]

    # --- the loop -------------------------------------------------------------------------

    def _watch(self, fd: int, on_ready: Callable[[], None]) -> None:
        self._on_ready[fd] = on_ready
        self._poll.register(fd, _READABLE)

    def _unwatch(self, fd: int) -> None:
        del self._on_ready[fd]
        self._poll.unregister(fd)

    def _step(self) -> None:
        """Wait for something to happen, and deal with it."""
        wait_ms = None
        if self._kill_at is not None:
            wait_ms = max(0, round((self._kill_at - time.monotonic()) * 1000))
        for fd, _ in self._poll.poll(wait_ms):
            if on_ready := self._on_ready.get(fd):
                on_ready()
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_all()
            self._killing = self._ended is not None
            self._kill_at = time.monotonic() + _KILL_EVERY_S if self._killing else None

    def _pump(self, pipe: int) -> None:
        log = self._outputs[pipe]
        try:
            moved = log.take(pipe)
        except BlockingIOError:
            return
        except OSError:
            # The folder is gone, or the disk broke: the task must not stop for that.
            try:
                moved = len(os.read(pipe, _PIPE_BYTES_BUSY))
            except BlockingIOError:
                return
        if moved == _PIPE_BYTES:
            # It was full: a task that writes much gets a larger pipe, if the kernel allows.
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES_BUSY)
        if not moved:
            self._close_output(pipe)

    def _close_output(self, pipe: int) -> None:
        self._unwatch(pipe)
        os.close(pipe)
        self._outputs.pop(pipe).close()

    def _on_child(self, wake: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(wake, 512):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._on_task_end(status)
            else:
                self._on_command_end(pid, status)

    def _on_task_end(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self._pid = 0
        self._ended = {"code": max(code, 0), "signal": max(-code, 0)}
        for peer in list(self._peers.values()):
            if peer.command:
                self._kill_command(peer.command)
        self._give_up_at = time.monotonic() + LINGER_S + KILL_S
        # What is left gets a moment to finish its output; with none open there is nothing to wait.
        self._kill_at = time.monotonic() + (LINGER_S if self._outputs else 0)

    def _over(self) -> bool:
        """Whether the task, all it left behind and all its output have come to their end."""
        if self._ended is None:
            return False
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # All are gone. Who else may hold the pipes is not of the task.
            self._drain()
            return True
        now = time.monotonic()
        if now >= self._give_up_at:
            self._drain()
            return True
        if not self._outputs and not self._killing:
            # Nothing more to read: do not wait for the rest.
            self._kill_at = now
        return False

    def _drain(self) -> None:
        """Read what the pipes hold, and close them."""
        for pipe in list(self._outputs):
            for _ in range(_DRAIN_READS_MAX):
                if pipe in self._outputs and select.select([pipe], [], [], 0)[0]:
                    self._pump(pipe)
            if pipe in self._outputs:
                self._close_output(pipe)

    def _kill_all(self) -> None:
        """Send SIGKILL to every process of the task."""
        if self._cgroup:
            cgroups.kill(self._cgroup)
        for pid in proc.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # --- the control socket ---------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._add_peer(_Peer(listener.accept()[0]))

    def _add_peer(self, peer: _Peer) -> None:
        peer.sock.setblocking(False)
        self._peers[peer.sock.fileno()] = peer
        self._watch(peer.sock.fileno(), lambda: self._hear(peer))

    def _hear(self, peer: _Peer) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(peer.sock, 1 << 16, FDS_MAX)
            for fd in fds:
                os.set_inheritable(fd, False)
            peer.fds += fds
            messages = peer.frames.feed(data)
        except BlockingIOError:
            return
        except (OSError, Broken):
            data, messages = b"", []
        for message in messages:
            try:
                self._obey(peer, message)
            except (KeyError, TypeError, ValueError) as error:
                peer.send({"error": f"bad request: {error}"})
        if not data:
            self._drop(peer)

    def _drop(self, peer: _Peer) -> None:
        self._unwatch(peer.sock.fileno())
        del self._peers[peer.sock.fileno()]
        for fd in peer.fds:
            os.close(fd)
        if peer.command:
            self._kill_command(peer.command)
        peer.sock.close()

    def _obey(self, peer: _Peer, message: Message) -> None:
        match message["op"]:
            case "wait":
                peer.waits = True
            case "signal":
                peer.send(self._signal(int(cast("int", message["signal"]))))
            case "stop":
                self._signal(int(cast("int", message["signal"])))
                until = time.monotonic() + float(cast("float", message["grace_s"]))
                self._kill_at = until if self._kill_at is None else min(self._kill_at, until)
                peer.send({})
            case "abandon":
                # Whoever asked for the start changed its mind: as if it had never been.
                self._abandoned = True
                self._kill_at = time.monotonic()
            case "exec":
                self._exec(peer, message)
            case other:
                peer.send({"error": f"bad request: no operation {other!r}"})

    def _signal(self, number: int) -> Message:
        if not self._pid:
            return {"error": "the task has ended"}
        try:
            # Not yet waited for, so the pid is still its own.
            os.kill(self._pid, number)
        except OSError as error:
            return {"error": os.strerror(error.errno or errno.EINVAL)}
        return {}

    def _exec(self, peer: _Peer, message: Message) -> None:
        terminal = bool(message["tty"])
        fds, peer.fds = peer.fds, []
        try:
            if not self._pid:
                peer.send({"error": "the task has ended"})
                return
            process = self._process.copy()
            process["path"] = str(message["path"])
            process["argv"] = [str(word) for word in cast("list[object]", message["argv"])]
            process["env"] = process["env"] | cast("dict[str, str]", message["env"])
            stdio = fds * 3 if terminal and len(fds) == 1 else fds
            if len(stdio) != 3 or peer.command:
                peer.send({"error": "bad request: wrong number of descriptors"})
                return
            peer.command = spawn(process, stdio, terminal=terminal)
            peer.send({"pid": peer.command})
        except NotStarted as error:
            peer.send({"error": str(error)})
        finally:
            for fd in fds:
                os.close(fd)

    def _on_command_end(self, pid: int, status: int) -> None:
        for peer in self._peers.values():
            if peer.command == pid:
                peer.command = 0
                code = os.waitstatus_to_exitcode(status)
                peer.send({"exit_code": code if code >= 0 else 128 - code})

    def _kill_command(self, pid: int) -> None:
        # It leads a session and with it a process group of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    # --- the end --------------------------------------------------------------------------

    def _finish(self) -> None:
        """Tell the world how it ended. All output is on disk by now."""
        ended: Message = {**(self._ended or {}), "finished_ns": time.time_ns()}
        if cgroups.oom_kills(self._cgroup):
            ended["oom_killed"] = True
        if self._abandoned:
            self._clean_up()
            for name in ("ctl.sock", "state.json", "lock"):
                os.unlink(name)
            os.rmdir(os.getcwd())
            return
        write_json("exit.json", ended)
        for peer in self._peers.values():
            if peer.waits:
                peer.send({"exit": ended})
        with contextlib.suppress(OSError):
            os.unlink("ctl.sock")
        self._clean_up()

    def _clean_up(self) -> None:
        for pipe in list(self._outputs):
            self._close_output(pipe)
        until = time.monotonic() + KILL_S
        while not cgroups.remove(self._cgroup) and time.monotonic() < until:
            select.select([], [], [], 0.01)
