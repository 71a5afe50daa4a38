"""What members say to each other: the words of the membership protocol.

Everything is a frozen value with bounds, so that a decoder refuses what no honest member sends.
Structs travel as arrays; a newer member may append fields, which an older one passes over. A
federation's id is not among the fields: it is on the envelope (`federation.codec`), where a packet
of another federation is dropped unread.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Region = Annotated[str, Meta(max_length=128)]
Host = Annotated[str, Meta(min_length=1, max_length=255)]
Port = Annotated[int, Meta(ge=1, le=65535)]
#: Fits a double too, so that a count survives any JSON it may pass through.
Number = Annotated[int, Meta(ge=0, le=2**53)]
Tags = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)],
        Annotated[str, Meta(max_length=512)],
    ],
    Meta(max_length=32),
]
#: Where a member listens: host and port, UDP and TCP alike.
Address = tuple[str, int]


class Status(StrEnum):
    """What is believed of a member."""

    ALIVE = "alive"
    #: It did not answer; it has a while to speak up.
    SUSPECT = "suspect"
    DEAD = "dead"
    #: It said goodbye, or an operator said it for it.
    LEFT = "left"


GONE = frozenset({Status.DEAD, Status.LEFT})


# Claims: what is said about a member. A higher incarnation overrules a lower one; only the
# member itself raises its incarnation.


class Alive(Struct, frozen=True, array_like=True, tag=1):
    """The member's own word: here I am, and this is what I am."""

    name: Name
    host: Host
    port: Port
    incarnation: Number
    tags: Tags = {}

    @property
    def address(self) -> Address:
        """Where it listens."""
        return (self.host, self.port)

    @property
    def region(self) -> str:
        """The region it serves; empty when it does not say."""
        return self.tags.get("region", "")


class Suspect(Struct, frozen=True, array_like=True, tag=2):
    """`by` got no answer from the member, neither itself nor through others."""

    name: Name
    incarnation: Number
    by: Name


class Dead(Struct, frozen=True, array_like=True, tag=3):
    """`by` suspected the member, and nobody objected in time."""

    name: Name
    incarnation: Number
    by: Name


class Left(Struct, frozen=True, array_like=True, tag=4):
    """The member left (`by` is itself), or `by` sent it away; `prune` has it forgotten too."""

    name: Name
    incarnation: Number
    by: Name
    prune: bool = False


Claim = Alive | Suspect | Dead | Left


# Messages: one to a packet, or none where a packet only carries claims.


class Ping(Struct, frozen=True, array_like=True, tag=10):
    """Are you there, `target`? Another member, at an address it took over, keeps silent."""

    seq: Number
    target: Name


class PingReq(Struct, frozen=True, array_like=True, tag=11):
    """Ask `target` for me."""

    seq: Number
    target: Name
    host: Host
    port: Port


class Ack(Struct, frozen=True, array_like=True, tag=12):
    """It is there."""

    seq: Number


class Nack(Struct, frozen=True, array_like=True, tag=13):
    """I asked and heard nothing; but you hear me, so the fault is not yours."""

    seq: Number


class Opinion(Struct, frozen=True, array_like=True):
    """How one server finds a region: so many of its servers heard lately, out of so many."""

    region: Region
    heard: Annotated[int, Meta(ge=0, le=100_000)]
    known: Annotated[int, Meta(ge=0, le=100_000)]
    #: Seconds since the last word from any of them.
    silent_s: Annotated[float, Meta(ge=0.0, le=1e9)]


Opinions = Annotated[tuple[Opinion, ...], Meta(max_length=256)]


class Look(Struct, frozen=True, array_like=True, tag=14):
    """A server of one region asks one of another: is your region there? With its opinions."""

    seq: Number
    opinions: Opinions = ()


class Seen(Struct, frozen=True, array_like=True, tag=15):
    """It is. With the answerer's opinions."""

    seq: Number
    opinions: Opinions = ()


Message = Ping | PingReq | Ack | Nack | Look | Seen


class Packet(Struct, frozen=True, array_like=True):
    """One datagram: who speaks, from which region, and what."""

    sender: Name
    region: Region
    message: Message | None = None
    claims: Annotated[tuple[Claim, ...], Meta(max_length=256)] = ()


# What is said over a stream.


class Entry(Struct, frozen=True, array_like=True):
    """One member in an exchange of everything known."""

    alive: Alive
    status: Status


class State(Struct, frozen=True, array_like=True, tag=20):
    """All a member knows of all members, itself included."""

    sender: Name
    region: Region
    #: The sender is new here and wants to be part of this.
    join: bool
    entries: Annotated[tuple[Entry, ...], Meta(max_length=100_000)] = ()


class StreamPing(Struct, frozen=True, array_like=True, tag=21):
    """`Ping`, for when datagrams do not get through."""

    seq: Number
    target: Name


class StreamPong(Struct, frozen=True, array_like=True, tag=22):
    """`Ack`, likewise."""

    seq: Number


class KeyringAsked(Struct, frozen=True, array_like=True, tag=23):
    """An operator changes the keys everywhere, or lists them."""

    change: Literal["list", "install", "use", "remove"]
    key: Annotated[bytes, Meta(max_length=32)] = b""


class KeyringTold(Struct, frozen=True, array_like=True, tag=24):
    """The keys that a member has now, primary first, and what went wrong, if it did."""

    keys: Annotated[tuple[Annotated[bytes, Meta(max_length=32)], ...], Meta(max_length=64)]
    error: Annotated[str, Meta(max_length=1024)] = ""


StreamMessage = State | StreamPing | StreamPong | KeyringAsked | KeyringTold
