"""The docker driver: containers on a Docker engine, or on one that speaks its API.

The engine owns the containers, so they outlive the agent by themselves; with live-restore they
outlive the engine too. What is ours: the output, copied to the allocation's log files exactly once
(`copying`), and the watch on the end (`following`). Both go on in the background from the moment a
task is started or recovered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shutil
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from drivers.common import stats
from drivers.common.config import read_config
from drivers.common.signals import signal_number
from drivers.docker.background import Background
from drivers.docker.body import NAME, TASK_LABEL, container_body, container_name
from drivers.docker.check import bad_duration, check
from drivers.docker.config import PluginConfig, TaskConfig
from drivers.docker.copying import LogFiles, prepare
from drivers.docker.creation import Creation
from drivers.docker.engine import Engine, failed, state_of
from drivers.docker.execing import run_command
from drivers.docker.following import Follower, Target, exit_of, result_of
from drivers.docker.http import EngineAway, EngineRefused
from drivers.docker.images import Images, Wanted
from drivers.docker.measure import sample_of
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
from hanse.durations import parse_duration
from hanse.errors import DriverFailed
from hanse.structs.node import DriverInfo
from hanse.structs.stats import ResourceUsage

_VERSION = 1
_NS = 1_000_000_000
#: How long to go on trying to stop a container on an engine that does not answer.
_STOP_TRIES_S = 30.0
_STOP_EVERY_S = 0.5
_NOT_RUNNING = (404, 409)


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What a handle holds."""

    container_id: str
    task_id: str
    dir: str
    image: str
    tty: bool = False
    logs: LogFiles | None = None


