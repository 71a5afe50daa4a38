"""The list of all allocations, made anew only where it changed.

The whole list of a hundred thousand allocations is 80 MB of JSON, and from one reading to the next
little of it changes. So it is cut into chunks of allocations that follow each other, and each
chunk is kept as it was encoded, compressed to a thirtieth, beside the allocations it was made of.
State objects are never changed in place, so `is` tells whether a chunk still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import is_
from zlib import crc32

import zstandard

from hanse.structs.allocation import Allocation
from hanse.structs.node import Node
from region.api.allocorder import AllocOrder
from region.api.allocstubs import StubMaker
from region.api.endpoint import Answer, Call
from region.api.lists import Pacer
from region.api.ports import AppliedPort, StatePort

#: A chunk ends with the first create index that fills it.
CHUNK_ALLOCATIONS = 64
#: One revision may make thousands. Then a chunk that holds so many ends before some ID that is
#: chosen by the ID alone (one of `_CUTS`), so that what is removed moves no later boundary.
LARGE_ALLOCATIONS = 128
_CUTS = 16

#: A namespace, whether what was given is shown, and whether the tasks' states are.
Kind = tuple[str, bool, bool]
CACHE_BYTES_MAX = 32 * 1024 * 1024


class Chunk:
    """Some allocations, and their encodings with a comma before each, compressed."""

    __slots__ = ("allocs", "packed")

    def __init__(self, allocs: list[Allocation], packed: bytes) -> None:
        """Keep what they were."""
        self.allocs = allocs
        self.packed = packed

    def holds(self, allocs: list[Allocation]) -> bool:
        """Whether these are the very same allocations."""
        return len(allocs) == len(self.allocs) and all(map(is_, allocs, self.allocs))


class ChunkCache:
    """The chunks of the last reading, by its kind and the first allocation."""

    def __init__(self, state: StatePort, bytes_max: int = CACHE_BYTES_MAX) -> None:
        """Begin empty, and follow the names of nodes, which the encodings hold too."""
        self._bytes_max = bytes_max
        self._chunks: dict[Kind, dict[str, Chunk]] = {}
        self._compress = zstandard.ZstdCompressor(level=1).compress
        self._decompress = zstandard.ZstdDecompressor().decompress
        state.listen(self.on_applied)

    def on_applied(self, applied: AppliedPort) -> None:
        """Forget everything when a node gets another name."""
        if any(_name(change.old) != _name(change.new) for change in applied.changes):
            self._chunks.clear()

    def begin(self, kind: Kind) -> dict[str, Chunk]:
        """The chunks that a reading may use again."""
        return self._chunks.get(kind, {})

    def end(self, kind: Kind, chunks: dict[str, Chunk]) -> None:
        """Keep the chunks of a reading in place of those of the one before."""
        size = sum(len(chunk.packed) for chunk in chunks.values())
        if size <= self._bytes_max:
            self._chunks = {kind: chunks}

    def make(self, allocs: list[Allocation], maker: StubMaker) -> tuple[Chunk, bytes]:
        """Encode a chunk; gives the encoding as well."""
        encoding = b"," + b",".join(map(maker.encode, allocs))
        return Chunk(allocs, self._compress(encoding)), encoding

    def read(self, chunk: Chunk) -> bytes:
        """The encoding of a chunk."""
        return self._decompress(chunk.packed)


def _name(changed: object) -> str:
    """The name of a node; empty for what is no node."""
    return changed.name if isinstance(changed, Node) else ""


def chunks_of(allocs: Iterable[Allocation]) -> Iterator[list[Allocation]]:
    """Cut ordered allocations where a create index ends and the chunk is full."""
    chunk: list[Allocation] = []
    for alloc in allocs:
        count = len(chunk)
        if count >= CHUNK_ALLOCATIONS and (
            alloc.create_index != chunk[-1].create_index
            or (count >= LARGE_ALLOCATIONS and crc32(alloc.id.encode()) % _CUTS == 0)
        ):
            yield chunk
            chunk = []
        chunk.append(alloc)
    if chunk:
        yield chunk


async def whole_list(call: Call, order: AllocOrder, maker: StubMaker) -> Answer:
    """The list of all allocations of a namespace, in their order."""
    cache: ChunkCache = call.context.part(ChunkCache)
    namespace = call.namespace
    kind = (namespace, maker.resources, maker.states)
    before = cache.begin(kind)
    used: dict[str, Chunk] = {}
    pieces: list[bytes] = []
    pacer = Pacer(call, stride=1)
    for allocs in chunks_of(order.allocations(call.state, namespace)):
        if pacer.due():
            await pacer.pause()
        chunk = before.get(allocs[0].id)
        if chunk is not None and chunk.holds(allocs):
            pieces.append(cache.read(chunk))
        else:
            chunk, encoding = cache.make(allocs, maker)
            pieces.append(encoding)
        used[allocs[0].id] = chunk
    cache.end(kind, used)
    if not pieces:
        return Answer(body=b"[]")
    pieces[0] = b"[" + pieces[0][1:]
    pieces.append(b"]")
    return Answer(body=pieces)
