"""What a task driver must be able to do.

A driver starts, watches and stops tasks of one kind (processes, containers, ...). Built-in and
third-party drivers are found the same way, through the `hanse.drivers` entry-point group; the
node agent knows this protocol and no driver by name. An entry point names a callable that takes a
`DriverContext` and returns the driver.

Optional abilities are separate protocols (`Signals`, `Executes`, `Measures`); the agent asks with
`isinstance` and refuses, with the reason, what a driver cannot do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from hanse.clock import Clock
from hanse.structs.node import DriverInfo
from hanse.structs.stats import ResourceUsage


class DriverContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent gives to a driver when it starts."""

    #: The `plugin "x" { config { ... } }` block of the agent's configuration.
    config: Mapping[str, object]
    #: A folder of the driver's own that outlives the agent.
    state_dir: str
    clock: Clock
    node_id: str = ""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A folder or file of the host that the task sees."""

    source: str
    target: str
    read_only: bool = False


class PortMap(msgspec.Struct, frozen=True, kw_only=True):
    """A port the allocation was given. `to` is the port inside the task, 0 for the same."""

    label: str
    host_ip: str
    value: int
    to: int = 0


class LogTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task's output goes: `<folder>/<task>.stdout.<n>` and `.stderr.<n>`, rotated."""

    folder: str
    max_files: int = 10
    max_file_bytes: int = 10 * 1024 * 1024
    disabled: bool = False


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One task, with every reference resolved: a driver never looks anything up."""

    #: Unique per start: a restarted task has another id. Safe as a file or container name.
    id: str
    allocation_id: str
    name: str
    job_id: str
    group: str
    namespace: str = "default"
    config: dict[str, object]
    environment: dict[str, str]
    user: str = ""
    cpu_mhz: int = 0
    #: Share of the node's total CPU that `cpu_mhz` is, 0..1.
    cpu_share: float = 0.0
    cores: tuple[int, ...] = ()
    memory_mib: int = 0
    memory_max_mib: int = 0
    ports: tuple[PortMap, ...] = ()
    #: The allocation's shared `alloc/` folder, the task's `local/` and `secrets/`, on the host.
    alloc_dir: str
    local_dir: str
    secrets_dir: str
    #: The task's own folder, parent of `local/` and `secrets/`: the working directory.
    task_dir: str
    mounts: tuple[Mount, ...] = ()
    logs: LogTarget
    kill_signal: str = ""


class TaskHandle(msgspec.Struct, frozen=True, kw_only=True):
    """Enough to find the task again after the agent restarts. Written to disk.

    `state` belongs to the driver; bump `version` whenever its meaning changes.
    """

    driver: str
    version: int
    state: dict[str, object]


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended."""

    code: int = 0
    signal: int = 0
    oom_killed: bool = False
    #: Set when the driver lost track of the task and how it ended is not known.
    error: str = ""

    @property
    def successful(self) -> bool:
        """Ended by itself, with code 0."""
        return self.code == 0 and self.signal == 0 and not self.error


class DriverEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth showing to the user while a task starts, such as the pull of an image."""

    message: str
    details: dict[str, str] = {}


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver says it can do; what it cannot is refused early."""

    send_signals: bool = False
    exec: bool = False
    #: `none`, `chroot` or `image`: decides the paths a task sees in NOMAD_ALLOC_DIR and others.
    isolation: str = "none"
    mounts: bool = False
    #: Tasks live on another machine.
    remote: bool = False


class EventSink(Protocol):
    """Takes what a driver has to say about a task."""

    def __call__(self, event: DriverEvent) -> None:
        """Record the event. Never blocks, never raises."""
        ...


@runtime_checkable
class Driver(Protocol):
    """A way to run tasks.

    Every method may be cancelled at any await; a cancelled `start` leaves no task behind.
    Any of them may raise `hanse.errors.DriverFailed`, and no other error of ours.
    """

    name: str
    capabilities: Capabilities

    async def fingerprint(self) -> DriverInfo:
        """Say whether the driver works here, now. Called again every half minute."""
        ...

    def validate(self, config: Mapping[str, object]) -> list[str]:
        """Problems of a task's `config`, each naming its key. Pure."""
        ...

    async def start(self, task: TaskSpec, events: EventSink) -> TaskHandle:
        """Start the task; return once it runs. Calling twice for one id starts it once."""
        ...

    async def recover(self, handle: TaskHandle) -> bool:
        """Take charge again of a task an earlier agent started, ended ones too. False: gone."""
        ...

    async def wait(self, handle: TaskHandle) -> Exit:
        """Return when the task has ended and its logs are complete, or at once if it has."""
        ...

    async def stop(self, handle: TaskHandle, *, signal: str, grace_s: float) -> None:
        """Send `signal` ("" = the driver's own); after `grace_s`, kill. Ended is no error."""
        ...

    async def destroy(self, handle: TaskHandle) -> None:
        """Remove what is left of a task, killing it if need be. Twice is no error."""
        ...


@runtime_checkable
class Signals(Protocol):
    """A driver that can send signals."""

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """Send a signal such as `SIGHUP`."""
        ...


@runtime_checkable
class Measures(Protocol):
    """A driver that can measure its tasks."""

    async def usage(self, handle: TaskHandle) -> ResourceUsage:
        """What the task uses now."""
        ...


class ExecInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message to a command that runs in a task."""

    stdin: bytes = b""
    close_stdin: bool = False
    #: Height and width of the terminal, in characters.
    tty_size: tuple[int, int] | None = None


class ExecOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message from a command that runs in a task; the last has `exit_code`."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = None


@runtime_checkable
class Executes(Protocol):
    """A driver that can run further commands inside a task."""

    def exec(
        self, handle: TaskHandle, command: list[str], *, tty: bool, inputs: AsyncIterator[ExecInput]
    ) -> AsyncIterator[ExecOutput]:
        """Run `command`; closing the returned iterator ends it."""
        ...
