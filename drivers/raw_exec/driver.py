"""The raw_exec driver: a program of the host, started as the agent's user or another.

Nothing isolates the task, and as in Nomad no limit on CPU or memory is enforced: the resources a
job asks for only count when it is placed. So the driver works only where the operator says so:

    plugin "raw_exec" { config { enabled = true } }

A task inherits the agent's environment, less credentials (`NOT_INHERITED`) and what
`denied_envvars` names.

Where control groups can be written, each task has one of its own, to see and end every process.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from drivers.common import cgroups, stats, streams
from drivers.common.config import read_config
from drivers.common.frames import Message
from drivers.common.signals import signal_number
from drivers.common.supervised import ForkServer, State, Supervised, state_of
from drivers.common.users import identity_of
from hanse.driver import (
    Capabilities,
    DriverContext,
    EventSink,
    ExecInput,
    ExecOutput,
    Exit,
    TaskHandle,
    TaskSpec,
)
from hanse.errors import DriverFailed
from hanse.structs.node import DriverInfo
from hanse.structs.stats import ResourceUsage

NAME = "raw_exec"
_VERSION = 1
#: Variables of the agent that no task inherits: credentials, and what names our own settings.
NOT_INHERITED = (
    "CONSUL_*TOKEN*",
    "VAULT_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "NOMAD_*",
    "HANSE_*",
)
#: Where programs are looked for when the task's environment has no PATH.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class PluginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`plugin "raw_exec" { config { ... } }`."""

    enabled: bool = False
    #: Names of variables that no task gets, inherited or not; `*` stands for any text.
    denied_envvars: tuple[str, ...] = ()


class TaskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task's `config` block."""

    command: str
    args: tuple[str, ...] = ()
    work_dir: str = ""
    oom_score_adj: int | None = None
    denied_envvars: tuple[str, ...] = ()
    #: A group below the v2 root to run in instead of one of its own.
    cgroup_v2_override: str = ""
    #: The same for v1: controller to group.
    cgroup_v1_override: dict[str, str] = {}


