"""Bodies of the HTTP API that are not nouns of their own."""

from __future__ import annotations

from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import AllocMetric, Evaluation, PlanAnnotations
from hanse.structs.job import Job, Multiregion
from hanse.structs.taskstate import (
    AllocatedResources,
    AllocDeploymentStatus,
    DesiredTransition,
    RescheduleTracker,
    TaskState,
)
from hanse.structs.wire import ZERO_TIME, Wire


class JobSubmission(Wire, frozen=True, kw_only=True):
    """The source a job was submitted from."""

    source: str = ""
    format: str = ""
    variable_flags: dict[str, str] = {}
    variables: str = ""
    namespace: str = ""
    job_id: str = ""
    version: int = 0
    job_modify_index: int = 0


class TaskGroupSummary(Wire, frozen=True, kw_only=True):
    """The same for one group."""

    queued: int = 0
    complete: int = 0
    failed: int = 0
    running: int = 0
    starting: int = 0
    lost: int = 0
    unknown: int = 0


class JobChildrenSummary(Wire, frozen=True, kw_only=True):
    """Children of a periodic or parameterized job."""

    pending: int = 0
    running: int = 0
    dead: int = 0


class JobSummary(Wire, frozen=True, kw_only=True):
    """How many instances are in which state."""

    job_id: str = ""
    namespace: str = ""
    summary: dict[str, TaskGroupSummary] = {}
    children: JobChildrenSummary | None = None
    create_index: int = 0
    modify_index: int = 0


class JobListStub(Wire, frozen=True, kw_only=True):
    """A job in a list."""

    id: str = ""
    parent_id: str = ""
    name: str = ""
    namespace: str = ""
    datacenters: tuple[str, ...] = ()
    node_pool: str = ""
    multiregion: Multiregion | None = None
    type: str = ""
    priority: int = 0
    periodic: bool = False
    parameterized_job: bool = False
    stop: bool = False
    status: str = ""
    status_description: str = ""
    job_summary: JobSummary | None = None
    create_index: int = 0
    modify_index: int = 0
    job_modify_index: int = 0
    submit_time: int = 0
    meta: dict[str, str] = {}


class AllocListStub(Wire, frozen=True, kw_only=True):
    """An allocation in a list."""

    id: str = ""
    eval_id: str = ""
    name: str = ""
    namespace: str = ""
    node_id: str = ""
    node_name: str = ""
    job_id: str = ""
    job_type: str = ""
    job_version: int = 0
    task_group: str = ""
    allocated_resources: AllocatedResources | None = None
    desired_status: str = ""
    desired_description: str = ""
    client_status: str = ""
    client_description: str = ""
    desired_transition: DesiredTransition = DesiredTransition()
    task_states: dict[str, TaskState] = {}
    deployment_status: AllocDeploymentStatus | None = None
    followup_eval_id: str = ""
    next_allocation: str = ""
    reschedule_tracker: RescheduleTracker | None = None
    preempted_allocations: tuple[str, ...] = ()
    preempted_by_allocation: str = ""
    create_index: int = 0
    modify_index: int = 0
    create_time: int = 0
    modify_time: int = 0


class FieldDiff(Wire, frozen=True, kw_only=True):
    """What changes in a field."""

    type: str = ""
    name: str = ""
    old: str = ""
    new: str = ""
    annotations: tuple[str, ...] = ()


class ObjectDiff(Wire, frozen=True, kw_only=True):
    """What changes in a block."""

    type: str = ""
    name: str = ""
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()


class TaskDiff(Wire, frozen=True, kw_only=True):
    """What changes in a task."""

    type: str = ""
    name: str = ""
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    annotations: tuple[str, ...] = ()


class TaskGroupDiff(Wire, frozen=True, kw_only=True):
    """What changes in a group."""

    type: str = ""
    name: str = ""
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    tasks: tuple[TaskDiff, ...] = ()
    updates: dict[str, int] = {}


class JobDiff(Wire, frozen=True, kw_only=True):
    """What changes between two versions of a job."""

    type: str = ""
    id: str = ""
    fields: tuple[FieldDiff, ...] = ()
    objects: tuple[ObjectDiff, ...] = ()
    task_groups: tuple[TaskGroupDiff, ...] = ()


class JobRegisterRequest(Wire, frozen=True, kw_only=True):
    """Body of a registration."""

    submission: JobSubmission | None = None
    job: Job | None = None
    enforce_index: bool = False
    job_modify_index: int = 0
    preserve_counts: bool = False
    preserve_resources: bool = False
    policy_override: bool = False
    eval_priority: int = 0
    eval: Evaluation | None = None
    deployment: Deployment | None = None
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class JobRegisterResponse(Wire, frozen=True, kw_only=True):
    """Answer to a registration."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0
    warnings: str = ""


class JobDeregisterResponse(Wire, frozen=True, kw_only=True):
    """Answer to a stop."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0
    volume_eval_id: str = ""
    volume_eval_index: int = 0


