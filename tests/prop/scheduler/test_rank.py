"""Choosing many nodes at once gives what choosing one after the other gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hanse.structs.job import EphemeralDisk, Spread, SpreadTarget
from hanse.structs.task import Affinity, Constraint
from region.scheduler import coupled, rank
from region.scheduler.affinity import affinity_of
from region.scheduler.board import Board
from region.scheduler.coupled import couplings_of
from region.scheduler.fleet import Fleet
from region.scheduler.peers import Peers
from region.scheduler.resources import Usage, ask_of
from tests.unit.scheduler.world import make_group, make_job, make_node, node_id

SIZES = st.sampled_from([500, 1000, 1500, 4000])
RACKS = st.sampled_from(["a", "b", "c", None])


@st.composite
def boards(draw: st.DrawFn) -> Board:
    fleet = Fleet.empty()
    for number in range(1, draw(st.integers(1, 12)) + 1):
        rack = draw(RACKS)
        fleet.set_node(
            make_node(
                number,
                cpu=draw(SIZES),
                memory=draw(SIZES),
                disk=draw(st.sampled_from([0, 300, 1000, 100_000])),
                meta={"rack": rack} if rack is not None else {},
            )
        )
        used = draw(st.integers(0, 3)) * 100
        fleet.charge(node_id(number), Usage(used, used, 0))
    return Board(fleet.snapshot(), seed=1)


@st.composite
def wishes(draw: st.DrawFn, board: Board) -> rank.Wish:
    group = make_group(
        cpu=draw(st.sampled_from([10, 50, 400])),
        memory=draw(st.sampled_from([10, 300])),
        ephemeral_disk=EphemeralDisk(size_mb=draw(st.sampled_from([0, 200]))),
        dynamic=draw(st.sampled_from([(), ("http",)])),
        affinities=draw(
            st.sampled_from(
                [(), (Affinity(l_target="${meta.rack}", r_target="a", operand="=", weight=-50),)]
            )
        ),
    )
    rows = st.integers(0, board.view.size - 1)
    return rank.Wish(
        ask=ask_of(group),
        desired=draw(st.sampled_from([1, 3, 10, 30, 100])),
        collisions=draw(st.dictionaries(rows, st.integers(1, 3), max_size=4)),
        penalties=draw(st.frozensets(rows, max_size=2)),
        affinity=affinity_of(board.view, make_job(group), group),
        algorithm=draw(st.sampled_from(["binpack", "spread"])),
        per_node_max=draw(st.sampled_from([1, 2, 1 << 30])),
    )


def one_by_one(board: Board, wish: rank.Wish, open_rows: np.ndarray, wanted: int) -> list[int]:
    """The best head again and again; equal ones by the order of ids."""
    scorer, order = rank.Scorer(board, wish), board.view.capacity.order
    depth = {int(row): 0 for row in np.flatnonzero(open_rows)}
    chosen: list[int] = []
    while len(chosen) < wanted and depth:
        score = {
            row: float(scorer.at(np.array([row]), np.array([d]))[0, 0]) for row, d in depth.items()
        }
        best = min(depth, key=lambda row: (-score[row], order[row]))
        chosen.append(best)
        depth[best] += 1
        if not rank.room(board, wish, np.array([best]), np.array([depth[best]]))[0, 0]:
            del depth[best]
    return chosen


@given(data=st.data(), board=boards(), wanted=st.integers(1, 150))
def test_many_at_once_are_chosen_as_one_by_one(
    data: st.DataObject, board: Board, wanted: int
) -> None:
    wish = data.draw(wishes(board))
    everywhere = np.ones(board.view.size, np.bool_)
    fits = rank.fitting(board, wish.ask, everywhere)
    assert rank.choose(board, wish, fits, wanted).rows == one_by_one(board, wish, fits, wanted)


@given(data=st.data(), board=boards(), wanted=st.integers(1, 25))
def test_what_looks_only_at_the_best_of_each_kind_chooses_the_same(
    data: st.DataObject, board: Board, wanted: int
) -> None:
    spread = Spread(
        attribute="${meta.rack}",
        weight=50,
        spread_target=data.draw(st.sampled_from([(), (SpreadTarget(value="a", percent=60),)])),
    )
    limit = Constraint(l_target="${meta.rack}", r_target="4", operand="distinct_property")
    rules = data.draw(st.sampled_from([(), (limit,)]))
    group = make_group(count=wanted, spreads=(spread,), constraints=rules)
    wish = data.draw(wishes(board))
    everywhere = np.ones(board.view.size, np.bool_)
    fits = rank.fitting(board, wish.ask, everywhere)
    found = []
    for looks in (0, 1 << 30):
        couplings = couplings_of(
            board.view, make_job(group), group, Peers(board.view.size), everywhere
        )
        found.append(coupled.choose(board, wish, fits, wanted, couplings, looks_max=looks).rows)
    assert found[0] == found[1]
    if rules:
        racks = [board.view.node(row).meta.get("rack") for row in found[0]]
        assert None not in racks
        assert all(racks.count(rack) <= 4 for rack in racks)


@given(board=boards(), wanted=st.integers(1, 40))
def test_an_even_spread_is_even_while_there_is_room(board: Board, wanted: int) -> None:
    group = make_group(
        count=wanted,
        cpu=1,
        memory=1,
        ephemeral_disk=EphemeralDisk(size_mb=0),
        spreads=(Spread(attribute="${meta.rack}"),),
    )
    wish = rank.Wish(ask=ask_of(group), desired=wanted)
    racked = np.array([bool(board.view.node(r).meta) for r in range(board.view.size)])
    couplings = couplings_of(board.view, make_job(group), group, Peers(board.view.size), racked)
    rows = coupled.choose(board, wish, racked, wanted, couplings).rows
    racks = [board.view.node(row).meta["rack"] for row in rows]
    present = {board.view.node(int(row)).meta["rack"] for row in np.flatnonzero(racked)}
    counts = [racks.count(rack) for rack in present]
    assert len(rows) == (wanted if present else 0)
    assert not counts or max(counts) - min(counts) <= 1
