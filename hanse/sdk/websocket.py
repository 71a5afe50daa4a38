"""The client's side of RFC 6455: just what a remote program needs.

No extensions and no compression are offered, so none are accepted. Frames that we send are
masked, as section 5.3 demands; frames that come must not be. Pings are answered where messages
are read.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from typing import ClassVar, NamedTuple

from hanse.errors import HanseError, Kind
from hanse.sdk.transport import ApiError, Transport, Unreachable, reason

#: Section 1.3.
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTINUATION = 0x0
#: Larger messages are refused: the server sends output in pieces of at most 64 KiB.
_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
_HEAD_BYTES_MAX = 64 * 1024
_WOULD_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CHUNK_BYTES = 64 * 1024


class ProtocolError(HanseError):
    """The other end does not speak RFC 6455 as it must; the connection is of no more use."""

    kind: ClassVar[Kind] = "unavailable"


class Frame(NamedTuple):
    """One frame, unmasked."""

    final: bool
    opcode: int
    payload: bytes


class Message(NamedTuple):
    """A whole message: text, or the other end's close with its code and reason."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """The code of a close; 1005 when it has none (section 7.1.5)."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005

    @property
    def close_reason(self) -> str:
        """The reason of a close."""
        return self.payload[2:].decode(errors="replace")


