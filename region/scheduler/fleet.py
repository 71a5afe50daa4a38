"""All nodes of the region as columns: capacity, usage and codes, one row for each node.

The owner (the broker) feeds a `Fleet` with registrations and charges; a scheduling pass reads a
`FleetView`. Taking a view copies nothing: it shares the arrays, and the owner copies an array
before the next change of it (the columns of usage and of capacity apart). Rows are only ever
added, so what a view knows of its rows stays true; dead rows go when they are the majority, by
starting all columns anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hanse.structs.node import Node
from region.scheduler.nodes import (
    DYNAMIC_PORT_MAX,
    DYNAMIC_PORT_MIN,
    NO_ROOM,
    Room,
    computed_class,
    room_of,
    usable,
)
from region.scheduler.resources import Usage

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp] | slice

_T = TypeVar("_T", bound=np.generic)
_ROWS_MIN = 64
_PAGE_ROWS = 512
_DEAD_ROWS_MIN = 1024
_WEIGHED_TOGETHER_MIN = 16
_GRAINS = 1e9
_NO_PORTS: frozenset[int] = frozenset()


class Codes:
    """Values numbered in the order they were first seen. Numbers never change their meaning.

    Several passes may number values at once, from several threads.
    """

    __slots__ = ("_lock", "_numbers", "values")

    def __init__(self, first: str | None = None) -> None:
        """`first`, if given, is number 0."""
        self.values: list[str | None] = []
        self._numbers: dict[str | None, int] = {}
        self._lock = Lock()
        self.number(first)

    def find(self, value: str | None) -> int:
        """The number of the value, -1 if it was never seen."""
        return self._numbers.get(value, -1)

    def number(self, value: str | None) -> int:
        """The number of the value, a new one if it was never seen."""
        found = self._numbers.get(value)
        if found is not None:
            return found
        with self._lock:
            found = self._numbers.get(value)
            if found is None:
                found = len(self.values)
                self.values.append(value)
                self._numbers[value] = found
            return found


@dataclass(slots=True)
class Capacity:
    """What registrations say. `node` is None for a row that only charges are known of."""

    cpu: Ints
    memory: Ints
    disk: Ints
    usable: Mask
    #: Order of equals: the first half of the node's id.
    order: npt.NDArray[np.uint64]
    datacenter: Ints
    pool: Ints
    node_class: Ints
    computed_class: Ints
    reserved: Ints
    nodes: list[Node | None]

    @classmethod
    def of(cls, rows: int) -> Capacity:
        """Columns of zeros."""
        return cls(
            cpu=np.zeros(rows, np.int32),
            memory=np.zeros(rows, np.int32),
            disk=np.zeros(rows, np.int32),
            usable=np.zeros(rows, np.bool_),
            order=np.zeros(rows, np.uint64),
            datacenter=np.zeros(rows, np.int32),
            pool=np.zeros(rows, np.int32),
            node_class=np.zeros(rows, np.int32),
            computed_class=np.zeros(rows, np.int32),
            reserved=np.zeros(rows, np.int32),
            nodes=[],
        )

    def take(self, rows: Rows, size: int) -> Capacity:
        """The rows chosen, in columns of `size`."""
        return Capacity(
            cpu=_resized(self.cpu[rows], size),
            memory=_resized(self.memory[rows], size),
            disk=_resized(self.disk[rows], size),
            usable=_resized(self.usable[rows], size),
            order=_resized(self.order[rows], size),
            datacenter=_resized(self.datacenter[rows], size),
            pool=_resized(self.pool[rows], size),
            node_class=_resized(self.node_class[rows], size),
            computed_class=_resized(self.computed_class[rows], size),
            reserved=_resized(self.reserved[rows], size),
            nodes=self.nodes[rows] if isinstance(rows, slice) else [self.nodes[r] for r in rows],
        )


@dataclass(slots=True)
class Free:
    """What charges leave. The weights are 10 to the power of the free share (see `rank`)."""

    cpu: Ints
    memory: Ints
    disk: Ints
    ports: Ints
    cpu_weight: Floats
    memory_weight: Floats

    @classmethod
    def of(cls, rows: int) -> Free:
        """Columns of an empty node without capacity."""
        return cls(
            cpu=np.zeros(rows, np.int32),
            memory=np.zeros(rows, np.int32),
            disk=np.zeros(rows, np.int32),
            ports=np.zeros(rows, np.int32),
            cpu_weight=np.ones(rows),
            memory_weight=np.ones(rows),
        )

    def take(self, rows: Rows, size: int) -> Free:
        """The rows chosen, in columns of `size`."""
        return Free(
            cpu=_resized(self.cpu[rows], size),
            memory=_resized(self.memory[rows], size),
            disk=_resized(self.disk[rows], size),
            ports=_resized(self.ports[rows], size),
            cpu_weight=_resized(self.cpu_weight[rows], size),
            memory_weight=_resized(self.memory_weight[rows], size),
        )


def _resized(column: npt.NDArray[_T], size: int) -> npt.NDArray[_T]:
    if len(column) == size:
        return column.copy()
    grown = np.zeros(size, column.dtype)
    grown[: len(column)] = column[:size]
    return grown


class Memo:
    """Results that follow from the fleet's nodes alone, kept from one pass to the next.

    A lost entry costs time and nothing else. Each value names the generation it is for. Passes
    in several threads may share it.
    """

    __slots__ = ("_bytes", "_bytes_max", "_entries", "_lock")

    def __init__(self, bytes_max: int = 64 << 20) -> None:
        """Keeps about `bytes_max` bytes, the latest."""
        self._entries: dict[object, tuple[int, object, int]] = {}
        self._bytes = 0
        self._bytes_max = bytes_max
        self._lock = Lock()

    def get(self, key: object) -> tuple[int, object] | None:
        """The generation and the value kept for the key."""
        kept = self._entries.get(key)
        return kept[:2] if kept is not None else None

    def put(self, key: object, generation: int, value: object, size: int) -> None:
        """Keep a value of about `size` bytes, unless a newer one is kept."""
        with self._lock:
            kept = self._entries.get(key)
            if kept is not None and kept[0] > generation:
                return
            if kept is not None:
                self._bytes -= self._entries.pop(key)[2]
            self._bytes += size
            self._entries[key] = (generation, value, size)
            while self._bytes > self._bytes_max and len(self._entries) > 1:
                oldest = next(iter(self._entries))
                self._bytes -= self._entries.pop(oldest)[2]


@dataclass(slots=True)
class Tables:
    """What the codes in the columns stand for; numbers are only added."""

    datacenters: Codes = field(default_factory=lambda: Codes(""))
    pools: Codes = field(default_factory=lambda: Codes(""))
    node_classes: Codes = field(default_factory=lambda: Codes(""))
    computed_classes: Codes = field(default_factory=lambda: Codes(""))
    reserved: list[frozenset[int]] = field(default_factory=lambda: [_NO_PORTS])


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet at one moment. Nothing in it changes any more."""

    region: str
    size: int
    #: Goes up with every change of a registration and every new row, and only then.
    generation: int
    capacity: Capacity
    free: Free
    tables: Tables
    memo: Memo
    _ids: list[str]
    _row_of: dict[str, int]
    _ports: tuple[list[frozenset[int]], ...]
    #: Rows that have a static port, as a bit set.
    _static: dict[int, int]
    _journal: list[int]
    _journal_from: int

    def row(self, node_id: str) -> int | None:
        """The row of a node that is registered."""
        row = self._row_of.get(node_id)
        if row is None or row >= self.size or self.capacity.nodes[row] is None:
            return None
        return row

    def node(self, row: int) -> Node:
        """The registration in a row. Raises LookupError if it is none."""
        node = self.capacity.nodes[row]
        if node is None:
            raise LookupError(f"no node in row {row}")
        return node

    def node_id(self, row: int) -> str:
        """The id of the node in a row."""
        return self._ids[row]

    def ports(self, row: int) -> frozenset[int]:
        """The ports that allocations hold in a row."""
        page, place = divmod(row, _PAGE_ROWS)
        return self._ports[page][place] if page < len(self._ports) else _NO_PORTS

    def port_taken(self, port: int) -> Mask:
        """The rows where the port is held by an allocation or kept back."""
        if DYNAMIC_PORT_MIN <= port <= DYNAMIC_PORT_MAX:
            taken = np.fromiter(
                (port in self.ports(row) for row in range(self.size)), np.bool_, self.size
            )
        else:
            taken = _bits(self._static.get(port, 0), self.size)
        kept = np.fromiter((port in ports for ports in self.tables.reserved), np.bool_)
        if kept.any():
            taken |= kept[self.capacity.reserved[: self.size]]
        return taken

    def changed_since(self, generation: int) -> list[int] | None:
        """The rows whose registration changed after that generation; None if not known."""
        if not self._journal_from <= generation <= self.generation:
            return None
        start = generation - self._journal_from
        return self._journal[start : self.generation - self._journal_from]


