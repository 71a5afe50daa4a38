"""Reports of allocations as the state keeps them: small.

What a client says of tasks and their events is a hundred times read for each time it is shown,
and a kilobyte of objects for each allocation. So it stays encoded, compressed against a sample
of what all of them look like, and is decoded by who wants to see it.
"""

from __future__ import annotations

from functools import cache, lru_cache

import msgspec
import structlog
import zstandard

from hanse.structs.allocation import Allocation, AllocStatus, ServiceInstance
from hanse.structs.taskstate import AllocNetworkStatus, TaskEvent, TaskState

log = structlog.get_logger(__name__)

_NOTHING = b"\x80"
_LEVEL = 3
_EVENTS = (
    "Received",
    "Task Setup",
    "Building Task Directory",
    "Driver",
    "Started",
    "Terminated",
    "Restarting",
    "Not Restarting",
    "Killing",
    "Killed",
    "Driver Failure",
    "Sibling Task Failed",
)

_decoder = msgspec.msgpack.Decoder(dict[str, TaskState])


class Reported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An `AllocStatus` as the store has it, with its task states left encoded."""

    alloc_id: str
    client_status: str = "pending"
    client_description: str = ""
    task_states: msgspec.Raw = msgspec.Raw(_NOTHING)
    healthy: bool | None = None
    healthy_at_ns: int = 0
    healthy_in: str | None = None
    network: AllocNetworkStatus | None = None
    services: tuple[ServiceInstance, ...] = ()
    modified_ns: int = 0
    reported_index: int = 0
    packed_states: bytes = b""


class ReportedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A `StatusSegment` with its task states left encoded."""

    node_id: str
    statuses: tuple[Reported, ...]
    schema: int = 1


@cache
def _tools() -> tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor]:
    events = tuple(
        TaskEvent(type=kind, time=1_700_000_000 * 10**9, message=kind, display_message=kind)
        for kind in _EVENTS
    )
    states = TaskState(
        state="running",
        started_at="2026-01-01T00:00:00.123456789Z",
        finished_at="2026-01-01T00:00:00.123456789Z",
        events=events,
    )
    sample = zstandard.ZstdCompressionDict(
        msgspec.msgpack.encode({"task": states}), dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    sample.precompute_compress(level=_LEVEL)
    return (
        zstandard.ZstdCompressor(level=_LEVEL, dict_data=sample, write_dict_id=False),
        zstandard.ZstdDecompressor(dict_data=sample),
    )


def packed(reported: Reported, alloc: Allocation) -> AllocStatus:
    """A report as the state keeps it."""
    raw = bytes(reported.task_states)
    states = b""
    if raw != _NOTHING:
        # The copy: what the compressor gives still holds the space it would have needed at worst.
        states = bytes(memoryview(_tools()[0].compress(raw)))
    return AllocStatus(
        alloc_id=alloc.id,
        client_status=_shared(reported.client_status),
        client_description=_shared(reported.client_description),
        healthy=reported.healthy,
        healthy_at_ns=reported.healthy_at_ns,
        healthy_in=reported.healthy_in,
        network=reported.network,
        services=reported.services,
        modified_ns=reported.modified_ns,
        packed_states=states,
    )


@lru_cache(maxsize=1_000)
def _shared(text: str) -> str:
    """One object for texts that many reports have in common."""
    return text


def task_states(status: AllocStatus | None) -> dict[str, TaskState]:
    """What a report says of the tasks, whether it is packed or not. From one thread only."""
    if status is None:
        return {}
    if not status.packed_states:
        return status.task_states
    try:
        return _decoder.decode(_tools()[1].decompress(status.packed_states))
    except msgspec.MsgspecError as error:
        # Servers check reports before they store them, so this is damage or the far future.
        log.warning("task states cannot be read", alloc=status.alloc_id, error=str(error))
        return {}


def unpacked(status: AllocStatus) -> AllocStatus:
    """A report as clients send it and the store has it."""
    if not status.packed_states:
        return status
    return msgspec.structs.replace(status, task_states=task_states(status), packed_states=b"")
