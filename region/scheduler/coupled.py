"""Choosing nodes when one placement changes the worth of others: spreads and distinct properties.

Nodes that agree in all the attributes concerned form a kind. A placement changes the scores of
its own node and adds the same amount to all nodes of a kind, so within a kind the order stays,
and the best few of each kind are all that need to be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hanse.structs.evaluation import NodeScoreMeta
from hanse.structs.job import Job, Spread, TaskGroup
from hanse.structs.task import Constraint
from region.scheduler import rank
from region.scheduler.board import Board
from region.scheduler.feasible import Column, column, expression, target
from region.scheduler.fleet import FleetView, Floats, Ints, Mask
from region.scheduler.peers import Peers
from region.scheduler.rank import Index

#: Nodes times instances that are looked at without choosing the best of each kind first.
LOOKS_MAX = 1 << 20


@dataclass(slots=True)
class Share:
    """A spread at work: how many instances each value has, and how many it should."""

    numbers: Ints
    weight: float
    used: Floats
    #: By value; None spreads evenly over the values that are there.
    desired: Floats | None
    present: Mask

    def boosts(self) -> Floats:
        """By value, between -1 and 1: how much one more instance there is wanted."""
        if self.desired is None:
            least = self.used[self.present].min() if self.present.any() else 0.0
            boosts = np.where(self.used <= least, 1.0, -1.0)
        else:
            room = self.desired - self.used - 1
            boosts = np.clip(room / np.maximum(self.desired, 1e-9), -1.0, 1.0)
        boosts[0] = -1.0
        return boosts * self.weight


@dataclass(slots=True)
class Limit:
    """A distinct property at work: at most so many instances for each value."""

    reason: str
    numbers: Ints
    used: Floats
    most: int

    def allowed(self) -> Mask:
        """By value: whether one more instance may go there. Nodes without the property never."""
        allowed: Mask = self.used < self.most
        allowed[0] = False
        return allowed

    def open_rows(self) -> Mask:
        """The rows where one more instance may go."""
        return self.allowed()[self.numbers]


@dataclass(frozen=True, slots=True)
class Couplings:
    """All that couples the instances of one group."""

    shares: tuple[Share, ...] = ()
    limits: tuple[Limit, ...] = ()

    def all(self) -> list[Share | Limit]:
        """Both kinds."""
        return [*self.shares, *self.limits]


def couplings_of(
    view: FleetView, job: Job, group: TaskGroup, peers: Peers, open_rows: Mask
) -> Couplings:
    """What couples the group's instances, with the counts as they are now."""
    spreads = (*job.spreads, *group.spreads)
    total = sum(spread.weight for spread in spreads)
    shares = tuple(
        _share(
            column(view, target(spread.attribute) or spread.attribute),
            spread,
            spread.weight / total if total else 1 / len(spreads),
            group.count,
            peers.of_group(group.name),
            open_rows,
        )
        for spread in spreads
    )
    limits = tuple(
        _limit(view, rule, counts)
        for rules, counts in (
            (job.constraints, peers.of_all()),
            (group.constraints, peers.of_group(group.name)),
        )
        for rule in rules
        if rule.operand == "distinct_property"
    )
    return Couplings(shares, limits)


def _share(
    values: Column,
    spread: Spread,
    weight: float,
    count: int,
    there: Mapping[int, int],
    open_rows: Mask,
) -> Share:
    known = len(values.codes.values)
    present = np.zeros(known, np.bool_)
    present[values.numbers[open_rows]] = True
    present[0] = False
    desired: Floats | None = None
    if spread.spread_target:
        desired = np.zeros(known)
        named = {t.value: t.percent for t in spread.spread_target}
        others = [n for n, v in enumerate(values.codes.values) if v not in named and present[n]]
        for number, value in enumerate(values.codes.values):
            desired[number] = named.get(value or "", 0) / 100 * count
        rest = max(0, 100 - sum(named.values())) / 100 * count
        desired[others] = rest / len(others) if others else 0.0
    return Share(
        numbers=values.numbers,
        weight=weight,
        used=_used(values, there),
        desired=desired,
        present=present,
    )


def _limit(view: FleetView, rule: Constraint, there: Mapping[int, int]) -> Limit:
    values = column(view, target(rule.l_target) or rule.l_target)
    most = int(rule.r_target) if rule.r_target.isdecimal() else 1
    return Limit(expression(rule), values.numbers, _used(values, there), most)


