"""Packets and stream frames as bytes, and back; what does not belong is dropped and counted.

An envelope of 26 bytes, in clear and authenticated:

magic and version 1 | flags 1 | federation 8 | key 4 | session 8 | counter 4

then msgpack, compressed where that pays, encrypted with AES-GCM. The nonce is session and counter:
a session is drawn at random by each process for each kind of traffic, so a nonce repeats only if
two of all sessions under one key are equal (2^-64 for each pair). The federation is named by a
digest, which lets strangers' packets be dropped without a key; its full id goes into what is
authenticated, so a digest that collides opens nothing.

*Replays.* For each session the numbers seen are remembered, a window of the last 1,024; whatever
was opened once, or is older than the window, is not opened again. A session that is forgotten (of
4,096, the one least lately heard) or that was heard before a restart may be replayed; its claims
are then of incarnations long overruled, which is why the protocol does not need wall clocks to
agree.

Opening never raises, whatever the bytes are.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.keyring import Keyring, key_id
from federation.messages import Packet, StreamMessage

_HEADER = struct.Struct(">BB8s4s8sI")
#: The first nibble says "Hanse gossip", the second the version of the envelope.
_MAGIC = 0xA1
_COMPRESSED = 1
_STREAM = 2
_TAG_BYTES = 16
_NO_KEY = b"\0\0\0\0"
_COUNTER_MAX = 2**32 - 1

#: What sealing adds to a packet.
OVERHEAD_BYTES = _HEADER.size + _TAG_BYTES
#: Larger datagrams are not looked at; profiles stay below.
DATAGRAM_BYTES_MAX = 2048
#: Several thousand members, compressed. A stranger can make us hold as much for each stream.
STREAM_BYTES_MAX = 2 * 2**20
#: 20,000 members with 800 bytes each; their tags are much alike.
_PLAIN_BYTES_MAX = {False: 16 * 1024, True: 16 * 2**20}
#: Below, there is nothing to gain.
_COMPRESS_FROM_BYTES = 512

_WINDOW = 1024
_SESSIONS_MAX = 4096


class Drop(StrEnum):
    """Why bytes were not taken; a label of a counter."""

    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    #: Not gossip at all, or of a version we do not know.
    NOT_GOSSIP = "not_gossip"
    #: Of another federation.
    FOREIGN = "foreign"
    #: In clear, where there is a key.
    UNENCRYPTED = "unencrypted"
    UNKNOWN_KEY = "unknown_key"
    #: The key's name is right, the authentication is not.
    FORGED = "forged"
    REPLAYED = "replayed"
    #: Grows beyond all measure when decompressed.
    BOMB = "bomb"
    #: Opened, but not what members say.
    UNINTELLIGIBLE = "unintelligible"


@dataclass(slots=True)
class _Seen:
    highest: int = -1
    #: Bit n: `highest - n` was seen.
    bits: int = 0

    def take(self, number: int) -> bool:
        """Note a number. False: seen, or too old to tell."""
        if number > self.highest:
            # Bounded before it shifts: the first number may be near 2^32.
            step = min(number - self.highest, _WINDOW)
            self.bits = ((self.bits << step) | 1) & ((1 << _WINDOW) - 1)
            self.highest = number
            return True
        bit = 1 << (self.highest - number)
        if self.highest - number >= _WINDOW or self.bits & bit:
            return False
        self.bits |= bit
        return True


@dataclass(slots=True)
class Replays:
    """The numbers seen of each session, most lately heard last."""

    sessions: OrderedDict[bytes, _Seen] = field(default_factory=OrderedDict)

    def take(self, session: bytes, number: int) -> bool:
        """Note a number of a session. False: it may have been opened before."""
        seen = self.sessions.get(session)
        if seen is None:
            seen = self.sessions[session] = _Seen()
            if len(self.sessions) > _SESSIONS_MAX:
                self.sessions.popitem(last=False)
        else:
            self.sessions.move_to_end(session)
        return seen.take(number)


@dataclass(slots=True)
class _Session:
    fresh: Callable[[int], bytes]
    name: bytes = b""
    next: int = _COUNTER_MAX + 1

    def draw(self) -> tuple[bytes, int]:
        if self.next > _COUNTER_MAX:
            self.name, self.next = self.fresh(8), 0
        self.next += 1
        return self.name, self.next - 1


_encoder = msgspec.msgpack.Encoder()
_packets = msgspec.msgpack.Decoder(Packet)
_messages: msgspec.msgpack.Decoder[StreamMessage] = msgspec.msgpack.Decoder(StreamMessage)


class Codec:
    """Seals what one member says and opens what it hears."""

    def __init__(self, federation: str, keyring: Keyring, fresh: Callable[[int], bytes]) -> None:
        """Take the federation's id, the keys, and a source of random bytes for sessions.

        Raises ValueError for an empty id: every federation would match it.
        """
        if not federation:
            raise ValueError("a federation needs an id")
        self.dropped: Counter[Drop] = Counter()
        self._federation = federation.encode()
        self._label = hashlib.sha256(b"hanse federation" + self._federation).digest()[:8]
        self._replays = Replays()
        self._sessions = {False: _Session(fresh), True: _Session(fresh)}
        self._ciphers: dict[bytes, AESGCM] = {}
        self.keyring = keyring

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""
        return self._keyring

    @keyring.setter
    def keyring(self, keyring: Keyring) -> None:
        """Change the keys; what is removed opens nothing from now on."""
        self._keyring = keyring
        self._ciphers = {key_id(key): AESGCM(key) for key in keyring.keys}

    def seal_packet(self, packet: Packet) -> bytes:
        """Return a datagram."""
        return self._seal(_encoder.encode(packet), 0)

    def seal_stream(self, message: StreamMessage) -> bytes:
        """Return a frame; its length goes before it on the stream."""
        return self._seal(_encoder.encode(message), _STREAM)

    def open_packet(self, data: bytes) -> Packet | Drop:
        """Return what a datagram says, or why it is dropped."""
        if len(data) > DATAGRAM_BYTES_MAX:
            return self._drop(Drop.TOO_LARGE)
        plain = self._open(data, 0)
        if isinstance(plain, Drop):
            return self._drop(plain)
        try:
            return _packets.decode(plain)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            return self._drop(Drop.UNINTELLIGIBLE)

    def open_stream(self, data: bytes) -> StreamMessage | Drop:
        """Return what a frame says, or why it is dropped."""
        if len(data) > STREAM_BYTES_MAX:
            return self._drop(Drop.TOO_LARGE)
        plain = self._open(data, _STREAM)
        if isinstance(plain, Drop):
            return self._drop(plain)
        try:
            return _messages.decode(plain)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            return self._drop(Drop.UNINTELLIGIBLE)

    def _drop(self, why: Drop) -> Drop:
        self.dropped[why] += 1
        return why

    def _seal(self, plain: bytes, flags: int) -> bytes:
        if len(plain) >= _COMPRESS_FROM_BYTES:
            smaller = zlib.compress(plain, 1)
            if len(smaller) < len(plain):
                plain, flags = smaller, flags | _COMPRESSED
        session, counter = self._sessions[bool(flags & _STREAM)].draw()
        key = self._keyring.primary
        name = _NO_KEY if key is None else key_id(key)
        header = _HEADER.pack(_MAGIC, flags, self._label, name, session, counter)
        if key is None:
            return header + plain
        nonce = header[-12:]
        return header + self._ciphers[name].encrypt(nonce, plain, header + self._federation)

    def _open(self, data: bytes, kind: int) -> bytes | Drop:
        if len(data) < _HEADER.size:
            return Drop.TRUNCATED
        magic, flags, label, name, session, counter = _HEADER.unpack_from(data)
        if magic != _MAGIC or flags & ~_COMPRESSED != kind:
            return Drop.NOT_GOSSIP
        if label != self._label:
            return Drop.FOREIGN
        header, body = data[: _HEADER.size], data[_HEADER.size :]
        if self._ciphers:
            if name == _NO_KEY:
                return Drop.UNENCRYPTED
            cipher = self._ciphers.get(name)
            if cipher is None:
                return Drop.UNKNOWN_KEY
            if len(body) < _TAG_BYTES:
                return Drop.TRUNCATED
            try:
                body = cipher.decrypt(header[-12:], body, header + self._federation)
            except InvalidTag:
                return Drop.FORGED
        elif name != _NO_KEY:
            return Drop.UNKNOWN_KEY
        # After authentication, or anybody could use numbers up.
        if not self._replays.take(session, counter):
            return Drop.REPLAYED
        return _decompressed(body, bool(kind)) if flags & _COMPRESSED else body


def _decompressed(data: bytes, stream: bool) -> bytes | Drop:
    limit = _PLAIN_BYTES_MAX[stream]
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(data, limit)
    except zlib.error:
        return Drop.UNINTELLIGIBLE
    if inflater.unconsumed_tail:
        return Drop.BOMB
    return plain if inflater.eof else Drop.UNINTELLIGIBLE
