"""The one door to time. Nobody else calls `time.*` or `asyncio.sleep`."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time that tests can replace."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 as people count them; may jump."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return `delay_s` from now."""
        ...


class SystemClock:
    """The real one."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """The system's calendar clock."""
        return time.time_ns()

    async def sleep(self, delay_s: float) -> None:
        """Sleep for real."""
        await asyncio.sleep(delay_s)