class DockerDriver:
    """See the module."""

    name = NAME
    capabilities = Capabilities(send_signals=True, exec=True, isolation="image", mounts=True)

    def __init__(self, context: DriverContext) -> None:
        """Does not touch the engine. Raises DriverFailed when the configuration is wrong."""
        plugin, problems = read_config(context.config, PluginConfig)
        if plugin is None or (problems := _check_plugin(plugin)):
            raise DriverFailed(NAME, f'plugin "docker": {"; ".join(problems)}')
        self._plugin = plugin
        self._clock = context.clock
        self._node_id = context.node_id
        self._folder = Path(context.state_dir)
        self._engine = Engine(plugin)
        self._images = Images(self._engine, context.clock, self._folder / "images", plugin.auth)
        self._background = Background("docker-follow")
        self._followers: dict[str, Follower] = {}
        self._users: Counter[str] = Counter()
        self._starts: dict[str, asyncio.Lock] = {}
        self._core_mhz = stats.core_mhz()
        self._samples: dict[str, stats.Sample] = {}
        # A driver that is dropped, not closed, stops following.
        weakref.finalize(self, _close, self._background, self._engine)

    # --- Driver ---------------------------------------------------------------------------

    async def fingerprint(self) -> DriverInfo:
        """Ask the engine who it is."""
        try:
            attributes = await self._engine.call(self._ask_attributes)
        except (EngineAway, EngineRefused):
            return DriverInfo(health_description="Failed to connect to docker daemon")
        return DriverInfo(
            attributes=attributes, detected=True, healthy=True, health_description="Healthy"
        )

    def _ask_attributes(self, client: Any) -> dict[str, str]:
        info, version = client.info(), client.version()
        found = {
            "driver.docker": "1",
            "driver.docker.version": str(version.get("Version", "")),
            "driver.docker.os_type": str(info.get("OSType", "")),
            "driver.docker.runtimes": ",".join(sorted(info.get("Runtimes") or {})),
            "driver.docker.live_restore": str(bool(info.get("LiveRestoreEnabled"))).lower(),
        }
        if self._plugin.volumes.enabled:
            found["driver.docker.volumes.enabled"] = "true"
        if self._plugin.allow_privileged:
            found["driver.docker.privileged.enabled"] = "true"
        with contextlib.suppress(LookupError, TypeError, ValueError):
            bridge = client.networks(names=["bridge"])[0]["IPAM"]["Config"][0]
            found["driver.docker.bridge_ip"] = bridge.get("Gateway") or _first(bridge["Subnet"])
        return found

    def validate(self, config: Mapping[str, object]) -> list[str]:
        """Problems of a task's `config`, what this node does not allow included."""
        parsed, problems = read_config(config, TaskConfig)
        return problems if parsed is None else check(parsed, self._plugin)

    async def start(self, task: TaskSpec, events: EventSink) -> TaskHandle:
        """Get the image, create the container, start it."""
        lock = self._starts.setdefault(task.id, asyncio.Lock())
        try:
            async with lock:
                return await self._start(task, events)
        finally:
            if not lock.locked():
                self._starts.pop(task.id, None)

    async def _start(self, task: TaskSpec, events: EventSink) -> TaskHandle:
        config, problems = read_config(task.config, TaskConfig)
        if config is None or (problems := check(config, self._plugin)):
            raise DriverFailed(NAME, "; ".join(problems))
        image = await self._image(task, config, events)
        body = await asyncio.to_thread(
            container_body, task, config, self._plugin, image, self._node_id
        )
        folder = self._folder / "tasks" / task.id
        logs = self._log_files(task)
        try:
            await asyncio.to_thread(_prepare, folder, logs)
        except OSError as error:
            raise DriverFailed(NAME, f"cannot write logs: {error}") from error
        tries = config.container_exists_attempts or self._plugin.container_exists_attempts
        creation = Creation(self._engine, task, container_name(task), body, tries)
        found = await creation.run()
        state = _State(
            container_id=str(found["Id"]),
            task_id=task.id,
            dir=str(folder),
            image=str(found["Image"]),
            tty=config.tty,
            logs=logs,
        )
        self._follow(state)
        return TaskHandle(driver=NAME, version=_VERSION, state=msgspec.to_builtins(state))

    async def recover(self, handle: TaskHandle) -> bool:
        """Look for the container. While the engine is away it counts as there."""
        if handle.version > _VERSION:
            return False
        state = _known(handle)
        try:
            found = await self._inspect(state)
        except EngineAway:
            found = {}
        except EngineRefused as error:
            if error.status == 404:
                return False
            raise failed("cannot look for the container", error) from error
        if found and _task_label(found) != state.task_id:
            return False
        self._follow(state)
        return True

    async def wait(self, handle: TaskHandle) -> Exit:
        """Return when the container has ended and its output has been copied."""
        return await result_of(self._follow(_known(handle)).ended)

    async def stop(self, handle: TaskHandle, *, signal: str, grace_s: float) -> None:
        """Send `signal`, by default the image's own or SIGTERM; after `grace_s`, kill."""
        state = _known(handle)
        if signal:
            signal_number(NAME, signal, "")
        if not await self._kill(state, signal):
            return
        ended = self._follow(state).ended
        try:
            async with asyncio.timeout(max(0.0, grace_s)):
                await result_of(ended)
        except TimeoutError:
            if await self._kill(state, "SIGKILL"):
                await result_of(ended)

    async def destroy(self, handle: TaskHandle) -> None:
        """Kill and remove the container, and its image in a while if nobody uses it."""
        state = _known(handle)
        follower = self._followers.get(state.container_id)
        try:
            if await self._is_running(state):
                await self.stop(handle, signal="SIGKILL", grace_s=_STOP_TRIES_S)
            if follower is not None:
                # It ends soon, and has the rest of the output to copy.
                await result_of(follower.ended)
            if self._plugin.gc.container:
                await self._remove(state)
        except (EngineAway, EngineRefused) as error:
            raise failed("cannot remove the container", error) from error
        if self._followers.pop(state.container_id, None) is not None:
            self._users[state.image] -= 1
            self._remove_image_later(state.image)
        self._samples.pop(state.container_id, None)
        await asyncio.to_thread(shutil.rmtree, state.dir, ignore_errors=True)

    # --- Signals, Measures, Executes ------------------------------------------------------

    async def signal(self, handle: TaskHandle, signal: str) -> None:
        """Send a signal to the container's first process. Raises DriverFailed when it ended."""
        state = _known(handle)
        number = signal_number(NAME, signal, "")
        try:
            await self._engine.call(lambda client: client.kill(state.container_id, signal=number))
        except EngineRefused as error:
            if error.status in _NOT_RUNNING:
                raise DriverFailed(NAME, "the task is not running") from error
            raise failed(f"cannot send {signal}", error) from error
        except EngineAway as error:
            raise failed(f"cannot send {signal}", error) from error

    async def usage(self, handle: TaskHandle) -> ResourceUsage:
        """What the container uses, over the time since this was last asked."""
        state = _known(handle)
        try:
            answer = await self._engine.call(
                lambda client: client.stats(state.container_id, stream=False, one_shot=True)
            )
        except (EngineAway, EngineRefused) as error:
            raise failed("cannot measure", error) from error
        sample = sample_of(answer, self._clock.now())
        before = self._samples.get(state.container_id)
        self._samples[state.container_id] = sample
        return stats.usage_between(before, sample, self._core_mhz)

    async def exec(
        self, handle: TaskHandle, command: list[str], *, tty: bool, inputs: AsyncIterator[ExecInput]
    ) -> AsyncGenerator[ExecOutput]:
        """Run `command` in the container."""
        if not command:
            raise DriverFailed(NAME, "command is not present")
        state = _known(handle)
        run = run_command(self._engine, state.container_id, command, tty=tty, inputs=inputs)
        async with contextlib.aclosing(run) as outputs:
            async for output in outputs:
                yield output

    # --- helpers --------------------------------------------------------------------------

    async def _image(self, task: TaskSpec, config: TaskConfig, events: EventSink) -> str:
        if config.load:
            await self._images.load(await asyncio.to_thread(_archive, task, config.load))
        timeout = config.image_pull_timeout or self._plugin.image_pull_timeout
        wanted = Wanted(
            reference=config.image,
            force=config.force_pull,
            auth=config.auth,
            auth_soft_fail=config.auth_soft_fail,
            timeout_s=parse_duration(timeout) / _NS,
            activity_timeout_s=parse_duration(self._plugin.pull_activity_timeout) / _NS,
        )
        return await self._images.get(wanted, events)

    def _log_files(self, task: TaskSpec) -> LogFiles | None:
        if task.logs.disabled or self._plugin.disable_log_collection:
            return None
        return LogFiles(
            folder=task.logs.folder,
            stem=task.name,
            max_files=task.logs.max_files,
            max_file_bytes=task.logs.max_file_bytes,
        )

    def _follow(self, state: _State) -> Follower:
        """The container's follower, started if there is none."""
        follower = self._followers.get(state.container_id)
        if follower is None:
            target = Target(
                container_id=state.container_id, dir=state.dir, tty=state.tty, logs=state.logs
            )
            follower = Follower(self._engine, self._clock, target)
            self._followers[state.container_id] = follower
            self._users[state.image] += 1
            self._background.spawn(follower.run)
        return follower

    async def _inspect(self, state: _State) -> dict[str, Any]:
        found: dict[str, Any] = await self._engine.call(
            lambda client: client.inspect_container(state.container_id)
        )
        return found

    async def _is_running(self, state: _State) -> bool:
        try:
            return exit_of(state_of(await self._inspect(state))) is None
        except EngineRefused as error:
            if error.status == 404:
                return False
            raise

    async def _kill(self, state: _State, signal: str) -> bool:
        """Send a signal; False when the container does not run. Outlasts a short absence."""
        until = self._clock.now() + _STOP_TRIES_S
        while True:
            try:
                await self._engine.call(lambda client: _kill(client, state.container_id, signal))
            except EngineRefused as error:
                if error.status in _NOT_RUNNING:
                    return False
                raise failed("cannot stop the container", error) from error
            except EngineAway as error:
                if self._clock.now() > until:
                    raise failed("cannot stop the container", error) from error
                await self._clock.sleep(_STOP_EVERY_S)
            else:
                return True

    async def _remove(self, state: _State) -> None:
        try:
            await self._engine.call(
                lambda client: client.remove_container(state.container_id, v=True, force=True)
            )
        except EngineRefused as error:
            if error.status not in _NOT_RUNNING:
                raise

    def _remove_image_later(self, image: str) -> None:
        if not self._plugin.gc.image or self._users[image] > 0:
            return
        delay_s = parse_duration(self._plugin.gc.image_delay) / _NS
        images, users = self._images, self._users
        self._background.spawn(
            lambda: images.remove_after(image, delay_s, lambda: users[image] > 0)
        )


