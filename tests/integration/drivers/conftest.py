"""One rig per driver, so that the same tests hold both to the protocol."""

import contextlib
import itertools
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import docker
import msgspec
import pytest

from drivers.docker import DockerDriver
from drivers.raw_exec import RawExecDriver
from hanse.clock import SystemClock
from hanse.driver import (
    DriverContext,
    DriverEvent,
    ExecInput,
    LogTarget,
    TaskHandle,
    TaskSpec,
)

IMAGE = "localhost/hanse-busybox:1"
_numbers = itertools.count(1)


class Rig:
    """Makes drivers of one kind that share a state folder, and tasks for them."""

    name = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SystemClock()
        self.events: list[DriverEvent] = []
        self.made: list[TaskHandle] = []

    def context(self, **config: object) -> DriverContext:
        return DriverContext(
            config=config, state_dir=str(self.root / "state"), clock=self.clock, node_id="n1"
        )

    def driver(self, **config: object):
        raise NotImplementedError

    def config(self, script: str) -> dict[str, object]:
        """A task's `config` that runs a shell script."""
        raise NotImplementedError

    def task(self, script: str, **changes: object) -> TaskSpec:
        number = next(_numbers)
        alloc = self.root / f"alloc{number}"
        for folder in ("alloc/logs", "web/local", "web/secrets"):
            (alloc / folder).mkdir(parents=True)
        defaults = {
            "id": f"hanse-test-{os.getpid()}-{number}",
            "allocation_id": f"{os.getpid():08x}-0000-0000-0000-{number:012x}",
            "name": "web",
            "job_id": "job",
            "group": "group",
            "config": self.config(script),
            "environment": {"PATH": "/usr/bin:/bin", "GREETING": "good day"},
            "alloc_dir": str(alloc / "alloc"),
            "local_dir": str(alloc / "web/local"),
            "secrets_dir": str(alloc / "web/secrets"),
            "task_dir": str(alloc / "web"),
            "logs": LogTarget(folder=str(alloc / "alloc/logs")),
            "memory_mib": 64,
            "cpu_mhz": 100,
        }
        return TaskSpec(**{**defaults, **changes})

    async def start(self, driver, task: TaskSpec) -> TaskHandle:
        handle = await driver.start(task, self.events.append)
        self.made.append(handle)
        return handle

    def alive(self, handle: TaskHandle) -> bool:
        """Whether the task's main process runs, seen without the driver."""
        raise NotImplementedError

    async def clean(self) -> None:
        driver = self.driver()
        for handle in self.made:
            with contextlib.suppress(Exception):
                await driver.destroy(handle)


class RawExecRig(Rig):
    name = "raw_exec"

    def driver(self, **config: object) -> RawExecDriver:
        return RawExecDriver(self.context(**{"enabled": True, **config}))

    def config(self, script: str) -> dict[str, object]:
        return {"command": "sh", "args": ["-c", script]}

    def alive(self, handle: TaskHandle) -> bool:
        return Path(f"/proc/{handle.state['pid']}").exists()


class DockerRig(Rig):
    name = "docker"
    _client: docker.APIClient | None = None

    def driver(self, **config: object) -> DockerDriver:
        return DockerDriver(self.context(**config))

    def config(self, script: str) -> dict[str, object]:
        return {"image": IMAGE, "command": "sh", "args": ["-c", script]}

    def alive(self, handle: TaskHandle) -> bool:
        try:
            found = self.engine().inspect_container(handle.state["container_id"])
        except docker.errors.NotFound:
            return False
        return bool(found["State"]["Running"])

    def engine(self) -> docker.APIClient:
        if self._client is None:
            self._client = docker.APIClient(version="auto")
        return self._client

    async def clean(self) -> None:
        await super().clean()
        if self._client is not None:
            self._client.close()


RIGS: dict[str, type[Rig]] = {"raw_exec": RawExecRig, "docker": DockerRig}


@pytest.fixture(params=sorted(RIGS))
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    made = RIGS[request.param](tmp_path)
    yield made
    await made.clean()


@pytest.fixture
async def raw(tmp_path: Path) -> AsyncIterator[RawExecRig]:
    made = RawExecRig(tmp_path)
    yield made
    await made.clean()


@pytest.fixture
async def box(tmp_path: Path, docker_engine: str) -> AsyncIterator[DockerRig]:
    made = DockerRig(tmp_path)
    yield made
    await made.clean()


@pytest.fixture
def logs() -> Callable[..., str]:
    """Reads all of a stream of a task, in the order of its files."""

    def read(task: TaskSpec, stream: str = "stdout") -> str:
        return "".join(
            path.read_text() for path in log_files(Path(task.logs.folder), task.name, stream)
        )

    return read


def log_files(folder: Path, task: str, stream: str) -> list[Path]:
    found = [
        path for path in folder.iterdir() if re.fullmatch(rf"{task}\.{stream}\.\d+", path.name)
    ]
    return sorted(found, key=lambda path: int(path.name.rpartition(".")[2]))


@pytest.fixture
def files() -> Callable[[TaskSpec, str], list[Path]]:
    return lambda task, stream="stdout": log_files(Path(task.logs.folder), task.name, stream)


@pytest.fixture
def until(rig_clock: SystemClock) -> Callable:
    """Waits for something to become true; fails after ten seconds."""

    async def wait(condition: Callable[[], object]) -> None:
        deadline = rig_clock.now() + 10
        while not condition():
            if rig_clock.now() > deadline:
                pytest.fail("this did not become true in ten seconds")
            await rig_clock.sleep(0.01)

    return wait


@pytest.fixture
def rig_clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def inputs() -> Callable[..., AsyncIterator[ExecInput]]:
    """Turns some messages into what a user types."""

    async def stream(*messages: ExecInput) -> AsyncIterator[ExecInput]:
        for message in messages:
            yield message

    return stream


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable]:
    """Runs `host.py`, which starts tasks in a process of its own; it is killed in the end."""
    import subprocess
    import sys

    started: list[subprocess.Popen[str]] = []

    def start(rig: Rig, tasks: list[TaskSpec]) -> tuple[subprocess.Popen[str], list[TaskHandle]]:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("host.py")), rig.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        started.append(process)
        assert process.stdin
        assert process.stdout
        request = {"state_dir": str(rig.root / "state"), "tasks": msgspec.to_builtins(tasks)}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        handles = msgspec.json.decode(process.stdout.readline(), type=list[TaskHandle])
        rig.made += handles
        return process, handles

    yield start
    for process in started:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
