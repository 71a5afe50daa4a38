"""This server's own etcd member: a child process that lives and dies with the agent.

The child leads a session of its own, so that a Ctrl-C at the terminal reaches the agent
alone, which then stops the member in order. On Linux it also carries a parent-death signal:
an agent killed with -9 leaves no member behind that would hold the data directory and the
ports, and the next agent opens the same directory as if the machine had crashed, which etcd
is made for.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import grpc
import msgspec
import structlog

from hanse.clock import Clock
from hanse.errors import HanseError, Invalid
from region.store.binary import Binary, Version
from region.store.calls import Caller
from region.store.members import Options, connect_all
from region.store.wire import REQUEST_BYTES_MAX, pb

log = structlog.get_logger(__name__)

_BACKOFF_S = (0.2, 5.0)
_STEADY_S = 10.0
_STOP_S = 5.0
#: How long an agent that was killed a moment ago may take to let go of its ports.
_RELEASE_S = 5.0
_LINE_BYTES_MAX = 64 * 1024

#: Ties the child to the agent and becomes etcd. A small program and not `preexec_fn`, which
#: would run Python between fork and exec in a process that has gRPC's threads.
_LEASH = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

#: What etcd warns of at every start and what is meant to be so here.
_HARMLESS = (
    "Running http and grpc server on single port",
    "simple token is not cryptographically signed",
    "unsafeNoFsync",
    "check file permission",
)


@dataclass(frozen=True)
class Peer:
    """A member as the others see it."""

    name: str
    #: "host:port" of the peer listener.
    address: str


@dataclass(frozen=True)
class TlsFiles:
    """Certificates of a member; the same for clients and peers."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class MemberConfig:
    """One member and the cluster it belongs to."""

    name: str
    region: str
    data_dir: Path
    #: "host:port"; loopback unless other servers are to join.
    client_address: str = "127.0.0.1:4649"
    peer_address: str = "127.0.0.1:4650"
    #: Every member the cluster begins with, or has, this one included; empty: it alone.
    peers: tuple[Peer, ...] = ()
    state: Literal["new", "existing"] = "new"
    #: Told apart from any other cluster of the same region that ever was.
    token: str = ""
    tls: TlsFiles | None = None
    #: Do not wait for the disk. For data that may be lost with the machine, and only those.
    dev: bool = False
    #: For one LAN. Across zones etcd's defaults, 100 and 1000, are better.
    heartbeat_ms: int = 50
    election_ms: int = 500
    quota_bytes: int = 8 * 1024**3
    compaction: str = "5m"
    extra: tuple[str, ...] = ()

    @property
    def cluster(self) -> str:
        """The members as etcd writes them, "name=url,name=url".

        Raises `Invalid` if this one is not among them.
        """
        peers = self.peers or (Peer(self.name, self.peer_address),)
        if self.name not in {peer.name for peer in peers}:
            raise Invalid("etcd.peers", f"{self.name!r} is not among them")
        return ",".join(f"{peer.name}={self.scheme}://{peer.address}" for peer in peers)

    @property
    def scheme(self) -> str:
        """How members and clients speak to it."""
        return "https" if self.tls else "http"


def flags(config: MemberConfig, version: Version) -> list[str]:
    """Give etcd's command line for `config`."""
    client = f"{config.scheme}://{config.client_address}"
    peer = f"{config.scheme}://{config.peer_address}"
    line = [
        f"--name={config.name}",
        f"--data-dir={config.data_dir}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={config.cluster}",
        f"--initial-cluster-token=hanse-{config.region}{config.token and '-' + config.token}",
        f"--initial-cluster-state={config.state}",
        "--logger=zap",
        "--log-outputs=stderr",
        "--log-level=warn",
        "--strict-reconfig-check=true",
        "--pre-vote=true",
        f"--heartbeat-interval={config.heartbeat_ms}",
        f"--election-timeout={config.election_ms}",
        f"--quota-backend-bytes={config.quota_bytes}",
        "--max-txn-ops=10000",
        f"--max-request-bytes={REQUEST_BYTES_MAX}",
        "--snapshot-count=2000",
        "--auto-compaction-mode=periodic",
        f"--auto-compaction-retention={config.compaction}",
        "--grpc-keepalive-min-time=1s",
        "--experimental-initial-corrupt-check=true",
    ]
    if version >= (3, 5, 0):
        line.append("--experimental-watch-progress-notify-interval=5s")
        if config.dev:
            line.append("--unsafe-no-fsync")
    if tls := config.tls:
        line += [
            "--client-cert-auth",
            f"--trusted-ca-file={tls.ca}",
            f"--cert-file={tls.cert}",
            f"--key-file={tls.key}",
            "--peer-client-cert-auth",
            f"--peer-trusted-ca-file={tls.ca}",
            f"--peer-cert-file={tls.cert}",
            f"--peer-key-file={tls.key}",
        ]
    return [*line, *config.extra]


