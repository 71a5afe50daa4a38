"""What all tests share: the Hypothesis profile, and the components that must be on the machine."""

import os
import shutil
import socket
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

# A deadline measures the machine, not the code.
settings.register_profile("hanse", deadline=None, print_blob=True)
settings.load_profile("hanse")

IN_CI = os.environ.get("CI") == "true"
DOCKER_SOCKET = "/var/run/docker.sock"


def missing(component: str, remedy: str) -> NoReturn:
    """End the test because the machine lacks a component: a failure in CI, a skip elsewhere."""
    reason = f"{component} is missing: {remedy}"
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: a skip would hide what was not tested."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longreprtext}"
    return report


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("HANSE_CACHE") or f"{home}/hanse")


@pytest.fixture(scope="session")
def etcd_binary() -> Path:
    """The etcd server that `make dev` fetched, or the one on PATH."""
    ours = _cache() / "etcd" / "bin" / "etcd"
    found = str(ours) if os.access(ours, os.X_OK) else shutil.which("etcd")
    if found is None:
        missing("etcd", "run `make dev`")
    return Path(found)


@pytest.fixture(scope="session")
def docker_engine() -> str:
    """The URL of a Docker engine that answers and has the image localhost/hanse-busybox:1."""
    if not _answers("/_ping"):
        missing("a Docker engine", "run `scripts/docker-up`")
    if not _answers("/images/localhost/hanse-busybox:1/json"):
        missing("the image localhost/hanse-busybox:1", "run `scripts/image`")
    return f"unix://{DOCKER_SOCKET}"


def _answers(path: str) -> bool:
    """Whether the engine answers 200 to a GET of the path."""
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(5)
            engine.connect(DOCKER_SOCKET)
            engine.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            return b" 200 " in engine.recv(32)
    except OSError:
        return False
