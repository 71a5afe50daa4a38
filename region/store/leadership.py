"""One leader at a time, proved in every write.

A server leads while the key is its own: the key hangs on a lease that it keeps, and its
create revision is the fencing token. A lock alone would not do: a leader that was paused
wakes up believing in its lease. So each of its transactions also compares that revision
(`Txn.fence`), and those of an old leader fail however late they arrive.

A server that finds its own name in the key is looking at its former self, for a data
directory has one agent at a time; it ends that lease at once instead of waiting it out.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import structlog

from hanse.clock import Clock
from hanse.errors import HanseError, NotFound, Unavailable
from hanse.store import CreatedAt, Deleted, KeyIs, KeyValue, Put, Relisted, Store, Txn

log = structlog.get_logger(__name__)

#: Under the prefix that every watch of the region's state follows.
LEADER_KEY = "/hanse/leader"
_RETRY_S = 0.5
_RESIGN_S = 1.0
_HOLD_STEP_S = 0.1

T = TypeVar("T")


class Leader(msgspec.Struct, frozen=True):
    """What the key says: who leads."""

    name: str
    #: Where the others reach it, "host:port" of its RPC.
    address: str
    lease: int
    #: Tells this candidacy from any other of the same server.
    nonce: str


@dataclass(frozen=True)
class Term:
    """One leadership: its `fence` belongs into every transaction that only a leader may do."""

    leader: Leader
    fence: CreatedAt
    #: When, by the candidate's clock, the lease ends unless it is kept.
    valid_until: float


class Candidacy:
    """A service that campaigns, leads, and campaigns again.

    `lead` is called with each term won. It runs until it is cancelled, which happens as soon
    as the lease is lost or can no longer be known to be held. It returns to step down, as it
    must when a commit comes back `fenced`. A retryable error also steps down.
    """

    name = "leadership"

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        server: str,
        address: str,
        lead: Callable[[Term], Awaitable[None]],
        key: str = LEADER_KEY,
        ttl_s: int = 5,
    ) -> None:
        """`server` must be unique in the region and kept over restarts."""
        self._store = store
        self._clock = clock
        self._server = server
        self._address = address
        self._lead = lead
        self._key = key
        self._ttl_s = ttl_s
        #: Who leads, as far as this server knows.
        self.leader: Leader | None = None
        #: The term this server is in; None while another leads.
        self.term: Term | None = None
        self._hold_until = float("-inf")
        self._enough = asyncio.Event()

    async def run(self) -> None:
        """Campaign and lead for ever. Cancelled, it resigns."""
        while True:
            try:
                term = await self._win()
            except HanseError as error:
                if not error.retryable:
                    raise
                log.warning("cannot campaign", reason=str(error))
                self.leader = None
                await self._clock.sleep(_RETRY_S)
                continue
            await self._reign(term)

    def hold_back(self, seconds: float) -> None:
        """Let others lead for a while: step down, and do not campaign for so long."""
        self._hold_until = self._clock.now() + seconds
        self._enough.set()

    # Campaigning.

    async def _win(self) -> Term:
        """Wait until this server leads."""
        while True:
            found = await self._store.get(self._key)
            if found is None:
                self.leader = None
                if (wait_s := self._hold_until - self._clock.now()) > 0:
                    await self._clock.sleep(min(wait_s, _HOLD_STEP_S))
                    continue
                if (term := await self._try()) is not None:
                    return term
                continue
            self.leader = _read(found)
            if self.leader.name == self._server:
                log.info("ending the lease of our former self", lease=self.leader.lease)
                await self._store.revoke(self.leader.lease)
                if await self._store.get(self._key) == found:
                    # The lease is gone and the key is not: it was put without one.
                    raise Unavailable("the leader's key, which no lease holds", 0.0)
                continue
            log.info("following", leader=self.leader.name)
            async with aclosing(leaders(self._store, self._key, found)) as others:
                async for leader in others:
                    self.leader = leader
                    if leader is None:
                        break

    async def _try(self) -> Term | None:
        """Put the key if it is still free."""
        sent = self._clock.now()
        lease = await self._store.grant_lease(self._ttl_s)
        me = Leader(self._server, self._address, lease, uuid.uuid4().hex)
        put = Put(self._key, msgspec.json.encode(me), lease)
        try:
            result = await self._store.commit(Txn((KeyIs(self._key, 0),), (put,)))
        except NotFound:
            return None
        except Unavailable:
            # Perhaps it was done. Look; if not, end the lease before anything else, so that
            # a transaction still under way finds none and fails.
            found = await self._store.get(self._key)
            if found is None or found.value != put.value:
                await self._store.revoke(lease)
                return None
            revision = found.create_revision
        else:
            if not result.succeeded:
                await self._store.revoke(lease)
                return None
            revision = result.revision
        return Term(me, CreatedAt(self._key, revision), sent + self._ttl_s)

    # Leading.

    async def _reign(self, term: Term) -> None:
        self.leader, self.term = term.leader, term
        self._enough.clear()
        log.info("leading", fence=term.fence.create_revision)
        try:
            async with asyncio.TaskGroup() as group:
                leading = group.create_task(self._lead_until_error(term), name="leader")
                keeping = group.create_task(self._keep(term), name="leader's lease")
                asked = group.create_task(self._enough.wait(), name="leader's end")
                tasks = (leading, keeping, asked)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        finally:
            self.leader = self.term = None
            await self._resign(term)

    async def _lead_until_error(self, term: Term) -> None:
        try:
            await self._lead(term)
        except HanseError as error:
            if not error.retryable:
                raise
            log.warning("stepping down", reason=str(error), kind=error.kind)

    async def _keep(self, term: Term) -> None:
        """Keep the lease. Returns when it is lost, or may be for all we know.

        The lease is counted from the sending of the request that renewed it, and given up a
        moment early: etcd may have counted from then too.
        """
        give_up_at = term.valid_until - self._ttl_s / 10
        while True:
            left_s = give_up_at - self._clock.now()
            await self._clock.sleep(max(0.0, min(self._ttl_s / 4, left_s)))
            sent = self._clock.now()
            left_s = give_up_at - sent
            if left_s <= 0:
                log.warning("leadership lost: the lease was not kept in time")
                return
            try:
                ttl_s = await within(self._clock, left_s, self._store.keep_lease(term.leader.lease))
            except NotFound:
                log.warning("leadership lost: the lease ended")
                return
            except TimeoutError:
                log.warning("leadership lost: the store did not answer in time")
                return
            except HanseError as error:
                if not error.retryable:
                    raise
                log.warning("cannot keep the leader's lease yet", reason=str(error))
            else:
                give_up_at = sent + ttl_s - self._ttl_s / 10

    async def _resign(self, term: Term) -> None:
        """Let the next one lead at once. If it fails, the lease ends by itself."""
        try:
            await within(self._clock, _RESIGN_S, self._store.revoke(term.leader.lease))
        except (HanseError, TimeoutError) as error:
            log.info("could not resign; the lease will run out", reason=str(error))


async def leaders(
    store: Store, key: str = LEADER_KEY, last: KeyValue | None = None
) -> AsyncGenerator[Leader | None, None]:
    """Give each change of leader after `last`, the key as read before; None: nobody leads."""
    after = last.mod_revision if last is not None else 0
    async with aclosing(store.watch(key, after)) as watch:
        async for news in watch:
            if isinstance(news, Relisted):
                found = [kv for kv in news.listing.items if kv.key == key]
                yield _read(found[0]) if found else None
                continue
            for event in news.events:
                if event.key == key:
                    yield None if isinstance(event, Deleted) else _read(event)


async def within(clock: Clock, limit_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Give what `work` gives, or raise `TimeoutError` and cancel it after `limit_s`.

    `asyncio.timeout` by the clock that was handed in.
    """
    nap = asyncio.ensure_future(clock.sleep(limit_s))  # noqa: TID251 - both end in here
    task = asyncio.ensure_future(work)  # noqa: TID251
    try:
        await asyncio.wait({nap, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError(f"nothing within {limit_s:g} s")
        return task.result()
    finally:
        nap.cancel()
        task.cancel()


def _read(found: KeyValue) -> Leader:
    try:
        return msgspec.json.decode(found.value, type=Leader)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the leader named in {found.key}", 0.0) from error
