"""The body of the engine's `create` request, from a task. Pure but for looking at links.

The one look at the disk: a source inside the task's folder is resolved at the moment of use, so
that a link which the task has planted there leads nowhere.
"""

from __future__ import annotations

import os
import re

from drivers.docker.check import capabilities_of
from drivers.docker.config import MountConfig, PluginConfig, TaskConfig
from hanse.driver import PortMap, TaskSpec
from hanse.errors import DriverFailed

NAME = "docker"
ALLOC_LABEL = "com.hashicorp.nomad.alloc_id"
TASK_LABEL = "hanse.task_id"
NODE_LABEL = "hanse.node_id"
_MIB = 1 << 20
_CFS_PERIOD_US = 100_000
_EXTRA_LABELS = {
    "job_name": "job_id",
    "job_id": "job_id",
    "task_group_name": "group",
    "task_name": "name",
    "namespace": "namespace",
}

Body = dict[str, object]


def container_name(task: TaskSpec) -> str:
    """`<task>-<allocation id>`, in the characters that Docker allows."""
    name = re.sub(r"[^a-zA-Z0-9_.-]", "_", f"{task.name}-{task.allocation_id}")
    return name if name[0].isalnum() else f"x{name}"


def container_body(
    task: TaskSpec, config: TaskConfig, plugin: PluginConfig, image: str, node_id: str
) -> Body:
    """What to create. `image` is the id of the image. Raises DriverFailed."""
    exposed, bindings = _ports(task, config)
    command = [config.command, *config.args] if config.command else list(config.args)
    body: Body = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in task.environment.items()],
        "Labels": _labels(task, config, plugin, node_id),
        "Tty": config.tty,
        "OpenStdin": config.interactive,
        "ExposedPorts": exposed,
        "HostConfig": {
            **_resources(task, config, plugin),
            **_isolation(config, plugin),
            "PortBindings": bindings,
            "Mounts": mounts_of(task, config, plugin),
            "Binds": binds_of(task, config, plugin),
            "LogConfig": _logging(config, plugin),
            "Dns": list(config.dns_servers),
            "DnsOptions": list(config.dns_options),
            "DnsSearch": list(config.dns_search_domains),
            "ExtraHosts": list(config.extra_hosts),
            "NetworkMode": config.network_mode or "default",
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
        },
    }
    optional = {
        "Cmd": command,
        "Entrypoint": list(config.entrypoint),
        "Hostname": config.hostname,
        "User": task.user,
        "WorkingDir": config.work_dir,
        "StopSignal": task.kill_signal,
        "MacAddress": config.mac_address,
        "Healthcheck": {"Test": ["NONE"]} if config.healthchecks.disable else None,
        "NetworkingConfig": _endpoints(config),
    }
    return body | {key: value for key, value in optional.items() if value}


def _labels(task: TaskSpec, config: TaskConfig, plugin: PluginConfig, node_id: str) -> Body:
    labels: Body = dict(config.labels)
    labels |= {
        ALLOC_LABEL: task.allocation_id,
        TASK_LABEL: task.id,
        NODE_LABEL: node_id,
    }
    for name, field in _EXTRA_LABELS.items():
        if any(pattern in (name, "*") for pattern in plugin.extra_labels):
            labels[f"com.hashicorp.nomad.{name}"] = getattr(task, field)
    if any(pattern in ("node_id", "*") for pattern in plugin.extra_labels):
        labels["com.hashicorp.nomad.node_id"] = node_id
    return labels


def _ports(task: TaskSpec, config: TaskConfig) -> tuple[Body, dict[str, list[Body]]]:
    """The ports to expose, and where on the host each is to be found; TCP and UDP alike."""
    by_label = {port.label: port for port in task.ports}
    wanted: list[tuple[PortMap, int]] = []
    for label in (*config.ports, *config.port_map):
        port = by_label.get(label)
        if port is None:
            raise DriverFailed(NAME, f'port "{label}" not found, check the network block')
        wanted.append((port, config.port_map.get(label) or port.to or port.value))
    bindings: dict[str, list[Body]] = {}
    for port, inside in wanted:
        for protocol in ("tcp", "udp"):
            bindings.setdefault(f"{inside}/{protocol}", []).append(
                {"HostIp": port.host_ip, "HostPort": str(port.value)}
            )
    return {key: {} for key in bindings}, bindings


def _resources(task: TaskSpec, config: TaskConfig, plugin: PluginConfig) -> Body:
    soft_mib = task.memory_mib
    hard_mib = config.memory_hard_limit or task.memory_max_mib or soft_mib
    found: Body = {
        "Memory": hard_mib * _MIB,
        # No swap beyond the memory limit.
        "MemorySwap": hard_mib * _MIB,
        "MemoryReservation": soft_mib * _MIB if soft_mib < hard_mib else 0,
        "CpuShares": max(2, task.cpu_mhz) if task.cpu_mhz else 0,
        "OomScoreAdj": config.oom_score_adj,
        "PidsLimit": config.pids_limit or plugin.pids_limit or None,
        "Ulimits": [_ulimit(name, value) for name, value in config.ulimit.items()],
        "Devices": [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path or device.host_path,
                "CgroupPermissions": device.cgroup_permissions,
            }
            for device in config.devices
        ],
        "ShmSize": config.shm_size,
        "StorageOpt": config.storage_opt,
    }
    if task.cores:
        found["CpusetCpus"] = ",".join(str(core) for core in task.cores)
    if config.cpu_hard_limit:
        period_us = config.cpu_cfs_period or _CFS_PERIOD_US
        quota_us = round(task.cpu_share * (os.cpu_count() or 1) * period_us)
        found |= {"CpuPeriod": period_us, "CpuQuota": max(1000, quota_us)}
    return found


