"""Which ended allocations leave this node's disk, and when."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from hanse.structs.times import parse_rfc3339

if TYPE_CHECKING:
    from client.agent import Client

log = structlog.get_logger(__name__)

#: Ended allocations go, oldest first, while the disk is fuller than this, percent.
DISK_PERCENT_MAX = 80.0


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation on this node."""

    id: str
    ended: bool
    #: When it ended, Unix ns.
    ended_ns: int = 0


def surplus(kept: Iterable[Kept], allocs_max: int, disk_percent: float) -> list[str]:
    """The ended allocations to remove now, the one that ended first before the others. Pure.

    Too full a disk costs all of them but the newest few: how much each frees is not known.
    """
    everything = list(kept)
    ended = sorted((each for each in everything if each.ended), key=lambda e: (e.ended_ns, e.id))
    too_many = max(0, len(everything) - allocs_max)
    if disk_percent > DISK_PERCENT_MAX:
        too_many = max(too_many, (len(ended) + 1) // 2)
    return [each.id for each in ended[:too_many]]


def _kept(client: Client) -> list[Kept]:
    found: list[Kept] = []
    for runner in client.allocations:
        states = [task.machine.memory.state for task in runner.tasks.values()]
        ended_ns = max((parse_rfc3339(state.finished_at) for state in states), default=0)
        found.append(Kept(id=runner.id, ended=runner.machine.done, ended_ns=ended_ns))
    return found


def disk_percent(folder: Path) -> float:
    """How full the volume of the folder is."""
    stats = os.statvfs(folder)
    return 100.0 * (1 - stats.f_bavail / stats.f_blocks) if stats.f_blocks else 0.0


def collect_all(client: Client) -> None:
    """Remove every allocation that has ended."""
    for kept in _kept(client):
        if kept.ended:
            client.allocations.collect(kept.id)


async def collect_for_ever(client: Client) -> None:
    """Keep the node's disk in bounds."""
    config = client.config.client
    while True:
        await client.clock.sleep(config.gc_interval_s)
        used = disk_percent(client.world.alloc_root)
        gone = surplus(_kept(client), config.gc_max_allocs, used)
        for alloc_id in gone:
            client.allocations.collect(alloc_id)
        if gone:
            log.info("ended allocations removed", count=len(gone), disk_percent=round(used))