def encode(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """A final frame from client to server. Pure."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3; its own inverse. Pure."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class Decoder:
    """Bytes in, messages out. Raises ProtocolError for what a server must not send."""

    def __init__(self) -> None:
        """Nothing was fed yet."""
        self._bytes = bytearray()
        self._parts: list[bytes] = []
        self._kind = 0

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that are complete now, control frames among them."""
        self._bytes += chunk
        messages: list[Message] = []
        while (frame := self._next()) is not None:
            if (message := self._assembled(frame)) is not None:
                messages.append(message)
        return messages

    def _next(self) -> Frame | None:
        data = self._bytes
        if len(data) < 2:
            return None
        if data[0] & 0x70:
            raise ProtocolError("a websocket frame uses an extension that was not agreed on")
        if data[1] & 0x80:
            raise ProtocolError("a websocket frame of the server is masked")
        size, start = data[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        opcode, final = data[0] & 0x0F, bool(data[0] & 0x80)
        if opcode >= CLOSE and (size > 125 or not final):
            raise ProtocolError("a websocket control frame is too long or not whole")
        if size + sum(map(len, self._parts)) > _MESSAGE_BYTES_MAX:
            raise ProtocolError(f"a websocket message is over {_MESSAGE_BYTES_MAX} bytes")
        if len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        del data[: start + size]
        return Frame(final, opcode, payload)

    def _assembled(self, frame: Frame) -> Message | None:
        if frame.opcode in (CLOSE, PING, PONG):
            return Message(frame.opcode, frame.payload)
        if frame.opcode not in (_CONTINUATION, TEXT, BINARY):
            raise ProtocolError(f"a websocket frame has the unknown opcode {frame.opcode}")
        if (frame.opcode == _CONTINUATION) != bool(self._kind):
            raise ProtocolError("the parts of a websocket message are in disorder")
        self._kind = self._kind or frame.opcode
        self._parts.append(frame.payload)
        if not frame.final:
            return None
        message = Message(self._kind, b"".join(self._parts))
        self._parts, self._kind = [], 0
        return message


class WebSocket:
    """One connection, for one thread.

    Nothing is ever lost in a write that waits: what the other end does not take yet is kept, and
    leaves while `receive` waits, so that two ends which both send much never block each other.
    """

    def __init__(self, connection: socket.socket, rest: bytes = b"") -> None:
        """`rest` came right after the handshake."""
        self.socket = connection
        self.socket.setblocking(False)
        self._decoder = Decoder()
        self._rest = rest
        self._unsent = bytearray()
        self._closing = False

    @classmethod
    def open(cls, transport: Transport, target: str) -> WebSocket:
        """Shake hands. Raises ApiError when the agent answers otherwise, and Unreachable."""
        connection = transport.connect()
        plain = connection.sock
        assert plain is not None
        # The socket lives on in the websocket; http.client only made the connection.
        connection.sock = None
        key = b64encode(os.urandom(16))
        headers = {
            "Host": f"{transport.host}:{transport.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key.decode(),
            "Sec-WebSocket-Version": "13",
            **transport.authentication(),
        }
        head = f"GET {transport.base}{target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        try:
            plain.sendall(head.encode("latin-1"))
            status, fields, rest = _read_head(plain)
            if status != 101:
                raise ApiError(status, _read_body(plain, fields, rest))
            expected = b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
            if fields.get("sec-websocket-accept", "") != expected.decode():
                raise ProtocolError("the websocket handshake was not answered as it must be")
        except OSError as error:
            plain.close()
            raise Unreachable(transport.settings.address, reason(error)) from error
        except BaseException:
            plain.close()
            raise
        return cls(plain, rest)

    def fileno(self) -> int:
        """For `select`."""
        return self.socket.fileno()

    def send(self, text: bytes) -> None:
        """Send a text message, now or as soon as it can leave. Raises Unreachable."""
        self._queue(TEXT, text)

    @property
    def unsent(self) -> bool:
        """Whether something has not left yet: wait with more until `flush` has emptied it."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what can be sent without waiting. Raises Unreachable."""
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent)
            except _WOULD_WAIT:
                return
            except OSError as error:
                raise Unreachable("the other end", reason(error)) from error
            del self._unsent[:sent]

    def receive(self) -> list[Message]:
        """What has come, after waiting for something to come; pings are answered.

        Empty when only a part of a message, or a ping, has come. Raises Unreachable at the end of
        the stream without a close.
        """
        chunk, self._rest = self._rest, b""
        chunk = chunk or self._read()
        messages = []
        for message in self._decoder.feed(chunk):
            if message.opcode == PING:
                self._queue(PONG, message.payload)
            elif message.opcode != PONG:
                messages.append(message)
        return messages

    def _read(self) -> bytes:
        while True:
            try:
                chunk = self.socket.recv(_CHUNK_BYTES)
            except _WOULD_WAIT:
                select.select([self], [self] if self._unsent else [], [])
                self.flush()
                continue
            except OSError as error:
                raise Unreachable("the other end", reason(error)) from error
            if not chunk:
                raise Unreachable("the other end", "it hung up")
            return chunk

    @property
    def pending(self) -> bool:
        """Whether `receive` would return at once though nothing is on the socket."""
        pending = getattr(self.socket, "pending", None)
        return bool(self._rest) or bool(pending and pending())

    def close(self, code: int = 1000) -> None:
        """Say goodbye and hang up; safe to call twice."""
        if not self._closing:
            self._closing = True
            # If it has hung up already, or takes nothing any more, that is what we want.
            with suppress(Unreachable):
                self._queue(CLOSE, code.to_bytes(2, "big"))
        self.socket.close()

    def _queue(self, opcode: int, payload: bytes) -> None:
        self._unsent += encode(opcode, payload, os.urandom(4))
        self.flush()


def _read_head(plain: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = plain.recv(_CHUNK_BYTES)
        if not chunk or len(data) > _HEAD_BYTES_MAX:
            raise ProtocolError("the websocket handshake was not answered")
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[1].isdigit():
        raise ProtocolError("the websocket handshake was not answered with HTTP")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return int(parts[1]), fields, rest


def _read_body(plain: socket.socket, fields: dict[str, str], rest: bytes) -> str:
    length = fields.get("content-length", "")
    wanted = min(int(length), _HEAD_BYTES_MAX) if length.isdigit() else 0
    while len(rest) < wanted:
        chunk = plain.recv(_CHUNK_BYTES)
        if not chunk:
            break
        rest += chunk
    return rest.decode(errors="replace")
