"""The room on all nodes while one plan is being made: what stops give back, what choices take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanse.structs.taskstate import AllocatedPortMapping
from region.scheduler.fleet import FleetView, Floats, Free, Ints, Mask, weight_of, weights_of
from region.scheduler.nodes import (
    DYNAMIC_PORT_MAX,
    DYNAMIC_PORT_MIN,
    host_ip,
    room_of,
)
from region.scheduler.resources import Ask, PortAsk, Usage

#: Primes, so that consecutive picks on different nodes do not land on the same port.
_PORT_STRIDE = 7_919


class Board:
    """Free resources, starting from a view.

    The view's columns are copied before the first change, and a charge is kept back until
    somebody asks for a column: the last charge of a plan interests nobody.
    """

    def __init__(self, view: FleetView, seed: int) -> None:
        """`seed` decides which dynamic ports are taken first."""
        self.view = view
        self._free = view.free
        self._own = False
        self._charges: list[tuple[Sequence[int], Ask]] = []
        self._held: dict[int, set[int]] = {}
        self._seed = seed

    @property
    def cpu(self) -> Ints:
        """Free MHz by row."""
        return self._settled().cpu[: self.view.size]

    @property
    def memory(self) -> Ints:
        """Free MB by row."""
        return self._settled().memory[: self.view.size]

    @property
    def disk(self) -> Ints:
        """Free MB of disk by row."""
        return self._settled().disk[: self.view.size]

    @property
    def ports(self) -> Ints:
        """Free dynamic ports by row."""
        return self._settled().ports[: self.view.size]

    @property
    def cpu_weight(self) -> Floats:
        """10 to the power of the free share of CPU, by row."""
        return self._settled().cpu_weight[: self.view.size]

    @property
    def memory_weight(self) -> Floats:
        """10 to the power of the free share of memory, by row."""
        return self._settled().memory_weight[: self.view.size]

    def charge(self, rows: Sequence[int], ask: Ask) -> None:
        """Take room for one instance on each of the rows; a row may come several times.

        Ports are taken by `assign`.
        """
        self._charges.append((rows, ask))

    def release(self, row: int, usage: Usage) -> None:
        """Give back what an allocation takes that the plan stops."""
        free, held = self._owned(), self._ports_of(row)
        free.cpu[row] += usage.cpu_mhz
        free.memory[row] += usage.memory_mb
        free.disk[row] += usage.disk_mb
        for port in usage.ports:
            if port in held:
                held.discard(port)
                free.ports[row] += self._dynamic(row, port)
        self._weigh(row)

    def take(self, row: int, usage: Usage) -> None:
        """Undo a `release`: the allocation stays after all."""
        free, held = self._owned(), self._ports_of(row)
        free.cpu[row] -= usage.cpu_mhz
        free.memory[row] -= usage.memory_mb
        free.disk[row] -= usage.disk_mb
        for port in usage.ports:
            if port not in held:
                held.add(port)
                free.ports[row] -= self._dynamic(row, port)
        self._weigh(row)

    def static_open(self, ask: Ask) -> list[tuple[PortAsk, Mask]]:
        """For each port that only one can have: the rows where it is free."""
        found: list[tuple[PortAsk, Mask]] = []
        for port in ask.exclusive_ports:
            open_rows = ~self.view.port_taken(port.value)
            for row, held in self._held.items():
                kept = self.view.tables.reserved[self.view.capacity.reserved[row]]
                open_rows[row] = port.value not in held and port.value not in kept
            found.append((port, open_rows))
        return found

    def assign(self, row: int, ask: Ask) -> tuple[AllocatedPortMapping, ...] | None:
        """Take the ports of one instance on the row; None if the dynamic range is used up."""
        if not ask.static_ports and not ask.dynamic_ports:
            return ()
        address = host_ip(self.view.node(row))
        free, held = self._owned(), self._ports_of(row)
        given: list[AllocatedPortMapping] = []
        for port in ask.static_ports:
            if not port.ignore_collision:
                held.add(port.value)
                free.ports[row] -= self._dynamic(row, port.value)
            given.append(
                AllocatedPortMapping(
                    label=port.label,
                    value=port.value,
                    to=_inside(port, port.value),
                    host_ip=address,
                    ignore_collision=port.ignore_collision,
                )
            )
        for port in ask.dynamic_ports:
            value = self._free_port(row, held)
            if value is None:
                return None
            held.add(value)
            free.ports[row] -= 1
            given.append(
                AllocatedPortMapping(
                    label=port.label, value=value, to=_inside(port, value), host_ip=address
                )
            )
        return tuple(given)

    def _free_port(self, row: int, held: set[int]) -> int | None:
        room = room_of(self.view.node(row))
        size = room.dynamic_max - room.dynamic_min + 1
        start = (self._seed + len(held) * _PORT_STRIDE) % size
        for step in range(size):
            port = room.dynamic_min + (start + step) % size
            if port not in held and port not in room.reserved_ports:
                return port
        return None

    def _ports_of(self, row: int) -> set[int]:
        held = self._held.get(row)
        if held is None:
            held = self._held[row] = set(self.view.ports(row))
        return held

    def _dynamic(self, row: int, port: int) -> int:
        room = room_of(self.view.node(row))
        within = room.dynamic_min <= port <= room.dynamic_max
        return int(within and port not in room.reserved_ports)

    def _owned(self) -> Free:
        if not self._own:
            self._free = self._free.take(slice(0, self.view.size), self.view.size)
            self._own = True
        return self._free

    def _settled(self) -> Free:
        """The columns with all charges taken in."""
        charges, self._charges = self._charges, []
        for rows, ask in charges:
            free = self._owned()
            distinct, counts = np.unique(np.array(rows, np.intp), return_counts=True)
            counts = counts.astype(np.int32)
            free.cpu[distinct] -= counts * ask.cpu_mhz
            free.memory[distinct] -= counts * ask.memory_mb
            free.disk[distinct] -= counts * ask.disk_mb
            capacity = self.view.capacity
            free.cpu_weight[distinct] = weights_of(free.cpu[distinct], capacity.cpu[distinct])
            free.memory_weight[distinct] = weights_of(
                free.memory[distinct], capacity.memory[distinct]
            )
        return self._free

    def _weigh(self, row: int) -> None:
        capacity, free = self.view.capacity, self._free
        free.cpu_weight[row] = weight_of(int(free.cpu[row]), int(capacity.cpu[row]))
        free.memory_weight[row] = weight_of(int(free.memory[row]), int(capacity.memory[row]))


def _inside(port: PortAsk, value: int) -> int:
    """The port inside the allocation's network; -1 asks for the same as outside."""
    return value if port.to == -1 else port.to


def dynamic_count(ask: Ask) -> int:
    """How many ports of the dynamic range one instance uses up."""
    fixed = sum(DYNAMIC_PORT_MIN <= port.value <= DYNAMIC_PORT_MAX for port in ask.exclusive_ports)
    return len(ask.dynamic_ports) + fixed
