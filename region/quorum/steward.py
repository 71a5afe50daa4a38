"""What the leader does for its cluster: lets servers in for good, puts dead ones out.

Also moves etcd's leadership to the leader's own member, so that its writes take one hop less
and "the leader" means one thing.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from hanse.clock import Clock
from hanse.errors import HanseError
from region.quorum import autopilot
from region.quorum.autopilot import Promote, Remove
from region.quorum.membership import Membership, Seat

log = structlog.get_logger(__name__)

_PERIOD_S = 2.0
#: A new leader leaves etcd alone for so long: there is enough going on.
_SETTLE_S = 4.0


class Overview(Protocol):
    """What the steward goes by."""

    membership: Membership

    async def seats(self) -> list[Seat]:
        """All members with their servers."""
        ...

    async def autopilot_config(self) -> autopilot.AutopilotConfiguration:
        """How much it may do."""
        ...

    async def strike_out(self, seat: Seat) -> None:
        """Remove a member and its server for good."""
        ...


class Steward:
    """A service that runs while its server leads."""

    name = "steward"

    def __init__(self, overview: Overview, clock: Clock, *, expect: int, grace_s: float) -> None:
        """`grace_s`: how long a server must have been dead to be put out."""
        self._overview = overview
        self._clock = clock
        self._expect = expect
        self._grace_s = grace_s

    async def run(self) -> None:
        """Look after the cluster for ever."""
        began = self._clock.now()
        while True:
            await self._clock.sleep(_PERIOD_S)
            try:
                await self.step(settled=self._clock.now() - began >= _SETTLE_S)
            except HanseError as error:
                log.info("the cluster was left as it is", reason=str(error))

    async def step(self, *, settled: bool) -> None:
        """Make the one change that is due, if any."""
        seats = await self._overview.seats()
        config = await self._overview.autopilot_config()
        members = [seat.member for seat in seats]
        change = autopilot.decide(members, config, expect=self._expect, grace_s=self._grace_s)
        by_id = {seat.member.member_id: seat for seat in seats}
        match change:
            case Promote(member):
                await self._overview.membership.promote(member.member_id)
                log.info("server votes from now on", server=member.name)
            case Remove(member):
                await self._overview.strike_out(by_id[member.member_id])
                log.warning("dead server removed", server=member.name, dead_s=round(member.since_s))
            case None if settled:
                await self._overview.membership.lead_raft(seats)
            case None:
                pass
