"""Staying with one container until it has ended: its output copied, its end found out.

A follower outlasts the engine: while the engine is away it waits, and takes up where it was. It
says that a container has ended only when the engine says so, or that it was removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import Future
from pathlib import Path

import msgspec
import structlog

from drivers.docker.copying import Copier, LogFiles, try_lock
from drivers.docker.engine import Engine, state_of
from drivers.docker.http import EngineAway, EngineRefused, open_stream
from hanse.clock import Clock
from hanse.driver import Exit

_LOCK_EVERY_S = 0.05
_RETRY_FIRST_S = 0.1
_RETRY_MOST_S = 5.0
#: How long the engine may take to end the log of a container that has ended.
_LOG_END_S = 5.0
#: How often to try to read the rest of an ended container's log.
_REST_TRIES = 60
_ENDED = ("exited", "dead")
log = structlog.get_logger()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a handle that a follower needs."""

    container_id: str
    #: The task's folder of the driver's.
    dir: str
    tty: bool = False
    #: None when the task's output is not collected.
    logs: LogFiles | None = None


def exit_of(state: dict[str, object]) -> Exit | None:
    """How a container ended, from its inspected state; None while it has not."""
    if state.get("Running") or state.get("Status") not in _ENDED:
        return None
    code = state.get("ExitCode")
    return Exit(
        code=code if isinstance(code, int) else 0,
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or "") if code else "",
    )


class Follower:
    """One container. `run` belongs in the background; `ended` may be waited for anywhere."""

    def __init__(self, engine: Engine, clock: Clock, target: Target) -> None:
        self._engine = engine
        self._clock = clock
        self._target = target
        self._path = f"/containers/{target.container_id}"
        #: Set once the output is complete.
        self.ended: Future[Exit] = Future()

    async def run(self) -> None:
        """Follow to the end."""
        lock = await self._lock()
        try:
            if self._target.logs is None:
                ended = await self._until_end()
            else:
                ended = await self._copy_until_end(self._target.logs)
        finally:
            if lock is not None:
                os.close(lock)
        self.ended.set_result(ended)

    async def _lock(self) -> int | None:
        """Wait until no other agent copies this container's output."""
        path = Path(self._target.dir, "copying.lock")
        while True:
            try:
                if (lock := try_lock(path)) is not None:
                    return lock
            except OSError:
                # The folder is gone: the task has been destroyed, nobody else copies.
                return None
            await self._clock.sleep(_LOCK_EVERY_S)

    async def _copy_until_end(self, files: LogFiles) -> Exit:
        record = Path(self._target.dir, "copied.json")
        try:
            copier = Copier(self._engine, self._target.container_id, record, files)
        except OSError as error:
            log.warning("logs not collected", dir=self._target.dir, error=str(error))
            return await self._until_end()
        try:
            async with asyncio.TaskGroup() as group:
                copying = group.create_task(self._copy(copier))
                ended = await self._until_end()
                # It normally ends by itself; what it may have missed comes below.
                await asyncio.wait([copying], timeout=_LOG_END_S)
                copying.cancel()
            if not ended.error:
                await self._copy_rest(copier)
        finally:
            copier.close()
        return ended

    async def _copy(self, copier: Copier) -> None:
        """Copy until the container has ended, through all the engine's absences."""
        delay_s = _RETRY_FIRST_S
        while True:
            began = self._clock.now()
            try:
                await copier.copy(tty=self._target.tty, follow=True)
            except EngineAway:
                pass
            except EngineRefused as error:
                # No such container, or a log driver that does not give back what it was given.
                log.warning("logs not readable", dir=self._target.dir, error=str(error))
                return
            else:
                return
            if self._clock.now() - began > _RETRY_MOST_S:
                delay_s = _RETRY_FIRST_S
            await self._clock.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_MOST_S)

    async def _copy_rest(self, copier: Copier) -> None:
        with contextlib.suppress(EngineRefused):
            for _ in range(_REST_TRIES):
                try:
                    await copier.copy(tty=self._target.tty, follow=False)
                    return
                except EngineAway:
                    await self._clock.sleep(_RETRY_MOST_S)

    async def _until_end(self) -> Exit:
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                await self._wait_once()
                found = await self._engine.call(
                    lambda client: client.inspect_container(self._target.container_id)
                )
                if (ended := exit_of(state_of(found))) is not None:
                    return ended
            except EngineRefused as error:
                if error.status == 404:
                    return Exit(error="the container was removed")
            except EngineAway:
                pass
            await self._clock.sleep(delay_s)
            delay_s = min(delay_s * 2, _RETRY_MOST_S)

    async def _wait_once(self) -> None:
        """Return when the engine says that the container does not run."""
        address = await self._engine.address()
        path = f"{self._engine.prefix}{self._path}/wait"
        stream = await open_stream(address, "POST", path)
        try:
            async for _ in stream.chunks():
                pass
        finally:
            stream.close()


async def result_of(future: Future[Exit]) -> Exit:
    """Wait for a future of another thread; being cancelled leaves it alone."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: Future[Exit]) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(tell)
    await done
    return future.result()
