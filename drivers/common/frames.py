"""Messages between a driver and a supervisor: a length of 4 bytes, then JSON.

File descriptors travel with the first byte of the message they belong to. Standard library
only: the supervisor imports this.
"""

from __future__ import annotations

import json

#: The longest message either side accepts, bytes: a command line and environment are less.
FRAME_BYTES_MAX = 8 << 20
#: The most descriptors that come with one message.
FDS_MAX = 3
_HEAD = 4

Message = dict[str, object]


class Broken(Exception):
    """The peer does not speak this protocol."""


def encode(message: Message) -> bytes:
    """The message as it goes over the wire."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(_HEAD, "big") + body


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take what came in; return the messages that are complete. Raises Broken."""
        self._buffer += data
        found: list[Message] = []
        while len(self._buffer) >= _HEAD:
            length = int.from_bytes(self._buffer[:_HEAD], "big")
            if length > FRAME_BYTES_MAX:
                raise Broken(f"a message of {length} bytes")
            if len(self._buffer) < _HEAD + length:
                break
            try:
                message = json.loads(self._buffer[_HEAD : _HEAD + length])
            except ValueError as error:
                raise Broken("not JSON") from error
            if not isinstance(message, dict):
                raise Broken("not an object")
            found.append(message)
            del self._buffer[: _HEAD + length]
        return found