class RawExecDriver:
    """See the module."""

    name = NAME
    capabilities = Capabilities(send_signals=True, exec=True, isolation="none")

    def __init__(self, context: DriverContext) -> None:
        """Raises DriverFailed when the plugin's configuration is wrong."""
        config, problems = read_config(context.config, PluginConfig)
        if config is None:
            raise DriverFailed(NAME, f'plugin "raw_exec": {"; ".join(problems)}')
        self._config = config
        self._clock = context.clock
        self._tasks = Path(context.state_dir) / "tasks"
        self._mounts = cgroups.find_mounts()
        self._fork_server = self._make_fork_server(config.enabled)
        self._supervised = Supervised(NAME, context.clock, self._fork_server)
        self._core_mhz = stats.core_mhz()
        self._samples: dict[str, stats.Sample] = {}

    def _make_fork_server(self, enabled: bool) -> ForkServer:
        if not (enabled and cgroups.prepare_top(self._mounts)):
            return ForkServer(NAME, home=(), tops=())
        home = cgroups.paths_for(self._mounts, "supervisors")
        return ForkServer(NAME, home=home, tops=cgroups.tops(self._mounts))

    # --- Driver ---------------------------------------------------------------------------

    async def fingerprint(self) -> DriverInfo:
        """Healthy when the operator has enabled it."""
        if not self._config.enabled:
            return DriverInfo(health_description="disabled")
        # So that the first task does not wait for it.
        self._fork_server.ensure()
        return DriverInfo(
            attributes={"driver.raw_exec": "1"},
            detected=True,
            healthy=True,
            health_description="Healthy",
        )

    def validate(self, config: Mapping[str, object]) -> list[str]:
        """Problems of a task's `config`."""
        parsed, problems = read_config(config, TaskConfig)
        return problems if parsed is None else check(parsed)

    async def start(self, task: TaskSpec, events: EventSink) -> TaskHandle:
        """Start the program."""
        if not self._config.enabled:
            raise DriverFailed(NAME, "raw_exec is disabled on this node")
        config, problems = read_config(task.config, TaskConfig)
        if config is None or (problems := check(config)):
            raise DriverFailed(NAME, "; ".join(problems))
        folder = self._folder(task.id)
        spec = await asyncio.to_thread(self._spec_of, task, config, folder)
        state = await self._supervised.start(spec)
        return TaskHandle(
            driver=NAME,
            version=_VERSION,
            state={"dir": folder, **msgspec.to_builtins(state), **_context_of(spec)},
        )

    async def recover(self, handle: TaskHandle) -> bool:
        """Find the supervisor, or what it wrote at the end."""
        if handle.version > _VERSION:
            return False
        return await self._supervised.recover(*_known(handle))

    async def wait(self, handle: TaskHandle) -> Exit:
        """Return when the program and all it started have ended and their output is on disk."""
        return await self._supervised.wait(*_known(handle))

    async def stop(self, handle: TaskHandle, *, signal: str, grace_s: float) -> None:
        """Send `signal` (SIGINT by default, as Nomad) to the program; later kill all of it."""
        number = signal_number(NAME, signal, "SIGINT")
        await self._supervised.stop(*_known(handle), number, grace_s)

    async def destroy(self, handle: TaskHandle) -> None:
        """Kill what runs and forget it. The log files stay: they are the allocation's."""
        folder, state = _known(handle)
        await self._supervised.destroy(folder, state)
        self._samples.pop(folder, None)

    # --- Signals, Measures, Executes ------------------------------------------------------

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """Send a signal to the program itself. Raises DriverFailed when it has ended."""
        number = signal_number(NAME, signal, "")
        folder, _ = _known(handle)
        answer = await self._supervised.ask(folder, {"op": "signal", "signal": number})
        if answer is None:
            raise DriverFailed(NAME, "the task is not running")
        if "error" in answer:
            raise DriverFailed(NAME, f"cannot send {signal}: {answer['error']}")

    async def usage(self, handle: TaskHandle) -> ResourceUsage:
        """What all processes of the task use, over the time since this was last asked."""
        folder, state = _known(handle)
        now_s = self._clock.now()
        sample = await asyncio.to_thread(_sample, state, now_s)
        before, self._samples[folder] = self._samples.get(folder), sample
        return stats.usage_between(before, sample, self._core_mhz)

    async def exec(
        self, handle: TaskHandle, command: list[str], *, tty: bool, inputs: AsyncIterator[ExecInput]
    ) -> AsyncGenerator[ExecOutput]:
        """Run `command` with the task's user, environment, folder and control group."""
        folder, _ = _known(handle)
        if not command:
            raise DriverFailed(NAME, "command is not present")
        path = find_program(command[0], _exec_path(handle), _exec_dirs(handle))
        request: Message = {
            "path": path,
            "argv": command,
            "tty": tty,
            "env": {"TERM": "xterm"} if tty else {},
        }
        run = self._exec_terminal if tty else self._exec_pipes
        async with contextlib.aclosing(run(folder, request, inputs)) as outputs:
            async for output in outputs:
                yield output

    async def _exec_terminal(
        self, folder: str, request: Message, inputs: AsyncIterator[ExecInput]
    ) -> AsyncGenerator[ExecOutput]:
        ours, theirs = os.openpty()
        os.set_blocking(ours, False)
        try:
            outputs = [("stdout", lambda: streams.read_fd(ours))]
            feed = streams.feed_terminal(ours, inputs)
            async for output in self._run(folder, request, (theirs,), outputs, feed):
                yield output
        finally:
            os.close(ours)

    async def _exec_pipes(
        self, folder: str, request: Message, inputs: AsyncIterator[ExecInput]
    ) -> AsyncGenerator[ExecOutput]:
        pipes = [os.pipe() for _ in range(3)]
        stdin, stdout, stderr = pipes[0][1], pipes[1][0], pipes[2][0]
        for fd in (stdin, stdout, stderr):
            os.set_blocking(fd, False)
        outputs = [
            ("stdout", lambda: streams.read_fd(stdout)),
            ("stderr", lambda: streams.read_fd(stderr)),
        ]
        theirs = (pipes[0][0], pipes[1][1], pipes[2][1])
        try:
            feed = streams.feed_pipe(stdin, inputs)
            async for output in self._run(folder, request, theirs, outputs, feed):
                yield output
        finally:
            os.close(stdout)
            os.close(stderr)

    async def _run(
        self,
        folder: str,
        request: Message,
        fds: tuple[int, ...],
        outputs: Sequence[tuple[str, Callable[[], Awaitable[bytes]]]],
        feed: Awaitable[None],
    ) -> AsyncGenerator[ExecOutput]:
        """Have the supervisor start the command, and follow it. Takes `fds` and `feed`."""
        async with contextlib.aclosing(self._supervised.exec(folder, request, fds)) as messages:
            try:
                await anext(messages)
            finally:
                for fd in fds:
                    os.close(fd)

            async def ended() -> int:
                async for message in messages:
                    if isinstance(code := message.get("exit_code"), int):
                        return code
                raise DriverFailed(NAME, "the task ended")

            async with contextlib.aclosing(streams.run_exec(outputs, feed, ended())) as joined:
                async for output in joined:
                    yield output

    # --- helpers --------------------------------------------------------------------------

    def _folder(self, task_id: str) -> str:
        return str(self._tasks / task_id)

    def _spec_of(self, task: TaskSpec, config: TaskConfig, folder: str) -> Message:
        """What the supervisor is to do. Looks at files and users, so it may block."""
        self._tasks.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = identity_of(NAME, task.user)
        host = scrub(_agent_environment(), NOT_INHERITED)
        if identity is not None:
            host |= {"USER": identity.name, "LOGNAME": identity.name, "HOME": identity.home}
        denied = (*self._config.denied_envvars, *config.denied_envvars)
        env = scrub({"PATH": _PATH} | host | task.environment, denied)
        dirs = (task.local_dir, task.task_dir)
        logs: Message = {
            "folder": task.logs.folder,
            "stem": task.name,
            "max_files": task.logs.max_files,
            "max_bytes": task.logs.max_file_bytes,
        }
        return {
            "dir": folder,
            "process": {
                "path": find_program(config.command, env.get("PATH", _PATH), dirs),
                "argv": [config.command, *config.args],
                "env": env,
                "cwd": config.work_dir or task.task_dir,
                "uid": identity.uid if identity else None,
                "gid": identity.gid if identity else None,
                "groups": list(identity.groups) if identity else [],
                "oom_score_adj": config.oom_score_adj,
                "cgroup": list(self._override(config)),
            },
            "logs": None if task.logs.disabled else logs,
        }

    def _override(self, config: TaskConfig) -> tuple[str, ...]:
        """The existing groups a task is to run in instead of its own."""
        if self._mounts.v2 and config.cgroup_v2_override:
            return (f"{self._mounts.v2}/{config.cgroup_v2_override.strip('/')}",)
        if self._mounts.v2:
            return ()
        found: list[str] = []
        for controller, group in config.cgroup_v1_override.items():
            mount = self._mounts.v1.get(controller, f"/sys/fs/cgroup/{controller}")
            found.append(f"{mount}/{group.strip('/')}")
        return tuple(found)


