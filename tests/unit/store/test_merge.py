"""Which transactions travel together."""

from __future__ import annotations

import pytest

from hanse.store import CreatedAt, Delete, KeyIs, Put, Txn
from region.store.merge import Limits, admit, size_of

LIMITS = Limits(ops_max=100, bytes_max=10_000)


def put(key: str, *, size: int = 1, fence: CreatedAt | None = None, lease: int = 0) -> Txn:
    return Txn((), (Put(key, b"x" * size, lease),), fence)


def test_transactions_with_keys_of_their_own_go_together() -> None:
    fence = CreatedAt("/leader", 7)
    waiting = [put("/a"), put("/b", fence=fence), Txn((KeyIs("/c", 0),), (), fence), put("/d")]
    assert admit(waiting, LIMITS) == 4


@pytest.mark.parametrize(
    "other",
    [
        put("/a"),
        Txn((KeyIs("/a", 3),), ()),
        Txn((), (Put("/x", b""),), CreatedAt("/a", 3)),
        Txn((), (Delete("/a"),)),
        Txn((), (Delete("/", prefix=True),)),
        Txn((), (Delete("", prefix=True),)),
    ],
)
def test_transactions_that_touch_a_written_key_go_apart_in_either_order(other: Txn) -> None:
    assert admit([put("/a"), other], LIMITS) == 1
    assert admit([other, put("/a")], LIMITS) == 1


def test_a_compare_does_not_keep_another_compare_of_the_key_away() -> None:
    assert admit([Txn((KeyIs("/a", 3),), ()), Txn((KeyIs("/a", 4),), ())], LIMITS) == 2


def test_a_prefix_delete_keeps_away_what_is_compared_or_deleted_under_it() -> None:
    wipe = Txn((), (Delete("/jobs/", prefix=True),))
    assert admit([wipe, Txn((KeyIs("/jobs/1", 0),), ())], LIMITS) == 1
    assert admit([wipe, Txn((), (Delete("/jobs/1/", prefix=True),))], LIMITS) == 1
    assert admit([wipe, put("/job")], LIMITS) == 2


def test_none_overtakes_one_that_has_to_wait() -> None:
    assert admit([put("/a"), put("/a"), put("/b")], LIMITS) == 1


def test_the_limits_end_a_group_but_never_keep_one_back_for_ever() -> None:
    assert admit([put("/a", size=4_000), put("/b", size=4_000), put("/c", size=4_000)], LIMITS) == 2
    assert admit([put("/a", size=40_000), put("/b")], LIMITS) == 1
    many = [Txn((), tuple(Put(f"/{n}/{i}", b"") for i in range(40))) for n in range(3)]
    assert admit(many, LIMITS) == 2


def test_a_put_under_a_lease_goes_alone_because_its_refusal_takes_the_request_along() -> None:
    assert admit([put("/a", lease=9), put("/b")], LIMITS) == 1
    assert admit([put("/b"), put("/a", lease=9)], LIMITS) == 1


def test_the_estimated_size_is_not_less_than_keys_and_values() -> None:
    assert size_of(Txn((KeyIs("/abc", 1),), (Put("/def", b"x" * 100), Delete("/ghi")))) > 112
