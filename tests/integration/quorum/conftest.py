"""A region of three servers, each a process with its own etcd member and node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.quorum_harness import Region


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory, etcd_binary: Path) -> Iterator[Region]:
    del etcd_binary
    region = Region(tmp_path_factory.mktemp("region"), clients=True)
    for server in region.servers:
        server.more = 'heartbeat_grace = "4s"'
    try:
        yield region.start()
    finally:
        region.close()
