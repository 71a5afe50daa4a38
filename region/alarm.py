"""A wake-up call with a time limit: what every loop of the control plane sleeps on."""

from __future__ import annotations

import asyncio

from hanse.clock import Clock


class Alarm:
    """Rings when `ring` is called, or when the time is up. Many rings before a wait are one."""

    def __init__(self, clock: Clock) -> None:
        """`clock` measures the waits."""
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the present wait, or the next one at once."""
        self._rung.set()

    async def wait(self, limit_s: float) -> None:
        """Return when rung, or after `limit_s`."""
        if not self._rung.is_set() and limit_s > 0:
            async with asyncio.TaskGroup() as group:
                nap = group.create_task(self._clock.sleep(limit_s))
                rung = group.create_task(self._rung.wait())
                await asyncio.wait({nap, rung}, return_when=asyncio.FIRST_COMPLETED)
                nap.cancel()
                rung.cancel()
        self._rung.clear()


async def give_way() -> None:
    """Let everything that is ready run before going on."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn
