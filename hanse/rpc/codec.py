"""Messages to bytes and back: MessagePack, compressed when that pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hanse.errors import Invalid

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()

#: The largest message either side accepts, in bytes.
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


def encode(message: object) -> bytes:
    """The wire form of any of our structs."""
    return _encoder.encode(message)


def decoder(kind: type[T] | Any) -> Callable[[bytes], T]:
    """A function that reads one kind of message (or a union of them); raises Invalid."""
    inner = msgspec.msgpack.Decoder(kind)

    def decode(data: bytes) -> T:
        try:
            return inner.decode(data)  # type: ignore[no-any-return]
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Invalid("message", str(error)) from error

    return decode
