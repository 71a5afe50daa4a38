"""What can happen to the membership machine, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Address, Alive, Packet, State, Status
from federation.verdicts import Judgement, Verdict

# Timers: values that come back as inputs, and name what they belong to.


@dataclass(frozen=True, slots=True)
class ProbeDue:
    """The period is over: conclude its probe and begin the next."""


@dataclass(frozen=True, slots=True)
class AckOverdue:
    """The probe numbered `seq` should have been answered."""

    seq: int


@dataclass(frozen=True, slots=True)
class RelayOverdue:
    """The probe `seq`, made for another member, should have been answered."""

    seq: int


@dataclass(frozen=True, slots=True)
class GossipDue:
    """Time to send news on."""


@dataclass(frozen=True, slots=True)
class SuspicionExpired:
    """The suspect has had its time."""

    name: str
    serial: int


@dataclass(frozen=True, slots=True)
class PushPullDue:
    """Time to exchange everything with one member."""


@dataclass(frozen=True, slots=True)
class ReconnectDue:
    """Time to try a dead member again, and to forget the long gone."""


@dataclass(frozen=True, slots=True)
class LeaveOver:
    """The word of our leaving had its time to spread."""


@dataclass(frozen=True, slots=True)
class LookDue:
    """Time to look at one server of each region, and to judge regions."""


Timer = (
    ProbeDue
    | AckOverdue
    | RelayOverdue
    | GossipDue
    | SuspicionExpired
    | PushPullDue
    | ReconnectDue
    | LeaveOver
    | LookDue
)


# Other inputs.


@dataclass(frozen=True, slots=True)
class Start:
    """Begin; set the first timers."""


@dataclass(frozen=True, slots=True)
class Join:
    """Exchange everything with these addresses, and be one of them."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """Say goodbye; `Departed` follows."""


@dataclass(frozen=True, slots=True)
class ForceLeave:
    """An operator sends a dead member away; with `prune` it is forgotten everywhere."""

    name: str
    prune: bool = False


@dataclass(frozen=True, slots=True)
class SetTags:
    """What we say of ourselves changes."""

    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Received:
    """A datagram came, opened and decoded, from this address."""

    packet: Packet
    source: Address


@dataclass(frozen=True, slots=True)
class StateReceived:
    """A member opened a stream and sent its state. Answered by one `Answer` with this token."""

    state: State
    token: int


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The answer to an `Exchange` of ours came."""

    state: State


@dataclass(frozen=True, slots=True)
class StreamAnswered:
    """The stream probe numbered `seq` was answered."""

    seq: int


Input = (
    Timer
    | Start
    | Join
    | Leave
    | ForceLeave
    | SetTags
    | Received
    | StateReceived
    | Exchanged
    | StreamAnswered
)


# Effects: to be done in order.


@dataclass(frozen=True, slots=True)
class Send:
    """Send a datagram. May be lost."""

    to: Address
    packet: Packet


@dataclass(frozen=True, slots=True)
class Exchange:
    """Open a stream, send `state`, feed what comes back as `Exchanged`. May fail silently."""

    to: Address
    state: State


@dataclass(frozen=True, slots=True)
class Answer:
    """Send `state` back on the stream that `token` names."""

    token: int
    state: State


@dataclass(frozen=True, slots=True)
class StreamProbe:
    """Ask `target` over a stream; feed `StreamAnswered(seq)` if it answers. May fail silently."""

    to: Address
    seq: int
    target: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Feed `timer` back after `delay_s`. Must not be lost; may be late."""

    delay_s: float
    timer: Timer


@dataclass(frozen=True, slots=True)
class Changed:
    """A member joined, changed its tags (same status), or is believed to be something else.

    `before` is None for a newcomer, `after` for one that was forgotten.
    """

    member: Alive
    before: Status | None
    after: Status | None


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another member at `address` claims a name that belongs to `name`; it was not let in."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class RegionTaken:
    """A member of another cluster calls its region as one we know is called; not let in."""

    region: str
    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Refuted:
    """Somebody (`by`) took us for gone; we objected."""

    by: str


@dataclass(frozen=True, slots=True)
class StreamOnly:
    """Datagrams to a member get lost where streams pass: a firewall's rule, most likely."""

    name: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is said of some regions changed: the verdict before, and the judgement now."""

    changes: dict[str, tuple[Verdict | None, Judgement]]


@dataclass(frozen=True, slots=True)
class Departed:
    """We have left; nothing more will come."""


Effect = (
    Send
    | Exchange
    | Answer
    | StreamProbe
    | Wake
    | Changed
    | NameTaken
    | RegionTaken
    | Refuted
    | StreamOnly
    | Verdicts
    | Departed
)
