"""Which of the feasible nodes are best, for many identical instances at once.

Theory. An instance goes to the node with the highest score; then that node's score changes, all
others keep theirs. So each node has its own sequence of scores s(0), s(1), … for its first,
second, … new instance, and choosing the best head again and again takes the elements of all
sequences in the order of their running minimum: once a node is best, it stays best while its next
scores are not below the one it was chosen for. That turns n choices into one partial sort.
Equal scores are taken in the order of the nodes' ids, whole runs first.

Scores. Packing: with f the share of CPU (and of memory) that is free after the placement,
(20 - 10^f_cpu - 10^f_memory) / 18, between 0 for an empty node and 1 for a full one; spreading is
its complement. Further components, each between -1 and 1, are averaged with it where they apply:
`job-anti-affinity` -(n + 1) / count with n instances of the group already there,
`node-reschedule-penalty` -1 where the instance has just failed, `node-affinity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.structs.evaluation import NodeScoreMeta
from region.scheduler.board import Board, dynamic_count
from region.scheduler.fleet import Floats, Mask
from region.scheduler.resources import Ask

Index = npt.NDArray[np.intp]

#: How many nodes' scores are kept with the metrics.
SCORES_KEPT = 5
#: Rows of which the best is looked for together.
_STRETCH = 512
#: Cells of score that one round computes at most.
_CELLS_MAX = 1 << 20

BINPACK, SPREAD = "binpack", "spread"

#: From the sum of both weights, between 2 and 20, to a score: factor and summand.
_LINE = ((-1 / 18, 20 / 18), (1 / 18, -2 / 18))


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be placed, and what makes a node welcome."""

    ask: Ask
    #: The group's count.
    desired: int = 1
    #: Instances of the group by row, those that stay.
    collisions: dict[int, int] = field(default_factory=dict)
    #: Rows where the instance failed.
    penalties: frozenset[int] = frozenset()
    #: Affinity by row, between -1 and 1; 0 counts as none.
    affinity: Floats | None = None
    algorithm: str = BINPACK
    #: At most so many new instances on a row.
    per_node_max: int = 1 << 30


