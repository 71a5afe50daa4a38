"""The constants, and what follows from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.broadcasts import Broadcasts, size
from federation.messages import Dead, Suspect
from federation.profile import (
    LAN,
    WAN,
    confirmations_wanted,
    push_pull_every_s,
    retransmits,
    suspicion_min_s,
)
from federation.roundtrip import measured


@pytest.mark.parametrize(
    ("members", "shortest_s", "told", "every_s"),
    [(1, 4.0, 4, 30.0), (10, 4.0, 8, 30.0), (100, 8.0, 12, 90.0), (1000, 12.0, 16, 180.0)],
)
def test_waits_grow_with_the_logarithm_of_the_members(
    members: int, shortest_s: float, told: int, every_s: float
) -> None:
    assert suspicion_min_s(LAN, members) == pytest.approx(shortest_s)
    assert retransmits(LAN, members) == told
    assert push_pull_every_s(LAN, members) == every_s


def test_confirmations_are_asked_for_only_of_as_many_as_there_are() -> None:
    assert [confirmations_wanted(LAN, members) for members in (2, 3, 4, 50)] == [0, 0, 2, 2]
    assert confirmations_wanted(WAN, 9) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"ack_s": 1.0},
        {"ack_min_s": 0.0},
        {"gossip_s": 0.0},
        {"fanout": 0},
        {"helpers": -1},
        {"awareness_max": 0},
        {"suspicion_mult": 0},
        {"packet_bytes_max": 100},
        {"packet_bytes_max": 5000},
        {"nack_share": 1.5},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(LAN, **wrong)  # type: ignore[arg-type]


def test_news_is_given_out_least_told_first_and_newest_first_among_equals() -> None:
    news = Broadcasts()
    for name in "abc":
        news.add(Dead(name, 1, "x"))
    room = size(Dead("a", 1, "x"))
    given = [news.take(room, 2)[0].name for _ in range(6)]
    assert given[:3] == ["c", "b", "a"]
    assert sorted(given[3:]) == ["a", "b", "c"]
    assert news.take(room, 2) == ()
    assert len(news) == 0


def test_newer_news_of_a_member_replaces_older() -> None:
    news = Broadcasts()
    news.add(Suspect("a", 1, "x"))
    news.add(Dead("a", 1, "x"))
    assert news.take(1000, 1) == (Dead("a", 1, "x"),)


def test_a_round_trip_is_smoothed_and_its_deviation_kept() -> None:
    known = measured(None, 0.1)
    assert known.patience_s == pytest.approx(0.3)
    for _ in range(50):
        known = measured(known, 0.1)
    assert known.patience_s == pytest.approx(0.1, abs=0.001)
    once_slow = measured(known, 0.5)
    assert once_slow.mean_s == pytest.approx(0.15, abs=0.001)
    assert once_slow.patience_s > 0.5
