"""Which member is promoted or removed, and when neither."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from region.quorum.autopilot import (
    AutopilotConfiguration,
    Change,
    Member,
    Promote,
    Remove,
    decide,
    failure_tolerance,
    quorum_of,
    removable,
)

CONFIG = AutopilotConfiguration()


def voter(number: int, *, alive: bool = True, since_s: float = 1000.0) -> Member:
    return Member(number, f"s{number}", True, alive, since_s, lag=0, own=number == 1)


def learner(number: int, *, alive: bool = True, since_s: float = 1000.0, lag: int = 0) -> Member:
    return Member(number, f"s{number}", False, alive, since_s, lag=lag)


def change(*members: Member, config: AutopilotConfiguration = CONFIG) -> Change | None:
    return decide(members, config, expect=3, grace_s=60.0)


def test_nothing_is_done_while_all_is_well() -> None:
    assert change(voter(1), voter(2), voter(3)) is None


def test_a_learner_votes_once_it_has_caught_up_and_been_well_for_a_while() -> None:
    three = (voter(1), voter(2), voter(3))
    assert change(*three, learner(4)) == Promote(learner(4))
    assert change(*three, learner(4, lag=251)) is None
    assert change(*three, replace(learner(4), lag=None)) is None
    assert change(*three, learner(4, since_s=9.0)) is None
    assert change(*three, learner(4, alive=False, since_s=1.0)) is None


def test_a_dead_one_is_removed_when_another_has_taken_its_place() -> None:
    dead = voter(3, alive=False)
    assert change(voter(1), voter(2), dead) is None
    assert change(voter(1), voter(2), dead, voter(4)) == Remove(dead)
    assert change(voter(1), voter(2), dead, learner(4)) == Promote(learner(4))


def test_a_dead_one_has_its_time_of_grace() -> None:
    dead = voter(3, alive=False, since_s=59.0)
    assert change(voter(1), voter(2), dead, voter(4)) is None


def test_a_dead_learner_is_removed() -> None:
    dead = learner(4, alive=False)
    assert change(voter(1), voter(2), voter(3), dead) == Remove(dead)


def test_nothing_is_done_without_a_majority() -> None:
    dead = [voter(2, alive=False), voter(3, alive=False)]
    assert change(voter(1), *dead, learner(4)) is None


def test_fewer_voters_need_the_operators_word() -> None:
    dead = voter(3, alive=False)
    fewer = msgspec.structs.replace(CONFIG, min_quorum=2)
    assert change(voter(1), voter(2), dead, config=fewer) == Remove(dead)
    off = msgspec.structs.replace(fewer, cleanup_dead_servers=False)
    assert change(voter(1), voter(2), dead, config=off) is None


def test_how_many_may_still_die() -> None:
    assert failure_tolerance([voter(1), voter(2), voter(3)]) == 1
    assert failure_tolerance([voter(1), voter(2), voter(3, alive=False)]) == 0
    assert failure_tolerance([voter(n) for n in range(1, 6)]) == 2


def test_a_voter_alive_may_be_removed_only_if_the_rest_is_a_majority() -> None:
    three = [voter(1), voter(2), voter(3)]
    assert removable(three, three[2])
    weak = [voter(1), voter(2), voter(3, alive=False)]
    assert not removable(weak, weak[1])
    assert removable(weak, weak[2])


members = st.lists(
    st.builds(
        Member,
        member_id=st.integers(1, 99),
        name=st.just("s"),
        voter=st.booleans(),
        alive=st.booleans(),
        since_s=st.sampled_from((1.0, 30.0, 100.0)),
        lag=st.sampled_from((None, 0, 1000)),
        own=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda member: member.member_id,
)


@given(members=members, least=st.integers(0, 5))
def test_whatever_is_decided_leaves_a_living_majority(members: list[Member], least: int) -> None:
    config = msgspec.structs.replace(CONFIG, min_quorum=least)
    decided = decide(members, config, expect=3, grace_s=60.0)
    if decided is None:
        return
    after = [m for m in members if m is not decided.member]
    if isinstance(decided, Promote):
        after.append(replace(decided.member, voter=True))
    for now in (members, after):
        voters = [m for m in now if m.voter]
        assert sum(m.alive for m in voters) >= quorum_of(len(voters))
    if isinstance(decided, Remove):
        assert not decided.member.alive
