"""What is asked of the engine for a task."""

from pathlib import Path

import pytest

from drivers.docker.body import container_body, container_name, host_path
from drivers.docker.config import (
    Auth,
    Healthchecks,
    Logging,
    MountConfig,
    PluginConfig,
    PluginLogging,
    PluginVolumes,
    TaskConfig,
    TmpfsOptions,
)
from hanse.driver import LogTarget, Mount, PortMap, TaskSpec
from hanse.errors import DriverFailed

PLUGIN = PluginConfig()


def task(**changes: object) -> TaskSpec:
    values = {
        "id": "t1",
        "allocation_id": "a1",
        "name": "web",
        "job_id": "shop",
        "group": "front",
        "config": {},
        "environment": {"A": "1", "B": "x=y"},
        "memory_mib": 128,
        "cpu_mhz": 500,
        "alloc_dir": "/d/a1/alloc",
        "local_dir": "/d/a1/web/local",
        "secrets_dir": "/d/a1/web/secrets",
        "task_dir": "/d/a1/web",
        "logs": LogTarget(folder="/d/a1/alloc/logs"),
    }
    return TaskSpec(**{**values, **changes})


def body(config: TaskConfig, plugin: PluginConfig = PLUGIN, **changes: object) -> dict:
    return container_body(task(**changes), config, plugin, "sha256:abc", "n1")


def host(config: TaskConfig, plugin: PluginConfig = PLUGIN, **changes: object) -> dict:
    return body(config, plugin, **changes)["HostConfig"]


def test_the_name_has_only_what_docker_allows() -> None:
    assert container_name(task()) == "web-a1"
    assert container_name(task(name="my täsk/1")) == "my_t_sk_1-a1"
    assert container_name(task(name="-x")) == "x-x-a1"


def test_a_task_becomes_a_container() -> None:
    made = body(
        TaskConfig(
            image="redis",
            command="serve",
            args=("-p", "80"),
            entrypoint=("/init",),
            hostname="h",
            work_dir="/srv",
            healthchecks=Healthchecks(disable=True),
            labels={"team": "x"},
            auth=Auth(password="pa55word"),
        ),
        user="nobody",
        kill_signal="SIGQUIT",
    )
    assert made["Image"] == "sha256:abc"
    assert made["Cmd"] == ["serve", "-p", "80"]
    assert made["Entrypoint"] == ["/init"]
    assert made["Env"] == ["A=1", "B=x=y"]
    assert (made["User"], made["StopSignal"]) == ("nobody", "SIGQUIT")
    assert (made["Hostname"], made["WorkingDir"]) == ("h", "/srv")
    assert made["Healthcheck"] == {"Test": ["NONE"]}
    assert made["Labels"] == {
        "team": "x",
        "com.hashicorp.nomad.alloc_id": "a1",
        "hanse.task_id": "t1",
        "hanse.node_id": "n1",
    }
    assert "pa55word" not in str(made)


def test_an_image_keeps_its_own_command_when_the_task_has_none() -> None:
    made = body(TaskConfig(image="redis"))
    assert not {"Cmd", "Entrypoint", "WorkingDir", "User", "Hostname"} & set(made)


def test_labels_the_operator_wants_are_added_and_ours_cannot_be_forged() -> None:
    plugin = PluginConfig(extra_labels=("job_name", "task_name"))
    made = body(TaskConfig(image="x", labels={"hanse.task_id": "forged"}), plugin)
    assert made["Labels"]["com.hashicorp.nomad.job_name"] == "shop"
    assert made["Labels"]["com.hashicorp.nomad.task_name"] == "web"
    assert made["Labels"]["hanse.task_id"] == "t1"


def test_ports_are_published_on_the_given_address_for_tcp_and_udp() -> None:
    ports = (
        PortMap(label="http", host_ip="10.0.0.1", value=23456, to=8080),
        PortMap(label="admin", host_ip="10.0.0.1", value=9000),
    )
    made = body(TaskConfig(image="x", ports=("http", "admin")), ports=ports)
    assert made["HostConfig"]["PortBindings"] == {
        "8080/tcp": [{"HostIp": "10.0.0.1", "HostPort": "23456"}],
        "8080/udp": [{"HostIp": "10.0.0.1", "HostPort": "23456"}],
        "9000/tcp": [{"HostIp": "10.0.0.1", "HostPort": "9000"}],
        "9000/udp": [{"HostIp": "10.0.0.1", "HostPort": "9000"}],
    }
    assert set(made["ExposedPorts"]) == {"8080/tcp", "8080/udp", "9000/tcp", "9000/udp"}
    old = host(TaskConfig(image="x", port_map={"http": 80}), ports=ports)
    assert set(old["PortBindings"]) == {"80/tcp", "80/udp"}
    with pytest.raises(DriverFailed, match='port "htp" not found'):
        body(TaskConfig(image="x", ports=("htp",)), ports=ports)


