"""One agent for most tests of this folder; those that break things start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Agent


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory, etcd_binary: Path) -> Iterator[Agent]:
    del etcd_binary
    agent = Agent(tmp_path_factory.mktemp("agent"))
    try:
        yield agent.start()
    finally:
        agent.close()


@pytest.fixture
def own_agent(tmp_path: Path, etcd_binary: Path) -> Iterator[Agent]:
    del etcd_binary
    agent = Agent(tmp_path)
    try:
        yield agent
    finally:
        agent.close()
