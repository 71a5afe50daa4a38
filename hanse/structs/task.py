"""What runs inside a group: tasks, their resources and their files."""

from __future__ import annotations

from msgspec import field

from hanse.structs.service import Service, WorkloadIdentity
from hanse.structs.wire import Wire


class NUMA(Wire, frozen=True, kw_only=True):
    """NUMA placement."""

    affinity: str = ""
    devices: tuple[str, ...] = ()


class Constraint(Wire, frozen=True, kw_only=True):
    """A rule that a node must meet."""

    l_target: str = ""
    r_target: str = ""
    operand: str = ""


class Affinity(Wire, frozen=True, kw_only=True):
    """A rule that makes a node more or, with a negative weight, less welcome."""

    l_target: str = ""
    r_target: str = ""
    operand: str = ""
    weight: int = 0


class RequestedDevice(Wire, frozen=True, kw_only=True):
    """A device a task needs."""

    name: str = ""
    count: int = 0
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()


class Port(Wire, frozen=True, kw_only=True):
    """A port of a group."""

    label: str = ""
    value: int = 0
    to: int = 0
    host_network: str = ""
    ignore_collision: bool = False


class DNSConfig(Wire, frozen=True, kw_only=True):
    """Name resolution inside a network namespace."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class CNIConfig(Wire, frozen=True, kw_only=True):
    """Arguments for CNI plugins."""

    args: dict[str, str] = {}


class NetworkResource(Wire, frozen=True, kw_only=True):
    """A network with its ports."""

    mode: str = ""
    device: str = ""
    cidr: str = ""
    ip: str = ""
    hostname: str = ""
    m_bits: int = 0
    dns: DNSConfig | None = None
    reserved_ports: tuple[Port, ...] = ()
    dynamic_ports: tuple[Port, ...] = ()
    cni: CNIConfig | None = None


class Resources(Wire, frozen=True, kw_only=True):
    """What a task takes."""

    cpu: int = 0
    cores: int = 0
    memory_mb: int = 0
    memory_max_mb: int = 0
    disk_mb: int = 0
    iops: int = 0
    networks: tuple[NetworkResource, ...] = ()
    devices: tuple[RequestedDevice, ...] = ()
    numa: NUMA | None = None
    secrets_mb: int = 0


class LogConfig(Wire, frozen=True, kw_only=True):
    """Rotation of a task's logs."""

    max_files: int = 0
    max_file_size_mb: int = 0
    disabled: bool = False


class WaitConfig(Wire, frozen=True, kw_only=True):
    """How long template changes settle."""

    min_ns: int | None = None
    max_ns: int | None = None


class ChangeScript(Wire, frozen=True, kw_only=True):
    """The script run on a template change."""

    command: str = ""
    args: tuple[str, ...] = ()
    timeout_ns: int = 0
    fail_on_error: bool = False
    run_on_first_render: bool = False


class Template(Wire, frozen=True, kw_only=True):
    """A file rendered for the task."""

    source_path: str = ""
    dest_path: str = ""
    embedded_tmpl: str = ""
    change_mode: str = ""
    change_signal: str = ""
    change_script: ChangeScript | None = None
    once: bool = False
    splay_ns: int = 0
    perms: str = ""
    uid: int | None = None
    gid: int | None = None
    left_delim: str = ""
    right_delim: str = ""
    envvars: bool = False
    vault_grace_ns: int = 0
    wait: WaitConfig | None = None
    err_missing_key: bool = False


class TaskArtifact(Wire, frozen=True, kw_only=True):
    """A file fetched for the task."""

    getter_source: str = ""
    getter_options: dict[str, str] = {}
    getter_headers: dict[str, str] = {}
    getter_mode: str = ""
    getter_insecure: bool = False
    relative_dest: str = ""
    chown: bool = False


class Vault(Wire, frozen=True, kw_only=True):
    """Vault's settings."""

    role: str = ""
    namespace: str = ""
    cluster: str = ""
    env: bool = False
    disable_file: bool = False
    change_mode: str = ""
    change_signal: str = ""
    allow_token_expiration: bool = False


