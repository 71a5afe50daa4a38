"""What is taken of every node: the fleet, charged with what runs and with plans in flight.

An allocation is charged once, by whoever sees it first: the pass that placed it, or the state
that shows it. So a plan in flight takes its room at once, and becomes ordinary when it lands.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.structs.plan import Placement
from hanse.structs.taskstate import AllocatedPortMapping
from region.scheduler.fleet import Fleet, FleetView
from region.scheduler.nodes import computed_class, usable
from region.scheduler.resources import Ask, Usage, ask_of, group_of
from region.state.state import State
from region.state.tables import Changed

#: Asks that are kept for the next charge.
_ASKS_MAX = 10_000


class Capacity:
    """Keeps a `Fleet` true to the state and to plans in flight.

    One thread at a time may change it: the event loop, or a pass while the loop waits for it.
    """

    def __init__(self, state: State, region: str) -> None:
        """Takes in all that the state holds now."""
        self._state = state
        #: A dry run may take a view while a pass in its thread charges.
        self._lock = Lock()
        self._fleet = Fleet(region)
        self._charged: dict[str, tuple[str, Usage]] = {}
        self._asks: dict[tuple[str, str, int, int, str], Usage] = {}
        for node in state.nodes():
            self._fleet.set_node(node)
        for alloc in state.allocations():
            self._charge_existing(alloc)

    def view(self) -> FleetView:
        """The fleet as it is now. May be called from any thread."""
        with self._lock:
            return self._fleet.snapshot()

    def take(self, change: Changed) -> str | None:
        """Follow a change of the state; gives the class of a node that has room it had not."""
        match change:
            case Changed(table="allocs", new=Allocation() as alloc) if not alloc.terminal:
                self._charge_existing(alloc)
            case Changed(table="allocs", key=str() as alloc_id):
                return self.release(alloc_id)
            case Changed(table="nodes", new=Node() as node):
                self._fleet.set_node(node)
                return class_of(node) if usable(node) else None
            case Changed(table="nodes", key=str() as node_id):
                self._fleet.remove_node(node_id)
            case _:
                pass
        return None

    def reserve(self, job: Job, placements: Iterable[Placement]) -> None:
        """Charge a plan before it is committed."""
        for placement in placements:
            usage = self._usage(job, placement.group)
            if placement.ports:
                usage = _with_ports(usage, placement.ports)
            with self._lock:
                self._fleet.charge(placement.node_id, usage)
            self._charged[placement.id] = (placement.node_id, usage)

    def release(self, alloc_id: str) -> str | None:
        """Undo the charge of an allocation; gives its node's class if there was one."""
        charged = self._charged.pop(alloc_id, None)
        if charged is None:
            return None
        self._fleet.release(*charged)
        node = self._state.node(charged[0])
        return class_of(node) if node is not None and usable(node) else None

    def _charge_existing(self, alloc: Allocation) -> None:
        if alloc.terminal or alloc.id in self._charged:
            return
        job = self._state.job_version(alloc.namespace, alloc.job_id, alloc.job_version)
        usage = self._usage(job, alloc.group)
        if alloc.ports:
            usage = _with_ports(usage, alloc.ports)
        self._fleet.charge(alloc.node_id, usage)
        self._charged[alloc.id] = (alloc.node_id, usage)

    def _usage(self, job: Job | None, name: str) -> Usage:
        """What an instance takes beside its ports: one object for each group of a version."""
        if job is None:
            return Usage()
        key = (job.namespace, job.id, job.create_index, job.version, name)
        usage = self._asks.get(key)
        if usage is None:
            group = group_of(job, name)
            ask = ask_of(group) if group is not None else Ask()
            usage = Usage(ask.cpu_mhz, ask.memory_mb, ask.disk_mb)
            if len(self._asks) >= _ASKS_MAX:
                self._asks.clear()
            self._asks[key] = usage
        return usage


def class_of(node: Node) -> str:
    """The computed class, as the scheduler names it."""
    return node.computed_class or computed_class(node)


def _with_ports(usage: Usage, ports: Iterable[AllocatedPortMapping]) -> Usage:
    values = tuple(port.value for port in ports if not port.ignore_collision)
    return Usage(usage.cpu_mhz, usage.memory_mb, usage.disk_mb, values)
