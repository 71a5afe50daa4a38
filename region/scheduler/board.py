"""The room on all nodes while one plan is being made: what stops give back, what choices take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanse.structs.taskstate import AllocatedPortMapping
from region.scheduler.fleet import FleetView, Floats, Ints, Mask, weight_of
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
    """Free resources, starting from a view; columns are copied before the first change."""

    def __init__(self, view: FleetView, seed: int) -> None:
        """`seed` decides which dynamic ports are taken first."""
        self.view = view
        free, size = view.free, view.size
        self.cpu: Ints = free.cpu[:size]
        self.memory: Ints = free.memory[:size]
        self.disk: Ints = free.disk[:size]
        self.ports: Ints = free.ports[:size]
        self.cpu_weight: Floats = free.cpu_weight[:size]
        self.memory_weight: Floats = free.memory_weight[:size]
        self._own = False
        self._held: dict[int, set[int]] = {}
        self._seed = seed

    def charge(self, rows: Sequence[int], ask: Ask) -> None:
        """Take room for one instance on each of the rows; a row may come several times."""
        self._make_own()
        distinct, counts = np.unique(np.array(rows, np.intp), return_counts=True)
        counts = counts.astype(np.int32)
        self.cpu[distinct] -= counts * ask.cpu_mhz
        self.memory[distinct] -= counts * ask.memory_mb
        self.disk[distinct] -= counts * ask.disk_mb
        self._weigh(distinct.tolist())

    def release(self, row: int, usage: Usage) -> None:
        """Give back what an allocation takes that the plan stops."""
        self._make_own()
        self.cpu[row] += usage.cpu_mhz
        self.memory[row] += usage.memory_mb
        self.disk[row] += usage.disk_mb
        held = self._ports_of(row)
        for port in usage.ports:
            if port in held:
                held.discard(port)
                self.ports[row] += self._dynamic(row, port)
        self._weigh([row])

    def take(self, row: int, usage: Usage) -> None:
        """Undo a `release`: the allocation stays after all."""
        self._make_own()
        self.cpu[row] -= usage.cpu_mhz
        self.memory[row] -= usage.memory_mb
        self.disk[row] -= usage.disk_mb
        held = self._ports_of(row)
        for port in usage.ports:
            if port not in held:
                held.add(port)
                self.ports[row] -= self._dynamic(row, port)
        self._weigh([row])

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
        self._make_own()
        address = host_ip(self.view.node(row))
        held = self._ports_of(row)
        given: list[AllocatedPortMapping] = []
        for port in ask.static_ports:
            if not port.ignore_collision:
                held.add(port.value)
                self.ports[row] -= self._dynamic(row, port.value)
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
            self.ports[row] -= 1
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

    def _make_own(self) -> None:
        if not self._own:
            self.cpu, self.memory = self.cpu.copy(), self.memory.copy()
            self.disk, self.ports = self.disk.copy(), self.ports.copy()
            self.cpu_weight = self.cpu_weight.copy()
            self.memory_weight = self.memory_weight.copy()
            self._own = True

    def _weigh(self, rows: Sequence[int]) -> None:
        capacity = self.view.capacity
        for row in rows:
            self.cpu_weight[row] = weight_of(int(self.cpu[row]), int(capacity.cpu[row]))
            self.memory_weight[row] = weight_of(int(self.memory[row]), int(capacity.memory[row]))


def _inside(port: PortAsk, value: int) -> int:
    """The port inside the allocation's network; -1 asks for the same as outside."""
    return value if port.to == -1 else port.to


def dynamic_count(ask: Ask) -> int:
    """How many ports of the dynamic range one instance uses up."""
    fixed = sum(DYNAMIC_PORT_MIN <= port.value <= DYNAMIC_PORT_MAX for port in ask.exclusive_ports)
    return len(ask.dynamic_ports) + fixed
