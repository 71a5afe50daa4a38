"""A thread with an event loop of its own, for what goes on whether or not somebody waits.

Copying logs and following the engine's events must neither wait for the agent's loop nor hold it
up, and belong to no single call. There is one such thread for each driver. It holds no reference
to the driver, and ends when the driver is closed or dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import structlog

log = structlog.get_logger()


class Background:
    """See the module. Started by the first job."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._closed = False

    def spawn(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a job until it ends or the driver is closed."""
        with self._lock:
            if self._closed:
                return
            if self._loop is None:
                self._start()
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._add, job)

    def close(self) -> None:
        """Cancel all jobs. Returns before they have ended."""
        with self._lock:
            self._closed = True
            if self._loop is not None and self._stop is not None:
                try:
                    self._loop.call_soon_threadsafe(self._stop.set)
                except RuntimeError:
                    return

    def _start(self) -> None:
        ready: Future[None] = Future()
        threading.Thread(target=self._run, args=(ready,), name=self._name, daemon=True).start()
        ready.result()

    def _run(self, ready: Future[None]) -> None:
        asyncio.run(self._main(ready))

    async def _main(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._tasks: set[asyncio.Task[None]] = set()
            ready.set_result(None)
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()

    def _add(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._stop is not None and self._stop.is_set():
            return
        task = self._group.create_task(_guarded(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _guarded(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """One job's mistake must not end the others."""
    try:
        await job()
    except Exception:
        log.exception("docker job failed")