class Supervisor:
    """A service that keeps the member running."""

    name = "etcd"

    def __init__(self, binary: Binary, config: MemberConfig, clock: Clock) -> None:
        """Nothing is started before `run`."""
        self._binary = binary
        self._config = config
        self._clock = clock
        #: The process id of the member; None while there is none.
        self.pid: int | None = None
        #: How often it was started.
        self.starts = 0
        self._last_words: list[str] = []

    @property
    def last_words(self) -> tuple[str, ...]:
        """What the member warned of lately."""
        return tuple(self._last_words)

    @property
    def endpoint(self) -> str:
        """Where clients reach it, "host:port"."""
        return self._config.client_address

    async def run(self) -> None:
        """Start the member and start it again whenever it ends. Cancelled, it stops it.

        Raises `Invalid` where somebody else listens on its ports.
        """
        self._config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        pause_s = _BACKOFF_S[0]
        while True:
            await self._find_ports_free()
            began = self._clock.now()
            process = await self._spawn()
            self.pid = process.pid
            self.starts += 1
            try:
                await self._attend(process)
            finally:
                await self._stop(process)
                self.pid = None
            ran_s = self._clock.now() - began
            if ran_s > _STEADY_S:
                pause_s = _BACKOFF_S[0]
            log.error(
                "etcd ended, starting it again", code=process.returncode,
                ran_s=round(ran_s, 1), pause_s=pause_s, said=self._last_words[-1:],
            )  # fmt: skip
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _BACKOFF_S[1])

    async def _find_ports_free(self) -> None:
        """See that whoever answers on our ports will be our member.

        The store would take another agent's etcd there for ours, and two regions of one name
        would be mixed for good.
        """
        config = self._config
        addresses = {"etcd_client": config.client_address, "etcd_peer": config.peer_address}
        deadline = self._clock.now() + _RELEASE_S
        while used := {port: at for port, at in addresses.items() if taken(at)}:
            if self._clock.now() > deadline:
                port, at = next(iter(used.items()))
                raise Invalid(f"ports.{port}", f"cannot listen on {at}: it is in use")
            await self._clock.sleep(0.1)

    async def ready(
        self, credentials: grpc.ChannelCredentials | None = None, *, timeout_s: float = 30.0
    ) -> None:
        """Return once the member answers a linearizable read: it has a leader.

        Raises `Unavailable` or `NoLeader`, with etcd's last words in the log, after
        `timeout_s`.
        """
        options = Options(call_deadline_s=1.0, patience_s=timeout_s)
        members = connect_all([self.endpoint], credentials, options)
        caller = Caller(members, self._clock, options)
        ask = caller.unary(lambda m: m.kv().Range, pb.RangeRequest(key=b"\0", count_only=True))
        try:
            await caller.call(ask, repeatable=True)
        except HanseError:
            log.warning("etcd did not become ready", said=self._last_words[-5:])
            raise
        finally:
            await members.close()

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = [str(self._binary.path), *flags(self._config, self._binary.version)]
        if sys.platform == "linux":
            leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())]
            command = [*leash, *command]
        # Its environment is ours to say: an ETCD_* variable would override a flag.
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={"GOGC": "50"},
        )

    async def _attend(self, process: asyncio.subprocess.Process) -> None:
        """Log what the member says until it ends."""
        stream = process.stderr
        assert stream is not None
        rest = b""
        while chunk := await stream.read(_LINE_BYTES_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hear(line)
            if len(rest) > _LINE_BYTES_MAX:
                self._hear(rest)
                rest = b""
        await process.wait()

    def _hear(self, line: bytes) -> None:
        said = read_line(line)
        if said is None:
            return
        if said.level >= _LEVELS["warn"]:
            self._last_words = [*self._last_words[-19:], said.text]
        log.log(said.level, "etcd says", text=said.text, **said.fields)

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            log.warning("etcd did not stop in time, killing it", pid=process.pid)
            process.kill()
            await process.wait()


def taken(address: str) -> bool:
    """Whether somebody listens on "host:port" already."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What a member of ours left half closed is no hindrance: etcd sets this as well.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


@dataclass(frozen=True)
class Said:
    """A line of etcd's log, read."""

    level: int
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


_LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}


def read_line(line: bytes) -> Said | None:
    """Read one line of etcd's log; None if there is nothing in it.

    What warns at every start is lowered to debug.
    """
    text = line.decode(errors="replace").strip()
    if not text:
        return None
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return Said(30, text[:2000])
    message = str(said.pop("msg", text))
    level = _LEVELS.get(str(said.pop("level", "error")), 40)
    if any(phrase in message for phrase in _HARMLESS):
        level = 10
    detail = {
        key: value for key, value in said.items() if key not in {"ts", "caller", "stacktrace"}
    }
    return Said(level, message, {"detail": detail} if detail else {})