def _ulimit(name: str, value: str) -> Body:
    soft, _, hard = value.partition(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}


def _isolation(config: TaskConfig, plugin: PluginConfig) -> Body:
    added, dropped = capabilities_of(config, plugin)
    found: Body = {
        "Privileged": config.privileged,
        "CapAdd": added,
        "CapDrop": dropped,
        "ReadonlyRootfs": config.readonly_rootfs,
        "SecurityOpt": list(config.security_opt),
        "Sysctls": config.sysctl,
        "GroupAdd": list(config.group_add),
        "IpcMode": config.ipc_mode,
        "PidMode": config.pid_mode,
        "UTSMode": config.uts_mode,
        "UsernsMode": config.userns_mode,
        "VolumeDriver": config.volume_driver,
        "Init": config.init or None,
    }
    if config.cgroupns:
        found["CgroupnsMode"] = config.cgroupns
    if config.runtime:
        found["Runtime"] = config.runtime
    return found


def _logging(config: TaskConfig, plugin: PluginConfig) -> Body:
    own = config.logging
    if own is not None and (own.type or own.driver):
        return {"Type": own.type or own.driver, "Config": own.config}
    options = own.config if own is not None and own.config else plugin.logging.config
    return {"Type": plugin.logging.type, "Config": options}


def _endpoints(config: TaskConfig) -> Body | None:
    if not (config.network_aliases or config.ipv4_address or config.ipv6_address):
        return None
    addresses = {
        key: value
        for key, value in (
            ("IPv4Address", config.ipv4_address),
            ("IPv6Address", config.ipv6_address),
        )
        if value
    }
    endpoint: Body = {"Aliases": list(config.network_aliases), "IPAMConfig": addresses}
    return {"EndpointsConfig": {config.network_mode or "bridge": endpoint}}


def mounts_of(task: TaskSpec, config: TaskConfig, plugin: PluginConfig) -> list[Body]:
    """The allocation's folders, what the job mounts, and the `mount` blocks."""
    own = [
        _bind(_own_folder(task, folder), target, read_only=False)
        for folder, target in (
            (task.alloc_dir, "/alloc"),
            (task.local_dir, "/local"),
            (task.secrets_dir, "/secrets"),
        )
    ]
    from_job = [_bind(each.source, each.target, read_only=each.read_only) for each in task.mounts]
    blocks = [_mount(task, each, plugin) for each in (*config.mount, *config.mounts)]
    return own + from_job + blocks


def _own_folder(task: TaskSpec, folder: str) -> str:
    """A folder of the allocation; a link that another task has put in its place is refused."""
    home = os.path.dirname(task.alloc_dir)
    inside = os.path.relpath(folder, home)
    if os.path.realpath(folder) != os.path.join(os.path.realpath(home), inside):
        raise DriverFailed(NAME, f'"{inside}" of the allocation has been replaced by a link')
    return folder


def _bind(source: str, target: str, *, read_only: bool) -> Body:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def _mount(task: TaskSpec, mount: MountConfig, plugin: PluginConfig) -> Body:
    found: Body = {
        "Type": mount.type,
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.readonly,
    }
    if mount.type == "bind":
        found["Source"] = host_path(task, mount.source, plugin)
        if mount.bind_options and mount.bind_options.propagation:
            found["BindOptions"] = {"Propagation": mount.bind_options.propagation}
    if mount.type == "tmpfs":
        del found["Source"]
        if options := mount.tmpfs_options:
            sizes = {"SizeBytes": options.size, "Mode": options.mode}
            found["TmpfsOptions"] = {key: value for key, value in sizes.items() if value}
    if mount.type == "volume" and (volume := mount.volume_options):
        found["VolumeOptions"] = {"NoCopy": volume.no_copy, "Labels": volume.labels} | (
            {
                "DriverConfig": {
                    "Name": volume.driver_config.name,
                    "Options": volume.driver_config.options,
                }
            }
            if volume.driver_config
            else {}
        )
    return found


def binds_of(task: TaskSpec, config: TaskConfig, plugin: PluginConfig) -> list[str]:
    """The `volumes` list in the engine's notation."""
    found: list[str] = []
    for volume in config.volumes:
        source, _, rest = volume.partition(":")
        if not config.volume_driver:
            source = host_path(task, source, plugin)
        label = plugin.volumes.selinuxlabel
        if label:
            target, _, options = rest.partition(":")
            rest = f"{target}:{options + ',' if options else ''}{label}"
        found.append(f"{source}:{rest}")
    return found


def host_path(task: TaskSpec, source: str, plugin: PluginConfig) -> str:
    """Where a source is on the host; relative ones are in the task's folder.

    Raises DriverFailed when it leads out of there and mounting from the host is not allowed.
    """
    path = os.path.realpath(os.path.join(task.task_dir, source))
    home = os.path.realpath(os.path.dirname(task.alloc_dir))
    if not plugin.volumes.enabled and os.path.commonpath([path, home]) != home:
        raise DriverFailed(
            NAME, f'volume "{source}" leads out of the allocation, see volumes.enabled'
        )
    return path
