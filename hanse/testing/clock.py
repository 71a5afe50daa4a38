"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class HandClock:
    """Time passes only in `advance`, and sleepers wake in the order of their deadlines."""

    def __init__(self, now: float = 1000.0, wall_ns: int = 1_700_000_000 * 10**9) -> None:
        """Begin at this reading."""
        self._now = now
        self._wall_ns = wall_ns
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds, as far as time was moved."""
        return self._now

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, as far as time was moved."""
        return self._wall_ns

    @property
    def sleeping(self) -> int:
        """How many sleep."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, delay_s: float) -> None:
        """Sleep until time was moved so far; not at all for a delay of 0."""
        if delay_s <= 0:
            await asyncio.sleep(0)  # noqa: TID251 - lets others run, as the real clock does
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + delay_s, next(self._numbers), future))
        await future

    def advance(self, by_s: float) -> None:
        """Move time on, and wake whoever's deadline has come."""
        self._now += by_s
        self._wall_ns += round(by_s * 10**9)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
