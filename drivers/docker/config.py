"""The docker driver's configuration: the plugin's, which guards the host, and the task's."""

from __future__ import annotations

import msgspec

#: What a container may have unless the operator says otherwise: Docker's own list less net_raw.
DEFAULT_CAPS = (
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
)
#: What Docker gives to every container.
DOCKER_CAPS = (*DEFAULT_CAPS, "net_raw")


class PluginAuth(msgspec.Struct, frozen=True):
    """Where credentials for registries are found."""

    #: A Docker `config.json`.
    config: str = ""
    #: The last part of the name of a `docker-credential-...` program.
    helper: str = ""


class PluginTls(msgspec.Struct, frozen=True):
    """Certificate files for an engine reached over TCP."""

    cert: str = ""
    key: str = ""
    ca: str = ""


class DanglingContainers(msgspec.Struct, frozen=True):
    """Nomad's sweep for containers nobody knows."""

    enabled: bool = False
    dry_run: bool = False
    period: str = ""
    creation_grace: str = ""


class PluginGc(msgspec.Struct, frozen=True):
    """What is removed when a task is over."""

    #: Images that this driver pulled, once no task has used them for `image_delay`.
    image: bool = True
    image_delay: str = "3m"
    container: bool = True
    dangling_containers: DanglingContainers = DanglingContainers()


class PluginVolumes(msgspec.Struct, frozen=True):
    """Whether tasks may mount folders of the host."""

    enabled: bool = False
    selinuxlabel: str = ""


class PluginLogging(msgspec.Struct, frozen=True):
    """The engine's own log of a container, from which ours is read.

    It is what holds output while no agent copies: what exceeds it is lost. `json-file` replaces
    bytes that are no UTF-8; `local` keeps them, but engines before 23 lose the newline of a line
    longer than 16 KiB.
    """

    type: str = "json-file"
    config: dict[str, str] = msgspec.field(
        default_factory=lambda: {"max-size": "64m", "max-file": "4"}
    )


class PluginConfig(msgspec.Struct, frozen=True):
    """`plugin "docker" { config { ... } }`."""

    endpoint: str = ""
    tls: PluginTls = PluginTls()
    auth: PluginAuth = PluginAuth()
    gc: PluginGc = PluginGc()
    volumes: PluginVolumes = PluginVolumes()
    logging: PluginLogging = PluginLogging()
    allow_privileged: bool = False
    allow_caps: tuple[str, ...] = DEFAULT_CAPS
    allow_runtimes: tuple[str, ...] = ("runc", "nvidia")
    #: Hanse's own: patterns of host devices that tasks may have, such as `/dev/fuse`.
    allow_devices: tuple[str, ...] = ()
    #: Hanse's own: namespaces of the host that tasks may join:
    #: network, pid, ipc, uts, user, cgroup.
    allow_host_namespaces: tuple[str, ...] = ("network",)
    extra_labels: tuple[str, ...] = ()
    pids_limit: int = 0
    image_pull_timeout: str = "5m"
    container_exists_attempts: int = 5
    disable_log_collection: bool = False
    #: Taken and without effect: this version has no group networks that need it.
    infra_image: str = ""
    infra_image_pull_timeout: str = ""
    #: How long a pull may make no progress.
    pull_activity_timeout: str = "2m"
    nvidia_runtime: str = "nvidia"


class Auth(msgspec.Struct, frozen=True):
    """Credentials for the registry of a task's image."""

    username: str = ""
    password: str = ""
    email: str = ""
    server_address: str = ""


class Device(msgspec.Struct, frozen=True):
    """A device of the host."""

    host_path: str
    container_path: str = ""
    cgroup_permissions: str = "rwm"


class Healthchecks(msgspec.Struct, frozen=True):
    """The image's own health check."""

    disable: bool = False


class Logging(msgspec.Struct, frozen=True):
    """The engine's log driver for this container; `driver` and `type` are the same."""

    type: str = ""
    driver: str = ""
    config: dict[str, str] = {}


class BindOptions(msgspec.Struct, frozen=True):
    """Of a mount of type `bind`."""

    propagation: str = ""


class TmpfsOptions(msgspec.Struct, frozen=True):
    """Of a mount of type `tmpfs`: bytes, and permission bits in decimal."""

    size: int = 0
    mode: int = 0


class DriverConfig(msgspec.Struct, frozen=True):
    """The volume driver of a mount."""

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(msgspec.Struct, frozen=True):
    """Of a mount of type `volume`."""

    no_copy: bool = False
    labels: dict[str, str] = {}
    driver_config: DriverConfig | None = None


class MountConfig(msgspec.Struct, frozen=True):
    """A `mount` block."""

    target: str
    type: str = "volume"
    source: str = ""
    readonly: bool = False
    bind_options: BindOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    volume_options: VolumeOptions | None = None


class TaskConfig(msgspec.Struct, frozen=True):
    """A task's `config` block: every key that Nomad's driver has."""

    image: str
    command: str = ""
    args: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    auth: Auth | None = None
    auth_soft_fail: bool = False
    advertise_ipv6_address: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroupns: str = ""
    container_exists_attempts: int = 0
    cpu_cfs_period: int = 0
    cpu_hard_limit: bool = False
    devices: tuple[Device, ...] = ()
    dns_search_domains: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    force_pull: bool = False
    group_add: tuple[str, ...] = ()
    healthchecks: Healthchecks = Healthchecks()
    hostname: str = ""
    image_pull_timeout: str = ""
    init: bool = False
    interactive: bool = False
    ipc_mode: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""
    isolation: str = ""
    labels: dict[str, str] = {}
    load: str = ""
    logging: Logging | None = None
    mac_address: str = ""
    memory_hard_limit: int = 0
    mount: tuple[MountConfig, ...] = ()
    mounts: tuple[MountConfig, ...] = ()
    network_aliases: tuple[str, ...] = ()
    network_mode: str = ""
    oom_score_adj: int = 0
    pid_mode: str = ""
    pids_limit: int = 0
    ports: tuple[str, ...] = ()
    port_map: dict[str, int] = {}
    privileged: bool = False
    readonly_rootfs: bool = False
    runtime: str = ""
    security_opt: tuple[str, ...] = ()
    shm_size: int = 0
    storage_opt: dict[str, str] = {}
    sysctl: dict[str, str] = {}
    tty: bool = False
    ulimit: dict[str, str] = {}
    userns_mode: str = ""
    uts_mode: str = ""
    volumes: tuple[str, ...] = ()
    volume_driver: str = ""
    windows_allow_insecure_container_admin: bool = False
    work_dir: str = ""
