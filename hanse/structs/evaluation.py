"""Evaluations and what a scheduling pass reports."""

from __future__ import annotations

from hanse.structs.task import Resources
from hanse.structs.wire import ZERO_TIME, Wire


class NodeScoreMeta(Wire, frozen=True, kw_only=True):
    """How a node was scored."""

    node_id: str = ""
    scores: dict[str, float] = {}
    norm_score: float = 0.0


class AllocMetric(Wire, frozen=True, kw_only=True):
    """What a placement cost, and why nodes were refused."""

    nodes_evaluated: int = 0
    nodes_filtered: int = 0
    nodes_in_pool: int = 0
    node_pool: str = ""
    nodes_available: dict[str, int] = {}
    class_filtered: dict[str, int] = {}
    constraint_filtered: dict[str, int] = {}
    nodes_exhausted: int = 0
    class_exhausted: dict[str, int] = {}
    dimension_exhausted: dict[str, int] = {}
    quota_exhausted: tuple[str, ...] = ()
    resources_exhausted: dict[str, Resources] = {}
    scores: dict[str, float] = {}
    score_meta_data: tuple[NodeScoreMeta, ...] = ()
    allocation_time_ns: int = 0
    coalesced_failures: int = 0


class EvaluationStub(Wire, frozen=True, kw_only=True):
    """An evaluation in brief."""

    id: str = ""
    namespace: str = ""
    priority: int = 0
    type: str = ""
    triggered_by: str = ""
    job_id: str = ""
    node_id: str = ""
    deployment_id: str = ""
    status: str = ""
    status_description: str = ""
    wait_until: str = ZERO_TIME
    next_eval: str = ""
    previous_eval: str = ""
    blocked_eval: str = ""
    create_index: int = 0
    modify_index: int = 0
    create_time: int = 0
    modify_time: int = 0


class DesiredUpdates(Wire, frozen=True, kw_only=True):
    """How many instances of a group a plan touches, by kind."""

    ignore: int = 0
    place: int = 0
    migrate: int = 0
    stop: int = 0
    in_place_update: int = 0
    destructive_update: int = 0
    canary: int = 0
    preemptions: int = 0
    disconnect: int = 0
    reconnect: int = 0
    reschedule_now: int = 0
    reschedule_later: int = 0


class PlanAnnotations(Wire, frozen=True, kw_only=True):
    """What a plan would do."""

    desired_tg_updates: dict[str, DesiredUpdates] = {}
    preempted_allocs: tuple[object, ...] = ()


class Evaluation(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """A reason to look at a job again, and what came of it."""

    id: str = ""
    namespace: str = ""
    priority: int = 0
    type: str = ""
    triggered_by: str = ""
    job_id: str = ""
    job_modify_index: int = 0
    node_id: str = ""
    node_modify_index: int = 0
    deployment_id: str = ""
    status: str = ""
    status_description: str = ""
    wait_ns: int = 0
    wait_until: str = ZERO_TIME
    next_eval: str = ""
    previous_eval: str = ""
    blocked_eval: str = ""
    related_evals: tuple[EvaluationStub, ...] = ()
    failed_tg_allocs: dict[str, AllocMetric] = {}
    plan_annotations: PlanAnnotations | None = None
    class_eligibility: dict[str, bool] = {}
    quota_limit_reached: str = ""
    missing_non_node_resources: tuple[str, ...] = ()
    escaped_computed_class: bool = False
    annotate_plan: bool = False
    queued_allocations: dict[str, int] = {}
    leader_acl: str = ""
    snapshot_index: int = 0
    create_index: int = 0
    modify_index: int = 0
    create_time: int = 0
    modify_time: int = 0
