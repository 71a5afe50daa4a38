"""Who waits for what: blocking queries sleep on the objects they read, and on nothing else.

A waiter sleeps on a few topics. A change wakes only those on its own topics, each once,
whatever number of changes came together. Deadlines are kept in one heap that one service
watches, because a timer each would cost more than the waiting.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Collection, Iterable
from itertools import count

from hanse.clock import Clock

Topic = tuple[str, ...]

#: How late a waiter may learn that its deadline has passed, in seconds.
_TICK_S = 0.1


class Waiters:
    """Futures by topic, with deadlines. Also a service: without it no deadline ever passes."""

    name = "waiters"

    def __init__(self, clock: Clock) -> None:
        """`clock` is what deadlines are read against."""
        self._clock = clock
        self._by_topic: dict[Topic, dict[int, asyncio.Future[None]]] = {}
        self._deadlines: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        """How many topics have waiters."""
        return len(self._by_topic)

    async def wait(self, topics: Collection[Topic], deadline: float) -> None:
        """Return when one of the topics is woken, or the clock reads `deadline`."""
        number = next(self._numbers)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for topic in topics:
            self._by_topic.setdefault(topic, {})[number] = future
        heapq.heappush(self._deadlines, (deadline, number, future))
        self._some.set()
        try:
            await future
        finally:
            for topic in topics:
                self._forget(topic, number)

    def wake(self, topics: Iterable[Topic]) -> None:
        """Wake whoever waits for one of the topics."""
        for topic in topics:
            for future in self._by_topic.pop(topic, {}).values():
                if not future.done():
                    future.set_result(None)

    async def run(self) -> None:
        """Let deadlines pass."""
        while True:
            await self._some.wait()
            await self._clock.sleep(_TICK_S)
            self._expire()

    def _expire(self) -> None:
        now = self._clock.now()
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].done()):
            _, _, future = heapq.heappop(self._deadlines)
            if not future.done():
                future.set_result(None)
        if not self._deadlines:
            self._some.clear()

    def _forget(self, topic: Topic, number: int) -> None:
        waiting = self._by_topic.get(topic)
        if waiting is not None:
            waiting.pop(number, None)
            if not waiting:
                del self._by_topic[topic]
