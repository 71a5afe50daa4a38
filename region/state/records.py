"""What the store holds beside the nouns of `hanse.structs`."""

from __future__ import annotations

import msgspec

from hanse.structs.api import ScalingEvent
from hanse.structs.job import JobVersionTag
from hanse.structs.node import DrainMetadata, DrainStrategy, Node, NodeEvent

#: How many scaling events of a group, and events of a node, are kept.
SCALING_EVENTS_MAX = 20
NODE_EVENTS_MAX = 10


class JobExtra(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job beside its versions. Written apart, so that versions never change."""

    stable: tuple[int, ...] = ()
    tags: dict[int, JobVersionTag] = {}
    #: By group, newest first.
    scaling: dict[str, tuple[ScalingEvent, ...]] = {}
    schema: int = 1


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it registered. Its secret is kept as a SHA-256 only."""

    node: Node
    secret_sha256: str
    schema: int = 1


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """What the servers decided about a node."""

    status: str = "initializing"
    status_description: str = ""
    #: Unix seconds.
    status_updated_s: int = 0
    eligibility: str = "eligible"
    drain: DrainStrategy | None = None
    last_drain: DrainMetadata | None = None
    events: tuple[NodeEvent, ...] = ()
    schema: int = 1
