"""What a task may ask of the engine. Pure: the plugin's configuration and the task's go in.

Whatever reaches the host is off unless the operator's configuration allows it, and is refused
with the name of the setting that would.
"""

from __future__ import annotations

import fnmatch

from drivers.docker.config import DOCKER_CAPS, PluginConfig, TaskConfig
from hanse.durations import parse_duration
from hanse.errors import Invalid

#: `namespace` of `allow_host_namespaces` by the key that asks for it.
_NAMESPACE_KEYS = {
    "network_mode": "network",
    "pid_mode": "pid",
    "ipc_mode": "ipc",
    "uts_mode": "uts",
    "userns_mode": "user",
    "cgroupns": "cgroup",
}
_MOUNT_TYPES = ("bind", "volume", "tmpfs")


def check(config: TaskConfig, plugin: PluginConfig | None) -> list[str]:
    """Problems of a task's configuration, each naming its key; without a plugin, only its form."""
    problems = [*_form(config), *_unsupported(config)]
    if plugin is not None:
        problems += _denied(config, plugin)
    return problems


def _form(config: TaskConfig) -> list[str]:
    problems: list[str] = []
    if not config.image.strip():
        problems.append("image: must not be empty")
    if config.image_pull_timeout:
        problems += bad_duration("image_pull_timeout", config.image_pull_timeout)
    if config.ports and config.port_map:
        problems.append("port_map: only one of it and ports may be set")
    problems += _mount_form(config)
    problems += _number_form(config)
    for key, value in config.ulimit.items():
        if not all(part.removeprefix("-").isdigit() for part in value.split(":")[:2]):
            problems.append(f'ulimit: "{key}" must be "soft:hard" or one number, got "{value}"')
    return problems


def _mount_form(config: TaskConfig) -> list[str]:
    problems: list[str] = []
    for mount in (*config.mount, *config.mounts):
        if mount.type not in _MOUNT_TYPES:
            problems.append(f'mount: type "{mount.type}" is not one of {", ".join(_MOUNT_TYPES)}')
        if mount.type == "bind" and not mount.source:
            problems.append("mount: source must not be empty for type bind")
        if not mount.target.startswith("/"):
            problems.append(f'mount: target "{mount.target}" must be absolute')
    problems.extend(
        f'volumes: "{volume}" is not of the form source:target[:options]'
        for volume in config.volumes
        if not 2 <= len(volume.split(":")) <= 3
    )
    return problems


def _number_form(config: TaskConfig) -> list[str]:
    keys = ("cpu_cfs_period", "memory_hard_limit", "shm_size", "pids_limit")
    problems = [f"{key}: must not be negative" for key in keys if getattr(config, key) < 0]
    if config.cpu_cfs_period and not 1_000 <= config.cpu_cfs_period <= 1_000_000:
        problems.append("cpu_cfs_period: must be between 1000 and 1000000")
    if not -1000 <= config.oom_score_adj <= 1000:
        problems.append("oom_score_adj: must be between -1000 and 1000")
    return problems


def bad_duration(key: str, text: str) -> list[str]:
    """A problem if the text is no duration."""
    try:
        parse_duration(text)
    except (Invalid, ValueError):
        return [f'{key}: "{text}" is not a duration such as 5m']
    return []


def _unsupported(config: TaskConfig) -> list[str]:
    problems: list[str] = []
    if config.advertise_ipv6_address:
        problems.append("advertise_ipv6_address: not supported yet")
    if config.isolation:
        problems.append("isolation: works on Windows only")
    if config.windows_allow_insecure_container_admin:
        problems.append("windows_allow_insecure_container_admin: works on Windows only")
    return problems


def _denied(config: TaskConfig, plugin: PluginConfig) -> list[str]:
    problems: list[str] = []
    if config.privileged and not plugin.allow_privileged:
        problems.append("privileged: not allowed, see allow_privileged of the docker plugin")
    problems += denied_caps(config, plugin)
    problems += _denied_namespaces(config, plugin)
    for device in config.devices:
        allowed = any(fnmatch.fnmatchcase(device.host_path, each) for each in plugin.allow_devices)
        if ".." in device.host_path or not (allowed or plugin.allow_privileged):
            problems.append(
                f'devices: "{device.host_path}" is not allowed, '
                "see allow_devices of the docker plugin"
            )
    if config.runtime and config.runtime not in plugin.allow_runtimes:
        problems.append(
            f'runtime: "{config.runtime}" is not allowed, see allow_runtimes of the docker plugin'
        )
    for option in config.security_opt:
        opens = option.endswith(("unconfined", "disable"))
        if opens and not plugin.allow_privileged:
            problems.append(
                f'security_opt: "{option}" is not allowed, '
                "see allow_privileged of the docker plugin"
            )
    problems += _denied_volumes(config, plugin)
    if plugin.pids_limit and config.pids_limit > plugin.pids_limit:
        problems.append(
            f"pids_limit: {config.pids_limit} is more than the docker plugin's {plugin.pids_limit}"
        )
    return problems


def _denied_namespaces(config: TaskConfig, plugin: PluginConfig) -> list[str]:
    return [
        f'{key}: "host" is not allowed, see allow_host_namespaces of the docker plugin'
        for key, namespace in _NAMESPACE_KEYS.items()
        if getattr(config, key) == "host" and namespace not in plugin.allow_host_namespaces
    ]


def _denied_volumes(config: TaskConfig, plugin: PluginConfig) -> list[str]:
    if plugin.volumes.enabled:
        return []
    problems: list[str] = []
    for volume in config.volumes:
        source = volume.split(":", 1)[0]
        # A path relative to the task's own folder is no reach into the host.
        if config.volume_driver or source.startswith("/"):
            problems.append(
                f'volumes: "{source}" is not allowed, see volumes.enabled of the docker plugin'
            )
    problems.extend(
        f'mount: source "{mount.source}" is not allowed, see volumes.enabled of the docker plugin'
        for mount in (*config.mount, *config.mounts)
        if mount.type == "volume" or (mount.type == "bind" and mount.source.startswith("/"))
    )
    return problems


def _cap(name: str) -> str:
    return name.lower().removeprefix("cap_")


def denied_caps(config: TaskConfig, plugin: PluginConfig) -> list[str]:
    """The problem of capabilities that are asked for and not allowed."""
    allowed = {_cap(name) for name in plugin.allow_caps}
    wanted = {_cap(name) for name in config.cap_add}
    missing = set() if "all" in allowed else wanted - allowed
    if not missing:
        return []
    names = ", ".join(sorted(f"CAP_{name.upper()}" for name in missing))
    return [f"cap_add: {names} not allowed, see allow_caps of the docker plugin"]


def capabilities_of(config: TaskConfig, plugin: PluginConfig) -> tuple[list[str], list[str]]:
    """What to add to Docker's own capabilities, and what to take away."""
    allowed = {_cap(name) for name in plugin.allow_caps}
    dropped = {_cap(name) for name in config.cap_drop}
    added = {_cap(name) for name in config.cap_add}
    if "all" not in allowed:
        dropped |= set(DOCKER_CAPS) - allowed
    if "all" in added and "all" not in allowed:
        added = allowed
    return sorted(name.upper() for name in added), sorted(name.upper() for name in dropped - added)
