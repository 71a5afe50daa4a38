"""When each node was last heard, in time during which this server could hear.

A server that was stopped for a while (a pause, a debugger, a laptop's lid) heard nobody, and
must not blame the nodes: its clock of presence stands still meanwhile. Nothing of this is ever
stored; a new leader gives every node one fresh time to live.
"""

from __future__ import annotations

from collections.abc import Iterable

from hanse.clock import Clock

#: Ticks come every `TICK_S`; one that comes later than this counts as on time.
TICK_S = 1.0
_LATE_S = 1.5


class Presence:
    """Last signs of life by node."""

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        """A node is silent when not heard for `ttl_s`."""
        self.ttl_s = ttl_s
        self._clock = clock
        self._ticked = clock.now()
        self._present_s = 0.0
        self._heard: dict[str, float] = {}
        self._news: set[str] = set()

    def heard(self, node_id: str) -> None:
        """The node gave a sign of life."""
        self._heard[node_id] = self._present_s
        self._news.add(node_id)

    def news(self) -> set[str]:
        """Nodes that were heard since this was last asked: for the server that leads."""
        news, self._news = self._news, set()
        return news

    def forget(self, node_id: str) -> None:
        """The node is down or gone: nothing is expected of it."""
        self._heard.pop(node_id, None)

    def start(self, node_ids: Iterable[str]) -> None:
        """Give every node one fresh time to live."""
        self._ticked = self._clock.now()
        for node_id in node_ids:
            self._heard[node_id] = self._present_s

    def tick(self) -> list[str]:
        """Let time pass; names the nodes that are silent now."""
        now = self._clock.now()
        elapsed_s = now - self._ticked
        self._ticked = now
        self._present_s += elapsed_s if elapsed_s <= _LATE_S else TICK_S
        limit = self._present_s - self.ttl_s
        return [node_id for node_id, at in self._heard.items() if at < limit]
