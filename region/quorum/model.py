"""What servers are, know of each other, and keep on disk."""

from __future__ import annotations

from typing import Literal

import msgspec

from hanse.rpc.messages import Message

SERVICE = "hanse.v1.Servers"
GREET = f"/{SERVICE}/Greet"
JOIN = f"/{SERVICE}/Join"
HEARD = f"/{SERVICE}/Heard"
YIELD = f"/{SERVICE}/Yield"
ASK_NODE = f"/{SERVICE}/AskNode"


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a server is and where it is reached. Addresses are "host:port"."""

    #: Made with the data directory; a server whose data were removed is another one.
    id: str
    #: Unique in the region.
    name: str
    region: str
    #: Agents' port.
    rpc: str
    #: etcd's port for its members.
    peer: str
    #: etcd's port for clients.
    client: str
    datacenter: str = ""
    serf_port: int = 0
    #: How many servers the region begins with; 0: never begins one, only joins.
    expect: int = 0
    version: str = ""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A first list of members, which is the region's once all of them are bound to it."""

    #: The cluster's id if it comes to be: drawn by the coordinator, never used twice.
    cluster: str
    #: The id of the one member that decides.
    coordinator: str
    members: tuple[Card, ...]

    def has(self, server_id: str) -> bool:
        """Whether a server is among the members."""
        return any(card.id == server_id for card in self.members)


class Alone(msgspec.Struct, frozen=True, tag=True):
    """Free to take part in anything."""


class Proposing(msgspec.Struct, frozen=True, tag=True):
    """Coordinates a proposal that is neither decided nor given up."""

    proposal: Proposal


class Bound(msgspec.Struct, frozen=True, tag=True):
    """Takes part in a proposal until its coordinator has decided it or given it up."""

    proposal: Proposal
    #: The coordinator's epoch when it proposed.
    epoch: int


class Decided(msgspec.Struct, frozen=True, tag=True):
    """Belongs to a cluster, for good."""

    cluster: str
    members: tuple[Card, ...]
    #: It was let into a cluster that ran already, of these members then: (name, peer address).
    joined: bool = False
    peers: tuple[tuple[str, str], ...] = ()


Phase = Alone | Proposing | Bound | Decided


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a server keeps on disk of itself."""

    id: str
    region: str
    #: Grows with every change of phase.
    epoch: int = 0
    phase: Phase = Alone()
    #: etcd was started: its data must be there from now on.
    started: bool = False


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a server's part of the quorum is."""

    #: etcd's id of its member; 0: etcd does not answer.
    member_id: int = 0
    learner: bool = False
    #: etcd's leader as this member sees it.
    raft_leader: int = 0
    raft_term: int = 0
    raft_index: int = 0
    raft_applied: int = 0
    #: Ids of the servers that this one cannot reach.
    unreachable: tuple[str, ...] = ()
    leads: bool = False


class Greeting(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A server says how it is, and hears the same of the other."""

    card: Card
    #: Drawn anew by each process: tells a server from a copy of its data.
    boot: str
    epoch: int = 0
    phase: Phase = Alone()
    #: RPC addresses of other servers.
    known: tuple[str, ...] = ()
    health: Health = Health()


class Refusal(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """No, and why. `kind` is that of `hanse.errors`."""

    text: str
    kind: str = "invalid"


class JoinRequest(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A server asks to be let in."""

    card: Card


class Admitted(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """It is a member now, a learner at first; `peers` are all: (name, peer address)."""

    cluster: str
    members: tuple[Card, ...]
    peers: tuple[tuple[str, str], ...]


class NodesHeard(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Nodes that gave a sign of life to the sender, for the leader to know."""

    server: str
    nodes: tuple[str, ...]


class YieldRequest(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """`to` shall lead: whoever leads steps down, whoever else campaigns holds back."""

    to: str


class AskNode(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """First message of a call to a node that is connected to the server asked."""

    node_id: str
    method: str
    body: bytes = b""
    has_inputs: bool = False


class Done(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """It is done."""


GreetAnswer = Greeting | Refusal
JoinAnswer = Admitted | Refusal
DoneAnswer = Done | Refusal

Standing = Literal["alive", "failed", "left"]
