"""A merged request does what its transactions would have done one after another."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.store import CreatedAt, Delete, KeyIs, Put, Txn, written_twice
from region.store.merge import Limits, admit

KEYS = ["/a", "/a/1", "/a/2", "/b", "/b/1", "/c"]
State = dict[str, int]

keys = st.sampled_from(KEYS)
writes = st.one_of(
    st.builds(Put, keys, st.binary(max_size=2)),
    st.builds(Delete, keys),
    st.builds(Delete, st.sampled_from(["/a/", "/b", "/"]), st.just(True)),
)
compares = st.one_of(
    st.builds(KeyIs, keys, st.integers(0, 2)), st.builds(CreatedAt, keys, st.integers(0, 2))
)
txns = st.builds(
    Txn,
    st.lists(compares, max_size=2).map(tuple),
    st.lists(writes, max_size=3).map(tuple).filter(lambda made: not written_twice(made)),
    st.none() | st.builds(CreatedAt, keys, st.integers(0, 2)),
)


def holds(txn: Txn, state: State) -> bool:
    """Compare against a state of key -> number of the write that put it."""
    for compare in (*txn.compares, *((txn.fence,) if txn.fence else ())):
        expected = compare.mod_revision if isinstance(compare, KeyIs) else compare.create_revision
        if state.get(compare.key, 0) != expected:
            return False
    return True


def write(txn: Txn, number: int, state: State) -> None:
    for each in txn.writes:
        match each:
            case Put(key=key):
                state[key] = number
            case Delete(key=key, prefix=True):
                for gone in [k for k in state if k.startswith(key)]:
                    del state[gone]
            case Delete(key=key):
                state.pop(key, None)


@settings(deadline=None, max_examples=400)
@given(
    waiting=st.lists(txns, min_size=1, max_size=6),
    start=st.dictionaries(keys, st.integers(1, 2)),
)
def test_checked_first_and_written_then_is_the_same_as_one_after_another(
    waiting: list[Txn], start: State
) -> None:
    group = waiting[: admit(waiting, Limits())]

    one_by_one = dict(start)
    outcomes = []
    for number, txn in enumerate(group, 10):
        outcomes.append(holds(txn, one_by_one))
        if outcomes[-1]:
            write(txn, number, one_by_one)

    together = dict(start)
    checked = [holds(txn, start) for txn in group]
    for number, (txn, held) in enumerate(zip(group, checked, strict=True), 10):
        if held:
            write(txn, number, together)

    assert checked == outcomes
    assert together == one_by_one


@given(st.lists(txns, min_size=1, max_size=8))
@settings(deadline=None)
def test_the_queue_always_moves_and_its_order_is_kept(waiting: list[Txn]) -> None:
    left, rounds = list(waiting), 0
    while left:
        count = admit(left, Limits(ops_max=4, bytes_max=200))
        assert 1 <= count <= len(left)
        left = left[count:]
        rounds += 1
    assert rounds <= len(waiting)
