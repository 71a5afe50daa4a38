"""Our values to etcd's messages and back; its errors to ours.

aetcd's stubs are built at run time and have no types, so nothing of theirs leaves this
package: they are `Any` here and values of `hanse.store` outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import grpc
import grpc.aio
from aetcd.rpc import kv_pb2, rpc_pb2, rpc_pb2_grpc

from hanse.errors import HanseError, NoLeader, NotFound, OutOfSpace, TooLarge, Unavailable
from hanse.store import (
    Batch,
    CreatedAt,
    Delete,
    Deleted,
    KeyIs,
    KeyValue,
    Put,
    Txn,
    TxnResult,
)

pb: Any = rpc_pb2
stubs: Any = rpc_pb2_grpc
_kv: Any = kv_pb2
_aio: Any = grpc.aio
#: What a stream's `read` gives at its end.
EOF: Any = _aio.EOF

#: Without it a watch or a lease on a member that lost its quorum hangs silently.
METADATA = (("hasleader", "true"),)
#: What the supervised members accept (`--max-request-bytes`).
REQUEST_BYTES_MAX = 4 * 1024 * 1024


def prefix_end(prefix: bytes) -> bytes:
    r"""Give the first key after all that start with `prefix`; etcd's `\0` if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\0"


def range_of(prefix: bytes) -> tuple[bytes, bytes]:
    """Give the bounds that hold every key under `prefix`."""
    return prefix or b"\0", prefix_end(prefix)


def key_value(kv: Any) -> KeyValue:
    """Read one key of an answer."""
    return KeyValue(kv.key.decode(), kv.value, kv.create_revision, kv.mod_revision, kv.version)


# Transactions.


def encode(txns: Sequence[Txn]) -> Any:
    """Put transactions that do not touch each other's keys into one request.

    Each becomes a nested transaction with compares of its own, so one that fails takes no
    other along, and transactions under the same fence share one compare of it. etcd checks
    every compare before it writes anything; that is why the keys must be disjoint
    (`region.store.merge`).
    """
    if len(txns) == 1 and txns[0].fence is None:
        return pb.TxnRequest(compare=_compares(txns[0].compares), success=_ops(txns[0].writes))
    parts = [_fenced(fence, members) for fence, members in by_fence(txns)]
    if len(parts) == 1:
        return parts[0]
    return pb.TxnRequest(success=[pb.RequestOp(request_txn=part) for part in parts])


def decode(txns: Sequence[Txn], response: Any) -> list[TxnResult]:
    """Read what became of each transaction of `encode`, in the order given."""
    revision = response.header.revision
    if len(txns) == 1 and txns[0].fence is None:
        return [TxnResult(response.succeeded, revision)]
    groups = by_fence(txns)
    answers = [response] if len(groups) == 1 else [r.response_txn for r in response.responses]
    results: dict[int, TxnResult] = {}
    for (_, members), answer in zip(groups, answers, strict=True):
        if not answer.succeeded:
            results |= {id(t): TxnResult(False, revision, fenced=True) for t in members}
            continue
        ops = iter(answer.responses)
        for txn in members:
            results[id(txn)] = TxnResult(_succeeded(txn, ops), revision)
    return [results[id(txn)] for txn in txns]


def by_fence(txns: Sequence[Txn]) -> list[tuple[CreatedAt | None, list[Txn]]]:
    """Sort transactions by the fence they carry."""
    groups: dict[CreatedAt | None, list[Txn]] = {}
    for txn in txns:
        groups.setdefault(txn.fence, []).append(txn)
    return list(groups.items())


def _succeeded(txn: Txn, ops: Iterator[Any]) -> bool:
    """Take the part of the answer that belongs to `txn`."""
    if txn.compares:
        return bool(next(ops).response_txn.succeeded)
    for _ in txn.writes:
        next(ops)
    return True


def _fenced(fence: CreatedAt | None, txns: Sequence[Txn]) -> Any:
    success: list[Any] = []
    for txn in txns:
        if txn.compares:
            nested = pb.TxnRequest(compare=_compares(txn.compares), success=_ops(txn.writes))
            success.append(pb.RequestOp(request_txn=nested))
        else:
            success += _ops(txn.writes)
    return pb.TxnRequest(compare=_compares((fence,) if fence else ()), success=success)


def _compares(compares: Sequence[KeyIs | CreatedAt]) -> list[Any]:
    return [_compare(compare) for compare in compares]


