"""What `hanse.store.Store` promises, asked of the store in memory and of the real one alike."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from hanse.errors import NotFound
from hanse.store import (
    Batch,
    CreatedAt,
    Delete,
    Deleted,
    KeyIs,
    KeyValue,
    Put,
    Relisted,
    Store,
    Txn,
    TxnResult,
)


def puts(*keys: str, value: bytes = b"v") -> Txn:
    return Txn((), tuple(Put(key, value) for key in keys))


async def events_until(store: Store, prefix: str, after: int, revision: int) -> list[Any]:
    """Collect what a watch says until it knows `revision`; progress left out."""
    seen: list[Any] = []
    async with asyncio.timeout(20), aclosing(store.watch(prefix, after)) as watch:
        async for news in watch:
            if isinstance(news, Relisted):
                seen.append(news)
                at = news.listing.revision
            else:
                if news.events:
                    seen.append(news)
                at = news.revision
            if at >= revision:
                break
    return seen


async def no_watcher_is_left(harness: Any) -> None:
    async with asyncio.timeout(10):
        # The member tells of it only when asked.
        while harness.watchers():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# Transactions.


async def test_a_transaction_whose_compares_hold_is_applied_whole(store: Store) -> None:
    before = await store.revision()
    result = await store.commit(Txn((KeyIs("/a", 0),), (Put("/a", b"1"), Put("/b", b"2"))))
    assert result == TxnResult(succeeded=True, revision=before + 1)
    assert await store.get("/a") == KeyValue("/a", b"1", before + 1, before + 1, 1)
    assert await store.get("/b") == KeyValue("/b", b"2", before + 1, before + 1, 1)


async def test_a_transaction_whose_compare_fails_changes_nothing(store: Store) -> None:
    first = await store.commit(puts("/a"))
    result = await store.commit(Txn((KeyIs("/a", 0),), (Put("/a", b"2"), Put("/b", b"2"))))
    assert result == TxnResult(succeeded=False, revision=first.revision)
    assert await store.get("/b") is None
    assert await store.revision() == first.revision


async def test_a_key_keeps_its_create_revision_until_it_is_deleted(store: Store) -> None:
    made = (await store.commit(puts("/a"))).revision
    changed = (await store.commit(puts("/a", value=b"2"))).revision
    assert await store.get("/a") == KeyValue("/a", b"2", made, changed, 2)
    both = (CreatedAt("/a", made), KeyIs("/a", changed))
    assert (await store.commit(Txn(both, (Delete("/a"),)))).succeeded
    again = (await store.commit(puts("/a"))).revision
    assert await store.get("/a") == KeyValue("/a", b"v", again, again, 1)
    assert not (await store.commit(Txn((CreatedAt("/a", made),), ()))).succeeded


async def test_a_failed_fence_is_told_from_a_lost_race(store: Store) -> None:
    made = (await store.commit(puts("/leader", "/a"))).revision
    good, bad = CreatedAt("/leader", made), CreatedAt("/leader", made - 1)
    lost = await store.commit(Txn((KeyIs("/a", 0),), (Put("/a", b""),), fence=good))
    assert lost == TxnResult(succeeded=False, revision=made)
    fenced = await store.commit(Txn((KeyIs("/a", made),), (Put("/a", b""),), fence=bad))
    assert fenced == TxnResult(succeeded=False, revision=made, fenced=True)
    won = await store.commit(Txn((KeyIs("/a", made),), (Put("/a", b""),), fence=good))
    assert won == TxnResult(succeeded=True, revision=made + 1)


async def test_commits_at_the_same_moment_have_each_its_own_outcome(store: Store) -> None:
    made = (await store.commit(puts("/leader", "/taken"))).revision
    good, bad = CreatedAt("/leader", made), CreatedAt("/leader", 1)
    txns = [
        puts("/free/1"),
        Txn((KeyIs("/taken", 0),), (Put("/free/2", b""),)),
        Txn((), (Put("/free/3", b""), Put("/free/4", b"")), fence=good),
        Txn((KeyIs("/taken", made),), (Put("/free/5", b""),), fence=good),
        Txn((KeyIs("/taken", 0),), (Put("/free/6", b""),), fence=good),
        Txn((), (Put("/free/7", b""),), fence=bad),
        puts("/free/1", value=b"second"),
        Txn((KeyIs("/taken", made),), (), fence=bad),
    ]
    results = await asyncio.gather(*(store.commit(txn) for txn in txns))
    assert [(r.succeeded, r.fenced) for r in results] == [
        (True, False), (False, False), (True, False), (True, False),
        (False, False), (False, True), (True, False), (False, True),
    ]  # fmt: skip
    kept = {item.key: item.value for item in (await store.list("/free/")).items}
    assert kept == {"/free/1": b"second", "/free/3": b"", "/free/4": b"", "/free/5": b""}


async def test_commits_of_one_caller_take_effect_in_the_order_of_the_calls(store: Store) -> None:
    first, second, third = await asyncio.gather(
        store.commit(Txn((KeyIs("/a", 0),), (Put("/a", b"1"),))),
        store.commit(Txn((KeyIs("/a", 0),), (Put("/a", b"2"),))),
        store.commit(Txn((), (Delete("/", prefix=True),))),
    )
    assert (first.succeeded, second.succeeded, third.succeeded) == (True, False, True)
    assert await store.get("/a") is None


@pytest.mark.parametrize(
    "writes",
    [
        (Put("/a", b"1"), Put("/a", b"2")),
        (Put("/a", b"1"), Delete("/a")),
        (Delete("/", prefix=True), Put("/a", b"1")),
    ],
)
async def test_a_transaction_that_writes_a_key_twice_is_refused(
    store: Store, writes: tuple[Put | Delete, ...]
) -> None:
    before = await store.revision()
    with pytest.raises(ValueError, match="/a"):
        await store.commit(Txn((), writes))
    assert await store.revision() == before


async def test_a_delete_of_what_is_not_there_succeeds_and_makes_no_revision(store: Store) -> None:
    before = await store.revision()
    result = await store.commit(Txn((), (Delete("/none"), Delete("/none/", prefix=True))))
    assert result == TxnResult(succeeded=True, revision=before)


async def test_a_put_under_a_lease_that_ended_is_refused_whole(store: Store) -> None:
    lease = await store.grant_lease(60)
    await store.revoke(lease)
    with pytest.raises(NotFound):
        await store.commit(Txn((), (Put("/a", b""), Put("/b", b"", lease=lease))))
    assert await store.get("/a") is None


# Reads.


async def test_a_listing_is_in_order_and_holds_only_its_prefix(store: Store) -> None:
    revision = (await store.commit(puts("/b/2", "/b/10", "/b", "/c", "/b/\u00fc"))).revision
    listing = await store.list("/b/")
    assert listing.revision == revision
    assert [item.key for item in listing.items] == ["/b/10", "/b/2", "/b/\u00fc"]


async def test_a_listing_at_an_earlier_revision_shows_what_was_then(store: Store) -> None:
    then = (await store.commit(puts("/a/1", "/a/2"))).revision
    await store.commit(Txn((), (Delete("/a/1"), Put("/a/2", b"new"), Put("/a/3", b""))))
    listing = await store.list("/a/", revision=then)
    assert listing.revision == then
    assert [(item.key, item.value) for item in listing.items] == [("/a/1", b"v"), ("/a/2", b"v")]


async def test_a_compacted_or_future_revision_cannot_be_listed(harness: Any) -> None:
    store: Store = harness.store
    then = (await store.commit(puts("/a"))).revision
    now = (await store.commit(puts("/a"))).revision
    await harness.compact()
    with pytest.raises(NotFound):
        await store.list("/", revision=then)
    with pytest.raises(NotFound):
        await store.list("/", revision=now + 1)
    assert (await store.list("/a", revision=now)).revision == now


async def test_a_long_listing_is_complete_and_of_one_revision(store: Store) -> None:
    names = [f"/long/{i % 7}/{i:05d}" for i in range(3_000)] + ["/long/", "/long/\x00", "/longer"]
    for start in range(0, len(names), 1_000):
        await store.commit(puts(*names[start : start + 1_000], value=b"x" * 3_000))
    revision = await store.revision()
    listing = await store.list("/long/")
    assert listing.revision == revision
    assert [item.key for item in listing.items] == sorted(names[:-1])


async def test_the_revision_is_no_older_than_a_commit_answered_before(store: Store) -> None:
    for _ in range(20):
        result = await store.commit(puts("/a"))
        assert await asyncio.gather(store.revision(), store.revision()) == [result.revision] * 2


# Watches.


async def test_a_watch_gives_each_revision_whole_and_in_order(store: Store) -> None:
    start = await store.revision()
    await store.commit(puts("/w/1", "/w/2", "/else"))
    await store.commit(puts("/else"))
    end = (await store.commit(Txn((), (Delete("/w/1"), Put("/w/3", b"3"))))).revision
    assert await events_until(store, "/w/", start, end) == [
        Batch(
            start + 1,
            (
                KeyValue("/w/1", b"v", start + 1, start + 1, 1),
                KeyValue("/w/2", b"v", start + 1, start + 1, 1),
            ),
        ),
        Batch(end, (Deleted("/w/1", end), KeyValue("/w/3", b"3", end, end, 1))),
    ]


async def test_a_watch_sees_what_is_written_while_it_waits(store: Store) -> None:
    start = await store.revision()
    async with asyncio.TaskGroup() as group:
        seen = group.create_task(events_until(store, "/w/", start, start + 20))
        for number in range(20):
            await store.commit(puts(f"/w/{number}"))
    assert [batch.revision for batch in seen.result()] == list(range(start + 1, start + 21))


async def test_a_watch_learns_of_revisions_that_have_nothing_for_it(store: Store) -> None:
    start = await store.revision()
    end = (await store.commit(puts("/else"))).revision
    async with asyncio.timeout(20), aclosing(store.watch("/w/", start)) as watch:
        assert await anext(watch) == Batch(end, ())


async def test_a_watch_from_before_the_compaction_lists_afresh_and_goes_on(harness: Any) -> None:
    store: Store = harness.store
    start = await store.revision()
    await store.commit(puts("/w/1", "/w/2"))
    listed = (await store.commit(Txn((), (Delete("/w/1"),)))).revision
    await harness.compact()
    async with asyncio.timeout(20), aclosing(store.watch("/w/", start)) as watch:
        first = await anext(watch)
        assert isinstance(first, Relisted)
        assert first.listing.revision == listed
        assert [item.key for item in first.listing.items] == ["/w/2"]
        result = await store.commit(puts("/w/9"))
        assert (await anext(watch)) == Batch(
            result.revision, (KeyValue("/w/9", b"v", result.revision, result.revision, 1),)
        )


async def test_a_watch_far_behind_lists_afresh(store: Store) -> None:
    start = await store.revision()
    for _ in range(60):
        end = (await store.commit(puts("/w/1"))).revision
    (only,) = await events_until(store, "/w/", start, end)
    assert isinstance(only, Relisted)
    assert [item.mod_revision for item in only.listing.items] == [end]


async def test_a_watch_that_was_closed_leaves_nothing_behind(harness: Any) -> None:
    store: Store = harness.store
    start = await store.revision()
    end = (await store.commit(puts("/w/1"))).revision
    for _ in range(10):
        await events_until(store, "/w/", start, end)
    await no_watcher_is_left(harness)


async def test_a_watch_that_was_cancelled_leaves_nothing_behind(harness: Any) -> None:
    store: Store = harness.store
    start = await store.revision()

    async def wait_for_ever() -> None:
        async with aclosing(store.watch("/w/", start)) as watch:
            async for _ in watch:
                pass

    for pause_s in (0.0, 0.001, 0.003, 0.01, 0.05):
        tasks = [asyncio.create_task(wait_for_ever()) for _ in range(4)]
        await asyncio.sleep(pause_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await no_watcher_is_left(harness)


# Leases.


async def test_the_end_of_a_lease_deletes_its_keys_in_one_revision(harness: Any) -> None:
    store: Store = harness.store
    lease = await store.grant_lease(1)
    start = (
        await store.commit(
            Txn((), (Put(f"/lease/{lease}/a", b"", lease), Put(f"/lease/{lease}/b", b"", lease)))
        )
    ).revision
    await harness.end_lease(lease)
    (batch,) = await events_until(store, "/lease/", start, start + 1)
    assert batch == Batch(
        start + 1,
        (Deleted(f"/lease/{lease}/a", start + 1), Deleted(f"/lease/{lease}/b", start + 1)),
    )
    with pytest.raises(NotFound):
        await store.keep_lease(lease)


async def test_a_lease_is_kept_and_revoked(store: Store) -> None:
    lease = await store.grant_lease(60)
    other = await store.grant_lease(60)
    await store.commit(Txn((), (Put("/a", b"", lease), Put("/b", b"", other))))
    assert await store.keep_lease(lease) == 60
    await store.revoke(lease)
    await store.revoke(lease)
    assert await store.get("/a") is None
    assert await store.get("/b") is not None
    await store.revoke(other)


async def test_a_key_put_again_without_the_lease_outlives_it(store: Store) -> None:
    lease = await store.grant_lease(60)
    await store.commit(Txn((), (Put("/a", b"", lease),)))
    await store.commit(puts("/a"))
    await store.revoke(lease)
    assert await store.get("/a") is not None
