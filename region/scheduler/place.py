"""Gives the wanted instances their nodes, or the reasons why they have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from hanse.structs.allocation import Allocation
from hanse.structs.evaluation import AllocMetric
from hanse.structs.ids import IdStream
from hanse.structs.job import Job, TaskGroup
from hanse.structs.plan import Placement
from region.scheduler import coupled, rank
from region.scheduler.affinity import affinity_of
from region.scheduler.board import Board, dynamic_count
from region.scheduler.coupled import Couplings, couplings_of
from region.scheduler.feasible import classes_of, feasible
from region.scheduler.fleet import Mask
from region.scheduler.ledger import Ledger
from region.scheduler.peers import Peers
from region.scheduler.reconcile import Decision, Want
from region.scheduler.resources import Usage, ask_of, usage_of
from region.scheduler.snapshot import Snapshot

STATIC_TAKEN = "network: reserved port collision {label}={port}"
DYNAMIC_TAKEN = "network: dynamic port selection failed"


@dataclass(slots=True)
class Pass:
    """What the groups of one job share while they are placed, one after the other."""

    snapshot: Snapshot
    job: Job
    board: Board
    ids: IdStream
    ledger: Ledger
    peers: Peers
    placements: list[Placement] = field(default_factory=list)
    #: How many live instances were replaced so far: each left room behind.
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the placing of one group ended."""

    metric: AllocMetric
    #: What found no node.
    left: tuple[Want, ...] = ()


def place_all(
    pass_: Pass, decisions: Sequence[Decision], deployment_ids: Mapping[str, str]
) -> dict[str, Outcome]:
    """Place all wants of all groups; placements and links to predecessors go to the pass.

    What finds no room is tried again after later replacements have left some behind.
    """
    placings = {
        decision.name: _Placing(pass_, decision.group, deployment_ids[decision.name])
        for decision in decisions
        if decision.group is not None and decision.wants
    }
    for decision in decisions:
        if decision.name in placings:
            placings[decision.name].place(decision.wants)
    waiting = [placing for placing in placings.values() if placing.may_retry]
    while waiting:
        waiting[0].place(waiting[0].take_left())
        waiting = [placing for placing in placings.values() if placing.may_retry]
    return {name: placing.outcome() for name, placing in placings.items()}


