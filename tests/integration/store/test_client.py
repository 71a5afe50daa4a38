"""The client by itself: merging, limits, cancellation, closing, fencing by a real lease."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.clock import SystemClock
from hanse.errors import TooLarge, Unavailable
from hanse.metrics import Metrics
from hanse.store import (
    Batch,
    CreatedAt,
    Delete,
    KeyIs,
    KeyValue,
    Put,
    Relisted,
    Txn,
    written_twice,
)
from hanse.testing.store import MemoryStore
from region.store.client import EtcdStore, opened
from region.store.leadership import Candidacy, Term
from region.store.members import Options

CLOCK = SystemClock()
KEYS = [f"/m/{name}" for name in "abcdef"]

keys = st.sampled_from(KEYS)
writes = st.one_of(
    st.builds(Put, keys, st.binary(max_size=2)),
    st.builds(Delete, keys),
    st.builds(Delete, st.sampled_from(["/m/", "/m/a"]), st.just(True)),
)
# A revision of 0 or that of the first transaction, which makes the odd keys.
compares = st.builds(KeyIs, keys, st.sampled_from([0, 1])) | st.builds(
    CreatedAt, keys, st.sampled_from([0, 1])
)
txns = st.builds(
    Txn,
    st.lists(compares, max_size=2).map(tuple),
    st.lists(writes, max_size=2).map(tuple).filter(lambda made: not written_twice(made)),
    st.none() | st.builds(CreatedAt, st.just("/m/a"), st.sampled_from([0, 1])),
)


def at(txn: Txn, revision: int) -> Txn:
    """Replace the revision 1 by the real one."""

    def fix(compare: Any) -> Any:
        match compare:
            case KeyIs(key=key, mod_revision=1):
                return KeyIs(key, revision)
            case CreatedAt(key=key, create_revision=1):
                return CreatedAt(key, revision)
            case _:
                return compare

    return Txn(tuple(fix(c) for c in txn.compares), txn.writes, fix(txn.fence))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(txns, min_size=1, max_size=12))
def test_transactions_at_the_same_moment_end_as_if_each_had_come_alone(
    etcd: Any, batch: list[Txn]
) -> None:
    first = Txn((), tuple(Put(key, b"first") for key in KEYS[::2]))

    async def on(store: Any, *, at_once: bool) -> tuple[list[tuple[bool, bool]], dict[str, Any]]:
        await store.commit(Txn((), (Delete("/m/", prefix=True),)))
        revision = (await store.commit(first)).revision
        ready = [at(txn, revision) for txn in batch]
        if at_once:
            results = await asyncio.gather(*(store.commit(txn) for txn in ready))
        else:
            results = [await store.commit(txn) for txn in ready]
        items = (await store.list("/m/")).items
        return [(r.succeeded, r.fenced) for r in results], {i.key: i.value for i in items}

    async def both() -> None:
        model = await on(MemoryStore(), at_once=False)
        async with opened([etcd.endpoint], clock=CLOCK) as store:
            assert await on(store, at_once=True) == model

    asyncio.run(both())


async def test_many_commits_at_the_same_moment_share_few_requests(etcd: Any) -> None:
    metrics = Metrics(CLOCK)
    async with opened([etcd.endpoint], clock=CLOCK, metrics=metrics) as store:
        before = await store.revision()
        results = await asyncio.gather(
            *(store.commit(Txn((), (Put(f"/m/{number}", b""),))) for number in range(1_000))
        )
        assert all(result.succeeded for result in results)
        assert await store.revision() - before <= 3
        assert len((await store.list("/m/")).items) >= 1_000
    assert "hanse_store_commits 1000" in metrics.prometheus()


async def test_a_transaction_over_the_limit_is_refused_and_takes_no_other_along(etcd: Any) -> None:
    async with opened([etcd.endpoint], clock=CLOCK) as store:
        large = store.commit(Txn((), (Put("/large", b"x" * 5_000_000),)))
        small = store.commit(Txn((), (Put("/small", b""),)))
        refused, done = await asyncio.gather(large, small, return_exceptions=True)
        assert isinstance(refused, TooLarge)
        assert not isinstance(done, BaseException)
        assert done.succeeded


async def test_a_cancelled_commit_that_was_not_sent_yet_is_never_sent(etcd: Any) -> None:
    async with opened([etcd.endpoint], clock=CLOCK) as store:
        await store.commit(Txn((), (Delete("/c/", prefix=True),)))
        sent = asyncio.create_task(store.commit(Txn((), (Put("/c/1", b""),))))
        await asyncio.sleep(0)
        # The queue goes in order, so the second cannot have left before the first.
        waits = asyncio.create_task(store.commit(Txn((), (Put("/c/1", b"2"),))))
        await asyncio.sleep(0)
        waits.cancel()
        await sent
        assert (await store.commit(Txn((KeyIs("/c/1", (await sent).revision),), ()))).succeeded


async def test_a_cancelled_call_leaves_the_client_as_good_as_before(etcd: Any) -> None:
    async with opened([etcd.endpoint], clock=CLOCK) as store:
        for pause_s in (0.0, 0.0, 0.0002, 0.0005, 0.001):
            calls: list[asyncio.Task[Any]] = []
            for number in range(40):
                key = f"/c/{number}"
                calls += [
                    asyncio.create_task(store.commit(Txn((), (Put(key, b""),)))),
                    asyncio.create_task(store.revision()),
                    asyncio.create_task(store.get(key)),
                    asyncio.create_task(store.list("/c/")),
                ]
            await asyncio.sleep(pause_s)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(5):
            result = await store.commit(Txn((), (Put("/c/end", b""),)))
            assert await store.revision() == result.revision


async def test_a_consumer_that_cannot_keep_up_is_given_a_listing_instead(etcd: Any) -> None:
    options = Options(slow_s=0.0, far_behind=20)
    async with opened([etcd.endpoint], clock=CLOCK, options=options) as store:
        start = await store.revision()
        async with asyncio.timeout(20), aclosing(store.watch("/w/", start)) as watch:
            await store.commit(Txn((), (Put("/w/1", b""),)))
            assert isinstance(await anext(watch), Batch)
            for _ in range(40):
                end = (await store.commit(Txn((), (Put("/w/1", b""),)))).revision
            news = await anext(watch)
            assert isinstance(news, Relisted)
            assert [item.mod_revision for item in news.listing.items] == [end]


async def test_a_watch_response_that_is_too_large_to_receive_becomes_a_listing(etcd: Any) -> None:
    async with opened([etcd.endpoint], clock=CLOCK) as store:
        await store.commit(Txn((), (Delete("/w/", prefix=True),)))
        start = await store.revision()
        for _ in range(20):
            await store.commit(Txn((), (Put("/w/large", b"x" * 4_000_000),)))
        async with asyncio.timeout(30), aclosing(store.watch("/w/", start)) as watch:
            news = await anext(watch)
            assert isinstance(news, Relisted)
            end = (await store.commit(Txn((), (Put("/w/1", b""),)))).revision
            assert (await anext(watch)) == Batch(end, (KeyValue("/w/1", b"", end, end, 1),))
        await store.commit(Txn((), (Delete("/w/", prefix=True),)))


async def test_a_watch_that_was_closed_has_closed_its_connection(etcd: Any) -> None:
    def sockets() -> int:
        links = (entry for entry in Path("/proc/self/fd").iterdir())
        return sum(1 for link in links if link.is_symlink() and "socket:" in _target(link))

    async with opened([etcd.endpoint], clock=CLOCK) as store:
        start = (await store.commit(Txn((), (Put("/w/1", b""),)))).revision
        before = sockets()
        watches = [store.watch("/w/", start - 1) for _ in range(10)]
        await asyncio.gather(*(anext(watch) for watch in watches))
        assert sockets() >= before + 10
        for watch in watches:
            await watch.aclose()
        del watches
        async with asyncio.timeout(10):
            while sockets() > before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


async def test_a_client_that_is_closed_answers_whoever_still_waits(new_address: Any) -> None:
    store = EtcdStore([new_address()], clock=CLOCK, options=Options(patience_s=60.0))
    running = asyncio.create_task(store.run())
    put = Txn((), (Put("/never", b""),))
    waits = [asyncio.create_task(c) for c in (store.commit(put), store.commit(put))]
    waits.append(asyncio.create_task(store.revision()))  # type: ignore[arg-type]
    # Nobody listens there: two are under way and tried again, one is in the queue.
    await asyncio.sleep(0.1)
    running.cancel()
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await store.commit(put)
    with pytest.raises(Unavailable):
        await store.revision()


async def test_a_member_that_is_not_there_is_reported_after_the_patience(new_address: Any) -> None:
    options = Options(patience_s=0.3)
    async with opened([new_address()], clock=CLOCK, options=options) as store:
        began = CLOCK.now()
        for call in (store.get("/a"), store.revision(), store.commit(Txn((), (Put("/a", b""),)))):
            with pytest.raises(Unavailable):
                await call
        assert CLOCK.now() - began < 3


async def test_a_leader_whose_lease_ran_out_while_it_was_paused_can_write_nothing(
    etcd: Any,
) -> None:
    terms: list[Term] = []

    async def lead(term: Term) -> None:
        terms.append(term)
        await asyncio.Event().wait()

    async with opened([etcd.endpoint], clock=CLOCK) as store:
        await store.commit(Txn((), (Delete("/hanse/", prefix=True),)))

        def candidate(server: str) -> Candidacy:
            return Candidacy(store, CLOCK, server=server, address="h:1", lead=lead, ttl_s=1)

        # A leader that was paused the moment it had won: it keeps nothing.
        paused = await candidate("lubeck")._win()
        assert (await store.commit(Txn((), (Put("/w", b"1"),), fence=paused.fence))).succeeded
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            second = group.create_task(candidate("bergen").run())
            while not terms:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            late = await store.commit(Txn((), (Put("/w", b"late"),), fence=paused.fence))
            assert late.fenced
            won = await store.commit(Txn((), (Put("/w", b"2"),), fence=terms[0].fence))
            assert won.succeeded
            second.cancel()