class Consul(Wire, frozen=True, kw_only=True):
    """Consul's settings."""

    namespace: str = ""
    cluster: str = ""
    partition: str = ""


class TaskLifecycleConfig(Wire, frozen=True, kw_only=True):
    """When a task runs beside the main tasks."""

    hook: str = ""
    sidecar: bool = False


class DispatchPayloadConfig(Wire, frozen=True, kw_only=True):
    """Where the dispatch payload is written."""

    file: str = ""


class TaskScheduleCron(Wire, frozen=True, kw_only=True):
    """The hours a task runs."""

    start: str = ""
    end: str = ""
    timezone: str = ""


class TaskSchedule(Wire, frozen=True, kw_only=True):
    """When a task runs."""

    cron: TaskScheduleCron | None = None


class Secret(Wire, frozen=True, kw_only=True):
    """A secret fetched for the task."""

    name: str = ""
    provider: str = ""
    path: str = ""
    config: dict[str, object] = {}
    env: dict[str, str] = {}


class Action(Wire, frozen=True, kw_only=True):
    """A command users may run in the task."""

    name: str = ""
    command: str = ""
    args: tuple[str, ...] = ()


class CSIMountOptions(Wire, frozen=True, kw_only=True):
    """Options for mounting a CSI volume."""

    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()


class TaskCSIPluginConfig(Wire, frozen=True, kw_only=True):
    """The task is a CSI plugin."""

    id: str = ""
    type: str = ""
    mount_dir: str = ""
    stage_publish_base_dir: str = ""
    health_timeout_ns: int = 0


class VolumeRequest(Wire, frozen=True, kw_only=True):
    """A volume the group needs."""

    name: str = ""
    type: str = ""
    source: str = ""
    read_only: bool = False
    sticky: bool = False
    access_mode: str = ""
    attachment_mode: str = ""
    mount_options: CSIMountOptions | None = None
    per_alloc: bool = False


class VolumeMount(Wire, frozen=True, kw_only=True):
    """Where a task sees a volume."""

    volume: str = ""
    destination: str = ""
    read_only: bool = False
    propagation_mode: str = ""
    se_linux_label: str = field(default="", name="SELinuxLabel")


class ScalingPolicy(Wire, frozen=True, kw_only=True):
    """The limits in which a count may be changed."""

    id: str = ""
    type: str = ""
    target: dict[str, str] = {}
    policy: dict[str, object] = {}
    min: int = 0
    max: int = 0
    enabled: bool = False
    create_index: int = 0
    modify_index: int = 0


class RestartPolicy(Wire, frozen=True, kw_only=True):
    """How often a task is restarted where it is."""

    attempts: int = 0
    interval_ns: int = 0
    delay_ns: int = 0
    mode: str = ""
    render_templates: bool = False


class Task(Wire, frozen=True, kw_only=True):
    """One program that a driver runs."""

    name: str = ""
    driver: str = ""
    user: str = ""
    config: dict[str, object] = {}
    env: dict[str, str] = {}
    services: tuple[Service, ...] = ()
    vault: Vault | None = None
    secrets: tuple[Secret, ...] = ()
    consul: Consul | None = None
    templates: tuple[Template, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    resources: Resources | None = None
    restart_policy: RestartPolicy | None = None
    dispatch_payload: DispatchPayloadConfig | None = None
    lifecycle: TaskLifecycleConfig | None = None
    meta: dict[str, str] = {}
    kill_timeout_ns: int = 0
    log_config: LogConfig | None = None
    artifacts: tuple[TaskArtifact, ...] = ()
    leader: bool = False
    shutdown_delay_ns: int = 0
    volume_mounts: tuple[VolumeMount, ...] = ()
    scaling_policies: tuple[ScalingPolicy, ...] = ()
    kill_signal: str = ""
    kind: str = ""
    csi_plugin_config: TaskCSIPluginConfig | None = None
    identity: WorkloadIdentity | None = None
    identities: tuple[WorkloadIdentity, ...] = ()
    actions: tuple[Action, ...] = ()
    schedule: TaskSchedule | None = None
