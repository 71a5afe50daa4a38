"""What the docker driver refuses, and with which words."""

import pytest

from drivers.docker.check import capabilities_of, check
from drivers.docker.config import (
    Device,
    MountConfig,
    PluginConfig,
    PluginVolumes,
    TaskConfig,
)

CLOSED = PluginConfig()
OPEN = PluginConfig(
    allow_privileged=True,
    allow_caps=("all",),
    allow_runtimes=("runc", "gvisor"),
    allow_host_namespaces=("network", "pid", "ipc", "uts", "user", "cgroup"),
    volumes=PluginVolumes(enabled=True),
)

REACHES = [
    ({"privileged": True}, "privileged: not allowed, see allow_privileged"),
    ({"cap_add": ("SYS_ADMIN",)}, "cap_add: CAP_SYS_ADMIN not allowed, see allow_caps"),
    ({"cap_add": ("cap_net_raw",)}, "cap_add: CAP_NET_RAW not allowed, see allow_caps"),
    ({"cap_add": ("ALL",)}, "cap_add: CAP_ALL not allowed, see allow_caps"),
    ({"pid_mode": "host"}, 'pid_mode: "host" is not allowed, see allow_host_namespaces'),
    ({"ipc_mode": "host"}, 'ipc_mode: "host" is not allowed, see allow_host_namespaces'),
    ({"uts_mode": "host"}, 'uts_mode: "host" is not allowed, see allow_host_namespaces'),
    ({"userns_mode": "host"}, 'userns_mode: "host" is not allowed, see allow_host_namespaces'),
    ({"cgroupns": "host"}, 'cgroupns: "host" is not allowed, see allow_host_namespaces'),
    (
        {"devices": (Device(host_path="/dev/kmsg"),)},
        'devices: "/dev/kmsg" is not allowed, see allow_devices',
    ),
    ({"runtime": "gvisor"}, 'runtime: "gvisor" is not allowed, see allow_runtimes'),
    (
        {"security_opt": ("seccomp=unconfined",)},
        'security_opt: "seccomp=unconfined" is not allowed, see allow_privileged',
    ),
    ({"volumes": ("/etc:/x",)}, 'volumes: "/etc" is not allowed, see volumes.enabled'),
    (
        {"volumes": ("data:/x",), "volume_driver": "nfs"},
        'volumes: "data" is not allowed, see volumes.enabled',
    ),
    (
        {"mount": (MountConfig(type="bind", source="/etc", target="/x"),)},
        'mount: source "/etc" is not allowed, see volumes.enabled',
    ),
    (
        {"mounts": (MountConfig(type="volume", source="data", target="/x"),)},
        'mount: source "data" is not allowed, see volumes.enabled',
    ),
]


@pytest.mark.parametrize(("values", "problem"), REACHES)
def test_what_reaches_the_host_is_refused_unless_the_operator_allows_it(
    values: dict[str, object], problem: str
) -> None:
    config = TaskConfig(image="redis", **values)
    assert check(config, CLOSED) == [f"{problem} of the docker plugin"]
    assert check(config, OPEN) == []


@pytest.mark.parametrize(
    "values",
    [
        {"network_mode": "host"},
        {"volumes": ("local/data:/data", "data:/x:ro")},
        {"mount": (MountConfig(type="tmpfs", target="/x"),)},
        {"mount": (MountConfig(type="bind", source="local/x", target="/x"),)},
        {"cap_add": ("CHOWN",), "cap_drop": ("all",)},
        {"security_opt": ("no-new-privileges",)},
        {"runtime": "runc"},
    ],
)
def test_what_stays_inside_is_allowed(values: dict[str, object]) -> None:
    assert check(TaskConfig(image="redis", **values), CLOSED) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"image": " "}, "image: must not be empty"),
        ({"image_pull_timeout": "5 minutes"}, "image_pull_timeout:"),
        ({"ports": ("a",), "port_map": {"a": 1}}, "port_map: only one"),
        ({"volumes": ("x",)}, 'volumes: "x" is not of the form'),
        ({"mount": (MountConfig(type="nfs", target="/x"),)}, 'mount: type "nfs" is not one of'),
        ({"mount": (MountConfig(type="tmpfs", target="x"),)}, 'mount: target "x" must be absolute'),
        ({"ulimit": {"nofile": "many"}}, 'ulimit: "nofile" must be'),
        ({"pids_limit": -1}, "pids_limit: must not be negative"),
        ({"cpu_cfs_period": 5}, "cpu_cfs_period: must be between"),
        ({"advertise_ipv6_address": True}, "advertise_ipv6_address: not supported yet"),
        ({"isolation": "hyperv"}, "isolation: works on Windows only"),
    ],
)
def test_what_makes_no_sense_is_refused_everywhere(values: dict[str, object], problem: str) -> None:
    config = TaskConfig(**{"image": "redis", **values})
    (found,) = check(config, OPEN)
    assert found.startswith(problem)
    assert check(config, None) == [found]


def test_a_device_may_be_allowed_by_a_pattern() -> None:
    plugin = PluginConfig(allow_devices=("/dev/snd/*",))

    def problems(path: str) -> list[str]:
        return check(TaskConfig(image="x", devices=(Device(host_path=path),)), plugin)

    assert problems("/dev/snd/seq") == []
    assert problems("/dev/snd/../kmsg") != []
    assert problems("/dev/kmsg") != []


def test_more_processes_than_the_operators_limit_are_refused() -> None:
    plugin = PluginConfig(pids_limit=10)
    assert check(TaskConfig(image="x", pids_limit=10), plugin) == []
    assert check(TaskConfig(image="x", pids_limit=11), plugin) == [
        "pids_limit: 11 is more than the docker plugin's 10"
    ]


def test_capabilities_are_dockers_own_less_what_is_not_allowed() -> None:
    assert capabilities_of(TaskConfig(image="x"), CLOSED) == ([], ["NET_RAW"])
    config = TaskConfig(image="x", cap_drop=("all",), cap_add=("CAP_CHOWN",))
    assert capabilities_of(config, CLOSED) == (["CHOWN"], ["ALL", "NET_RAW"])
    everything = TaskConfig(image="x", cap_add=("all",))
    assert capabilities_of(everything, OPEN) == (["ALL"], [])
