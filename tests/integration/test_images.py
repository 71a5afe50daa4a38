"""The offline images do what the jobs that use them need."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import docker
import pytest

REPO = Path(__file__).resolve().parents[2]
LABEL = {"hanse.test": "images"}
T = TypeVar("T")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("hanse_image_script", str(REPO / "scripts" / "image"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def engine(docker_engine: str) -> Iterator[Any]:
    client: Any = docker.DockerClient(base_url=docker_engine)  # type: ignore[attr-defined,no-untyped-call]
    yield client
    for container in client.containers.list(all=True, filters={"label": "hanse.test=images"}):
        container.remove(force=True)
    client.close()


def eventually(attempt: Callable[[], T]) -> T:
    """The result of an attempt that may fail at first, while a server comes up."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return attempt()
        except (OSError, AssertionError):
            if time.monotonic() > deadline:
                raise
        threading.Event().wait(0.05)


def published(container: Any, port: str) -> int:
    """The port on loopback that leads to the container's."""
    container.reload()
    return int(container.ports[port][0]["HostPort"])


def test_the_same_busybox_gives_the_same_image(script: ModuleType, tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\nprintf 'busybox\\nsh\\nls\\n'\n")
    busybox.chmod(0o755)
    first, second = (script.archive_of(busybox, script.IMAGES[0]) for _ in range(2))
    assert first == second
    other, _ = script.archive_of(busybox, script.IMAGES[1])
    assert other != first[0]


def test_the_task_tells_its_streams_apart_and_its_code(engine: Any) -> None:
    container = engine.containers.run(
        "localhost/hanse-busybox:1", ["hanse-task", "exit", "7"], detach=True, labels=LABEL
    )
    assert container.wait(timeout=30)["StatusCode"] == 7
    assert container.logs(stdout=True, stderr=False) == b"out\n"
    assert container.logs(stdout=False, stderr=True) == b"err\n"


def test_the_redis_stand_in_answers_and_ends_when_told(engine: Any) -> None:
    container = engine.containers.run(
        "redis:7", detach=True, labels=LABEL, ports={"6379/tcp": ("127.0.0.1", None)}
    )
    address = ("127.0.0.1", published(container, "6379/tcp"))

    def ask(command: bytes, lines: int) -> list[bytes]:
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(command)
            with client.makefile("rb") as answers:
                return [answers.readline() for _ in range(lines)]

    def ping() -> None:
        assert ask(b"*1\r\n$4\r\nPING\r\n", 1) == [b"+PONG\r\n"]

    eventually(ping)
    stored = ask(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na*b\r\nGET k\r\nGET none\r\n", 4)
    assert stored == [b"+OK\r\n", b"$3\r\n", b"a*b\r\n", b"$-1\r\n"]
    container.stop(timeout=30)
    assert container.wait(timeout=30)["StatusCode"] == 0


def test_the_web_stand_in_is_healthy_on_both_ports(engine: Any) -> None:
    container = engine.containers.run(
        "hashicorp/web-frontend",
        detach=True,
        labels=LABEL,
        environment={"NOMAD_PORT_http": "8000", "NOMAD_PORT_https": "8443"},
        ports={"8000/tcp": ("127.0.0.1", None), "8443/tcp": ("127.0.0.1", None)},
    )
    for inside in ("8000/tcp", "8443/tcp"):
        url = f"http://127.0.0.1:{published(container, inside)}/health"

        def get(url: str = url) -> tuple[int, bytes]:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read()

        assert eventually(get) == (200, b"ok\n")
