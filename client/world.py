"""What the runners need of the agent around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVarTuple, Unpack

from client.checkpoint import Checkpoint
from client.checks import Prober
from hanse.clock import Clock
from hanse.driver import Driver
from hanse.structs.allocation import AllocStatus
from hanse.structs.node import Node

_Args = TypeVarTuple("_Args")


class Spawn(Protocol):
    """Starts work that belongs to the agent's task group. What it raises is only logged."""

    def __call__(
        self, work: Callable[[Unpack[_Args]], Coroutine[Any, Any, None]], *args: *_Args
    ) -> asyncio.Task[None]:
        """Start `work(*args)` soon; cancelling what is given back ends it."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """The agent as its runners see it."""

    clock: Clock
    rng: Random
    spawn: Spawn
    drivers: Mapping[str, Driver]
    checkpoint: Checkpoint
    alloc_root: Path
    region: str
    #: The node as it is now: a fingerprint may have changed it.
    node: Callable[[], Node]
    #: Takes what became of an allocation, for the servers.
    publish: Callable[[AllocStatus], None]
    max_kill_timeout_ns: int
    prober: Prober
