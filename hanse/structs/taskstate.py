"""What clients report of allocations and tasks."""

from __future__ import annotations

from msgspec import field

from hanse.structs.task import DNSConfig, NetworkResource, TaskLifecycleConfig
from hanse.structs.wire import ZERO_TIME, Wire


class TaskEvent(Wire, frozen=True, kw_only=True):
    """Something that happened to a task."""

    type: str = ""
    time: int = 0
    message: str = ""
    display_message: str = ""
    details: dict[str, str] = {}
    fails_task: bool = False
    restart_reason: str = ""
    setup_error: str = ""
    driver_error: str = ""
    exit_code: int = 0
    signal: int = 0
    kill_timeout_ns: int = 0
    kill_error: str = ""
    kill_reason: str = ""
    start_delay: int = 0
    download_error: str = ""
    validation_error: str = ""
    disk_limit: int = 0
    failed_sibling: str = ""
    vault_error: str = ""
    task_signal_reason: str = ""
    task_signal: str = ""
    driver_message: str = ""
    generic_source: str = ""


class TaskState(Wire, frozen=True, kw_only=True):
    """What a task is doing."""

    state: str = ""
    failed: bool = False
    restarts: int = 0
    last_restart: str = ZERO_TIME
    started_at: str = ZERO_TIME
    finished_at: str = ZERO_TIME
    events: tuple[TaskEvent, ...] = ()
    paused: str = ""


class AllocDeploymentStatus(Wire, frozen=True, kw_only=True):
    """Whether the allocation counts as healthy in its deployment."""

    healthy: bool | None = None
    timestamp: str = ZERO_TIME
    canary: bool = False
    modify_index: int = 0


class AllocNetworkStatus(Wire, frozen=True, kw_only=True):
    """The allocation's own network."""

    interface_name: str = ""
    address: str = ""
    address_i_pv6: str = ""
    dns: DNSConfig | None = None


class AllocState(Wire, frozen=True, kw_only=True):
    """A change of state worth remembering."""

    field: str = ""
    value: str = ""
    time: str = ZERO_TIME


class DesiredTransition(Wire, frozen=True, kw_only=True):
    """What the servers want to happen to an allocation."""

    migrate: bool | None = None
    reschedule: bool | None = None
    force_reschedule: bool | None = None
    no_shutdown_delay: bool | None = None
    migrate_disable_placement: bool | None = None


class RescheduleEvent(Wire, frozen=True, kw_only=True):
    """One earlier placement of an instance."""

    reschedule_time: int = 0
    prev_alloc_id: str = ""
    prev_node_id: str = ""
    delay_ns: int = 0


class RescheduleTracker(Wire, frozen=True, kw_only=True):
    """The earlier placements of an instance."""

    events: tuple[RescheduleEvent, ...] = ()
    last_reschedule: str = ""


class AllocatedCpuResources(Wire, frozen=True, kw_only=True):
    """CPU given to a task."""

    cpu_shares: int = field(default=0, name="CpuShares")
    reserved_cores: tuple[int, ...] = ()


class AllocatedMemoryResources(Wire, frozen=True, kw_only=True):
    """Memory given to a task."""

    memory_mb: int = 0
    memory_max_mb: int = 0


class AllocatedDeviceResource(Wire, frozen=True, kw_only=True):
    """Devices given to a task."""

    vendor: str = ""
    type: str = ""
    name: str = ""
    device_i_ds: tuple[str, ...] = ()


class AllocatedTaskResources(Wire, frozen=True, kw_only=True):
    """What a task was given."""

    cpu: AllocatedCpuResources = field(default=AllocatedCpuResources(), name="Cpu")
    memory: AllocatedMemoryResources = AllocatedMemoryResources()
    networks: tuple[NetworkResource, ...] = ()
    devices: tuple[AllocatedDeviceResource, ...] = ()


class AllocatedPortMapping(Wire, frozen=True, kw_only=True):
    """A port given to an allocation."""

    label: str = ""
    value: int = 0
    to: int = 0
    host_ip: str = ""
    ignore_collision: bool = False


class AllocatedSharedResources(Wire, frozen=True, kw_only=True):
    """What an allocation's tasks share."""

    networks: tuple[NetworkResource, ...] = ()
    disk_mb: int = 0
    ports: tuple[AllocatedPortMapping, ...] = ()


class AllocatedResources(Wire, frozen=True, kw_only=True):
    """What an allocation was given."""

    tasks: dict[str, AllocatedTaskResources] = {}
    task_lifecycles: dict[str, TaskLifecycleConfig] = {}
    shared: AllocatedSharedResources = AllocatedSharedResources()
