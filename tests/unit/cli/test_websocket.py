"""Frames of RFC 6455 and of streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.sdk.frames import FrameReader
from hanse.sdk.transport import ApiError
from hanse.sdk.websocket import BINARY, PING, TEXT, Decoder, Message, ProtocolError, encode, masked
from hanse.structs.stats import StreamFrame


def test_the_masked_hello_of_the_standard() -> None:
    # RFC 6455 section 5.7.
    assert encode(TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex(
        "818537fa213d7f9f4d5158"
    )


def test_the_fragments_and_the_ping_of_the_standard() -> None:
    decoder = Decoder()
    assert decoder.feed(bytes.fromhex("010348656c")) == []
    assert decoder.feed(bytes.fromhex("890548656c6c6f")) == [Message(PING, b"Hello")]
    assert decoder.feed(bytes.fromhex("80026c6f")) == [Message(TEXT, b"Hello")]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_every_length_has_its_form(size: int) -> None:
    body = b"x" * size
    data = encode(BINARY, body, b"\0\0\0\0")
    unmasked = bytes([data[0], data[1] & 0x7F]) + data[2:].replace(b"\0\0\0\0", b"", 1)
    if size >= 65536:
        unmasked = bytes([0x82, 127]) + size.to_bytes(8, "big") + body
    elif size >= 126:
        unmasked = bytes([0x82, 126]) + size.to_bytes(2, "big") + body
    assert Decoder().feed(unmasked) == [Message(BINARY, body)]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_a_mask_undoes_itself(payload: bytes, mask: bytes) -> None:
    assert masked(masked(payload, mask), mask) == payload


@given(st.lists(st.binary(max_size=200), max_size=5), st.data())
def test_messages_come_out_whole_however_the_bytes_are_cut(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(
        bytes([0x81, len(body)]) + body
        if len(body) < 126
        else bytes([0x81, 126]) + len(body).to_bytes(2, "big") + body
        for body in bodies
    )
    decoder, found = Decoder(), []
    while stream:
        cut = data.draw(st.integers(min_value=1, max_value=len(stream)))
        found += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert found == [Message(TEXT, body) for body in bodies]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("c100", "extension"),
        ("8180", "masked"),
        ("8000", "disorder"),
        ("01008100", "disorder"),
        ("8300", "unknown opcode"),
        ("0900", "not whole"),
        ("897e0080", "too long"),
        ("817f7fffffffffffffff", "is over"),
    ],
)
def test_what_a_server_must_not_send_ends_the_connection(data: str, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        Decoder().feed(bytes.fromhex(data))


@given(st.binary(max_size=100))
def test_no_bytes_end_in_anything_but_messages_or_a_protocol_error(data: bytes) -> None:
    try:
        messages = Decoder().feed(data)
    except ProtocolError:
        return
    assert all(isinstance(message, Message) for message in messages)


def test_stream_frames_need_nothing_between_them() -> None:
    reader = FrameReader()
    assert list(reader.feed(b'{}{"File":"a","Da')) == []
    assert list(reader.feed(b'ta":"eA=="}\n {"FileEvent":"file deleted"}')) == [
        StreamFrame(file="a", data="eA=="),
        StreamFrame(file_event="file deleted"),
    ]
    with pytest.raises(ApiError, match="cannot be understood"):
        list(reader.feed(b"x"))
