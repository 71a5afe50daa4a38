"""The region's store on etcd: `hanse.store.Store` over `region.store.calls`.

Commits go one request at a time. A lone commit is sent at once; what arrives while it is on
its way waits and travels together (`region.store.merge`), so that the load decides how much
is in a request and no timer does. Commits of one process take effect in the order of their
calls, unless one of them fails without a known outcome.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from hanse.clock import Clock
from hanse.errors import HanseError, NotFound, TooLarge, Unavailable
from hanse.metrics import Metrics
from hanse.store import Batch, KeyValue, Listing, Relisted, Txn, TxnResult, written_twice
from region.store.calls import Caller, read_one
from region.store.members import Member, Options, connect_all
from region.store.merge import Limits, admit
from region.store.pages import Answer, first_page, next_page, smaller
from region.store.watching import Source, follow
from region.store.wire import (
    METADATA,
    REQUEST_BYTES_MAX,
    decode,
    encode,
    key_value,
    pb,
)

_CLOSED = "the store's client (it is closed)"


@dataclass
class _Waiting:
    txn: Txn
    result: asyncio.Future[TxnResult]


class EtcdStore:
    """A `hanse.store.Store`, and a `hanse.service.Service` that must run for it to answer."""

    name = "store"

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        clock: Clock,
        credentials: grpc.ChannelCredentials | None = None,
        options: Options | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`endpoints` are "host:port", the local member first. Connects when first used.

        `metrics` gets `hanse.store.commit` (ms for each request), `hanse.store.commits` and
        `hanse.store.commits_failed`.
        """
        self._metrics = metrics
        self._options = options or Options()
        self._limits = limits or Limits()
        self._clock = clock
        self._caller = Caller(
            connect_all(endpoints, credentials, self._options), clock, self._options
        )
        self._queue: deque[_Waiting] = deque()
        self._commit_wanted = asyncio.Event()
        self._readers: list[asyncio.Future[int]] = []
        self._revision_wanted = asyncio.Event()
        self._closed = False

    async def run(self) -> None:
        """Send what is waiting, until cancelled; then whoever still waits gets `Unavailable`."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._commit_for_ever(), name="store commits")
                group.create_task(self._read_revision_for_ever(), name="store revisions")
        finally:
            self._closed = True
            for waiting in self._queue:
                _fail(waiting.result, Unavailable(_CLOSED, 0.0))
            _fail_all(self._readers, Unavailable(_CLOSED, 0.0))
            await self._caller.members.close()

    async def use(self, endpoints: Sequence[str]) -> None:
        """Ask these members from now on, the local one first."""
        if [member.address for member in self._caller.members.all] != list(endpoints):
            await self._caller.members.change(endpoints)

    # Commits.

    async def commit(self, txn: Txn) -> TxnResult:
        """See `Store.commit`."""
        if twice := written_twice(txn.writes):
            raise ValueError(f"the transaction writes {twice!r} twice")
        if self._closed or len(self._queue) >= self._options.waiting_max:
            raise Unavailable(_CLOSED if self._closed else "the store's queue", 0.0)
        waiting = _Waiting(txn, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._commit_wanted.set()
        return await waiting.result

    async def _commit_for_ever(self) -> None:
        while True:
            await self._commit_wanted.wait()
            # Who was cancelled before the transaction left need not have it sent.
            while self._queue and self._queue[0].result.done():
                self._queue.popleft()
            if not self._queue:
                self._commit_wanted.clear()
                continue
            live = (waiting.txn for waiting in self._queue if not waiting.result.done())
            group = self._take(admit(live, self._limits))
            try:
                await self._send(group)
            finally:
                for waiting in group:
                    _fail(waiting.result, Unavailable(_CLOSED, 0.0))

    def _take(self, count: int) -> list[_Waiting]:
        group: list[_Waiting] = []
        while len(group) < count:
            waiting = self._queue.popleft()
            if not waiting.result.done():
                group.append(waiting)
        return group

    async def _send(self, group: list[_Waiting]) -> None:
        txns = [waiting.txn for waiting in group]
        began = self._clock.now()
        request = encode(txns)
        size: int = request.ByteSize()
        try:
            if size > REQUEST_BYTES_MAX:
                raise TooLarge("the transaction", size=size, size_max=REQUEST_BYTES_MAX)
            ask = self._caller.unary(lambda member: member.kv().Txn, request)
            response = await self._caller.call(ask, repeatable=False, size=size)
        except HanseError as error:
            if self._metrics is not None:
                self._metrics.count("hanse.store.commits_failed", len(group), kind=error.kind)
            for waiting in group:
                _fail(waiting.result, error)
        except grpc.aio.AioRpcError as error:
            # The request itself was wrong. Only who sent it should hear of that.
            if len(group) > 1:
                for waiting in group:
                    await self._send([waiting])
                return
            _fail(group[0].result, ValueError(f"etcd refuses the transaction: {error.details()}"))
        else:
            if self._metrics is not None:
                self._metrics.count("hanse.store.commits", len(group))
                took_ms = 1000 * (self._clock.now() - began)
                self._metrics.sample("hanse.store.commit", took_ms)
            for waiting, result in zip(group, decode(txns, response), strict=True):
                if not waiting.result.done():
                    waiting.result.set_result(result)

    # Reads.

    async def get(self, key: str) -> KeyValue | None:
        """See `Store.get`."""
        ask = self._caller.unary(
            lambda member: member.kv().Range, pb.RangeRequest(key=key.encode())
        )
        response = await self._caller.call(ask, repeatable=True)
        return key_value(response.kvs[0]) if response.kvs else None

    async def list(self, prefix: str, *, revision: int = 0) -> Listing:
        """See `Store.list`. Read page by page, all at one revision."""
        items: list[KeyValue] = []
        asked = revision
        page = first_page(prefix.encode())
        while True:
            request = pb.RangeRequest(
                key=page.start, range_end=page.end, limit=page.limit, revision=asked
            )
            ask = self._caller.unary(lambda member: member.kv().Range, request)
            try:
                response = await self._caller.call(
                    ask, repeatable=True, deadline_s=self._options.page_deadline_s
                )
            except TooLarge:
                if (less := smaller(page)) is None:
                    raise
                page = less
                continue
            except NotFound as error:
                raise NotFound("revision", str(asked)) from error
            asked = asked or response.header.revision
            items.extend(key_value(kv) for kv in response.kvs)
            following = next_page(page, _answer(response))
            if following is None:
                return Listing(asked, items)
            page = following

    async def revision(self) -> int:
        """See `Store.revision`."""
        if self._closed:
            raise Unavailable(_CLOSED, 0.0)
        reader: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        self._revision_wanted.set()
        return await reader

    async def _read_revision_for_ever(self) -> None:
        """Ask once for all who wait. Who comes later waits for the next answer.

        An answer asked for before a reader came may be older than what it has seen.
        """
        request = pb.RangeRequest(key=b"\0", count_only=True)
        ask = self._caller.unary(lambda member: member.kv().Range, request)
        while True:
            await self._revision_wanted.wait()
            self._revision_wanted.clear()
            readers, self._readers = self._readers, []
            if all(reader.done() for reader in readers):
                continue
            try:
                response = await self._caller.call(ask, repeatable=True)
            except HanseError as error:
                _fail_all(readers, error)
            else:
                for reader in readers:
                    if not reader.done():
                        reader.set_result(response.header.revision)
            finally:
                _fail_all(readers, Unavailable(_CLOSED, 0.0))

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch | Relisted, None]:
        """See `Store.watch`."""
        source = Source(self._caller.members, self._clock, self._options, self.list, self.revision)
        return follow(source, prefix, after)

    # Leases.

    async def grant_lease(self, ttl_s: int) -> int:
        """See `Store.grant_lease`."""
        # Our own id makes it repeatable: a second attempt finds the lease there.
        lease = secrets.randbits(62) or 1
        request = pb.LeaseGrantRequest(TTL=ttl_s, ID=lease)
        ask = self._caller.unary(lambda member: member.lease().LeaseGrant, request)
        try:
            await self._caller.call(ask, repeatable=True)
        except grpc.aio.AioRpcError as error:
            if "already exists" not in (error.details() or ""):
                raise
        return lease

    async def keep_lease(self, lease: int) -> int:
        """See `Store.keep_lease`."""

        async def ask(member: Member, timeout_s: float) -> Any:
            call = member.lease().LeaseKeepAlive(timeout=timeout_s, metadata=METADATA)
            return await read_one(
                call, pb.LeaseKeepAliveRequest(ID=lease), member.address, timeout_s
            )

        answer = await self._caller.call(ask, repeatable=True)
        if not answer.TTL:
            raise NotFound("lease", f"{lease:x}")
        return int(answer.TTL)

    async def revoke(self, lease: int) -> None:
        """See `Store.revoke`."""
        ask = self._caller.unary(
            lambda member: member.lease().LeaseRevoke, pb.LeaseRevokeRequest(ID=lease)
        )
        try:
            await self._caller.call(ask, repeatable=True)
        except NotFound:
            return


@asynccontextmanager
async def opened(
    endpoints: Sequence[str],
    *,
    clock: Clock,
    credentials: grpc.ChannelCredentials | None = None,
    options: Options | None = None,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
) -> AsyncGenerator[EtcdStore, None]:
    """Run an `EtcdStore` for the length of a `with` block.

    An error of the block leaves as it is, not in an exception group.
    """
    store = EtcdStore(
        endpoints,
        clock=clock,
        credentials=credentials,
        options=options,
        limits=limits,
        metrics=metrics,
    )
    failed: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        running = group.create_task(store.run(), name="store")
        try:
            yield store
        except BaseException as error:
            failed = error
        finally:
            running.cancel()
    if failed is not None:
        raise failed


def _answer(response: Any) -> Answer:
    kvs = response.kvs
    size = sum(len(kv.key) + len(kv.value) for kv in kvs)
    return Answer(len(kvs), size, kvs[-1].key if kvs else b"", response.count)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _fail_all(futures: Sequence[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        _fail(future, error)
