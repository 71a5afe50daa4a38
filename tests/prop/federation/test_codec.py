"""Whatever the bytes are, opening them ends in a packet or in a counted reason."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from federation.codec import Codec, Drop
from federation.keyring import Keyring
from federation.messages import Alive, Dead, Entry, Left, Packet, Ping, State, Status, Suspect

KEY = bytes(range(32))
names = st.text(min_size=1, max_size=40)
numbers = st.integers(min_value=0, max_value=2**53)
tags = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=40), max_size=8)
alive = st.builds(Alive, names, names, st.integers(1, 65535), numbers, tags)
claims = st.one_of(
    alive,
    st.builds(Suspect, names, numbers, names),
    st.builds(Dead, names, numbers, names),
    st.builds(Left, names, numbers, names, st.booleans()),
)
packets = st.builds(
    Packet,
    names,
    st.text(max_size=40),
    st.none() | st.builds(Ping, numbers, names),
    st.lists(claims, max_size=5).map(tuple),
)
states = st.builds(
    State,
    names,
    st.text(max_size=40),
    st.booleans(),
    st.lists(st.builds(Entry, alive, st.sampled_from(Status)), max_size=20).map(tuple),
)


def codec(seed: int = 1, *, keys: tuple[bytes, ...] = (KEY,)) -> Codec:
    return Codec("prod", Keyring(keys), Random(seed).randbytes)


@given(data=st.binary(max_size=300), encrypted=st.booleans(), stream=st.booleans())
def test_no_bytes_raise(data: bytes, encrypted: bool, stream: bool) -> None:
    ours = codec(keys=(KEY,) if encrypted else ())
    opened = ours.open_stream(data) if stream else ours.open_packet(data)
    if isinstance(opened, Drop):
        assert ours.dropped == {opened: 1}


@given(body=st.binary(max_size=300), compressed=st.booleans(), stream=st.booleans())
def test_no_body_raises_behind_a_good_header(body: bytes, compressed: bool, stream: bool) -> None:
    ours = codec(keys=())
    sealed = codec(2, keys=()).seal_packet(Packet("a", "b"))
    data = sealed[:1] + bytes([compressed | stream << 1]) + sealed[2:26] + body
    opened = ours.open_stream(data) if stream else ours.open_packet(data)
    if isinstance(opened, Drop):
        assert ours.dropped == {opened: 1}


@settings(max_examples=60)
@given(packet=packets, state=states, keys=st.sampled_from([(), (KEY,)]))
def test_what_is_sealed_opens_once(packet: Packet, state: State, keys: tuple[bytes, ...]) -> None:
    ours, theirs = codec(keys=keys), codec(2, keys=keys)
    datagram, frame = theirs.seal_packet(packet), theirs.seal_stream(state)
    assert ours.open_packet(datagram) == packet
    assert ours.open_stream(frame) == state
    assert ours.open_packet(datagram) is Drop.REPLAYED
    assert ours.open_stream(frame) is Drop.REPLAYED


@settings(max_examples=60)
@given(packet=packets, data=st.data())
def test_no_changed_byte_of_an_encrypted_packet_opens(packet: Packet, data: st.DataObject) -> None:
    sealed = bytearray(codec(2).seal_packet(packet))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    assert isinstance(codec().open_packet(bytes(sealed)), Drop)
    cut = data.draw(st.integers(0, len(sealed) - 1))
    assert isinstance(codec().open_packet(bytes(sealed[:cut])), Drop)
