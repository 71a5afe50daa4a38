"""Envelopes: what opens, what is dropped, and as what it is counted."""

from __future__ import annotations

import struct
import zlib
from random import Random

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.codec import DATAGRAM_BYTES_MAX, OVERHEAD_BYTES, Codec, Drop, Replays
from federation.keyring import Keyring, key_id
from federation.messages import Alive, Entry, Packet, Ping, State, Status

OLD, NEW = bytes(32), bytes(range(16))
PACKET = Packet("a.west", "west", Ping(7, "b.east"), (Alive("a.west", "h", 1, 2, {"id": "x"}),))


def codec(federation: str = "prod", keys: tuple[bytes, ...] = (OLD,), seed: int = 1) -> Codec:
    return Codec(federation, Keyring(keys), Random(seed).randbytes)


@pytest.mark.parametrize("keys", [(), (OLD,), (NEW, OLD)])
def test_what_is_sealed_opens(keys: tuple[bytes, ...]) -> None:
    data = codec(keys=keys, seed=2).seal_packet(PACKET)
    assert codec(keys=keys).open_packet(data) == PACKET


def test_a_packet_is_encrypted_and_costs_what_is_said() -> None:
    data = codec().seal_packet(PACKET)
    assert b"a.west" not in data
    assert len(data) == len(msgspec.msgpack.encode(PACKET)) + OVERHEAD_BYTES


def test_a_large_state_is_compressed_and_opens() -> None:
    entries = tuple(
        Entry(Alive(f"n{n}", "host", 4648, n, {"region": "west"}), Status.ALIVE) for n in range(500)
    )
    state = State("a.west", "west", True, entries)
    data = codec(seed=2).seal_stream(state)
    assert len(data) < len(msgspec.msgpack.encode(state)) / 2
    assert codec().open_stream(data) == state


def test_each_of_these_is_dropped_and_counted() -> None:
    ours = codec()
    sealed = codec(seed=2).seal_packet(PACKET)
    tampered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    relabelled = codec("test", seed=3).seal_packet(PACKET)
    relabelled = relabelled[:2] + sealed[2:10] + relabelled[10:]
    for data, why in (
        (b"", Drop.TRUNCATED),
        (sealed[:20], Drop.TRUNCATED),
        (sealed[:30], Drop.TRUNCATED),
        (bytes(64 * 1024), Drop.TOO_LARGE),
        (bytes(DATAGRAM_BYTES_MAX), Drop.NOT_GOSSIP),
        (b"\xb1" + sealed[1:], Drop.NOT_GOSSIP),
        (codec("test").seal_packet(PACKET), Drop.FOREIGN),
        (relabelled, Drop.FORGED),
        (codec(keys=()).seal_packet(PACKET), Drop.UNENCRYPTED),
        (codec(keys=(NEW,)).seal_packet(PACKET), Drop.UNKNOWN_KEY),
        (tampered, Drop.FORGED),
        (sealed[:-1], Drop.FORGED),
    ):
        before = ours.dropped[why]
        assert ours.open_packet(data) is why
        assert ours.dropped[why] == before + 1
    assert ours.open_packet(sealed) == PACKET, "nothing of that used the packet's number up"
    assert codec(keys=()).open_packet(sealed) is Drop.UNKNOWN_KEY


def test_a_stream_frame_is_no_packet_and_a_packet_no_frame() -> None:
    state = State("a", "west", False)
    assert codec().open_packet(codec(seed=2).seal_stream(state)) is Drop.NOT_GOSSIP
    assert codec().open_stream(codec(seed=2).seal_packet(PACKET)) is Drop.NOT_GOSSIP


def sealed_by_hand(plain: bytes, flags: int) -> bytes:
    """What somebody who has the key could send."""
    label = codec().seal_packet(PACKET)[2:10]
    header = struct.pack(">BB8s4s8sI", 0xA1, flags, label, key_id(OLD), b"session!", 0)
    return header + AESGCM(OLD).encrypt(header[-12:], plain, header + b"prod")


@pytest.mark.parametrize(
    ("plain", "flags", "why"),
    [
        (zlib.compress(bytes(2**20)), 1, Drop.BOMB),
        (zlib.compress(msgspec.msgpack.encode(PACKET))[:-8], 1, Drop.UNINTELLIGIBLE),
        (b"not zlib", 1, Drop.UNINTELLIGIBLE),
        (b"\xc1", 0, Drop.UNINTELLIGIBLE),
        (b"\x91" * 2000, 0, Drop.UNINTELLIGIBLE),
        (msgspec.msgpack.encode(("a" * 256, "west")), 0, Drop.UNINTELLIGIBLE),
        (msgspec.msgpack.encode(("", "west")), 0, Drop.UNINTELLIGIBLE),
        (msgspec.msgpack.encode(("a", "west", [10, -1, "b"])), 0, Drop.UNINTELLIGIBLE),
        (msgspec.msgpack.encode(("a", "west", [99, 1])), 0, Drop.UNINTELLIGIBLE),
        (
            msgspec.msgpack.encode(("a", "west", None, [[1, "b", "h", 70000, 1]])),
            0,
            Drop.UNINTELLIGIBLE,
        ),
    ],
)
def test_what_no_member_says_is_dropped_even_with_the_key(
    plain: bytes, flags: int, why: Drop
) -> None:
    assert codec().open_packet(sealed_by_hand(plain, flags)) is why


def test_a_field_of_a_later_version_is_passed_over() -> None:
    plain = msgspec.msgpack.encode(("a", "west", None, [], {"new": [1, 2]}))
    assert codec().open_packet(sealed_by_hand(plain, 0)) == Packet("a", "west")


def test_what_was_opened_is_not_opened_again_in_any_order() -> None:
    ours, theirs = codec(), codec(seed=2)
    packets = [theirs.seal_packet(PACKET) for _ in range(50)]
    late = packets.pop(10)
    Random(3).shuffle(packets)
    assert all(ours.open_packet(data) == PACKET for data in packets)
    assert all(ours.open_packet(data) is Drop.REPLAYED for data in packets)
    assert ours.open_packet(late) == PACKET, "late is not replayed"
    assert ours.open_packet(late) is Drop.REPLAYED


def test_what_is_older_than_the_window_counts_as_replayed() -> None:
    replays = Replays()
    assert replays.take(b"s", 5000)
    assert replays.take(b"s", 5000 - 1023)
    assert not replays.take(b"s", 5000 - 1024)
    assert replays.take(b"s", 2**32 - 1)
    assert not replays.take(b"s", 5000)


def test_sessions_are_remembered_up_to_a_limit() -> None:
    replays = Replays()
    for number in range(6000):
        assert replays.take(number.to_bytes(8, "big"), 0)
    assert len(replays.sessions) == 4096
    assert not replays.take((5999).to_bytes(8, "big"), 0)


def test_no_nonce_is_used_twice() -> None:
    theirs = codec()
    nonces = [theirs.seal_packet(PACKET)[14:26] for _ in range(500)]
    nonces += [theirs.seal_stream(State("a", "", False))[14:26] for _ in range(500)]
    assert len(set(nonces)) == 1000


def test_a_removed_key_opens_nothing_more() -> None:
    ours, theirs = codec(keys=(NEW, OLD)), codec(keys=(OLD,), seed=2)
    assert ours.open_packet(theirs.seal_packet(PACKET)) == PACKET
    ours.keyring = ours.keyring.remove(OLD)
    assert ours.open_packet(theirs.seal_packet(PACKET)) is Drop.UNKNOWN_KEY


def test_a_federation_needs_an_id() -> None:
    with pytest.raises(ValueError, match="id"):
        codec("")