def check(config: TaskConfig) -> list[str]:
    """What is wrong with a configuration whose types are right. Pure."""
    problems: list[str] = []
    if not config.command.strip():
        problems.append("command: must not be empty")
    if config.work_dir and not config.work_dir.startswith("/"):
        problems.append(f'work_dir: must be absolute but got relative path "{config.work_dir}"')
    if config.oom_score_adj is not None and not 0 <= config.oom_score_adj <= 1000:
        problems.append("oom_score_adj: must be between 0 and 1000")
    if "\0" in config.command or any("\0" in arg for arg in config.args):
        problems.append("args: must not contain a NUL character")
    if config.cgroup_v2_override and config.cgroup_v1_override:
        problems.append("cgroup_v1_override: only one of it and cgroup_v2_override may be set")
    groups = (config.cgroup_v2_override, *config.cgroup_v1_override.values())
    if any(".." in group.split("/") for group in groups):
        problems.append("cgroup_v1_override, cgroup_v2_override: must not contain ..")
    if any("/" in controller or controller == ".." for controller in config.cgroup_v1_override):
        problems.append("cgroup_v1_override: a controller's name has no /")
    return problems


def scrub(environment: Mapping[str, str], denied: tuple[str, ...]) -> dict[str, str]:
    """Leave out the variables whose names match."""
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in denied)
    }


def _agent_environment() -> dict[str, str]:
    """What a task inherits, as Nomad's raw_exec tasks do: it is a program of this host."""
    return dict(os.environ)  # noqa: TID251 - the one thing that is passed on, not read


def find_program(command: str, path: str, dirs: tuple[str, ...]) -> str:
    """Find a program: in the task's folders first, then, for a bare name, on `path`.

    Raises DriverFailed, naming what is missing.
    """
    if command.startswith("/"):
        candidates = [command]
    else:
        candidates = [f"{folder}/{command}" for folder in dirs]
        if "/" not in command:
            candidates += [f"{folder}/{command}" for folder in path.split(":") if folder]
    found = [each for each in candidates if Path(each).is_file()]
    for each in found:
        if os.access(each, os.X_OK):
            return each
    if found:
        raise DriverFailed(NAME, f'"{found[0]}" is not executable')
    raise DriverFailed(NAME, f'failed to find the program "{command}"')


def _known(handle: TaskHandle) -> tuple[str, State]:
    try:
        return str(handle.state["dir"]), state_of(handle.state)
    except (KeyError, msgspec.ValidationError) as error:
        raise DriverFailed(NAME, "the task's handle cannot be read") from error


def _context_of(spec: Message) -> dict[str, object]:
    """What an exec needs to know later, and is not secret."""
    process = spec["process"]
    assert isinstance(process, dict)
    path = process["env"].get("PATH", _PATH)
    return {"path": path, "cwd": process["cwd"]}


def _exec_path(handle: TaskHandle) -> str:
    return str(handle.state.get("path", _PATH))


def _exec_dirs(handle: TaskHandle) -> tuple[str, ...]:
    return (str(handle.state.get("cwd", "/")),)


def _sample(state: State, now_s: float) -> stats.Sample:
    sample = stats.sample_group(state.cgroup, now_s)
    return sample if sample is not None else stats.sample_tree(state.pid, now_s)
