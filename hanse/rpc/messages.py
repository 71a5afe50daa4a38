"""What node agents and servers say to each other.

A node keeps one stream (`NodeSession`) to any server of its region: heartbeats, statuses and
changes of the node go up, desired allocations come down. When a server wants something of a node
(a file, a log, a command) it sends `Call` down the stream; the node answers by opening `Answer`
with that call's id, so that large answers never hold up heartbeats.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hanse.structs.allocation import Allocation, AllocStatus
from hanse.structs.job import Job
from hanse.structs.node import Node

SERVICE = "hanse.v1.Nodes"
SESSION = f"/{SERVICE}/Session"
ANSWER = f"/{SERVICE}/Answer"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Base of every message; the tag is the class's name."""


# Node to server, on the session.


class Hello(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """First message of a session. The secret proves that the node is who it says."""

    node: Node
    secret: str


class Heartbeat(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Still here."""


class NodeChanged(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """The fingerprint changed: the whole node again."""

    node: Node


class Statuses(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """What became of allocations. Repeated until `StatusesStored` names this or a later number."""

    number: int
    statuses: tuple[AllocStatus, ...]


class NodeEventReport(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Something happened to the node that users should see."""

    subsystem: str
    text: str
    details: dict[str, str] = {}


class WantJobs(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Asks for jobs (namespace, id, version) that `Desired` mentioned and the node has not."""

    jobs: tuple[tuple[str, str, int], ...]


NodeMessage = Hello | Heartbeat | NodeChanged | Statuses | NodeEventReport | WantJobs


# Server to node, on the session.


class Welcome(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """The node is registered. Heartbeats are due every `heartbeat_s`; death after `ttl_s`."""

    heartbeat_s: float
    ttl_s: float
    servers: tuple[str, ...] = ()


class Desired(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Allocations of this node that are new or changed.

    `complete` means that these are all: what the node runs beside them is to be stopped and
    forgotten. `gone` names allocations the servers have forgotten.
    """

    revision: int
    allocations: tuple[Allocation, ...]
    jobs: tuple[Job, ...] = ()
    complete: bool = False
    gone: tuple[str, ...] = ()


class StatusesStored(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Every status up to this number is in the store."""

    number: int


class Call(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """The server wants something; answer by opening `Answer` with this id."""

    id: str
    method: str
    body: bytes = b""


ServerMessage = Welcome | Desired | StatusesStored | Call


# Answers: node to server chunks, server to node inputs.


class AnswerStart(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """First message of an answer."""

    call_id: str


class Chunk(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A piece of the answer; its meaning is the method's."""

    body: bytes


class AnswerFailed(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """The call failed; `kind` is that of `hanse.errors`."""

    kind: str
    text: str


class AnswerEnd(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """The answer is complete."""


class CallInput(Message, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Input for a call that takes some, such as a command's standard input."""

    body: bytes = b""
    closed: bool = False


AnswerMessage = AnswerStart | Chunk | AnswerFailed | AnswerEnd
InputMessage = CallInput


# Bodies of calls (`Call.body`, MessagePack) and of their chunks.


class LogsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`Logs`: chunks are `hanse.structs.stats.StreamFrame`-like `FileFrame`s."""

    alloc_id: str
    task: str
    kind: Literal["stdout", "stderr"]
    follow: bool = False
    offset: int = 0
    origin: Literal["start", "end"] = "start"


class FileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`ListFiles`, `StatFile`, `ReadFile` (offset, limit), `StreamFile` (follow, origin)."""

    alloc_id: str
    path: str = "/"
    offset: int = 0
    limit: int = 0
    follow: bool = False
    origin: Literal["start", "end"] = "start"


class FileFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a file; all defaults is a heartbeat. `offset` is the one after the data."""

    data: bytes = b""
    file: str = ""
    offset: int = 0
    event: str = ""


class AllocRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`AllocStats`, `RestartAlloc`, `SignalAlloc`, `AllocChecks`, `CollectAlloc`, `NodeStats`."""

    alloc_id: str = ""
    task: str = ""
    all_tasks: bool = False
    signal: str = ""


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`Exec`: inputs are `hanse.driver.ExecInput`, chunks `hanse.driver.ExecOutput`."""

    alloc_id: str
    task: str
    command: list[str]
    tty: bool = False


class MonitorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`Monitor`: chunks are lines of the agent's log, each with its line end."""

    level: str = "info"
    json: bool = False


class MetaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`NodeMeta`: changes to the node's meta; None removes a key, no change only reads."""

    changes: dict[str, str | None] = {}


#: Methods a server may call on a node. Chunks of the single-answer ones are one JSON document
#: (the API's own shape); of ReadFile raw bytes; of Logs and StreamFile `FileFrame`s.
METHODS = (
    "NodeStats",
    "AllocStats",
    "AllocChecks",
    "RestartAlloc",
    "SignalAlloc",
    "CollectAlloc",
    "CollectAll",
    "ListFiles",
    "StatFile",
    "ReadFile",
    "StreamFile",
    "Logs",
    "Exec",
    "Monitor",
    "NodeMeta",
)
