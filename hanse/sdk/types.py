"""Answers of the API that are not nouns of the whole system: what only its readers need."""

from __future__ import annotations

from typing import Any

from hanse.structs.api import JobDiff, SchedulerConfiguration
from hanse.structs.evaluation import AllocMetric
from hanse.structs.job import Job
from hanse.structs.taskstate import (
    AllocatedResources,
    AllocDeploymentStatus,
    AllocNetworkStatus,
    DesiredTransition,
    RescheduleTracker,
    TaskState,
)
from hanse.structs.wire import Wire


class AllocationDetail(Wire, frozen=True, kw_only=True):
    """One allocation with its job."""

    id: str = ""
    namespace: str = ""
    eval_id: str = ""
    name: str = ""
    node_id: str = ""
    node_name: str = ""
    job_id: str = ""
    job: Job | None = None
    task_group: str = ""
    allocated_resources: AllocatedResources | None = None
    metrics: AllocMetric | None = None
    desired_status: str = ""
    desired_description: str = ""
    desired_transition: DesiredTransition = DesiredTransition()
    client_status: str = ""
    client_description: str = ""
    task_states: dict[str, TaskState] = {}
    previous_allocation: str = ""
    next_allocation: str = ""
    deployment_id: str = ""
    deployment_status: AllocDeploymentStatus | None = None
    reschedule_tracker: RescheduleTracker | None = None
    network_status: AllocNetworkStatus | None = None
    followup_eval_id: str = ""
    preempted_allocations: tuple[str, ...] = ()
    preempted_by_allocation: str = ""
    create_index: int = 0
    modify_index: int = 0
    create_time: int = 0
    modify_time: int = 0


class AllocStopResponse(Wire, frozen=True, kw_only=True):
    """Answer to the stop of an allocation."""

    eval_id: str = ""
    index: int = 0


class NodeUpdateResponse(Wire, frozen=True, kw_only=True):
    """Answer to a change of a node."""

    eval_ids: tuple[str, ...] = ()
    eval_create_index: int = 0
    node_modify_index: int = 0


class NodePool(Wire, frozen=True, kw_only=True):
    """A named set of nodes."""

    name: str = ""
    description: str = ""
    meta: dict[str, str] = {}
    scheduler_configuration: dict[str, object] | None = None
    create_index: int = 0
    modify_index: int = 0


class NamespaceCapabilities(Wire, frozen=True, kw_only=True):
    """What jobs of a namespace may use."""

    enabled_task_drivers: tuple[str, ...] = ()
    disabled_task_drivers: tuple[str, ...] = ()
    enabled_network_modes: tuple[str, ...] = ()
    disabled_network_modes: tuple[str, ...] = ()


class Namespace(Wire, frozen=True, kw_only=True):
    """A space of names for jobs."""

    name: str = ""
    description: str = ""
    quota: str = ""
    capabilities: NamespaceCapabilities | None = None
    meta: dict[str, str] = {}
    create_index: int = 0
    modify_index: int = 0


class AgentMember(Wire, frozen=True, kw_only=True):
    """A server of the federation, as gossip knows it."""

    name: str = ""
    addr: str = ""
    port: int = 0
    tags: dict[str, str] = {}
    status: str = ""
    protocol_cur: int = 0


class AgentMembers(Wire, frozen=True, kw_only=True):
    """All servers that an agent knows of."""

    server_name: str = ""
    server_region: str = ""
    server_dc: str = ""
    members: tuple[AgentMember, ...] = ()


class ScalingPolicyListStub(Wire, frozen=True, kw_only=True):
    """A scaling policy in a list."""

    id: str = ""
    enabled: bool = False
    type: str = ""
    target: dict[str, str] = {}


class SearchResponse(Wire, frozen=True, kw_only=True):
    """Ids that begin with a text, by kind of thing."""

    matches: dict[str, tuple[str, ...]] = {}
    truncations: dict[str, bool] = {}


class NodeMeta(Wire, frozen=True, kw_only=True):
    """A node's metadata: from its configuration, set while it runs, and the two together."""

    meta: dict[str, str] = {}
    dynamic: dict[str, str | None] = {}
    static: dict[str, str] = {}


class EvalReference(Wire, frozen=True, kw_only=True):
    """Answer to a write that made an evaluation."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0


class Event(Wire, frozen=True, kw_only=True):
    """Something that happened."""

    topic: str = ""
    type: str = ""
    key: str = ""
    namespace: str = ""
    filter_keys: tuple[str, ...] = ()
    index: int = 0
    payload: dict[str, Any] = {}


class Events(Wire, frozen=True, kw_only=True):
    """What happened at one index."""

    index: int = 0
    events: tuple[Event, ...] = ()


class JobVersions(Wire, frozen=True, kw_only=True):
    """Versions of a job, newest first, and what changed from the one before each."""

    versions: tuple[Job, ...] = ()
    diffs: tuple[JobDiff, ...] = ()


class SchedulerConfigurationAnswer(Wire, frozen=True, kw_only=True):
    """The scheduler's configuration with its index."""

    scheduler_config: SchedulerConfiguration = SchedulerConfiguration()


class EvalDeleted(Wire, frozen=True, kw_only=True):
    """How many evaluations were deleted."""

    count: int = 0


class Updated(Wire, frozen=True, kw_only=True):
    """Whether a conditional write was done."""

    updated: bool = False
