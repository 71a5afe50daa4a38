"""One call to etcd: a deadline, the next member, and when to stop trying."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio
import structlog

from hanse.clock import Clock
from hanse.errors import HanseError, NoLeader, Unavailable
from region.store.members import Member, Members, Options
from region.store.wire import EOF, METADATA, read_failure

log = structlog.get_logger(__name__)

_ALONE_S = 5.0
_HURRY_S = 0.3
_SLOW_S = 1.0
#: An election takes no longer than this.
_ELECTION_S = 1.5

Ask = Callable[[Member, float], Awaitable[Any]]


class Caller:
    """Asks the members one after another until one answers or patience ends."""

    def __init__(self, members: Members, clock: Clock, options: Options) -> None:
        """Share `members` with nobody else: it learns from every call."""
        self.members = members
        self._clock = clock
        self._options = options

    @property
    def deadline_s(self) -> float:
        """How long one member is waited for.

        What was sent to a leader that dies is never answered, so with others to ask it pays to
        hurry; but where nothing has worked for a while, the members are slow and not dead.
        """
        if self._options.call_deadline_s:
            return self._options.call_deadline_s
        if len(self.members.all) == 1:
            return _ALONE_S
        since = self.members.failing_since
        slow = since is not None and self._clock.now() - since > _ELECTION_S
        return _SLOW_S if slow else _HURRY_S

    async def call(
        self, ask: Ask, *, repeatable: bool, size: int = 0, deadline_s: float = 0.0
    ) -> Any:
        """Give the answer of `ask(member, timeout_s)`.

        What surely was not carried out is asked again elsewhere; what may have been is only
        if it is `repeatable`, for of the transactions whose connection broke, 25 in 331 had
        been applied. Stops when nobody has answered for `patience_s`, counted over all
        calls: in a long outage each call fails after one round and not after its own wait.
        Raises what `wire.read_failure` says.
        """
        # A request of some megabytes takes etcd and the disk a while.
        timeout_s = (deadline_s or self.deadline_s) + size / 1_000_000
        began = self._clock.now()
        failures = 0
        verdict: HanseError | None = None
        while True:
            sent = self._clock.now()
            member = self.members.best(sent)
            try:
                answer = await ask(member, timeout_s)
            except grpc.aio.AioRpcError as error:
                now = self._clock.now()
                failure = read_failure(error, member.address, now - began, size)
                if failure is None:
                    raise
                if not failure.elsewhere:
                    raise failure.error from error
                self.members.failed(member, now)
                failures += 1
                if not (repeatable or failure.nothing_done):
                    raise failure.error from error
                # One that says it has no leader knows more than one that says nothing.
                if not isinstance(verdict, NoLeader):
                    verdict = failure.error
                if self._gives_up(failures, now):
                    raise verdict from error
                log.debug("etcd call failed", member=member.address, reason=error.details())
            else:
                self.members.answered(member)
                return answer
            if failures % len(self.members.all) == 0:
                await self._clock.sleep(self._options.retry_s)

    def _gives_up(self, failures: int, now: float) -> bool:
        since = self.members.failing_since
        everyone_asked = failures >= len(self.members.all)
        return everyone_asked and since is not None and now - since >= self._options.patience_s

    def unary(self, stub: Callable[[Member], Any], request: Any) -> Ask:
        """Make an `Ask` of a method that takes one message and gives one."""

        def ask(member: Member, timeout_s: float) -> Awaitable[Any]:
            answer: Awaitable[Any] = stub(member)(request, timeout=timeout_s, metadata=METADATA)
            return answer

        return ask


async def read_one(call: Any, request: Any, peer: str, waited_s: float) -> Any:
    """Send one message on a two-way stream and give the one that answers it."""
    try:
        await call.write(request)
        answer = await call.read()
    finally:
        call.cancel()
    if answer is EOF:
        raise Unavailable(f"etcd member {peer}", waited_s)
    return answer