class Scorer:
    """Scores of a wish on a board, for the state the board is in."""

    def __init__(self, board: Board, wish: Wish) -> None:
        """The board must not change while the scorer is used."""
        self._board, self._wish = board, wish
        self._cpu = _shrink(board, "cpu", wish.ask.cpu_mhz)
        self._memory = _shrink(board, "memory", wish.ask.memory_mb)
        self._slope, self._start = _LINE[wish.algorithm == SPREAD]
        self._there = np.zeros(board.view.size, np.int64)
        if wish.collisions:
            there = wish.collisions
            self._there[np.fromiter(there, np.intp, len(there))] = list(there.values())

    def first(self) -> Floats:
        """For all rows: the score of one more instance. Rows without room get any number."""
        wish, board = self._wish, self._board
        scores: Floats = board.cpu_weight * self._cpu
        scores += board.memory_weight * self._memory
        scores *= self._slope
        scores += self._start
        if wish.affinity is not None:
            scores += wish.affinity
            scores /= 1 + (wish.affinity != 0)
        special = np.array(sorted(wish.penalties.union(wish.collisions)), np.intp)
        if len(special):
            scores[special] = self.at(special, np.zeros(1, np.intp))[:, 0]
        return scores

    def at(self, rows: Index, depths: Index) -> Floats:
        """For each row (down) and depth (across): the score after `depth` more instances."""
        total, parts = self.parts(rows, depths)
        return total / parts

    def parts(self, rows: Index, depths: Index) -> tuple[Floats, Floats]:
        """The sum of the components and their number, rows down and depths across."""
        return self._with_others(self.fit(rows, depths), rows, depths)

    def _with_others(self, fit: Floats, rows: Index, depths: Index) -> tuple[Floats, Floats]:
        wish = self._wish
        count = self._there[rows][:, None] + depths[None, :]
        total = fit - np.where(count > 0, (count + 1) / max(wish.desired, 1), 0.0)
        parts: Floats = np.where(count > 0, 2.0, 1.0)
        if wish.affinity is not None:
            total = total + wish.affinity[rows][:, None]
            parts = parts + (wish.affinity[rows] != 0)[:, None]
        if wish.penalties:
            hit = np.isin(rows, list(wish.penalties))
            total = total - hit[:, None]
            parts = parts + hit[:, None]
        return total, parts

    def fit(self, rows: Index, depths: Index) -> Floats:
        """How well the instance fits, between 0 and 1."""
        board, power = self._board, depths[None, :] + 1
        total: Floats = board.cpu_weight[rows][:, None] * self._cpu[rows][:, None] ** power
        total = total + board.memory_weight[rows][:, None] * self._memory[rows][:, None] ** power
        # The same operations as in `first`, so that equal nodes have equal scores to the bit.
        return total * self._slope + self._start

    def meta(
        self,
        rows: Sequence[int],
        norms: Sequence[float] | None = None,
        boosts: Sequence[float] | None = None,
    ) -> tuple[NodeScoreMeta, ...]:
        """The components of rows' scores, as users read them.

        `norms` are the scores if they are not just the means, `boosts` those from spreads.
        """
        if not rows:
            return ()
        wish, zero = self._wish, np.zeros(1, np.intp)
        at = np.array(rows, np.intp)
        fit = self.fit(at, zero)
        fits = fit[:, 0].tolist()
        scores = norms
        if scores is None:
            total, count = self._with_others(fit, at, zero)
            means: list[float] = (total / count)[:, 0].tolist()
            scores = means
        found: list[NodeScoreMeta] = []
        for place, (row, fit, score) in enumerate(zip(rows, fits, scores, strict=True)):
            there, liked = wish.collisions.get(row, 0), wish.affinity
            parts = {
                "binpack": round(fit, 6),
                "job-anti-affinity": -(there + 1) / max(wish.desired, 1) if there else 0.0,
                "node-affinity": float(liked[row]) if liked is not None else 0.0,
                "node-reschedule-penalty": -1.0 if row in wish.penalties else 0.0,
            }
            if boosts is not None:
                parts["allocation-spread"] = round(boosts[place], 6)
            found.append(
                NodeScoreMeta(
                    node_id=self._board.view.node_id(row),
                    scores=parts,
                    norm_score=round(score, 6),
                )
            )
        return tuple(found)


def _shrink(board: Board, what: str, asked: int) -> Floats:
    """By row: 10 to the power of minus the share of the capacity that one instance takes."""
    view = board.view
    key = ("shrink", what, asked)
    kept = view.memo.get(key)
    if kept is not None and kept[0] == view.generation and isinstance(kept[1], np.ndarray):
        return kept[1]
    capacity = (view.capacity.cpu if what == "cpu" else view.capacity.memory)[: view.size]
    factors: Floats = np.power(10.0, -asked / np.maximum(capacity, 1))
    view.memo.put(key, view.generation, factors, 8 * view.size)
    return factors