def _close(background: Background, engine: Engine) -> None:
    background.close()
    engine.close()


def _first(subnet: str) -> str:
    """The first address of a network: the engine's own, where it does not say."""
    return str(next(ipaddress.ip_network(subnet).hosts()))


def _prepare(folder: Path, logs: LogFiles | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if logs is not None:
        prepare(folder / "copied.json", logs)


def _kill(client: Any, container_id: str, signal: str) -> None:
    wanted = signal
    if not wanted:
        wanted = client.inspect_container(container_id)["Config"].get("StopSignal") or "SIGTERM"
    client.kill(container_id, signal=wanted)


def _archive(task: TaskSpec, name: str) -> Path:
    """An image archive in the allocation. Raises DriverFailed when it is elsewhere."""
    found = Path(task.task_dir, name).resolve()
    if not found.is_relative_to(Path(task.alloc_dir).parent.resolve()):
        raise DriverFailed(NAME, f'load: "{name}" leads out of the allocation')
    return found


def _task_label(found: dict[str, Any]) -> str:
    labels = found.get("Config", {}).get("Labels") or {}
    return str(labels.get(TASK_LABEL, ""))


def _known(handle: TaskHandle) -> _State:
    try:
        return msgspec.convert(handle.state, _State)
    except msgspec.ValidationError as error:
        raise DriverFailed(NAME, "the task's handle cannot be read") from error


def _check_plugin(plugin: PluginConfig) -> list[str]:
    problems = [
        *bad_duration("gc.image_delay", plugin.gc.image_delay),
        *bad_duration("image_pull_timeout", plugin.image_pull_timeout),
        *bad_duration("pull_activity_timeout", plugin.pull_activity_timeout),
    ]
    if plugin.gc.dangling_containers.enabled:
        problems.append("gc.dangling_containers: not supported yet")
    return problems
