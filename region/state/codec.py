"""Values in the store: one byte that names the format, then MessagePack, compressed if large.

A field that a struct has with a default may be missing (an older writer), and a field that it
has not is skipped (a newer one). A format byte that is not known is `Unreadable`: whoever
applies the value sets it aside and goes on.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
import zstandard

T = TypeVar("T")

_PLAIN = b"\x01"
_ZSTD = b"\x02"
#: Compressing a smaller value takes ten times as long as encoding it, and saves half a kilobyte.
_COMPRESS_FROM_BYTES = 2048
#: A value that unpacks to more than this is not ours.
_UNPACKED_BYTES_MAX = 64 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()


class Unreadable(Exception):
    """A stored value cannot be decoded: damaged, or written by a version we do not know."""


@cache
def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=1)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor()


@cache
def _decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast("Any", kind))


def encode(value: object) -> bytes:
    """The stored form of any of our structs. Call it from one thread only."""
    plain = _encoder.encode(value)
    if len(plain) < _COMPRESS_FROM_BYTES:
        return _PLAIN + plain
    return _ZSTD + _compressor().compress(plain)


def decode(kind: type[T], stored: bytes) -> T:
    """Read a stored value; raises Unreadable. Call it from one thread only."""
    try:
        match stored[:1]:
            case b"\x01":
                plain = memoryview(stored)[1:]
                return cast("T", _decoder(cast("Hashable", kind)).decode(plain))
            case b"\x02":
                size = zstandard.frame_content_size(stored[1:])
                if not 0 <= size <= _UNPACKED_BYTES_MAX:
                    raise Unreadable(f"the value claims {size} bytes")
                unpacked = _decompressor().decompress(memoryview(stored)[1:])
                return cast("T", _decoder(cast("Hashable", kind)).decode(unpacked))
            case other:
                raise Unreadable(f"unknown format {other.hex() or 'of an empty value'}")
    except (msgspec.MsgspecError, zstandard.ZstdError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error
