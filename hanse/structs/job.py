"""What a user asks for."""

from __future__ import annotations

from hanse.structs.service import Service
from hanse.structs.task import (
    Affinity,
    Constraint,
    Consul,
    NetworkResource,
    RestartPolicy,
    ScalingPolicy,
    Task,
    VolumeRequest,
)
from hanse.structs.wire import Wire


class SpreadTarget(Wire, frozen=True, kw_only=True):
    """The share of instances wanted where the attribute has this value."""

    value: str = ""
    percent: int = 0


class Spread(Wire, frozen=True, kw_only=True):
    """Spread instances over the values of an attribute."""

    attribute: str = ""
    weight: int = 0
    spread_target: tuple[SpreadTarget, ...] = ()


class PeriodicConfig(Wire, frozen=True, kw_only=True):
    """Launch the job by the clock."""

    enabled: bool = False
    spec: str = ""
    specs: tuple[str, ...] = ()
    spec_type: str = ""
    prohibit_overlap: bool = False
    time_zone: str = ""


class ParameterizedJobConfig(Wire, frozen=True, kw_only=True):
    """A job that runs only when dispatched."""

    payload: str = ""
    meta_required: tuple[str, ...] = ()
    meta_optional: tuple[str, ...] = ()


class MultiregionStrategy(Wire, frozen=True, kw_only=True):
    """How a job rolls out over regions."""

    max_parallel: int = 0
    on_failure: str = ""


class MultiregionRegion(Wire, frozen=True, kw_only=True):
    """One region of a multi-region job."""

    name: str = ""
    count: int = 0
    datacenters: tuple[str, ...] = ()
    node_pool: str = ""
    meta: dict[str, str] = {}


class Multiregion(Wire, frozen=True, kw_only=True):
    """The regions a job runs in."""

    strategy: MultiregionStrategy | None = None
    regions: tuple[MultiregionRegion, ...] = ()


class UpdateStrategy(Wire, frozen=True, kw_only=True):
    """How instances are replaced when the job changes."""

    stagger_ns: int = 0
    max_parallel: int = 0
    health_check: str = ""
    min_healthy_time_ns: int = 0
    healthy_deadline_ns: int = 0
    progress_deadline_ns: int = 0
    auto_revert: bool = False
    auto_promote: bool = False
    canary: int = 0


class MigrateStrategy(Wire, frozen=True, kw_only=True):
    """How instances leave a draining node."""

    max_parallel: int = 0
    health_check: str = ""
    min_healthy_time_ns: int = 0
    healthy_deadline_ns: int = 0


class DisconnectStrategy(Wire, frozen=True, kw_only=True):
    """What happens to instances on a node that is away."""

    lost_after_ns: int = 0
    stop_on_client_after_ns: int | None = None
    replace: bool | None = None
    reconcile: str = ""


class ReschedulePolicy(Wire, frozen=True, kw_only=True):
    """How failed instances are placed anew."""

    attempts: int = 0
    interval_ns: int = 0
    delay_ns: int = 0
    delay_function: str = ""
    max_delay_ns: int = 0
    unlimited: bool = False


class EphemeralDisk(Wire, frozen=True, kw_only=True):
    """The disk an allocation gets."""

    sticky: bool = False
    size_mb: int = 0
    migrate: bool = False


class JobUILink(Wire, frozen=True, kw_only=True):
    """A link shown with the job."""

    label: str = ""
    url: str = ""


class JobUIConfig(Wire, frozen=True, kw_only=True):
    """What the web UI shows of a job."""

    description: str = ""
    links: tuple[JobUILink, ...] = ()


class JobVersionTag(Wire, frozen=True, kw_only=True):
    """A name a user gave to a version."""

    name: str = ""
    description: str = ""
    tagged_time: int = 0


class TaskGroup(Wire, frozen=True, kw_only=True):
    """Tasks that run together on one node, `count` times over."""

    name: str = ""
    count: int = 0
    update: UpdateStrategy | None = None
    migrate: MigrateStrategy | None = None
    constraints: tuple[Constraint, ...] = ()
    scaling: ScalingPolicy | None = None
    restart_policy: RestartPolicy | None = None
    disconnect: DisconnectStrategy | None = None
    tasks: tuple[Task, ...] = ()
    ephemeral_disk: EphemeralDisk | None = None
    meta: dict[str, str] = {}
    reschedule_policy: ReschedulePolicy | None = None
    affinities: tuple[Affinity, ...] = ()
    spreads: tuple[Spread, ...] = ()
    networks: tuple[NetworkResource, ...] = ()
    consul: Consul | None = None
    services: tuple[Service, ...] = ()
    volumes: dict[str, VolumeRequest] = {}
    shutdown_delay_ns: int | None = None
    max_run_duration_ns: int | None = None
    stop_after_client_disconnect_ns: int | None = None
    max_client_disconnect_ns: int | None = None
    prevent_reschedule_on_lost: bool = False


class Job(Wire, frozen=True, kw_only=True):
    """A workload, as users submit it and read it back."""

    stop: bool = False
    region: str = ""
    namespace: str = ""
    id: str = ""
    parent_id: str = ""
    name: str = ""
    type: str = ""
    priority: int = 0
    all_at_once: bool = False
    datacenters: tuple[str, ...] = ()
    node_pool: str = ""
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    spreads: tuple[Spread, ...] = ()
    task_groups: tuple[TaskGroup, ...] = ()
    update: UpdateStrategy = UpdateStrategy()
    multiregion: Multiregion | None = None
    periodic: PeriodicConfig | None = None
    parameterized_job: ParameterizedJobConfig | None = None
    dispatched: bool = False
    dispatch_idempotency_token: str = ""
    #: In base64; null when there is none, since clients read the text "" as a broken list.
    payload: str | None = None
    meta: dict[str, str] = {}
    consul_namespace: str = ""
    vault_namespace: str = ""
    nomad_token_id: str = ""
    status: str = ""
    status_description: str = ""
    stable: bool = False
    version: int = 0
    submit_time: int = 0
    create_index: int = 0
    modify_index: int = 0
    job_modify_index: int = 0
    ui: JobUIConfig | None = None
    version_tag: JobVersionTag | None = None
