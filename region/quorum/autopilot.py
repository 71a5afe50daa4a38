"""Who of a cluster's members is let in for good and who is put out: decided on values.

One change at a time, and none that the others could not survive: a change needs a majority of
the voters, those that are alive must stay a majority after it, and the dead never decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanse.structs.wire import Wire

_SECOND_NS = 1_000_000_000


class AutopilotConfiguration(Wire, frozen=True, kw_only=True):
    """How much the leader does by itself."""

    cleanup_dead_servers: bool = True
    last_contact_threshold_ns: int = 2 * _SECOND_NS
    #: A server further behind than this is not healthy, and no learner is promoted.
    max_trailing_logs: int = 250
    #: Never fewer voters than this; 0: than `bootstrap_expect`.
    min_quorum: int = 0
    #: How long a new server must have been well before it votes.
    server_stabilization_time_ns: int = 10 * _SECOND_NS
    enable_redundancy_zones: bool = False
    disable_upgrade_migration: bool = False
    enable_custom_upgrades: bool = False
    create_index: int = 0
    modify_index: int = 0


@dataclass(frozen=True)
class Member:
    """A member of etcd's cluster with what is known of its server."""

    member_id: int
    name: str
    voter: bool
    alive: bool
    #: For how long it has been alive, or not.
    since_s: float
    #: Entries of the log it is behind; None: not known.
    lag: int | None = None
    #: The server that decides.
    own: bool = False


@dataclass(frozen=True)
class Promote:
    """Let a learner vote."""

    member: Member


@dataclass(frozen=True)
class Remove:
    """Put a dead member out."""

    member: Member


Change = Promote | Remove


def quorum_of(voters: int) -> int:
    """How many of the voters decide."""
    return voters // 2 + 1


def failure_tolerance(members: Sequence[Member]) -> int:
    """How many more voters may die before nothing can be decided."""
    voters = [member for member in members if member.voter]
    alive = sum(member.alive for member in voters)
    return max(0, alive - quorum_of(len(voters)))


def healthy(member: Member, config: AutopilotConfiguration) -> bool:
    """Whether a member is alive and keeps up."""
    if not member.alive:
        return False
    return member.own or (member.lag is not None and member.lag <= config.max_trailing_logs)


def decide(
    members: Sequence[Member],
    config: AutopilotConfiguration,
    *,
    expect: int,
    grace_s: float,
) -> Change | None:
    """The next change that is due and safe; None if there is none."""
    voters = [member for member in members if member.voter]
    alive = sum(member.alive for member in voters)
    if alive < quorum_of(len(voters)):
        return None
    learners = sorted((m for m in members if not m.voter), key=lambda m: m.member_id)
    for member in learners:
        if _may_vote(member, config) and alive + 1 >= quorum_of(len(voters) + 1):
            return Promote(member)
    if not config.cleanup_dead_servers:
        return None
    for member in learners:
        if not member.alive and member.since_s >= grace_s:
            return Remove(member)
    for member in sorted(voters, key=lambda m: m.member_id):
        if not member.alive and member.since_s >= grace_s:
            least = config.min_quorum or expect
            if len(voters) - 1 >= max(1, least) and removable(members, member):
                return Remove(member)
    return None


def _may_vote(member: Member, config: AutopilotConfiguration) -> bool:
    stable_s = config.server_stabilization_time_ns / _SECOND_NS
    return healthy(member, config) and member.since_s >= stable_s


def removable(members: Sequence[Member], member: Member) -> bool:
    """Whether the rest can decide without `member`: now, and once it is gone."""
    if not member.voter:
        return True
    voters = [other for other in members if other.voter]
    alive = sum(other.alive for other in voters if other is not member)
    return alive >= quorum_of(len(voters)) - member.alive and alive >= quorum_of(len(voters) - 1)
