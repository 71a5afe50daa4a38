"""A watch that goes on: over lost members, compaction, and consumers that cannot keep up.

Each attempt has a stream and a connection of its own. It begins at the revision after the
last one delivered, never at one that a response's header names: the header runs ahead of the
events while a member catches up, and a client that trusted it lost 56,000 of them.

Listing afresh is the answer to everything else: history compacted away, too far behind to
catch up at a fair price, a response too large to receive, or a store that was restored from
a snapshot and is behind what we know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import structlog

from hanse.clock import Clock
from hanse.errors import HanseError
from hanse.store import Batch, Listing, Relisted
from region.store.members import Member, Members, Options
from region.store.wire import EOF, METADATA, batches, pb, range_of, stubs

log = structlog.get_logger(__name__)

_OPEN_S = 3.0
_PAUSE_S = (0.05, 1.0)


class StreamLostError(Exception):
    """The stream ended; another may do better. Internal: never leaves `follow`."""


@dataclass(frozen=True)
class Source:
    """What a watch needs of the store."""

    members: Members
    clock: Clock
    options: Options
    list: Callable[[str], Awaitable[Listing]]
    revision: Callable[[], Awaitable[int]]


async def follow(source: Source, prefix: str, after: int) -> AsyncGenerator[Batch | Relisted, None]:
    """See `hanse.store.Store.watch`."""
    known = after
    relist = False
    pause_s = _PAUSE_S[0]
    while True:
        if relist:
            try:
                listing = await source.list(prefix)
            except HanseError as error:
                log.warning("cannot list for the watch", prefix=prefix, reason=str(error))
                await source.clock.sleep(_PAUSE_S[1])
                continue
            relist, known = False, listing.revision
            yield Relisted(listing)
        member = source.members.best(source.clock.now())
        try:
            async with _opened(member, prefix, known) as stream:
                relist = await _must_relist(source, known, stream.current)
                while not relist:
                    response = await stream.read()
                    pause_s = _PAUSE_S[0]
                    if response.canceled:
                        relist = _compacted(response, prefix, known)
                        break
                    began = source.clock.now()
                    for batch in batches(response, known):
                        known = batch.revision
                        yield batch
                    if source.clock.now() - began > source.options.slow_s:
                        relist = await _must_relist(source, known, known)
        except StreamLostError as lost:
            log.info("watch lost its member", member=member.address, reason=str(lost))
            source.members.failed(member, source.clock.now())
            await source.clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S[1])
        except TooLargeError:
            log.warning("watch response too large, listing afresh", prefix=prefix)
            relist = True


class TooLargeError(Exception):
    """A response is over the receive limit and would be for ever. Internal."""


def _compacted(response: Any, prefix: str, known: int) -> bool:
    """Tell a watch cancelled for compaction from one cancelled for another reason."""
    if response.compact_revision:
        log.warning(
            "watch was behind the compaction, listing afresh",
            prefix=prefix, known=known, compacted=response.compact_revision,
        )  # fmt: skip
        return True
    raise StreamLostError(response.cancel_reason)


async def _must_relist(source: Source, known: int, current: int) -> bool:
    """Say whether going on from `known` is impossible or too dear.

    `current` is what the member said; it may lag behind, so one that is short of `known`
    is no proof that the store went back: that is asked of the store as a whole.
    """
    if current <= known:
        try:
            current = await source.revision()
        except HanseError as error:
            raise StreamLostError(str(error)) from error
        if current < known:
            log.error("the store went back; listing afresh", known=known, current=current)
            return True
    if current - known > source.options.far_behind:
        log.warning("watch is far behind, listing afresh", behind=current - known)
        return True
    return False


class _Stream:
    """An open watch stream on one member."""

    def __init__(self, call: Any) -> None:
        self._call = call
        #: The member's revision when it made the watch.
        self.current = 0

    async def read(self) -> Any:
        """Give the next response."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _lost(error) from error
        if response is EOF:
            raise StreamLostError("the member ended the stream")
        return response

    async def start(self, prefix: str, known: int) -> None:
        """Ask for the events after `known` and wait for the confirmation."""
        start, end = range_of(prefix.encode())
        # No fragments: etcd's cost for them is quadratic in the events of a response.
        create = pb.WatchCreateRequest(
            key=start, range_end=end, start_revision=known + 1, progress_notify=True
        )
        try:
            await self._call.write(pb.WatchRequest(create_request=create))
        except grpc.aio.AioRpcError as error:
            raise _lost(error) from error
        except asyncio.InvalidStateError as error:
            raise StreamLostError("the call ended before it began") from error
        response = await self.read()
        if response.canceled:
            raise StreamLostError(response.cancel_reason)
        self.current = response.header.revision


def _lost(error: grpc.aio.AioRpcError) -> Exception:
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger" in (error.details() or ""):
        return TooLargeError()
    return StreamLostError(error.details() or str(error.code()))


@asynccontextmanager
async def _opened(member: Member, prefix: str, known: int) -> AsyncGenerator[_Stream, None]:
    """Open a watch on `member`; nothing of it remains afterwards, here or there."""
    channel = member.dial()
    try:
        call = stubs.WatchStub(channel).Watch(metadata=METADATA)
        try:
            stream = _Stream(call)
            try:
                async with asyncio.timeout(_OPEN_S):
                    await stream.start(prefix, known)
            except TimeoutError as error:
                raise StreamLostError(f"no answer within {_OPEN_S:g} s") from error
            yield stream
        finally:
            call.cancel()
    finally:
        await channel.close()
