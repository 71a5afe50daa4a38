"""Containers on a real engine."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import msgspec
import pytest

from drivers.docker import DockerDriver
from hanse.driver import Exit, LogTarget, Mount, PortMap
from hanse.errors import DriverFailed

IMAGE = "localhost/hanse-busybox:1"


def config(script: str, **more: object) -> dict[str, object]:
    return {"image": IMAGE, "command": "sh", "args": ["-c", script], **more}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_an_engine_that_is_away_is_unhealthy_not_an_error(box) -> None:
    driver = box.driver(endpoint=f"unix://{box.root}/none.sock")
    info = await driver.fingerprint()
    assert (info.detected, info.healthy) == (False, False)
    assert info.health_description == "Failed to connect to docker daemon"
    with pytest.raises(DriverFailed, match="cannot reach the Docker engine") as caught:
        await box.start(driver, box.task("true"))
    assert caught.value.recoverable


async def test_the_fingerprint_says_what_the_engine_can_do(box) -> None:
    plain = (await box.driver().fingerprint()).attributes
    assert plain["driver.docker.os_type"] == "linux"
    assert "runc" in plain["driver.docker.runtimes"].split(",")
    assert plain["driver.docker.version"][:2].isdigit()
    assert plain["driver.docker.bridge_ip"].count(".") == 3
    assert "driver.docker.volumes.enabled" not in plain
    opened = box.driver(volumes={"enabled": True}, allow_privileged=True)
    attributes = (await opened.fingerprint()).attributes
    assert attributes["driver.docker.volumes.enabled"] == "true"
    assert attributes["driver.docker.privileged.enabled"] == "true"


def test_a_wrong_plugin_configuration_is_refused_by_name(box) -> None:
    for wrong, problem in (
        ({"allow_priviliged": True}, 'unknown key "allow_priviliged", did you mean'),
        ({"gc": {"image_delay": "soon"}}, "gc.image_delay"),
        ({"gc": {"dangling_containers": {"enabled": True}}}, "gc.dangling_containers"),
    ):
        with pytest.raises(DriverFailed, match=problem):
            box.driver(**wrong)


async def test_what_reaches_the_host_is_refused_at_the_start(box) -> None:
    with pytest.raises(DriverFailed, match="privileged: not allowed, see allow_privileged"):
        await box.start(box.driver(), box.task("", config=config("true", privileged=True)))


async def test_a_container_is_named_and_labelled_for_its_allocation(box) -> None:
    driver = box.driver()
    task = box.task("sleep 60")
    handle = await box.start(driver, task)
    found = box.engine().inspect_container(handle.state["container_id"])
    assert found["Name"] == f"/web-{task.allocation_id}"
    assert found["Config"]["Labels"]["com.hashicorp.nomad.alloc_id"] == task.allocation_id


async def test_a_former_container_of_the_allocation_makes_room(box, logs) -> None:
    driver = box.driver()
    first = box.task("echo one")
    await driver.wait(await box.start(driver, first))
    second = msgspec.structs.replace(
        first, id=f"{first.id}-again", config=config("echo two; exit 2")
    )
    assert await driver.wait(await box.start(driver, second)) == Exit(code=2)
    assert logs(first) == "one\ntwo\n"


async def test_a_strangers_container_of_that_name_is_left_alone(box) -> None:
    task = box.task("true")
    engine = box.engine()
    stranger = engine.create_container(IMAGE, "true", name=f"web-{task.allocation_id}")["Id"]
    try:
        with pytest.raises(DriverFailed, match="is not this allocation's"):
            await box.start(box.driver(), task)
        assert engine.inspect_container(stranger)["Id"] == stranger
    finally:
        engine.remove_container(stranger)


async def test_ports_are_published_for_tcp_and_udp(box, until) -> None:
    driver = box.driver()
    port = free_port()
    task = box.task(
        "",
        config={"image": IMAGE, "command": "hanse-task", "args": ["serve", "8080"], "ports": ["w"]},
        ports=(PortMap(label="w", host_ip="127.0.0.1", value=port, to=8080),),
    )
    handle = await box.start(driver, task)

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"served by" in sock.recv(4096) + sock.recv(4096)
        return False

    await until(answers)
    bound = box.engine().inspect_container(handle.state["container_id"])["HostConfig"]
    assert set(bound["PortBindings"]) == {"8080/tcp", "8080/udp"}


async def test_a_port_in_use_is_a_failure_that_may_pass(box) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        task = box.task(
            "",
            config=config("true", ports=["w"]),
            ports=(PortMap(label="w", host_ip="127.0.0.1", value=taken.getsockname()[1]),),
        )
        with pytest.raises(DriverFailed, match="Failed to start container") as caught:
            await box.start(box.driver(), task)
    assert caught.value.recoverable
    assert not box.engine().containers(all=True, filters={"label": f"hanse.task_id={task.id}"})


async def test_a_program_that_is_not_in_the_image_is_an_error_with_its_name(box) -> None:
    task = box.task("", config={"image": IMAGE, "command": "no-such-program"})
    with pytest.raises(DriverFailed, match="no-such-program") as caught:
        await box.start(box.driver(), task)
    assert not caught.value.recoverable


async def test_the_allocations_folders_and_the_jobs_mounts_are_there(box, logs) -> None:
    driver = box.driver()
    script = (
        "echo a > /alloc/a; echo l > /local/l; echo s > /secrets/s; cat /srv/given;"
        " echo x > /srv/given || echo no; cat /data/l"
    )
    task = box.task("")
    given = box.root / "given"
    given.write_text("given\n")
    task = msgspec.structs.replace(
        task,
        config=config(script, volumes=["local:/data:ro"]),
        mounts=(Mount(source=str(given), target="/srv/given", read_only=True),),
    )
    assert await driver.wait(await box.start(driver, task)) == Exit()
    assert logs(task) == "given\nno\nl\n"
    assert (box.root / task.alloc_dir / "a").read_text() == "a\n"
    assert (box.root / task.local_dir / "l").read_text() == "l\n"
    assert (box.root / task.secrets_dir / "s").read_text() == "s\n"


async def test_a_container_over_its_memory_says_so(box) -> None:
    driver = box.driver()
    task = box.task("", config={"image": IMAGE, "command": "hanse-task", "args": ["eat"]})
    task = msgspec.structs.replace(task, memory_mib=16)
    assert await driver.wait(await box.start(driver, task)) == Exit(code=137, oom_killed=True)


async def test_what_the_task_asks_of_the_engine_holds_inside(box, logs) -> None:
    driver = box.driver()
    script = (
        "hostname; pwd; id -u; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -n;"
        " grep -w other /etc/hosts; touch /x || echo readonly; df -k /dev/shm | tail -1"
        " | awk '{print $2}'; grep CapEff /proc/self/status; grep nameserver /etc/resolv.conf"
    )
    task = box.task(
        "",
        config=config(
            script,
            hostname="lubeck",
            work_dir="/home",
            sysctl={"net.ipv4.ip_unprivileged_port_start": "77"},
            ulimit={"nofile": "1000:2000"},
            extra_hosts=["other:10.9.8.7"],
            readonly_rootfs=True,
            shm_size=8 << 20,
            cap_drop=["all"],
            dns_servers=["10.5.5.5"],
            init=True,
            security_opt=["no-new-privileges"],
        ),
        user="1000",
    )
    assert await driver.wait(await box.start(driver, task)) == Exit()
    assert logs(task).split("\n")[:-1] == [
        "lubeck",
        "/home",
        "1000",
        "77",
        "1000",
        "10.9.8.7\tother",
        "readonly",
        "8192",
        "CapEff:\t0000000000000000",
        "nameserver 10.5.5.5",
    ]


async def test_a_container_somebody_removed_is_reported_not_taken_for_ended(box) -> None:
    driver = box.driver()
    handle = await box.start(driver, box.task("sleep 60"))
    waiting = asyncio.create_task(driver.wait(handle))
    await asyncio.sleep(0.1)
    box.engine().remove_container(handle.state["container_id"], force=True)
    ended = await waiting
    assert ended.error == "the container was removed" or ended.code == 137
    assert not ended.successful
    assert not await box.driver().recover(handle)


async def test_output_of_a_terminal_is_kept_as_it_is(box, files) -> None:
    driver = box.driver()
    task = box.task("", config=config("tty; echo out; echo err >&2; printf end", tty=True))
    assert await driver.wait(await box.start(driver, task)) == Exit()
    (file,) = files(task)
    assert file.read_bytes() == b"/dev/pts/0\r\nout\r\nerr\r\nend"


async def test_a_log_the_engine_does_not_keep_is_no_obstacle(box, logs) -> None:
    driver = box.driver()
    task = box.task("", config=config("echo out; exit 3", logging={"type": "none"}))
    assert await driver.wait(await box.start(driver, task)) == Exit(code=3)
    assert logs(task) == ""


async def test_long_lines_and_control_characters_arrive_as_they_are(box, files) -> None:
    driver = box.driver()
    script = "head -c 100000 /dev/zero | tr '\\0' a; echo; printf 'f\\303\\274r\\0\\033[1mx'"
    task = box.task(script)
    assert await driver.wait(await box.start(driver, task)) == Exit()
    text = b"".join(path.read_bytes() for path in files(task))
    assert text == b"a" * 100_000 + b"\n" + "für\0\033[1mx".encode()


async def test_bytes_that_are_no_text_are_kept_where_the_operator_says_so(box, files) -> None:
    driver = box.driver(logging={"type": "local"})
    task = box.task("printf '\\377\\376\\0x'")
    assert await driver.wait(await box.start(driver, task)) == Exit()
    assert b"".join(path.read_bytes() for path in files(task)) == b"\xff\xfe\0x"


async def test_copying_may_be_killed_at_any_moment(box, host, files) -> None:
    """The host that copies is killed three times while much is written; each byte is there once."""
    lines = 40_000
    script = f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; exit 6"
    task = box.task(script)
    target = LogTarget(folder=task.logs.folder, max_files=100, max_file_bytes=100_000)
    task = msgspec.structs.replace(task, logs=target)
    for _ in range(3):
        process, (handle,) = await asyncio.to_thread(host, box, [task])
        await box.clock.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    driver = box.driver()
    assert await driver.recover(handle)
    assert await driver.wait(handle) == Exit(code=6)
    text = b"".join(path.read_bytes() for path in files(task))
    assert text == b"".join(b"line %d\n" % n for n in range(1, lines + 1))


class OwnEngine:
    """An engine of the test's own, which may be killed; its containerd lives on, as installed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"unix://{root}/d.sock"
        self._containerd = self._run("containerd", "-c", self._containerd_config())
        self._engine: subprocess.Popen[bytes] | None = None

    def _containerd_config(self) -> str:
        path = self.root / "containerd.toml"
        path.write_text(
            f'version = 2\nroot = "{self.root}/c/root"\nstate = "{self.root}/c/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.root}/c.sock"\n'
        )
        return str(path)

    def _run(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self.root / f"{command[0]}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            )

    def start(self) -> None:
        # In a network of its own: with no bridge of its own it would remove the machine's.
        self._engine = self._run(
            *("unshare", "--net"),
            "dockerd",
            *("-H", self.url),
            *("--containerd", f"{self.root}/c.sock"),
            *("--data-root", f"{self.root}/data"),
            *("--exec-root", f"{self.root}/exec"),
            *("--pidfile", f"{self.root}/pid"),
            "--bridge=none",
            "--iptables=false",
            "--live-restore",
        )

    async def ready(self, until) -> docker.APIClient:
        def connected() -> bool:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.url.removeprefix("unix://"))
                sock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in sock.recv(64)
            return False

        await until(connected)
        return docker.APIClient(self.url, version="1.41")

    def touch(self, folder: str, name: str) -> None:
        """Say to the task that it may end."""
        Path(folder, name).touch()

    def kill(self) -> None:
        """End the engine as a crash does."""
        assert self._engine
        self._engine.kill()
        self._engine.wait()

    def close(self) -> None:
        engine = ["docker", "-H", self.url]
        left = subprocess.run([*engine, "ps", "-aq"], check=False, capture_output=True, timeout=10)
        for container in left.stdout.decode().split():
            subprocess.run([*engine, "rm", "-f", container], check=False, timeout=10)
        for process in (self._engine, self._containerd):
            if process is not None:
                process.terminate()
                process.wait(20)
        with open("/proc/mounts") as mounts:
            places = [line.split()[1] for line in mounts]
        for place in sorted(places, reverse=True):
            if place.startswith(f"{self.root}/"):
                subprocess.run(["umount", "-l", place], check=False)


