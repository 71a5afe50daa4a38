"""What a federation says of a region, from what the servers of its regions find.

One server that hears nothing of a region may be cut off itself, and so may its whole region. So
each region has one voice, that of half of its servers, and only two voices or more, and those of
most other regions, call a region lost. With two regions there is no telling who is cut off:
neither is ever called lost, only unreachable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from federation.messages import Opinion


class Verdict(StrEnum):
    """The four things that are said of a region."""

    #: All its servers are heard, and by all regions.
    ALIVE = "alive"
    #: It is heard here; some of its servers are not, or some region does not hear it.
    DEGRADED = "degraded"
    #: It is not heard here; whether it is there cannot be told, or another region hears it.
    UNREACHABLE = "unreachable"
    #: At least two other regions, most of all others, do not hear it, and none does.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Vote:
    """One server's opinion of one region."""

    voter: str
    voter_region: str
    opinion: Opinion
    #: Seconds since it came.
    age_s: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what it rests on."""

    region: str
    verdict: Verdict
    #: Servers heard, by the region that hears most of them, and servers there are.
    heard: int
    known: int
    #: Seconds since the last word that any voter had.
    last_word_s: float
    #: Regions that hear it, do not, and have no voice now.
    heard_by: tuple[str, ...]
    deaf: tuple[str, ...]
    mute: tuple[str, ...]


def judge(
    region: str, *, home: str, known: int, others: Iterable[str], votes: Iterable[Vote]
) -> Judgement:
    """Say what is to be said of a region of `known` servers, seen from `home`.

    `others` are all regions but this one that should have a voice; `votes` are fresh ones of any
    region's servers. Votes of the region on itself count for its last word only.
    """
    ballots = [vote for vote in votes if vote.opinion.region == region]
    voices = _voices(ballots)
    asked = sorted(set(others) - {region})
    heard_by = tuple(other for other in asked if voices.get(other) is True)
    deaf = tuple(other for other in asked if voices.get(other) is False)
    mute = tuple(other for other in asked if other not in voices)
    heard = max((vote.opinion.heard for vote in ballots), default=0)
    here = region == home or home in heard_by
    if not here and not heard_by and len(deaf) >= 2 and 2 * len(deaf) > len(asked):
        verdict = Verdict.LOST
    elif not here:
        verdict = Verdict.UNREACHABLE
    elif heard < known or deaf:
        verdict = Verdict.DEGRADED
    else:
        verdict = Verdict.ALIVE
    last = min((vote.opinion.silent_s + vote.age_s for vote in ballots), default=float("inf"))
    return Judgement(region, verdict, heard, known, last, heard_by, deaf, mute)


def _voices(ballots: Iterable[Vote]) -> Mapping[str, bool]:
    """For each region with votes, whether at least half of its voters hear anything."""
    found: dict[str, list[bool]] = {}
    for vote in ballots:
        found.setdefault(vote.voter_region, []).append(vote.opinion.heard > 0)
    return {region: 2 * sum(heard) >= len(heard) for region, heard in found.items()}
