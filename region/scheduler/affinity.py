"""How welcome each node is by the job's affinities."""

from __future__ import annotations

import numpy as np

from hanse.structs.job import Job, TaskGroup
from region.scheduler.feasible import constraint_mask
from region.scheduler.fleet import FleetView, Floats


def affinity_of(view: FleetView, job: Job, group: TaskGroup) -> Floats | None:
    """By row: the weights of the rules that hold over the sum of all weights; None without rules.

    The result is between -1 and 1, for negative weights count against a node.
    """
    rules = (*job.affinities, *group.affinities, *(a for t in group.tasks for a in t.affinities))
    if not rules:
        return None
    key = ("affinity", rules)
    kept = view.memo.get(key)
    if kept is not None and kept[0] == view.generation and isinstance(kept[1], np.ndarray):
        return kept[1]
    scores = np.zeros(view.size)
    for rule in rules:
        scores += rule.weight * constraint_mask(view, rule)
    scores /= sum(abs(rule.weight) for rule in rules) or 1
    view.memo.put(key, view.generation, scores, 8 * view.size)
    return scores