def test_memory_is_a_hard_limit_without_swap() -> None:
    made = host(TaskConfig(image="x"))
    assert (made["Memory"], made["MemorySwap"], made["MemoryReservation"]) == (128 << 20,) * 2 + (
        0,
    )
    made = host(TaskConfig(image="x", memory_hard_limit=256))
    assert (made["Memory"], made["MemoryReservation"]) == (256 << 20, 128 << 20)
    made = host(TaskConfig(image="x"), memory_max_mib=512)
    assert (made["Memory"], made["MemoryReservation"]) == (512 << 20, 128 << 20)


def test_cpu_is_a_share_and_on_request_a_limit() -> None:
    made = host(TaskConfig(image="x"))
    assert made["CpuShares"] == 500
    assert "CpuQuota" not in made
    made = host(TaskConfig(image="x", cpu_hard_limit=True, cpu_cfs_period=50_000), cpu_share=0.0001)
    assert (made["CpuPeriod"], made["CpuQuota"]) == (50_000, 1000)
    assert host(TaskConfig(image="x"), cores=(2, 3))["CpusetCpus"] == "2,3"


def test_the_allocations_folders_are_mounted_where_nomad_has_them() -> None:
    made = host(
        TaskConfig(
            image="x",
            mount=(
                MountConfig(type="tmpfs", target="/tmp/x", tmpfs_options=TmpfsOptions(size=1024)),
            ),
        ),
        mounts=(Mount(source="/data", target="/srv", read_only=True),),
    )
    assert made["Mounts"] == [
        {"Type": "bind", "Source": "/d/a1/alloc", "Target": "/alloc", "ReadOnly": False},
        {"Type": "bind", "Source": "/d/a1/web/local", "Target": "/local", "ReadOnly": False},
        {"Type": "bind", "Source": "/d/a1/web/secrets", "Target": "/secrets", "ReadOnly": False},
        {"Type": "bind", "Source": "/data", "Target": "/srv", "ReadOnly": True},
        {
            "Type": "tmpfs",
            "Target": "/tmp/x",
            "ReadOnly": False,
            "TmpfsOptions": {"SizeBytes": 1024},
        },
    ]


def test_the_engines_log_is_bounded_unless_the_task_says_otherwise() -> None:
    assert host(TaskConfig(image="x"))["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "64m", "max-file": "4"},
    }
    own = TaskConfig(image="x", logging=Logging(driver="none"))
    assert host(own)["LogConfig"] == {"Type": "none", "Config": {}}
    plugin = PluginConfig(logging=PluginLogging(type="local", config={"max-size": "1m"}))
    assert host(TaskConfig(image="x"), plugin)["LogConfig"] == {
        "Type": "local",
        "Config": {"max-size": "1m"},
    }


def test_a_relative_volume_stays_in_the_allocation(tmp_path: Path) -> None:
    alloc = tmp_path / "a1"
    (alloc / "web").mkdir(parents=True)
    (alloc / "web" / "out").symlink_to("/etc")
    spec = task(alloc_dir=str(alloc / "alloc"), task_dir=str(alloc / "web"))
    assert host_path(spec, "local/x", PLUGIN) == str(alloc / "web/local/x")
    assert host_path(spec, "../alloc/x", PLUGIN) == str(alloc / "alloc/x")
    for source in ("../../other/web", "out/passwd", "out"):
        with pytest.raises(DriverFailed, match="leads out of the allocation"):
            host_path(spec, source, PLUGIN)
    opened = PluginConfig(volumes=PluginVolumes(enabled=True))
    assert host_path(spec, "/etc", opened) == "/etc"


def test_a_folder_that_a_task_replaced_by_a_link_is_not_mounted(tmp_path: Path) -> None:
    alloc = tmp_path / "a1"
    (alloc / "web").mkdir(parents=True)
    (alloc / "web" / "secrets").symlink_to("/etc")
    spec = {
        "alloc_dir": str(alloc / "alloc"),
        "local_dir": str(alloc / "web/local"),
        "secrets_dir": str(alloc / "web/secrets"),
    }
    with pytest.raises(DriverFailed, match='"web/secrets" of the allocation has been replaced'):
        body(TaskConfig(image="x"), **spec)
    (alloc / "web" / "secrets").unlink()
    assert body(TaskConfig(image="x"), **spec)["HostConfig"]["Mounts"]


def test_an_address_needs_the_network_it_is_in() -> None:
    config = TaskConfig(
        image="x", network_mode="lan", ipv4_address="10.1.2.3", network_aliases=("a",)
    )
    assert body(config)["NetworkingConfig"] == {
        "EndpointsConfig": {"lan": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.1.2.3"}}}
    }