@pytest.fixture
def own_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    engine = OwnEngine(tmp_path_factory.mktemp("e"))
    engine.start()
    yield engine
    engine.close()


async def test_the_engines_death_is_not_the_tasks(box, own_engine, until, logs) -> None:
    client = await own_engine.ready(until)
    client.load_image(b"".join(box.engine().get_image(IMAGE)))
    driver = DockerDriver(box.context(endpoint=own_engine.url))
    script = "i=0; while [ ! -e /local/end ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 6"
    task = box.task("", config=config(script, network_mode="none"))
    handle = await driver.start(task, lambda _: None)
    await until(lambda: "line 5\n" in logs(task))
    waiting = asyncio.create_task(driver.wait(handle))
    own_engine.kill()
    await asyncio.sleep(0.3)
    assert not waiting.done()
    # Found again while the engine is away: it counts as there.
    second = DockerDriver(box.context(endpoint=own_engine.url))
    assert await second.recover(handle)
    assert not (await second.fingerprint()).healthy
    own_engine.start()
    client = await own_engine.ready(until)
    assert client.inspect_container(handle.state["container_id"])["State"]["Running"]
    before = len(logs(task))
    await until(lambda: len(logs(task)) > before)
    assert not waiting.done()
    own_engine.touch(task.local_dir, "end")
    assert await waiting == Exit(code=6)
    numbers = [int(line.split()[1]) for line in logs(task).splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    await driver.destroy(handle)
    client.close()
