"""Lists: order, prefix, filter, pages; without holding up the event loop.

A long list is made in slices of a few milliseconds, between which others run. The state may move
on meanwhile; the index that goes with the list is the one from before, so whoever waits for a
later one sees what the list may have missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hanse.errors import Invalid
from region.api import bexpr
from region.api.endpoint import Answer, Call, encode
from region.api.query import ListOptions, list_options, whole_number

T = TypeVar("T")
Key = tuple[Any, ...]

#: How long a list holds the event loop before it lets others run, seconds.
SLICE_S = 0.004
#: Encoded values are joined into pieces of about this size.
PIECE_BYTES = 128 * 1024
#: Objects between two looks at the clock.
STRIDE = 64


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """How one kind of object is listed."""

    #: What the list is ordered by, and a page's token stands for.
    key: Callable[[T], Key]
    token: Callable[[T], str]
    read_token: Callable[[str], Key]
    #: The encoded entry of the list.
    view: Callable[[T], bytes]
    #: The whole object that a filter is applied to.
    full: Callable[[T], object]
    #: What `prefix` is compared with.
    name: Callable[[T], str]


class Pacer:
    """Lets others run now and then."""

    __slots__ = ("_call", "_clock", "_since", "_steps", "_stride")

    def __init__(self, call: Call, *, stride: int = STRIDE) -> None:
        """Begin a slice. `stride` is how many steps there are between two looks at the clock."""
        self._stride = stride
        self._call = call
        self._clock = call.region.clock
        self._since = self._clock.now()
        self._steps = 0

    def due(self) -> bool:
        """Whether the slice is used up; cheap enough to ask for every object."""
        self._steps += 1
        if self._steps % self._stride:
            return False
        return self._clock.now() - self._since > SLICE_S

    async def pause(self) -> None:
        """Let others run and begin another slice."""
        await self._call.pause()
        self._since = self._clock.now()


async def answer_list(
    call: Call,
    items: Iterable[T],
    listing: Listing[T],
    *,
    ordered: bool = True,
    positioned: bool = False,
    options: ListOptions | None = None,
) -> Answer:
    """Make the answer of a list out of all its objects.

    `ordered`: the objects come in the list's order. `positioned`: they also begin at the page's
    token, and are reversed already where that is wanted. Raises Invalid for a bad filter or
    token.
    """
    options = options or list_options(call.query)
    start = None
    if not positioned:
        start = listing.read_token(options.next_token) if options.next_token else None
        if not ordered:
            items = sorted(items, key=listing.key)
        if options.reverse:
            items = reversed(list(items))
    wanted = bexpr.compiled(options.filter) if options.filter else None
    prefix, reverse, limit = options.prefix, options.reverse, options.per_page
    pacer = Pacer(call)
    pieces = Pieces()
    next_token = ""
    for item in items:
        if pacer.due():
            await pacer.pause()
        if start is not None:
            key = listing.key(item)
            if key > start if reverse else key < start:
                continue
        if prefix and not listing.name(item).startswith(prefix):
            continue
        if wanted is not None and not wanted(listing.full(item)):
            continue
        if limit and pieces.count == limit:
            next_token = listing.token(item)
            break
        pieces.add(listing.view(item))
    return Answer(body=pieces.body(), next_token=next_token)


class Pieces:
    """A JSON list in the making: encoded values, joined into pieces of a fair size as they come.

    Joining a hundred megabytes at the end would hold up the event loop.
    """

    __slots__ = ("_bytes", "_group", "_pieces", "count")

    def __init__(self) -> None:
        """Begin an empty list."""
        self._pieces: list[bytes] = []
        self._group: list[bytes] = []
        self._bytes = 0
        self.count = 0

    def add(self, encoding: bytes) -> None:
        """Add one encoded value."""
        self.count += 1
        self._group.append(encoding)
        self._bytes += len(encoding)
        if self._bytes >= PIECE_BYTES:
            self._pieces.append((b"," if self._pieces else b"[") + b",".join(self._group))
            self._group = []
            self._bytes = 0

    def body(self) -> bytes | list[bytes]:
        """The list: whole when small, in pieces when large."""
        rest = b",".join(self._group)
        if not self._pieces:
            return b"[" + rest + b"]"
        return [*self._pieces, (b"," + rest if rest else b"") + b"]"]


def encoded(view: Callable[[T], object]) -> Callable[[T], bytes]:
    """The encoding of what `view` gives."""
    return lambda item: encode(view(item))


def read_name_token(text: str) -> Key:
    """A token `<namespace>.<id>`. Raises Invalid."""
    namespace, dot, name = text.partition(".")
    if not dot:
        raise Invalid("next_token", "not a token that this list gave")
    return (namespace, name)


def read_index_token(text: str) -> Key:
    """A token `<create index>.<id>`. Raises Invalid."""
    index, dot, name = text.partition(".")
    number = whole_number(index)
    if not dot or number is None:
        raise Invalid("next_token", "not a token that this list gave")
    return (number, name)


def read_id_token(text: str) -> Key:
    """A token that is an ID."""
    return (text,)