def _compare(compare: KeyIs | CreatedAt) -> Any:
    match compare:
        case KeyIs(key=key, mod_revision=revision):
            return pb.Compare(
                target=pb.Compare.MOD, result=pb.Compare.EQUAL, key=key.encode(),
                mod_revision=revision,
            )  # fmt: skip
        case CreatedAt(key=key, create_revision=revision):
            return pb.Compare(
                target=pb.Compare.CREATE, result=pb.Compare.EQUAL, key=key.encode(),
                create_revision=revision,
            )  # fmt: skip


def _ops(writes: Sequence[Put | Delete]) -> list[Any]:
    return [_op(write) for write in writes]


def _op(write: Put | Delete) -> Any:
    match write:
        case Put(key=key, value=value, lease=lease):
            put = pb.PutRequest(key=key.encode(), value=value, lease=lease)
            return pb.RequestOp(request_put=put)
        case Delete(key=key, prefix=True):
            start, end = range_of(key.encode())
            return pb.RequestOp(
                request_delete_range=pb.DeleteRangeRequest(key=start, range_end=end)
            )
        case Delete(key=key):
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key.encode()))


# Watches.


def batches(response: Any, known: int) -> list[Batch]:
    """Read a watch response: one batch for each revision in it after `known`.

    A response without events is a progress notification. One with events never moves the
    known revision past its last event, whatever its header says: the header is ahead of the
    events while the member catches up, and resuming from it would leave a gap.
    """
    if not response.events:
        revision = response.header.revision
        return [Batch(revision, ())] if revision > known else []
    by_revision = groupby(response.events, key=lambda event: event.kv.mod_revision)
    return [
        Batch(revision, tuple(_event(event) for event in events))
        for revision, events in by_revision
        if revision > known
    ]


def _event(event: Any) -> KeyValue | Deleted:
    if event.type == _kv.Event.DELETE:
        return Deleted(event.kv.key.decode(), event.kv.mod_revision)
    return key_value(event.kv)


# Errors.


@dataclass(frozen=True)
class Failure:
    """What a failed call means."""

    error: HanseError
    #: Surely not carried out, so that even a write may be sent again.
    nothing_done: bool
    #: Another member may do better, or the same one later.
    elsewhere: bool


_Maker = Callable[[str, float, int], HanseError]


def _out_of_space(_peer: str, _waited_s: float, _size: int) -> HanseError:
    return OutOfSpace(
        "etcd's quota is used up; compact, defragment and disarm the alarm "
        "(hanse operator etcd recover)"
    )


def _unavailable(peer: str, waited_s: float, _size: int) -> HanseError:
    return Unavailable(f"etcd member {peer}", round(waited_s, 3))


def _too_large(_peer: str, _waited_s: float, size: int) -> HanseError:
    return TooLarge("the transaction", size=size, size_max=REQUEST_BYTES_MAX)


#: Part of etcd's or gRPC's text -> the error, is nothing done, may another member do better.
#: The first that matches counts. Status codes alone do not tell enough: `UNAVAILABLE` is
#: both "I never sent it" and "the leader died while I carried it out".
_FAILURES: tuple[tuple[str, _Maker, bool, bool], ...] = (
    ("no leader", lambda _p, _w, _s: NoLeader(), True, True),
    ("failed to connect", _unavailable, True, True),
    ("connections to all backends failing", _unavailable, True, True),
    ("too many requests", _unavailable, True, True),
    ("not capable", _unavailable, True, True),
    ("space exceeded", _out_of_space, True, False),
    ("request is too large", _too_large, True, False),
    ("larger than max", _too_large, True, False),
    ("required revision", lambda _p, _w, _s: NotFound("revision"), True, False),
    ("lease not found", lambda _p, _w, _s: NotFound("lease"), True, False),
)

#: Codes that say the request itself was wrong: a mistake in this program or its set-up.
_OURS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


def read_failure(error: Any, peer: str, waited_s: float, size: int = 0) -> Failure | None:
    """Say what a failed call means; None if it was a mistake of ours, to be raised as it is.

    What is not in the table may or may not have been carried out.
    """
    details: str = error.details() or ""
    for text, make, nothing_done, elsewhere in _FAILURES:
        if text in details:
            return Failure(make(peer, waited_s, size), nothing_done, elsewhere)
    if error.code() in _OURS:
        return None
    return Failure(_unavailable(peer, waited_s, size), nothing_done=False, elsewhere=True)