class JobPlanRequest(Wire, frozen=True, kw_only=True):
    """Body of a dry run."""

    job: Job | None = None
    diff: bool = False
    policy_override: bool = False
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class JobPlanResponse(Wire, frozen=True, kw_only=True):
    """Answer to a dry run."""

    annotations: PlanAnnotations | None = None
    failed_tg_allocs: dict[str, AllocMetric] = {}
    job_modify_index: int = 0
    created_evals: tuple[Evaluation, ...] = ()
    diff: JobDiff | None = None
    next_periodic_launch: str = ZERO_TIME
    warnings: str = ""


class JobRevertRequest(Wire, frozen=True, kw_only=True):
    """Body of a revert."""

    job_id: str = ""
    job_version: int = 0
    enforce_prior_version: int | None = None
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class JobStabilityRequest(Wire, frozen=True, kw_only=True):
    """Body that marks a version stable."""

    job_id: str = ""
    job_version: int = 0
    stable: bool = False
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class EvalOptions(Wire, frozen=True, kw_only=True):
    """Options of an evaluation."""

    force_reschedule: bool = False


class JobEvaluateRequest(Wire, frozen=True, kw_only=True):
    """Body that asks for an evaluation."""

    job_id: str = ""
    eval_options: EvalOptions = EvalOptions()
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class JobScaleRequest(Wire, frozen=True, kw_only=True):
    """Body that changes a count."""

    job_id: str = ""
    target: dict[str, str] = {}
    count: int | None = None
    message: str = ""
    error: bool = False
    meta: dict[str, object] = {}
    policy_override: bool = False
    enforce_index: bool = False
    job_modify_index: int = 0
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class ScalingEvent(Wire, frozen=True, kw_only=True):
    """A count that was changed."""

    time: int = 0
    count: int | None = None
    previous_count: int = 0
    message: str = ""
    error: bool = False
    meta: dict[str, object] = {}
    eval_id: str | None = None
    create_index: int = 0


class TaskGroupScaleStatus(Wire, frozen=True, kw_only=True):
    """Counts of a group."""

    desired: int = 0
    placed: int = 0
    running: int = 0
    healthy: int = 0
    unhealthy: int = 0
    events: tuple[ScalingEvent, ...] = ()


class JobScaleStatus(Wire, frozen=True, kw_only=True):
    """Counts of a job."""

    job_id: str = ""
    namespace: str = ""
    job_create_index: int = 0
    job_modify_index: int = 0
    job_stopped: bool = False
    task_groups: dict[str, TaskGroupScaleStatus] = {}


class JobValidateResponse(Wire, frozen=True, kw_only=True):
    """Answer to a validation."""

    driver_config_validated: bool = False
    validation_errors: tuple[str, ...] = ()
    error: str = ""
    warnings: str = ""


class NamespacedID(Wire, frozen=True, kw_only=True):
    """A job's name in its namespace."""

    id: str = ""
    namespace: str = ""


class JobStatusesDeployment(Wire, frozen=True, kw_only=True):
    """Deployment health of an allocation."""

    canary: bool = False
    healthy: bool | None = None


class JobStatusesAlloc(Wire, frozen=True, kw_only=True):
    """An allocation in the jobs page."""

    id: str = ""
    group: str = ""
    client_status: str = ""
    node_id: str = ""
    deployment_status: JobStatusesDeployment = JobStatusesDeployment()
    job_version: int = 0
    followup_eval_id: str = ""
    has_paused_task: bool = False


class JobStatusesLatestDeployment(Wire, frozen=True, kw_only=True):
    """The latest deployment in the jobs page."""

    id: str = ""
    is_active: bool = False
    job_version: int = 0
    status: str = ""
    status_description: str = ""
    all_auto_promote: bool = False
    requires_promotion: bool = False


class JobStatusesJob(Wire, frozen=True, kw_only=True):
    """A job in the jobs page."""

    id: str = ""
    namespace: str = ""
    name: str = ""
    type: str = ""
    node_pool: str = ""
    datacenters: tuple[str, ...] = ()
    priority: int = 0
    version: int = 0
    submit_time: int = 0
    modify_index: int = 0
    allocs: tuple[JobStatusesAlloc, ...] = ()
    group_count_sum: int = 0
    child_statuses: tuple[str, ...] = ()
    parent_id: str = ""
    latest_deployment: JobStatusesLatestDeployment | None = None
    stop: bool = False
    is_pack: bool = False
    status: str = ""


class PreemptionConfig(Wire, frozen=True, kw_only=True):
    """Which schedulers may evict lower priorities."""

    system_scheduler_enabled: bool = False
    sys_batch_scheduler_enabled: bool = False
    batch_scheduler_enabled: bool = False
    service_scheduler_enabled: bool = False


class SchedulerConfiguration(Wire, frozen=True, kw_only=True):
    """How the scheduler decides."""

    scheduler_algorithm: str = ""
    preemption_config: PreemptionConfig = PreemptionConfig()
    memory_oversubscription_enabled: bool = False
    reject_job_registration: bool = False
    pause_eval_broker: bool = False
    node_limit_for_feasibility_checks: int = 0
    create_index: int = 0
    modify_index: int = 0
