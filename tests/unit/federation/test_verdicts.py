"""Verdicts from votes, as a table."""

from __future__ import annotations

import pytest

from federation.messages import Opinion
from federation.verdicts import Verdict, Vote, judge


def vote(voter: str, heard: int, silent_s: float = 1.0, age_s: float = 0.5) -> Vote:
    return Vote(voter, voter.split(".")[1], Opinion("x", heard, 3, silent_s), age_s)


HEARS = [vote(f"{n}.{region}", 3) for region in ("home", "b", "c") for n in range(3)]


def deaf(*regions: str, of: int = 3) -> list[Vote]:
    return [vote(f"{n}.{region}", 0, 60.0) for region in regions for n in range(of)]


def hears(*regions: str) -> list[Vote]:
    return [one for one in HEARS if one.voter_region in regions]


@pytest.mark.parametrize(
    ("votes", "verdict"),
    [
        (HEARS, Verdict.ALIVE),
        (deaf("home", "b", "c"), Verdict.LOST),
        # Two of three other regions are most of them, if the third says nothing.
        (deaf("home", "b"), Verdict.LOST),
        (deaf("b", "c"), Verdict.LOST),
        # One still hears it.
        (deaf("home", "b") + hears("c"), Verdict.UNREACHABLE),
        # Nobody but us says anything: it may be we who are cut off.
        (deaf("home"), Verdict.UNREACHABLE),
        ([], Verdict.UNREACHABLE),
        (hears("home") + deaf("b", "c"), Verdict.DEGRADED),
        (hears("home"), Verdict.ALIVE),
        # One of three servers of a region speaks for nobody.
        ([*HEARS[1:], vote("0.home", 0)], Verdict.ALIVE),
        ([*hears("home", "b"), *(vote(f"{n}.c", 2) for n in range(3))], Verdict.ALIVE),
        ([vote(f"{n}.{r}", 2) for r in ("home", "b", "c") for n in range(3)], Verdict.DEGRADED),
    ],
)
def test_the_table_of_verdicts(votes: list[Vote], verdict: Verdict) -> None:
    found = judge("x", home="home", known=3, others=["home", "b", "c", "x"], votes=votes)
    assert found.verdict is verdict


def test_half_of_all_other_regions_are_not_most() -> None:
    others = ["home", "b", "c", "d"]
    found = judge("x", home="home", known=3, others=others, votes=deaf("home", "b"))
    assert found.verdict is Verdict.UNREACHABLE
    assert (found.deaf, found.mute) == (("b", "home"), ("c", "d"))


def test_with_two_regions_the_other_is_never_called_lost() -> None:
    found = judge("x", home="home", known=3, others=["home"], votes=deaf("home"))
    assert found.verdict is Verdict.UNREACHABLE


def test_a_region_knows_that_it_is_there() -> None:
    mine = [Vote(f"{n}.x", "x", Opinion("x", 3, 3, 0.0), 0.0) for n in range(3)]
    votes = mine + deaf("b", "c")
    assert judge("x", home="x", known=3, others=["x", "b", "c"], votes=votes).verdict is (
        Verdict.DEGRADED
    )


def test_the_last_word_is_the_latest_that_any_voter_had() -> None:
    votes = [vote("0.home", 0, 60.0, 0.0), vote("0.b", 0, 55.0, 2.0), vote("0.c", 0, 58.5, 3.0)]
    found = judge("x", home="home", known=3, others=["home", "b", "c"], votes=votes)
    assert found.last_word_s == 57.0
