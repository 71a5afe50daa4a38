"""The machines that run allocations."""

from __future__ import annotations

from msgspec import field

from hanse.structs.task import NetworkResource
from hanse.structs.wire import ZERO_TIME, Wire


class NodeEvent(Wire, frozen=True, kw_only=True):
    """Something that happened to a node."""

    message: str = ""
    subsystem: str = ""
    details: dict[str, str] = {}
    timestamp: str = ZERO_TIME
    create_index: int = 0


class DriverInfo(Wire, frozen=True, kw_only=True):
    """Whether a driver works on a node."""

    attributes: dict[str, str] = {}
    detected: bool = False
    healthy: bool = False
    health_description: str = ""
    update_time: str = ZERO_TIME


class DrainSpec(Wire, frozen=True, kw_only=True):
    """How a node is to be drained."""

    deadline_ns: int = 0
    ignore_system_jobs: bool = False


class DrainStrategy(Wire, frozen=True, kw_only=True):
    """A drain under way."""

    deadline_ns: int = 0
    ignore_system_jobs: bool = False
    force_deadline: str = ZERO_TIME
    started_at: str = ZERO_TIME


class DrainMetadata(Wire, frozen=True, kw_only=True):
    """Who drained a node, when and how it ended."""

    started_at: str = ZERO_TIME
    updated_at: str = ZERO_TIME
    status: str = ""
    accessor_id: str = ""
    meta: dict[str, str] = {}


class LegacyNodeCpuResources(Wire, frozen=True, kw_only=True):
    """CPU of a node."""

    cpu_shares: int = field(default=0, name="CpuShares")
    total_cpu_cores: int = field(default=0, name="TotalCpuCores")
    reservable_cpu_cores: tuple[int, ...] = field(default=(), name="ReservableCpuCores")


class NodeMemoryResources(Wire, frozen=True, kw_only=True):
    """Memory of a node."""

    memory_mb: int = 0


class NodeDiskResources(Wire, frozen=True, kw_only=True):
    """Disk of a node."""

    disk_mb: int = 0


class NodeDevice(Wire, frozen=True, kw_only=True):
    """One device of a node."""

    id: str = ""
    healthy: bool = False
    health_description: str = ""
    locality: dict[str, object] | None = None


class NodeDeviceResource(Wire, frozen=True, kw_only=True):
    """Devices of one model."""

    vendor: str = ""
    type: str = ""
    name: str = ""
    instances: tuple[NodeDevice, ...] = ()
    attributes: dict[str, object] = {}


class NodeNetworkAddress(Wire, frozen=True, kw_only=True):
    """An address of a network interface."""

    family: str = ""
    alias: str = ""
    address: str = ""
    reserved_ports: str = ""
    gateway: str = ""


class NodeNetworkResource(Wire, frozen=True, kw_only=True):
    """A network interface."""

    mode: str = ""
    device: str = ""
    mac_address: str = ""
    speed: int = 0
    addresses: tuple[NodeNetworkAddress, ...] = ()


class NodeResources(Wire, frozen=True, kw_only=True):
    """What a node has."""

    cpu: LegacyNodeCpuResources = field(default=LegacyNodeCpuResources(), name="Cpu")
    processors: dict[str, object] = {}
    memory: NodeMemoryResources = NodeMemoryResources()
    disk: NodeDiskResources = NodeDiskResources()
    devices: tuple[NodeDeviceResource, ...] = ()
    node_networks: tuple[NodeNetworkResource, ...] = ()
    networks: tuple[NetworkResource, ...] = ()
    min_dynamic_port: int = 0
    max_dynamic_port: int = 0


class NodeReservedCpuResources(Wire, frozen=True, kw_only=True):
    """CPU kept back."""

    cpu_shares: int = field(default=0, name="CpuShares")
    reserved_cpu_cores: tuple[int, ...] = field(default=(), name="ReservedCpuCores")


