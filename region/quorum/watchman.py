"""Two things that a server does for the leader: end its lease when it is dead, and tell it news.

A dead leader's lease ends by itself after some seconds. When a majority of the servers agree
that they cannot reach it, one of them ends the lease at once. That is always safe, for a leader
without its key can write nothing (`region.store.leadership`); the majority only keeps a server
with a bad connection from deposing a leader that serves all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from hanse.clock import Clock
from hanse.errors import HanseError
from hanse.store import Store
from region.quorum.model import Decided, NodesHeard
from region.quorum.neighbours import Neighbours, Sight
from region.server import Region

log = structlog.get_logger(__name__)

_PERIOD_S = 0.2
_FORWARD_S = 1.0
#: Opinions of others that are older do not count.
_OPINION_S = 1.5
_NODES_MAX = 5_000
#: Nodes are sent away when the leader was not told of them for this share of their time to live,
#: but not before another leader could have been found.
_CUT_OFF_SHARE = 0.4
_CUT_OFF_S = 3.0


def deposed(leader: Sight, others: list[Sight], *, servers: int, now: float) -> bool:
    """Whether a majority of `servers`, this one included, cannot reach the leader. Pure."""
    if not leader.silent(now):
        return False
    witnesses = 1 + sum(
        leader.card.id in sight.greeting.health.unreachable
        for sight in others
        if sight.card.id != leader.card.id
        and sight.failing_since is None
        and now - sight.heard_at <= _OPINION_S
    )
    return witnesses > servers // 2


class Watchman:
    """A service that looks at the leader from every other server."""

    name = "watchman"

    def __init__(self, neighbours: Neighbours, region: Region, store: Store, clock: Clock) -> None:
        """`store` is where the leader's lease is."""
        self._neighbours = neighbours
        self._region = region
        self._store = store
        self._clock = clock
        self._hurried: set[str] = set()

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await self._clock.sleep(_PERIOD_S)
            await self._step()

    async def _step(self) -> None:
        leader = self._region.candidacy.leader
        if leader is None or self._region.is_leader:
            return
        others = self._neighbours.others()
        sight = next((s for s in others if s.card.name == leader.name), None)
        now = self._clock.now()
        if sight is None or not sight.silent(now):
            self._hurried.clear()
            return
        if leader.nonce not in self._hurried:
            # Tell the others, and hear from them, without waiting for the next round.
            self._hurried = {leader.nonce}
            self._neighbours.hurry()
        if not deposed(sight, others, servers=self._servers(), now=now):
            return
        log.warning("the leader cannot be reached by most servers", leader=leader.name)
        try:
            await self._store.revoke(leader.lease)
        except HanseError as error:
            log.info("its lease will run out", reason=str(error))

    def _servers(self) -> int:
        phase = self._neighbours.machine.phase
        first = len(phase.members) if isinstance(phase, Decided) else 1
        return max(first, len(self._neighbours.registered()))


class Herald:
    """A service that tells the nodes connected here which servers there are, when that changes."""

    name = "herald"

    def __init__(self, servers: Callable[[], Sequence[str]], region: Region, clock: Clock) -> None:
        """`servers` gives the addresses that nodes may use now."""
        self._servers = servers
        self._region = region
        self._clock = clock

    async def run(self) -> None:
        """Tell for ever."""
        told = frozenset[str]()
        while True:
            now = frozenset(self._servers())
            # Those that are away for a moment stay on the nodes' lists; new ones are news.
            if not now <= told:
                told = now
                self._region.sessions.tell_servers()
            await self._clock.sleep(_FORWARD_S)


class Forwarder:
    """A service that tells the leader which nodes were heard here.

    A server that cannot tell the leader sends its nodes away before the leader takes them for
    dead: they find another server, or come back when there is none.
    """

    name = "forwarder"

    def __init__(self, neighbours: Neighbours, region: Region, clock: Clock) -> None:
        """`region` hears the nodes that are connected here."""
        self._neighbours = neighbours
        self._region = region
        self._clock = clock
        self._unsaid: set[str] = set()
        self._told_at = clock.now()

    async def run(self) -> None:
        """Forward for ever."""
        while True:
            await self._clock.sleep(_FORWARD_S)
            await self.step()

    async def step(self) -> None:
        """Say what is to be said."""
        self._unsaid |= self._region.presence.news()
        leader = self._region.leader_address
        if self._region.is_leader or not self._unsaid:
            self._unsaid.clear()
            self._told_at = self._clock.now()
        elif leader:
            await self._tell(leader)
        if cut_off(self._clock.now() - self._told_at, self._region.presence.ttl_s):
            count = self._region.sessions.send_away()
            log.warning("the leader cannot be told of nodes; they are sent away", count=count)
            # Those that come back are given as long again.
            self._told_at = self._clock.now()

    async def _tell(self, leader: str) -> None:
        nodes = tuple(self._unsaid)[:_NODES_MAX]
        news = NodesHeard(server=self._neighbours.card.id, nodes=nodes)
        try:
            await self._neighbours.links.heard(leader, news)
        except HanseError as error:
            log.info("the leader was not told of nodes yet", count=len(nodes), reason=str(error))
        else:
            self._unsaid.difference_update(nodes)
            self._told_at = self._clock.now()


def cut_off(untold_s: float, ttl_s: float) -> bool:
    """Whether nodes should try another server: early enough that none is taken for dead. Pure."""
    return untold_s >= max(_CUT_OFF_S, _CUT_OFF_SHARE * ttl_s)
