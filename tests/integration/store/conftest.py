"""A real etcd for the session, and the store in memory beside it, under one harness."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from hanse.clock import SystemClock
from hanse.config.paths import cache_dir
from hanse.store import Delete, Put, Store, Txn
from hanse.testing.store import MemoryStore
from region.store.binary import Binary
from region.store.client import opened
from region.store.maintain import maintenance
from region.store.member import MemberConfig, flags
from region.store.members import Options


def free_port() -> int:
    """Let the system pick a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(name="new_address", scope="session")
def _new_address() -> object:
    return free_address


@pytest.fixture(scope="session")
def binary() -> Binary:
    private = cache_dir() / "etcd" / "bin" / "etcd"
    path = private if private.is_file() else Path(shutil.which("etcd") or "")
    if not path.is_file():
        if os.environ.get("CI"):
            pytest.fail("etcd is not installed")
        pytest.skip("etcd is not installed")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, patch = said.split()[2].split(".")
    return Binary(path, (int(major), int(minor), int(patch)))


@dataclass
class RunningEtcd:
    endpoint: str
    pid: int

    def metric(self, name: str) -> float:
        """Read one of the member's counters."""
        with urllib.request.urlopen(f"http://{self.endpoint}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name):
                    return float(line.split()[-1])
        raise KeyError(name)


@pytest.fixture(scope="session")
def etcd(binary: Binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    config = MemberConfig(
        name="lubeck",
        region="global",
        data_dir=tmp_path_factory.mktemp("etcd"),
        client_address=free_address(),
        peer_address=free_address(),
        dev=True,
        # The last of two counts: progress often enough for a test to wait for it.
        extra=("--experimental-watch-progress-notify-interval=200ms",),
    )
    process = subprocess.Popen(
        [binary.path, *flags(config, binary.version)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
    )
    try:
        deadline = time.monotonic() + 30
        while not _healthy(config.client_address):
            assert process.poll() is None, "etcd ended"
            assert time.monotonic() < deadline, "etcd does not answer"
            time.sleep(0.05)
        yield RunningEtcd(config.client_address, process.pid)
    finally:
        process.kill()
        process.wait()


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/health", timeout=2) as answer:
            return b"true" in answer.read()
    except OSError:
        return False


class Harness(Protocol):
    """A store, and what the contract's tests do to it from outside."""

    store: Store

    async def compact(self) -> None: ...

    async def end_lease(self, lease: int) -> None: ...

    def watchers(self) -> int: ...


@dataclass
class MemoryHarness:
    store: MemoryStore

    async def compact(self) -> None:
        self.store.compact()

    async def end_lease(self, lease: int) -> None:
        self.store.expire_lease(lease)

    def watchers(self) -> int:
        return self.store.watchers


@dataclass
class EtcdHarness:
    store: Store
    etcd: RunningEtcd

    async def compact(self) -> None:
        async with maintenance(self.etcd.endpoint, clock=SystemClock()) as operate:
            await operate.compact(await self.store.revision())

    async def end_lease(self, lease: int) -> None:
        """Wait for the lease's own end: a second for a lease of one."""
        while True:
            if await self._ended(lease):
                return
            await asyncio.sleep(0.05)

    async def _ended(self, lease: int) -> bool:
        # A read of the lease would keep it; its key tells without that.
        found = await self.store.list("/lease/")
        return not any(str(lease) in item.key for item in found.items)

    def watchers(self) -> int:
        return int(self.etcd.metric("etcd_debugging_mvcc_watcher_total"))


OPTIONS = Options(far_behind=50, call_deadline_s=10.0)


@asynccontextmanager
async def memory_harness() -> AsyncIterator[Harness]:
    yield MemoryHarness(MemoryStore(far_behind=OPTIONS.far_behind))


@asynccontextmanager
async def etcd_harness(etcd: RunningEtcd) -> AsyncIterator[Harness]:
    async with opened([etcd.endpoint], clock=SystemClock(), options=OPTIONS) as store:
        await store.commit(Txn((), (Delete("", prefix=True),)))
        await store.commit(Txn((), (Put("/before", b""),)))
        yield EtcdHarness(store, etcd)


@pytest.fixture(params=["memory", "etcd"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Each test of the contract runs over both."""
    if request.param == "memory":
        async with memory_harness() as made:
            yield made
    else:
        async with etcd_harness(request.getfixturevalue("etcd")) as made:
            yield made


@pytest.fixture
def store(harness: Harness) -> Store:
    return harness.store
