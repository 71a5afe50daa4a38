"""What the client does with each kind of failure, against a member that fails as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from hanse.clock import SystemClock
from hanse.errors import NoLeader, Unavailable
from hanse.store import Put, Txn
from region.store.client import opened
from region.store.members import Options
from region.store.wire import pb

CLOCK = SystemClock()
OPTIONS = Options(patience_s=0.2, retry_s=0.01, call_deadline_s=2.0)
PUT = Txn((), (Put("/a", b""),))


class BadMember:
    """Answers with the failures it was given, one after another, and then well."""

    def __init__(self, *failures: tuple[str, str], for_ever: bool = False) -> None:
        self.failures = list(failures)
        self.for_ever = for_ever
        self.asked = 0
        self.endpoint = ""
        self.metadata: list[dict[str, Any]] = []

    async def _answer(self, context: grpc.aio.ServicerContext, answer: bytes) -> bytes:
        self.asked += 1
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if self.failures:
            code, details = self.failures[0] if self.for_ever else self.failures.pop(0)
            await context.abort(grpc.StatusCode[code], details)
        return answer

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        done = pb.TxnResponse(succeeded=True, header=pb.ResponseHeader(revision=7))
        found = pb.RangeResponse(header=pb.ResponseHeader(revision=7))

        async def txn(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._answer(context, done.SerializeToString())

        async def read(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._answer(context, found.SerializeToString())

        server = grpc.aio.server()
        handlers = {
            "Txn": grpc.unary_unary_rpc_method_handler(txn),
            "Range": grpc.unary_unary_rpc_method_handler(read),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("etcdserverpb.KV", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("UNAVAILABLE", "etcdserver: leader changed"),
        ("UNAVAILABLE", "etcdserver: request timed out"),
        ("DEADLINE_EXCEEDED", "context deadline exceeded"),
        ("UNKNOWN", "nobody knows"),
    ],
)
async def test_a_write_whose_outcome_is_unknown_is_never_sent_again(
    code: str, details: str
) -> None:
    bad, good = BadMember((code, details)), BadMember()
    async with (
        bad.serving() as first,
        good.serving() as second,
        opened([first, second], clock=CLOCK, options=OPTIONS) as store,
    ):
        with pytest.raises(Unavailable):
            await store.commit(PUT)
        assert (bad.asked, good.asked) == (1, 0)
        # The next one goes to a member that did not just fail.
        assert (await store.commit(PUT)).revision == 7
        assert (bad.asked, good.asked) == (1, 1)


async def test_a_write_that_was_surely_not_done_is_sent_to_the_next_member() -> None:
    bad, good = BadMember(("UNAVAILABLE", "etcdserver: no leader")), BadMember()
    async with (
        bad.serving() as first,
        good.serving() as second,
        opened([first, second], clock=CLOCK, options=OPTIONS) as store,
    ):
        assert (await store.commit(PUT)).succeeded
        assert (bad.asked, good.asked) == (1, 1)


async def test_a_read_is_repeated_whatever_became_of_it() -> None:
    bad, good = BadMember(("UNAVAILABLE", "etcdserver: leader changed")), BadMember()
    async with (
        bad.serving() as first,
        good.serving() as second,
        opened([first, second], clock=CLOCK, options=OPTIONS) as store,
    ):
        assert await store.get("/a") is None
        assert (bad.asked, good.asked) == (1, 1)


async def test_want_of_a_leader_is_said_even_if_another_member_says_nothing(
    new_address: Any,
) -> None:
    bad = BadMember(("UNAVAILABLE", "etcdserver: no leader"), for_ever=True)
    async with (
        bad.serving() as first,
        opened([first, new_address()], clock=CLOCK, options=OPTIONS) as store,
    ):
        for _ in range(4):
            with pytest.raises(NoLeader):
                await store.commit(PUT)


async def test_in_an_outage_each_call_fails_after_one_round() -> None:
    bad = BadMember(("UNAVAILABLE", "etcdserver: no leader"), for_ever=True)
    async with bad.serving() as only, opened([only], clock=CLOCK, options=OPTIONS) as store:
        with pytest.raises(NoLeader):
            await store.commit(PUT)
        asked = bad.asked
        assert asked > 1
        with pytest.raises(NoLeader):
            await store.commit(PUT)
        assert bad.asked == asked + 1


async def test_every_call_says_that_it_wants_a_member_with_a_leader() -> None:
    good = BadMember()
    async with good.serving() as only, opened([only], clock=CLOCK, options=OPTIONS) as store:
        await store.commit(PUT)
        await store.get("/a")
        await store.revision()
        await store.list("/")
    assert [metadata.get("hasleader") for metadata in good.metadata] == ["true"] * 4