def _bits(number: int, size: int) -> Mask:
    if number == 0:
        return np.zeros(size, np.bool_)
    raw = np.frombuffer(number.to_bytes((max(size, number.bit_length()) + 7) // 8, "little"), "u1")
    return np.unpackbits(raw, bitorder="little")[:size].astype(np.bool_)


class Fleet:
    """The fleet as its owner keeps it. Not for several threads; the views are."""

    def __init__(self, region: str = "") -> None:
        """An empty fleet of the region that `${node.region}` names."""
        self.region = region
        self._size = 0
        self._capacity = Capacity.of(_ROWS_MIN)
        self._free = Free.of(_ROWS_MIN)
        self._capacity_shared = self._free_shared = self._static_shared = False
        self._rooms: list[Room] = []
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._pages: list[list[frozenset[int]]] = []
        self._pages_owned: set[int] = set()
        #: Rows whose weights are out of date.
        self._unweighed: set[int] = set()
        #: Ports charged more than once on a row: how often besides the first time.
        self._again: dict[tuple[int, int], int] = {}
        self._static: dict[int, int] = {}
        self._tables = Tables()
        self._reserved_numbers: dict[frozenset[int], int] = {_NO_PORTS: 0}
        self._memo = Memo()
        self._journal: list[int] = []
        self._journal_from = 0
        self._dead: set[int] = set()

    @classmethod
    def empty(cls, region: str = "") -> Fleet:
        """A fleet without nodes."""
        return cls(region)

    def set_node(self, node: Node) -> None:
        """Take in a registration, new or changed; charges made before it count."""
        row = self._row(node.id)
        room = room_of(node)
        tables = self._tables
        capacity = self._own_capacity()
        self._dead.discard(row)
        self._set_room(row, room)
        capacity.nodes[row] = node
        capacity.usable[row] = usable(node)
        capacity.datacenter[row] = tables.datacenters.number(node.datacenter)
        capacity.pool[row] = tables.pools.number(node.node_pool)
        capacity.node_class[row] = tables.node_classes.number(node.node_class)
        name = node.computed_class or computed_class(node)
        capacity.computed_class[row] = tables.computed_classes.number(name)
        self._changed(row)

    def remove_node(self, node_id: str) -> None:
        """Forget a registration; an unknown one is no error. Charges stay until released."""
        row = self._row_of.get(node_id)
        if row is None or self._capacity.nodes[row] is None:
            return
        capacity = self._own_capacity()
        self._set_room(row, NO_ROOM)
        capacity.nodes[row] = None
        capacity.usable[row] = False
        for column in (capacity.datacenter, capacity.pool, capacity.node_class):
            column[row] = 0
        capacity.computed_class[row] = 0
        self._dead.add(row)
        self._changed(row)
        if len(self._dead) > max(_DEAD_ROWS_MIN, self._size // 2):
            self.start_anew()

    def charge(self, node_id: str, usage: Usage) -> None:
        """Count what an allocation takes; its node need not be registered (yet)."""
        row = self._row(node_id)
        self._add(row, usage, -1)
        for port in usage.ports:
            self._take_port(row, port)

    def charge_many(self, node_ids: Sequence[str], usage: Usage) -> None:
        """Charge the same usage, which must have no ports, to each of the nodes in turn."""
        rows = np.fromiter((self._row(node_id) for node_id in node_ids), np.intp, len(node_ids))
        distinct, counts = np.unique(rows, return_counts=True)
        counts = counts.astype(np.int32)
        free = self._own_free()
        free.cpu[distinct] -= counts * usage.cpu_mhz
        free.memory[distinct] -= counts * usage.memory_mb
        free.disk[distinct] -= counts * usage.disk_mb
        self._unweighed.update(distinct.tolist())

    def release(self, node_id: str, usage: Usage) -> None:
        """Undo a `charge` of the same usage."""
        row = self._row(node_id)
        self._add(row, usage, 1)
        for port in usage.ports:
            self._return_port(row, port)

    def snapshot(self) -> FleetView:
        """The fleet as it is now. Costs no copy."""
        self._weigh()
        self._capacity_shared = self._free_shared = self._static_shared = True
        self._pages_owned.clear()
        return FleetView(
            region=self.region,
            size=self._size,
            generation=self._generation,
            capacity=self._capacity,
            free=self._free,
            tables=self._tables,
            memo=self._memo,
            _ids=self._ids,
            _row_of=self._row_of,
            _ports=tuple(self._pages),
            _static=self._static,
            _journal=self._journal,
            _journal_from=self._journal_from,
        )

    @property
    def _generation(self) -> int:
        return self._journal_from + len(self._journal)

    def _row(self, node_id: str) -> int:
        row = self._row_of.get(node_id)
        if row is not None:
            return row
        row = self._size
        if row == len(self._capacity.cpu):
            self._capacity = self._capacity.take(slice(0, row), row * 2)
            self._free = self._free.take(slice(0, row), row * 2)
            self._free.cpu_weight[row:] = self._free.memory_weight[row:] = 1.0
            self._capacity_shared = self._free_shared = False
        capacity = self._own_capacity()
        capacity.order[row] = order_of(node_id)
        capacity.nodes.append(None)
        self._own_free()
        self._ids.append(node_id)
        self._rooms.append(NO_ROOM)
        self._row_of[node_id] = row
        self._size += 1
        if row % _PAGE_ROWS == 0:
            self._pages_owned.add(len(self._pages))
            self._pages.append([_NO_PORTS] * _PAGE_ROWS)
        self._changed(row)
        return row

    def _set_room(self, row: int, room: Room) -> None:
        before = self._rooms[row]
        capacity, free = self._own_capacity(), self._own_free()
        free.cpu[row] += room.cpu_mhz - before.cpu_mhz
        free.memory[row] += room.memory_mb - before.memory_mb
        free.disk[row] += room.disk_mb - before.disk_mb
        capacity.cpu[row], capacity.memory[row] = room.cpu_mhz, room.memory_mb
        capacity.disk[row] = room.disk_mb
        number = self._reserved_numbers.setdefault(room.reserved_ports, len(self._tables.reserved))
        if number == len(self._tables.reserved):
            self._tables.reserved.append(room.reserved_ports)
        capacity.reserved[row] = number
        self._rooms[row] = room
        page, place = divmod(row, _PAGE_ROWS)
        held = sum(_dynamic(room, port) for port in self._pages[page][place])
        free.ports[row] = room.dynamic_ports - held
        self._unweighed.add(row)

    def _weigh(self) -> None:
        """Work out the weights of the rows whose free resources changed."""
        capacity, rows = self._capacity, self._unweighed
        if not rows:
            return
        free = self._own_free()
        if len(rows) > _WEIGHED_TOGETHER_MIN:
            at = np.fromiter(rows, np.intp, len(rows))
            free.cpu_weight[at] = weights_of(free.cpu[at], capacity.cpu[at])
            free.memory_weight[at] = weights_of(free.memory[at], capacity.memory[at])
        else:
            for row in rows:
                free.cpu_weight[row] = weight_of(int(free.cpu[row]), int(capacity.cpu[row]))
                free.memory_weight[row] = weight_of(
                    int(free.memory[row]), int(capacity.memory[row])
                )
        rows.clear()

    def _add(self, row: int, usage: Usage, sign: int) -> None:
        free = self._own_free()
        free.cpu[row] += sign * usage.cpu_mhz
        free.memory[row] += sign * usage.memory_mb
        free.disk[row] += sign * usage.disk_mb
        self._unweighed.add(row)

    def _take_port(self, row: int, port: int) -> None:
        page, place = divmod(row, _PAGE_ROWS)
        held = self._pages[page][place]
        if port in held:
            self._again[row, port] = self._again.get((row, port), 0) + 1
            return
        self._own_page(page)[place] = held | {port}
        self._own_free().ports[row] -= _dynamic(self._rooms[row], port)
        if not DYNAMIC_PORT_MIN <= port <= DYNAMIC_PORT_MAX:
            static = self._own_static()
            static[port] = static.get(port, 0) | 1 << row

    def _return_port(self, row: int, port: int) -> None:
        page, place = divmod(row, _PAGE_ROWS)
        held = self._pages[page][place]
        if port not in held:
            return
        again = self._again.pop((row, port), 0)
        if again > 1:
            self._again[row, port] = again - 1
        if again:
            return
        self._own_page(page)[place] = held - {port}
        self._own_free().ports[row] += _dynamic(self._rooms[row], port)
        if not DYNAMIC_PORT_MIN <= port <= DYNAMIC_PORT_MAX:
            static = self._own_static()
            static[port] = static.get(port, 0) & ~(1 << row)

    def _own_capacity(self) -> Capacity:
        if self._capacity_shared:
            self._capacity = self._capacity.take(slice(None), len(self._capacity.cpu))
            self._capacity_shared = False
        return self._capacity

    def _own_free(self) -> Free:
        if self._free_shared:
            self._free = self._free.take(slice(None), len(self._free.cpu))
            self._free_shared = False
        return self._free

    def _own_static(self) -> dict[int, int]:
        if self._static_shared:
            self._static = dict(self._static)
            self._static_shared = False
        return self._static

    def _own_page(self, page: int) -> list[frozenset[int]]:
        if page not in self._pages_owned:
            self._pages[page] = list(self._pages[page])
            self._pages_owned.add(page)
        return self._pages[page]

    def _changed(self, row: int) -> None:
        self._journal.append(row)
        if len(self._journal) > 2 * self._size + _DEAD_ROWS_MIN:
            self._journal_from = self._generation
            self._journal = []

    def start_anew(self) -> None:
        """Drop the rows that have neither node nor charge, and number the rest from 0."""
        self._weigh()
        free = self._free
        keep = [
            row
            for row in range(self._size)
            if self._capacity.nodes[row] is not None
            or free.cpu[row]
            or free.memory[row]
            or free.disk[row]
            or self._pages[row // _PAGE_ROWS][row % _PAGE_ROWS]
        ]
        rows = np.array(keep, np.intp)
        ports = [self._pages[row // _PAGE_ROWS][row % _PAGE_ROWS] for row in keep]
        size = max(_ROWS_MIN, 1 << (len(keep) - 1).bit_length() if keep else 0)
        self._capacity = self._capacity.take(rows, size)
        self._free = self._free.take(rows, size)
        self._free.cpu_weight[len(keep) :] = self._free.memory_weight[len(keep) :] = 1.0
        self._capacity_shared = self._free_shared = self._static_shared = False
        self._rooms = [self._rooms[row] for row in keep]
        self._ids = [self._ids[row] for row in keep]
        self._row_of = {node_id: row for row, node_id in enumerate(self._ids)}
        now_at = {row: place for place, row in enumerate(keep)}
        self._again = {(now_at[row], port): n for (row, port), n in self._again.items()}
        self._pages = [
            _page(ports[start : start + _PAGE_ROWS]) for start in range(0, len(ports), _PAGE_ROWS)
        ]
        self._pages_owned = set(range(len(self._pages)))
        self._static = _static_rows(ports)
        self._memo = Memo()
        self._journal_from = self._generation + 1
        self._journal = []
        self._size = len(keep)
        self._dead = {row for row in range(len(keep)) if self._capacity.nodes[row] is None}


def weight_of(free: int, capacity: int) -> float:
    """10 to the power of the free share, the term that packing and spreading rank by.

    Rounded, so that it does not depend on how it was computed: alone, or for many rows with
    other instructions.
    """
    return round(10.0 ** (free / capacity) * _GRAINS) / _GRAINS if capacity > 0 else 1.0


def weights_of(free: Ints, capacity: Ints) -> Floats:
    """`weight_of` for many rows."""
    weights: Floats = np.rint(np.power(10.0, free / np.maximum(capacity, 1)) * _GRAINS) / _GRAINS
    return np.where(capacity > 0, weights, 1.0)


def order_of(node_id: str) -> int:
    """A number that sorts as the id does: its first eight bytes, hexadecimal if it is a UUID."""
    digits = node_id.replace("-", "")[:16]
    try:
        return int(digits.ljust(16, "0"), 16)
    except ValueError:
        return int.from_bytes(node_id.encode()[:8].ljust(8, b"\0"))


def _dynamic(room: Room, port: int) -> int:
    """1 if the port counts against the dynamic range of the node."""
    return int(room.dynamic_min <= port <= room.dynamic_max and port not in room.reserved_ports)


def _page(ports: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    return [*ports, *([_NO_PORTS] * (_PAGE_ROWS - len(ports)))]


def _static_rows(ports: Sequence[frozenset[int]]) -> dict[int, int]:
    rows: dict[int, int] = {}
    for row, held in enumerate(ports):
        for port in held:
            if not DYNAMIC_PORT_MIN <= port <= DYNAMIC_PORT_MAX:
                rows[port] = rows.get(port, 0) | 1 << row
    return rows
