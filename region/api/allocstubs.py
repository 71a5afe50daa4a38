"""Lists of allocations, encoded once per change of each.

A list of a hundred thousand allocations is 70 MB of JSON. Of one list to the next little changes,
so the encoding of each allocation is kept beside the allocation it was made of; since state
objects are never changed in place, `is` tells whether it still holds.
"""

from __future__ import annotations

from collections.abc import Iterable

from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from region.api.endpoint import Answer, Call, encode
from region.api.lists import Pacer, Pieces
from region.api.ports import AppliedPort, StatePort
from region.api.views import alloc_stub, job_of

#: Bytes of encodings that are kept.
CACHE_BYTES_MAX = 96 * 1024 * 1024


class StubCache:
    """Encoded stubs by allocation. When it is full, what is there stays.

    Lists are read from one end to the other, so making room for each new entry would throw out
    what the next reading needs first.
    """

    def __init__(self, state: StatePort, bytes_max: int = CACHE_BYTES_MAX) -> None:
        """Begin empty, and forget what the state forgets."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: dict[str, tuple[Allocation, str, bytes]] = {}
        state.listen(self.on_applied)

    def on_applied(self, applied: AppliedPort) -> None:
        """Drop the allocations that are gone."""
        for change in applied.changes:
            if change.new is None and isinstance(change.old, Allocation):
                self._drop(change.old.id)

    def _drop(self, alloc_id: str) -> None:
        old = self._kept.pop(alloc_id, None)
        if old is not None:
            self._bytes -= len(old[2])

    def get(self, alloc: Allocation, node_name: str) -> bytes | None:
        """The encoding, if the allocation is still the same."""
        entry = self._kept.get(alloc.id)
        if entry is not None and entry[0] is alloc and entry[1] == node_name:
            return entry[2]
        return None

    def put(self, alloc: Allocation, node_name: str, encoding: bytes) -> None:
        """Keep an encoding, if there is room."""
        self._drop(alloc.id)
        if self._bytes + len(encoding) <= self._bytes_max:
            self._kept[alloc.id] = (alloc, node_name, encoding)
            self._bytes += len(encoding)


class StubMaker:
    """Encodes the allocations of one answer; looks jobs and nodes up once each."""

    def __init__(
        self, state: StatePort, cache: StubCache, *, resources: bool, states: bool
    ) -> None:
        """The cache holds only stubs of the usual kind."""
        self._state = state
        self._cache = cache if states and not resources else None
        self._resources = resources
        self._states = states
        self._jobs: dict[tuple[str, str, int, int], Job | None] = {}
        self._nodes: dict[str, str] = {}

    def job(self, alloc: Allocation) -> Job | None:
        """The job version that an allocation runs."""
        key = (alloc.namespace, alloc.job_id, alloc.job_version, alloc.job_create_index)
        if key not in self._jobs:
            self._jobs[key] = job_of(self._state, alloc)
        return self._jobs[key]

    def node_name(self, node_id: str) -> str:
        """A node's name; empty when it is forgotten."""
        name = self._nodes.get(node_id)
        if name is None:
            node = self._state.node(node_id)
            name = self._nodes[node_id] = node.name if node is not None else ""
        return name

    def encode(self, alloc: Allocation) -> bytes:
        """The encoded stub."""
        node_name = self.node_name(alloc.node_id)
        if self._cache is not None:
            kept = self._cache.get(alloc, node_name)
            if kept is not None:
                return kept
        stub = alloc_stub(
            alloc,
            self.job(alloc),
            node_name,
            resources=self._resources,
            states=self._states,
        )
        encoding = encode(stub)
        if self._cache is not None:
            self._cache.put(alloc, node_name, encoding)
        return encoding


def maker(call: Call, *, resources: bool | None = None) -> StubMaker:
    """A maker for one request, which may ask for more or less than usual."""
    if resources is None:
        resources = call.query.flag("resources")
    return StubMaker(
        call.state,
        call.context.part(StubCache),
        resources=resources,
        states=call.query.flag("task_states", default=True),
    )


async def stubs(call: Call, allocs: Iterable[Allocation]) -> Answer:
    """A list of allocations in the order of their making."""
    make = maker(call)
    pacer = Pacer(call)
    pieces = Pieces()
    for alloc in sorted(allocs, key=lambda alloc: (alloc.create_index, alloc.id)):
        if pacer.due():
            await pacer.pause()
        pieces.add(make.encode(alloc))
    return Answer(body=pieces.body())