def fitting(board: Board, ask: Ask, rows: Mask) -> Mask:
    """Those of the rows that have room for one instance, ports apart from static ones included."""
    fits: Mask = rows & (board.cpu >= ask.cpu_mhz)
    fits &= board.memory >= ask.memory_mb
    fits &= board.disk >= ask.disk_mb
    if needed := dynamic_count(ask):
        fits &= board.ports >= needed
    return fits


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows in the order they were chosen; fewer than wanted if there is no more room."""

    rows: list[int]
    #: The best nodes for the first instance.
    scores: tuple[NodeScoreMeta, ...] = ()


def choose(board: Board, wish: Wish, rows: Mask, wanted: int) -> Choice:
    """The best rows for `wanted` instances. The board is not charged.

    `rows` are those that are feasible and have room for one, as `fitting` says.
    """
    scorer = Scorer(board, wish)
    heads = scorer.first()
    np.copyto(heads, -np.inf, where=~rows)
    order = board.view.capacity.order[: board.view.size]
    scores = _top(scorer, heads)
    if not scores or wanted <= 0:
        return Choice([], scores)
    if wanted == 1:
        ties = np.flatnonzero(heads == heads.max())
        return Choice([int(ties[np.argmin(order[ties])])], scores)
    return Choice(_merge(board, scorer, wish, heads, wanted), scores)


def _top(scorer: Scorer, heads: Floats) -> tuple[NodeScoreMeta, ...]:
    """The best rows, found by way of the best of each stretch of rows."""
    whole = len(heads) - len(heads) % _STRETCH
    if whole > _STRETCH * SCORES_KEPT:
        peaks = heads[:whole].reshape(-1, _STRETCH).max(axis=1)
        starts = np.sort(np.argpartition(-peaks, SCORES_KEPT)[:SCORES_KEPT]) * _STRETCH
        rows = (starts[:, None] + np.arange(_STRETCH)).ravel()
        rows = np.append(rows, np.arange(whole, len(heads)))
    else:
        rows = np.arange(len(heads))
    if len(rows) > SCORES_KEPT:
        rows = rows[np.argpartition(-heads[rows], SCORES_KEPT)[:SCORES_KEPT]]
    rows = rows[np.lexsort((rows, -heads[rows]))]
    return scorer.meta([row for row in rows.tolist() if heads[row] > -np.inf])


def _merge(board: Board, scorer: Scorer, wish: Wish, heads: Floats, wanted: int) -> list[int]:
    """Take the sequences of all rows in the order of their running minimum."""
    order = board.view.capacity.order
    rows = np.flatnonzero(heads > -np.inf)
    keys, depths = heads[rows], np.zeros(len(rows), np.intp)
    cut = _best(keys, order[rows], depths, wanted)
    rows, keys, depths = rows[cut], keys[cut], depths[cut]
    live, lowest = rows, keys
    depth, width = 1, 1
    while len(live) and depth < wish.per_node_max:
        width = max(1, min(width, wanted, _CELLS_MAX // len(live)))
        ahead = np.arange(depth, depth + width)
        scores = scorer.at(live, ahead)
        scores[~room(board, wish, live, ahead)] = -np.inf
        scores = np.minimum(np.minimum.accumulate(scores, axis=1), lowest[:, None])
        found = scores > -np.inf
        at_row, at_depth = np.nonzero(found)
        rows = np.concatenate([rows, live[at_row]])
        keys = np.concatenate([keys, scores[found]])
        depths = np.concatenate([depths, ahead[at_depth]])
        cut = _best(keys, order[rows], depths, wanted)
        rows, keys, depths = rows[cut], keys[cut], depths[cut]
        deepest = depths == depth + width - 1
        live, lowest = rows[deepest], keys[deepest]
        depth, width = depth + width, width * 2
    return [int(row) for row in rows[np.lexsort((depths, order[rows], -keys))]]


def _best(keys: Floats, order: npt.NDArray[Any], depths: Index, wanted: int) -> Index:
    """Where the `wanted` best elements are: by key, then by order, then by depth."""
    if len(keys) <= wanted:
        return np.arange(len(keys))
    worst = -np.partition(-keys, wanted - 1)[wanted - 1]
    above = np.flatnonzero(keys > worst)
    ties = np.flatnonzero(keys == worst)
    by_order = np.lexsort((depths[ties], order[ties]))
    return np.concatenate([above, ties[by_order[: wanted - len(above)]]])


def room(board: Board, wish: Wish, rows: Index, depths: Index) -> Mask:
    """Whether the row has room for `depth` + 1 instances, rows down and depths across."""
    ask, times = wish.ask, depths[None, :] + 1
    enough: Mask = times * ask.cpu_mhz <= board.cpu[rows][:, None]
    enough &= times * ask.memory_mb <= board.memory[rows][:, None]
    enough &= times * ask.disk_mb <= board.disk[rows][:, None]
    enough &= times <= wish.per_node_max
    if needed := dynamic_count(ask):
        enough &= times * needed <= board.ports[rows][:, None]
    return enough
