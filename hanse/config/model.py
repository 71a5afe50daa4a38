"""What an agent can be told, in one value. Defaults are Nomad's unless the comment says why not."""

from __future__ import annotations

import msgspec


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Ports the agent listens on; 0 lets the system choose."""

    http: int = 4646
    rpc: int = 4647
    serf: int = 4648
    etcd_client: int = 4649
    etcd_peer: int = 4650


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses by service; "" means `bind_addr`."""

    http: str = ""
    rpc: str = ""
    serf: str = ""


class JoinConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A `server_join` block: how servers are found."""

    #: "host", "host:port"; the port is that of agents (`ports.rpc`).
    retry_join: tuple[str, ...] = ()
    #: Rounds over all addresses without meeting anybody, after which the agent ends; 0: never.
    retry_max: int = 0
    #: Nomad's default is 30 s; a region that forms should not wait for it.
    retry_interval_s: float = 1.0


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The `server` block."""

    enabled: bool = False
    #: How many servers begin the region together; 0: this one only joins.
    bootstrap_expect: int = 1
    join: JoinConfig = JoinConfig()
    #: A dead server is removed after this time, if the others stay a quorum.
    dead_server_grace_s: float = 300.0
    #: An etcd binary to use; "" searches (see `region.store.member`).
    etcd_path: str = ""
    #: Use these etcd endpoints instead of a member of our own.
    etcd_endpoints: tuple[str, ...] = ()
    #: Heartbeats: a node is down when silent for `heartbeat_ttl_s`.
    heartbeat_ttl_s: float = 10.0
    job_max_count: int = 50000
    job_max_priority: int = 100
    job_default_priority: int = 50
    job_tracked_versions: int = 6
    job_max_source_bytes: int = 1_000_000
    #: Age after which dead jobs, evaluations, allocations, nodes, deployments are forgotten.
    job_gc_threshold_s: float = 4 * 3600
    eval_gc_threshold_s: float = 3600
    node_gc_threshold_s: float = 24 * 3600
    deployment_gc_threshold_s: float = 3600
    gc_interval_s: float = 300


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """What a node keeps back for itself."""

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    reserved_ports: str = ""


class HostVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of the host that jobs may mount."""

    name: str
    path: str
    read_only: bool = False


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The `client` block."""

    enabled: bool = False
    #: `host:port` of servers' RPC; empty with a server in the same agent means that one.
    servers: tuple[str, ...] = ()
    join: JoinConfig = JoinConfig()
    state_dir: str = ""
    alloc_dir: str = ""
    node_class: str = ""
    node_pool: str = "default"
    meta: dict[str, str] = {}
    reserved: Reserved = Reserved()
    host_volumes: tuple[HostVolume, ...] = ()
    network_interface: str = ""
    cpu_total_compute: int = 0
    memory_total_mb: int = 0
    disk_total_mb: int = 0
    min_dynamic_port: int = 20000
    max_dynamic_port: int = 32000
    max_kill_timeout_s: float = 30.0
    gc_interval_s: float = 60.0
    gc_max_allocs: int = 50


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """The `telemetry` block."""

    prometheus_metrics: bool = True
    collection_interval_s: float = 1.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The `limits` block: what one client of ours may take."""

    http_max_conns_per_client: int = 100
    http_handshake_timeout_s: float = 5.0
    http_body_bytes_max: int = 16 * 1024 * 1024


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    dev: bool = False
    region: str = "global"
    datacenter: str = "dc1"
    #: "" is the host's name.
    name: str = ""
    data_dir: str = ""
    bind_addr: str = "0.0.0.0"
    ports: Ports = Ports()
    addresses: Addresses = Addresses()
    advertise: Addresses = Addresses()
    server: ServerConfig = ServerConfig()
    client: ClientConfig = ClientConfig()
    telemetry: Telemetry = Telemetry()
    limits: Limits = Limits()
    #: Driver configuration by driver name: the `config` of `plugin "x"`.
    plugins: dict[str, dict[str, object]] = {}
    log_level: str = "INFO"
    log_json: bool = False
    http_api_response_headers: dict[str, str] = {}
    #: Files that were read, in order.
    files: tuple[str, ...] = ()
