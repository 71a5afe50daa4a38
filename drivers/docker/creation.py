"""Creating and starting one container in a thread, so that it can be given up at any moment.

A thread cannot be cancelled. So the work looks, after each step, whether it is still wanted, and
takes back what it did if not.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog

from drivers.docker.body import ALLOC_LABEL, NAME, TASK_LABEL, Body
from drivers.docker.engine import Engine, failed, state_of
from drivers.docker.http import EngineAway, EngineRefused
from hanse.driver import TaskSpec
from hanse.errors import DriverFailed

log = structlog.get_logger()


class GivenUp(Exception):
    """Nobody wants the container any more."""


class Creation:
    """See the module."""

    def __init__(self, engine: Engine, task: TaskSpec, name: str, body: Body, tries: int) -> None:
        self._engine = engine
        self._task = task
        self._name = name
        self._body = body
        self._tries = max(1, tries)
        self._lock = threading.Lock()
        self._given_up = False
        self._done = False

    async def run(self) -> Body:
        """Return the inspected container once it runs. Raises DriverFailed, nothing left behind."""
        try:
            return await self._engine.call(self._run)
        except (EngineAway, EngineRefused) as error:
            # What became of a request without an answer is not known.
            self._engine.submit(self._discard)
            raise failed("Failed to create container", error) from error
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """Take back what was done, at once or when the thread comes to it."""
        with self._lock:
            self._given_up = True
            done = self._done
        if done:
            self._engine.submit(self._discard)

    def _check(self) -> None:
        with self._lock:
            if self._given_up:
                raise GivenUp

    def _run(self, client: Any) -> Body:
        try:
            found = self._create(client)
            self._check()
            if state_of(found).get("Status") == "created":
                self._start(client, str(found["Id"]))
                found = _inspect(client, str(found["Id"]))
            with self._lock:
                self._done = True
                if self._given_up:
                    raise GivenUp
        except GivenUp:
            self._discard(client)
            raise DriverFailed(NAME, "the start was given up") from None
        return found

    def _create(self, client: Any) -> Body:
        """The container of that name, made now or by an earlier try for the same task."""
        for _ in range(self._tries):
            self._check()
            try:
                made = self._engine.call_now(
                    lambda client: client.create_container_from_config(self._body, self._name)
                )
                return _inspect(client, str(made["Id"]))
            except EngineRefused as error:
                if error.status != 409:
                    raise
            if (found := self._existing(client)) is not None:
                return found
        raise DriverFailed(NAME, f"container {self._name} already exists", recoverable=True)

    def _existing(self, client: Any) -> Body | None:
        """Who has the name: our own container, or None after a former one has been removed."""
        try:
            found: dict[str, Any] = self._engine.call_now(
                lambda client: client.inspect_container(self._name)
            )
        except EngineRefused as error:
            if error.status == 404:
                return None
            raise
        labels = found["Config"].get("Labels") or {}
        if labels.get(TASK_LABEL) == self._task.id:
            return found
        if labels.get(ALLOC_LABEL) != self._task.allocation_id:
            raise DriverFailed(
                NAME, f"container {self._name} already exists and is not this allocation's"
            )
        client.remove_container(found["Id"], v=True, force=True)
        return None

    def _start(self, client: Any, container_id: str) -> None:
        try:
            self._engine.call_now(lambda client: client.start(container_id))
        except EngineRefused as error:
            client.remove_container(container_id, v=True, force=True)
            # A port or an address in use may be free next time; a missing program will not.
            again = "already" in str(error) or "in use" in str(error)
            raise DriverFailed(
                NAME, f"Failed to start container {container_id[:12]}: {error}", recoverable=again
            ) from error

    def _discard(self, client: Any) -> None:
        """Remove the container if it is this task's."""
        try:
            found = self._engine.call_now(lambda client: client.inspect_container(self._name))
            labels = found["Config"].get("Labels") or {}
            if labels.get(TASK_LABEL) == self._task.id:
                client.remove_container(found["Id"], v=True, force=True)
        except (EngineAway, EngineRefused) as error:
            if not isinstance(error, EngineRefused) or error.status != 404:
                log.warning("container not removed", name=self._name, error=str(error))


def _inspect(client: Any, container_id: str) -> Body:
    found: Body = client.inspect_container(container_id)
    return found