def _used(values: Column, there: Mapping[int, int]) -> Floats:
    used = np.zeros(len(values.codes.values))
    for row, count in there.items():
        used[values.numbers[row]] += count
    return used


def choose(
    board: Board,
    wish: rank.Wish,
    rows: Mask,
    wanted: int,
    couplings: Couplings,
    *,
    looks_max: int = LOOKS_MAX,
) -> rank.Choice:
    """As `rank.choose`, one instance after the other. Counts its choices in `couplings`."""
    scorer = rank.Scorer(board, wish)
    chosen: list[int] = []
    candidates = np.flatnonzero(rows)
    if not len(candidates):
        return rank.Choice([])
    zero = np.zeros(1, np.intp)
    total, parts = (values[:, 0] for values in scorer.parts(candidates, zero))
    kinds = _kinds(couplings, candidates)
    if len(candidates) * wanted > looks_max:
        keep = _best_of_each(kinds, parts, total, board.view.capacity.order[candidates], wanted)
        candidates, total, parts, kinds = (
            candidates[keep],
            total[keep],
            parts[keep],
            kinds[keep],
        )
    depths = np.zeros(len(candidates), np.intp)
    order = board.view.capacity.order[candidates]
    extra = 1 if couplings.shares else 0
    scores: tuple[NodeScoreMeta, ...] = ()
    while len(chosen) < wanted:
        boost, allowed = _worth(couplings, candidates)
        values = np.where(allowed, (total + boost) / (parts + extra), -np.inf)
        best = values.max()
        if not chosen:
            scores = _meta(scorer, candidates, values, boost, shares=bool(couplings.shares))
        if best == -np.inf:
            break
        ties = np.flatnonzero(values == best)
        at = int(ties[np.argmin(order[ties])])
        row = int(candidates[at])
        chosen.append(row)
        _count(couplings, row)
        depths[at] += 1
        one, depth = np.array([row], np.intp), np.array([depths[at]], np.intp)
        if rank.room(board, wish, one, depth)[0, 0]:
            sums, numbers = scorer.parts(one, depth)
            total[at], parts[at] = sums[0, 0], numbers[0, 0]
        else:
            total[at] = -np.inf
    return rank.Choice(chosen, scores)


def _kinds(couplings: Couplings, candidates: Index) -> Index:
    """A number for each combination of the attributes concerned."""
    kinds = np.zeros(len(candidates), np.intp)
    for coupling in couplings.all():
        numbers = coupling.numbers[candidates]
        pairs = kinds * (int(numbers.max()) + 1) + numbers
        kinds = np.unique(pairs, return_inverse=True)[1]
    return kinds


def _best_of_each(
    kinds: Index,
    parts: Floats,
    total: Floats,
    order: np.ndarray[tuple[int], np.dtype[np.uint64]],
    wanted: int,
) -> Index:
    """Where the `wanted` best of each kind are; scores of other numbers of parts go apart."""
    groups = kinds * 8 + parts.astype(np.intp)
    sorted_ = np.lexsort((order, -total, groups))
    by_group = groups[sorted_]
    starts = np.searchsorted(by_group, by_group)
    return sorted_[np.arange(len(sorted_)) - starts < wanted]


def _worth(couplings: Couplings, candidates: Index) -> tuple[Floats, Mask]:
    boost, allowed = np.zeros(len(candidates)), np.ones(len(candidates), np.bool_)
    for share in couplings.shares:
        boost += share.boosts()[share.numbers[candidates]]
    for limit in couplings.limits:
        allowed &= limit.allowed()[limit.numbers[candidates]]
    return boost, allowed


def _count(couplings: Couplings, row: int) -> None:
    for coupling in couplings.all():
        coupling.used[coupling.numbers[row]] += 1


def _meta(
    scorer: rank.Scorer, candidates: Index, values: Floats, boost: Floats, *, shares: bool
) -> tuple[NodeScoreMeta, ...]:
    best = np.argsort(-values, kind="stable")[: rank.SCORES_KEPT]
    best = best[values[best] > -np.inf]
    return scorer.meta(
        candidates[best].tolist(),
        values[best].tolist(),
        boost[best].tolist() if shares else None,
    )