class _Placing:
    """The placing of one group."""

    def __init__(self, pass_: Pass, group: TaskGroup, deployment_id: str) -> None:
        self._pass, self._group = pass_, group
        self._found = feasible(pass_.board.view, pass_.job, group)
        self._deployment_id = deployment_id
        self._ask = ask_of(group)
        self._affinity = affinity_of(pass_.board.view, pass_.job, group)
        self._scope = distinct_scope(pass_.job, group)
        self._metric: AllocMetric | None = None
        self._left: list[Want] = []
        self._replaced_before = 0

    @property
    def may_retry(self) -> bool:
        """Whether room may have been left behind since something found none."""
        return bool(self._left) and self._pass.replaced > self._replaced_before

    def take_left(self) -> list[Want]:
        """What found no room, to be tried again."""
        left, self._left = self._left, []
        return left

    def place(self, wants: Sequence[Want]) -> None:
        """Place these: those that avoid nodes one by one, the others in one go."""
        plain = [want for want in wants if not want.avoid]
        self._replaced_before = self._pass.replaced
        for want in wants:
            if want.avoid:
                self.several([want])
        if plain:
            self.several(plain)

    def outcome(self) -> Outcome:
        """What came of it, with the reasons as they are in the end."""
        metric = self._metric or self._found.metric
        if self._left:
            metric = replace(self._exhausted(metric), coalesced_failures=len(self._left) - 1)
        return Outcome(metric, tuple(self._left))

    def several(self, wants: Sequence[Want]) -> None:
        """Place these, in one go if there is room for all."""
        replacing = [want for want in wants if want.stop_if_placed and want.previous]
        freed = [want for want in replacing if self._leave(want)]
        rows = self._choose(wants, len(wants))
        if len(rows) < len(wants) and freed:
            # Not all fit, so some predecessors stay: their room was not free after all.
            for want in freed:
                self._return(want)
            for want in wants:
                self._one(want)
            return
        self._commit(wants[: len(rows)], rows)
        self._left += wants[len(rows) :]

    def _one(self, want: Want) -> None:
        freed = bool(want.stop_if_placed) and self._leave(want)
        rows = self._choose([want], 1)
        if rows:
            self._commit([want], rows)
            return
        if freed:
            self._return(want)
        self._left.append(want)

    def _usage(self, want: Want) -> tuple[int, Usage] | None:
        """The row and usage that the predecessor gives back when it goes."""
        previous, snapshot = want.previous, self._pass.snapshot
        if previous is None or previous.terminal:
            return None
        row = snapshot.fleet.row(previous.node_id)
        if row is None:
            return None
        return row, usage_of(previous, version_of(snapshot, previous))

    def _leave(self, want: Want) -> bool:
        given = self._usage(want)
        if given is None or want.previous is None:
            return False
        self._pass.board.release(*given)
        self._pass.peers.leave(self._group.name, given[0])
        return True

    def _return(self, want: Want) -> None:
        given = self._usage(want)
        if given is not None:
            self._pass.board.take(*given)
            self._pass.peers.join(self._group.name, given[0])

    def _choose(self, wants: Sequence[Want], wanted: int) -> list[int]:
        board, peers, group = self._pass.board, self._pass.peers, self._group
        avoid = {row for w in wants for n in w.avoid if (row := board.view.row(n)) is not None}
        couplings = couplings_of(board.view, self._pass.job, group, peers, self._found.open)
        rows = self._found.open
        for _, passed in (*self._distinct(couplings), *self._static()):
            rows = rows & passed
        fits = rank.fitting(board, self._ask, rows)
        wish = rank.Wish(
            ask=self._ask,
            desired=group.count,
            collisions=peers.of_group(group.name),
            penalties=frozenset(avoid),
            affinity=self._affinity,
            algorithm=self._pass.snapshot.config.scheduler_algorithm or rank.BINPACK,
            per_node_max=1 if self._alone else 1 << 30,
        )
        if couplings.shares or (couplings.limits and wanted > 1):
            choice = coupled.choose(board, wish, fits, wanted, couplings)
        else:
            choice = rank.choose(board, wish, fits, wanted)
        if self._metric is None:
            short = int(np.count_nonzero(fits)) < self._found.count
            metric = self._exhausted(self._found.metric) if short else self._found.metric
            self._metric = replace(metric, score_meta_data=choice.scores)
        return choice.rows

    @property
    def _alone(self) -> bool:
        """Whether a node can have no two of the group's instances."""
        return self._scope is not None or bool(self._ask.exclusive_ports)

    def _distinct(self, couplings: Couplings) -> list[tuple[str, Mask]]:
        """Rows that other instances leave open, by the rule that says so."""
        found = [(limit.reason, limit.open_rows()) for limit in couplings.limits]
        if self._scope is not None:
            found.append(("distinct_hosts", ~self._pass.peers.occupied(self._scope)))
        return found

    def _static(self) -> list[tuple[str, Mask]]:
        return [
            (STATIC_TAKEN.format(label=port.label, port=port.value), open_rows)
            for port, open_rows in self._pass.board.static_open(self._ask)
        ]

    def _commit(self, wants: Sequence[Want], rows: list[int]) -> None:
        if not rows:
            return
        placements, used = self._pass.placements, list[int]()
        name, deployment_id = self._group.name, self._deployment_id
        board, ask = self._pass.board, self._ask
        for want, row, new_id in zip(wants, rows, self._pass.ids.take(len(rows)), strict=True):
            ports = board.assign(row, ask)
            if ports is None:
                self._left.append(want)
                continue
            used.append(row)
            previous = want.previous
            placements.append(
                Placement(
                    id=new_id,
                    group=name,
                    index=want.index,
                    node_id=board.view.node_id(row),
                    ports=ports,
                    previous_id=previous.id if previous is not None else "",
                    reschedule=want.tracker,
                    deployment_id=deployment_id,
                )
            )
            if previous is not None:
                self._link(want, previous.id, new_id)
        board.charge(used, ask)
        self._pass.peers.join_all(name, used)

    def _link(self, want: Want, previous_id: str, new_id: str) -> None:
        ledger = self._pass.ledger
        ledger.note(previous_id, next_id=new_id)
        if want.stop_if_placed:
            self._pass.replaced += 1
            ledger.note(previous_id, desired_status="stop", desired_description=want.stop_if_placed)

    def _exhausted(self, metric: AllocMetric) -> AllocMetric:
        """The metric with the nodes that would do but have no room, by what they lack."""
        board, group = self._pass.board, self._group
        couplings = couplings_of(
            board.view, self._pass.job, group, self._pass.peers, self._found.open
        )
        filtered, unshared = _drop(self._found.open, self._distinct(couplings))
        reasons, left = _drop(unshared, [*self._static(), *self._dimensions()])
        lacking = unshared & ~left
        return replace(
            metric,
            nodes_filtered=metric.nodes_evaluated - int(np.count_nonzero(unshared)),
            constraint_filtered={**self._found.metric.constraint_filtered, **filtered},
            nodes_exhausted=int(np.count_nonzero(lacking)),
            dimension_exhausted=reasons,
            class_exhausted=classes_of(board.view, lacking),
        )

    def _dimensions(self) -> list[tuple[str, Mask]]:
        board, ask = self._pass.board, self._ask
        tests: list[tuple[str, Mask]] = []
        if needed := dynamic_count(ask):
            tests.append((DYNAMIC_TAKEN, board.ports >= needed))
        return [
            *tests,
            ("cpu", board.cpu >= ask.cpu_mhz),
            ("memory", board.memory >= ask.memory_mb),
            ("disk", board.disk >= ask.disk_mb),
        ]


def _drop(rows: Mask, tests: Sequence[tuple[str, Mask]]) -> tuple[dict[str, int], Mask]:
    """Count each row under the first test it fails; the rows that pass all."""
    counts: dict[str, int] = {}
    for reason, passed in tests:
        count = int(np.count_nonzero(rows & ~passed))
        if count:
            counts[reason] = counts.get(reason, 0) + count
            rows = rows & passed
    return counts, rows


def distinct_scope(job: Job, group: TaskGroup) -> str | None:
    """Whose instances may not share a node: "" for all of the job, a group's name, or nobody's."""
    if any(_is_on(c.operand, c.r_target) for c in job.constraints):
        return ""
    if any(_is_on(c.operand, c.r_target) for c in group.constraints):
        return group.name
    return None


def _is_on(operand: str, value: str) -> bool:
    return operand == "distinct_hosts" and value.lower() not in ("false", "0", "f")


def version_of(snapshot: Snapshot, allocation: Allocation) -> Job | None:
    """The version that the allocation runs, if the snapshot has it.

    Versions of an earlier job of the same name have the same numbers, so those are not looked up:
    it is not known then what the allocation takes, and its room is not given away before it is.
    """
    job, number = snapshot.job, allocation.job_version
    if job is not None and allocation.job_create_index not in (0, job.create_index):
        return None
    return job if job is not None and job.version == number else snapshot.versions.get(number)
