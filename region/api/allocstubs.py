"""Allocations in lists, encoded one by one."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from region.api.endpoint import Answer, Call, encode
from region.api.lists import Pacer, Pieces
from region.api.ports import StatePort
from region.api.views import alloc_stub, job_of


class StubMaker:
    """Encodes the allocations of one answer; looks jobs and nodes up once each."""

    def __init__(self, state: StatePort, *, resources: bool, states: bool) -> None:
        """Say whether what was given, and the tasks' states, are shown."""
        self._state = state
        self.resources = resources
        self.states = states
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
        stub = alloc_stub(
            alloc,
            self.job(alloc),
            self.node_name(alloc.node_id),
            resources=self.resources,
            states=self.states,
        )
        return encode(stub)


def maker(call: Call) -> StubMaker:
    """A maker for one request, which may ask for more or less than usual."""
    return StubMaker(
        call.state,
        resources=call.query.flag("resources"),
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