class NodeReservedMemoryResources(Wire, frozen=True, kw_only=True):
    """Memory kept back."""

    memory_mb: int = 0


class NodeReservedDiskResources(Wire, frozen=True, kw_only=True):
    """Disk kept back."""

    disk_mb: int = 0


class NodeReservedNetworkResources(Wire, frozen=True, kw_only=True):
    """Ports kept back."""

    reserved_host_ports: str = ""


class NodeReservedResources(Wire, frozen=True, kw_only=True):
    """What a node keeps back."""

    cpu: NodeReservedCpuResources = field(default=NodeReservedCpuResources(), name="Cpu")
    memory: NodeReservedMemoryResources = NodeReservedMemoryResources()
    disk: NodeReservedDiskResources = NodeReservedDiskResources()
    networks: NodeReservedNetworkResources = NodeReservedNetworkResources()


class CSIInfo(Wire, frozen=True, kw_only=True):
    """A CSI plugin on a node."""

    plugin_id: str = ""
    alloc_id: str = ""
    healthy: bool = False
    health_description: str = ""
    update_time: str = ZERO_TIME
    provider: str = ""
    provider_version: str = ""
    requires_controller_plugin: bool = False
    requires_topologies: bool = False
    controller_info: dict[str, object] | None = None
    node_info: dict[str, object] | None = None


class ClientHostVolumeConfig(Wire, frozen=True, kw_only=True):
    """A folder of the host that jobs may mount."""

    name: str = ""
    path: str = ""
    read_only: bool = False
    id: str = ""


class ClientHostNetworkConfig(Wire, frozen=True, kw_only=True):
    """A named network of the host."""

    name: str = ""
    cidr: str = ""
    interface: str = ""
    reserved_ports: str = ""


class Node(Wire, frozen=True, kw_only=True):
    """A machine that runs allocations."""

    id: str = ""
    secret_id: str = ""
    datacenter: str = ""
    name: str = ""
    cgroup_parent: str = ""
    http_addr: str = ""
    tls_enabled: bool = False
    attributes: dict[str, str] = {}
    node_resources: NodeResources | None = None
    reserved_resources: NodeReservedResources | None = None
    links: dict[str, str] = {}
    meta: dict[str, str] = {}
    node_class: str = ""
    node_pool: str = ""
    computed_class: str = ""
    drain_strategy: DrainStrategy | None = None
    scheduling_eligibility: str = ""
    status: str = ""
    status_description: str = ""
    identity_signing_key_id: str = ""
    status_updated_at: int = 0
    events: tuple[NodeEvent, ...] = ()
    drivers: dict[str, DriverInfo] = {}
    csi_controller_plugins: dict[str, CSIInfo] = {}
    csi_node_plugins: dict[str, CSIInfo] = {}
    host_volumes: dict[str, ClientHostVolumeConfig] = {}
    gc_volumes_on_node_gc: bool = False
    host_networks: dict[str, ClientHostNetworkConfig] = {}
    last_drain: DrainMetadata | None = None
    node_max_allocs: int = 0
    last_missed_heartbeat_index: int = 0
    last_alloc_update_index: int = 0
    create_index: int = 0
    modify_index: int = 0


class NodeListStub(Wire, frozen=True, kw_only=True):
    """A node in a list."""

    address: str = ""
    id: str = ""
    attributes: dict[str, str] = {}
    datacenter: str = ""
    name: str = ""
    node_pool: str = ""
    node_class: str = ""
    version: str = ""
    drain: bool = False
    scheduling_eligibility: str = ""
    status: str = ""
    status_description: str = ""
    drivers: dict[str, DriverInfo] = {}
    host_volumes: dict[str, ClientHostVolumeConfig] = {}
    node_resources: NodeResources | None = None
    reserved_resources: NodeReservedResources | None = None
    last_drain: DrainMetadata | None = None
    create_index: int = 0
    modify_index: int = 0
