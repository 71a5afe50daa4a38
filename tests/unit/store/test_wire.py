"""Reading etcd's answers and errors."""

from __future__ import annotations

import grpc
import pytest

from hanse.errors import NoLeader, NotFound, OutOfSpace, TooLarge, Unavailable
from hanse.store import Batch, Deleted, KeyValue
from region.store.members import choose
from region.store.wire import batches, pb, prefix_end, range_of, read_failure


class Broken:
    """What gRPC says of a failed call."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("code", "details", "error", "nothing_done", "elsewhere"),
    [
        ("UNAVAILABLE", "etcdserver: no leader", NoLeader, True, True),
        ("UNAVAILABLE", "failed to connect to all addresses; last", Unavailable, True, True),
        ("UNAVAILABLE", "etcdserver: request timed out", Unavailable, False, True),
        ("UNAVAILABLE", "etcdserver: leader changed", Unavailable, False, True),
        ("UNAVAILABLE", "Socket closed", Unavailable, False, True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Unavailable, False, True),
        ("RESOURCE_EXHAUSTED", "mvcc: database space exceeded", OutOfSpace, True, False),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Unavailable, True, True),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", TooLarge, True, False),
        ("OUT_OF_RANGE", "mvcc: required revision has been compacted", NotFound, True, False),
        ("NOT_FOUND", "etcdserver: requested lease not found", NotFound, True, False),
    ],
)  # fmt: skip
def test_each_failure_says_whether_anything_can_have_been_done(
    code: str, details: str, error: type[Exception], nothing_done: bool, elsewhere: bool
) -> None:
    failure = read_failure(Broken(grpc.StatusCode[code], details), "lubeck:4649", 0.5)
    assert failure is not None
    assert type(failure.error) is error
    assert (failure.nothing_done, failure.elsewhere) == (nothing_done, elsewhere)


def test_a_request_that_is_wrong_in_itself_is_no_failure_of_the_store() -> None:
    error = Broken(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn")
    assert read_failure(error, "lubeck:4649", 0.5) is None


def response(header: int, *events: tuple[str, int, bool]) -> object:
    message = pb.WatchResponse(header=pb.ResponseHeader(revision=header))
    for key, revision, put in events:
        event = message.events.add()
        event.type = 0 if put else 1
        event.kv.key = key.encode()
        event.kv.mod_revision = revision
        if put:
            event.kv.value = b"v"
            event.kv.create_revision = revision
            event.kv.version = 1
    return message


def test_events_are_grouped_by_their_revision_and_never_go_by_the_header() -> None:
    message = response(90, ("/a", 5, True), ("/b", 5, False), ("/a", 7, True))
    assert batches(message, known=4) == [
        Batch(5, (KeyValue("/a", b"v", 5, 5, 1), Deleted("/b", 5))),
        Batch(7, (KeyValue("/a", b"v", 7, 7, 1),)),
    ]


def test_events_that_are_known_already_are_not_repeated() -> None:
    message = response(90, ("/a", 5, True), ("/a", 7, True))
    assert [batch.revision for batch in batches(message, known=5)] == [7]


def test_progress_moves_the_revision_on_and_never_back() -> None:
    assert batches(response(90), known=80) == [Batch(90, ())]
    assert batches(response(80), known=80) == []


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"/a", b"/b"), (b"/a\xff", b"/b"), (b"\xff\xff", b"\0"), (b"", b"\0")],
)
def test_the_end_of_a_prefix_is_the_first_key_after_it(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end
    assert range_of(prefix) == (prefix or b"\0", end)


def test_the_first_member_that_is_not_avoided_is_asked_and_if_all_are_the_one_longest_ago() -> None:
    assert choose([0.0, 0.0], now=1.0) == 0
    assert choose([5.0, 0.0, 0.0], now=1.0) == 1
    assert choose([5.0, 0.0, 0.0], now=5.0) == 0
    assert choose([5.0, 3.0, 4.0], now=1.0) == 1
