"""A listing in pages gives every key once, and no page makes etcd count all that is left."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import example, given, settings
from hypothesis import strategies as st

from region.store.pages import PAGE_BYTES, Answer, first_page, next_page
from region.store.wire import range_of


def read(names: list[bytes], prefix: bytes, value_size: int) -> tuple[list[bytes], list[int]]:
    """List as the client does, from sorted names; also how many keys etcd counted each time."""
    seen: list[bytes] = []
    counted: list[int] = []
    page = first_page(prefix)
    while True:
        low = bisect_left(names, page.start)
        high = len(names) if page.end == b"\0" else bisect_left(names, page.end)
        found = names[low:high]
        assert low <= high
        taken = found[: page.limit]
        seen += taken
        counted.append(len(found))
        assert len(counted) < 2_000, "no end"
        size = sum(len(name) + value_size for name in taken)
        last = taken[-1] if taken else b""
        following = next_page(page, Answer(len(taken), size, last, len(found)))
        if following is None:
            return seen, counted
        page = following


names_of_any_kind = st.lists(
    st.binary(max_size=4) | st.text("ab/\x00\xff", max_size=6).map(str.encode), max_size=300
)


@settings(deadline=None, max_examples=300)
@given(
    names=names_of_any_kind,
    prefix=st.sampled_from([b"", b"/", b"a", b"\xff", b"a\xff", b"/a/"]),
    value_size=st.sampled_from([0, PAGE_BYTES // 100, PAGE_BYTES]),
)
@example(names=[b"\xff\xff", b"\xff\xff\xff", b"\xff"], prefix=b"\xff", value_size=PAGE_BYTES)
def test_every_key_under_the_prefix_is_listed_once_and_in_order(
    names: list[bytes], prefix: bytes, value_size: int
) -> None:
    names = sorted({name for name in names if name})
    start, end = range_of(prefix)
    expected = [n for n in names if n >= start and (end == b"\0" or n < end)]
    assert read(names, prefix, value_size)[0] == expected


def test_a_page_of_a_long_listing_covers_little_more_than_it_brings() -> None:
    names = sorted(
        b"/allocs/%08x-%04d" % (i * 2_654_435_761 % 2**32, i % 10) for i in range(60_000)
    )
    seen, counted = read(names, b"/allocs/", value_size=PAGE_BYTES // 400)
    assert seen == names
    # Whole remainders, as with a limit alone, would be counted 150 times: 4.5 million.
    assert sum(counted) < 15 * len(names)
