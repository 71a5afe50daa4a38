"""Services, their checks and their registrations."""

from __future__ import annotations

from msgspec import field

from hanse.structs.wire import Wire


class CheckRestart(Wire, frozen=True, kw_only=True):
    """When failing checks restart the task."""

    limit: int = 0
    grace_ns: int = 0
    ignore_warnings: bool = False


class ServiceCheck(Wire, frozen=True, kw_only=True):
    """How a service's health is checked."""

    name: str = ""
    type: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    path: str = ""
    protocol: str = ""
    port_label: str = ""
    expose: bool = False
    address_mode: str = ""
    interval_ns: int = 0
    timeout_ns: int = 0
    initial_status: str = ""
    notes: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    method: str = ""
    header: dict[str, tuple[str, ...]] = {}
    check_restart: CheckRestart | None = None
    grpc_service: str = ""
    grpc_use_tls: bool = False
    task_name: str = ""
    success_before_passing: int = 0
    failures_before_critical: int = 0
    failures_before_warning: int = 0
    body: str = ""
    on_update: str = ""


class ServiceWeights(Wire, frozen=True, kw_only=True):
    """Weights for DNS answers."""

    passing: int = 0
    warning: int = 0


class WorkloadIdentity(Wire, frozen=True, kw_only=True):
    """A signed identity for the task."""

    name: str = ""
    audience: tuple[str, ...] = ()
    change_mode: str = ""
    change_signal: str = ""
    env: bool = False
    file: bool = False
    filepath: str = ""
    service_name: str = ""
    ttl_ns: int = field(default=0, name="TTL")
    extra_claims: tuple[str, ...] = ()


class Service(Wire, frozen=True, kw_only=True):
    """A service the group or task offers."""

    name: str = ""
    task_name: str = ""
    port_label: str = ""
    address_mode: str = ""
    address: str = ""
    enable_tag_override: bool = False
    tags: tuple[str, ...] = ()
    canary_tags: tuple[str, ...] = ()
    checks: tuple[ServiceCheck, ...] = ()
    connect: dict[str, object] | None = None
    meta: dict[str, str] = {}
    canary_meta: dict[str, str] = {}
    weights: ServiceWeights | None = None
    tagged_addresses: dict[str, str] = {}
    namespace: str = ""
    on_update: str = ""
    provider: str = ""
    cluster: str = ""
    identity: WorkloadIdentity | None = None
    kind: str = ""


class ServiceRegistration(Wire, frozen=True, kw_only=True):
    """One instance of a service, as it can be reached."""

    id: str = ""
    service_name: str = ""
    namespace: str = ""
    node_id: str = ""
    datacenter: str = ""
    job_id: str = ""
    alloc_id: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    create_index: int = 0
    modify_index: int = 0


class ServiceRegistrationStub(Wire, frozen=True, kw_only=True):
    """A service's name and tags."""

    service_name: str = ""
    tags: tuple[str, ...] = ()


class ServiceRegistrationListStub(Wire, frozen=True, kw_only=True):
    """The services of one namespace."""

    namespace: str = ""
    services: tuple[ServiceRegistrationStub, ...] = ()


class CheckQueryResult(Wire, frozen=True, kw_only=True):
    """The last result of a check."""

    id: str = ""
    mode: str = ""
    status: str = ""
    status_code: int = 0
    output: str = ""
    timestamp: int = 0
    group: str = ""
    task: str = ""
    service: str = ""
    check: str = ""
