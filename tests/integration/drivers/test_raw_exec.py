"""Programs of the host under supervisors."""

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import msgspec
import pytest

from drivers.common import cgroups
from drivers.raw_exec import RawExecDriver
from hanse.driver import Exit, LogTarget, TaskHandle, TaskSpec
from hanse.errors import DriverFailed


def read(path: str) -> str:
    return Path(path).read_text()


def plant(task: TaskSpec, name: str) -> Path:
    """Put a folder where a log file should be."""
    found = Path(task.logs.folder, name)
    found.mkdir()
    return found


def kill_supervisor(handle: TaskHandle) -> None:
    os.kill(handle.state["supervisor"], signal.SIGKILL)


async def test_it_works_only_where_the_operator_says_so(raw) -> None:
    driver = RawExecDriver(raw.context())
    info = await driver.fingerprint()
    assert (info.detected, info.health_description) == (False, "disabled")
    with pytest.raises(DriverFailed, match="disabled"):
        await raw.start(driver, raw.task("true"))


def test_a_wrong_plugin_configuration_is_refused_by_name(raw) -> None:
    with pytest.raises(DriverFailed, match=r'unknown key "enable", did you mean "enabled"\?'):
        RawExecDriver(raw.context(enable=True))


async def test_a_program_that_is_not_there_is_an_error_with_its_name(raw) -> None:
    driver = raw.driver()
    with pytest.raises(DriverFailed, match='failed to find the program "no-such"'):
        await raw.start(driver, raw.task("", config={"command": "no-such"}))
    missing = {"command": "true", "work_dir": "/no/such/folder"}
    with pytest.raises(DriverFailed, match='cannot enter "/no/such/folder": no such file'):
        await raw.start(driver, raw.task("", config=missing))
    assert not list((raw.root / "state/tasks").glob("*/state.json"))


async def test_a_start_that_failed_may_be_tried_again(raw) -> None:
    driver = raw.driver()
    task = raw.task("", config={"command": "true", "work_dir": str(raw.root / "later")})
    with pytest.raises(DriverFailed):
        await raw.start(driver, task)
    (raw.root / "later").mkdir()
    assert await driver.wait(await raw.start(driver, task)) == Exit()


async def test_a_task_sees_its_folder_its_variables_and_nothing_of_ours(raw, logs) -> None:
    driver = raw.driver(denied_envvars=["AWS_*"])
    task = raw.task(
        "pwd; env | sort; ls -l /proc/self/fd | wc -l; cat /proc/self/status | grep Sig[BIC]",
        environment={"PATH": "/usr/bin:/bin", "A": "1", "AWS_KEY": "2"},
    )
    await driver.wait(await raw.start(driver, task))
    text = logs(task)
    assert text.splitlines()[0] == task.task_dir
    assert "A=1" in text
    assert "AWS_KEY" not in text
    # ls itself has 0, 1, 2 and the folder it reads; the head line makes five.
    assert "\n5\n" in text
    # The C library's own two, 32 and 33, are ignored in whatever it spawns.
    masks = re.findall(r"Sig(?:Blk|Ign|Cgt):\t([0-9a-f]{16})", text)
    assert [int(mask, 16) & 0x7FFFFFFF for mask in masks] == [0, 0, 0]


async def test_a_task_inherits_the_agents_environment_but_no_credentials(
    raw, logs, monkeypatch
) -> None:
    for name in ("JAVA_HOME", "AWS_SECRET_ACCESS_KEY", "HANSE_TOKEN", "NOMAD_ADDR", "SECRET_X"):
        monkeypatch.setenv(name, "inherited")
    driver = raw.driver(denied_envvars=["SECRET_*"])
    task = raw.task("env", environment={"NOMAD_TASK_NAME": "web"})
    await driver.wait(await raw.start(driver, task))
    found = dict(line.split("=", 1) for line in logs(task).splitlines() if "=" in line)
    assert found["JAVA_HOME"] == "inherited"
    assert found["NOMAD_TASK_NAME"] == "web"
    assert "/bin" in found["PATH"]
    hidden = {"AWS_SECRET_ACCESS_KEY", "HANSE_TOKEN", "NOMAD_ADDR", "SECRET_X"}
    assert not hidden & found.keys()


async def test_a_task_may_run_as_another_user(raw, logs) -> None:
    if os.geteuid() != 0:
        with pytest.raises(DriverFailed, match="does not run as root"):
            await raw.start(raw.driver(), raw.task("id", user="nobody"))
        return
    for folder in (raw.root, *raw.root.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(0o755)
    driver = raw.driver()
    task = raw.task("id -u; id -g; echo $USER; echo $HOME", user="nobody")
    assert await driver.wait(await raw.start(driver, task)) == Exit()
    assert logs(task).splitlines() == ["65534", "65534", "nobody", "/nonexistent"]
    with pytest.raises(DriverFailed, match='unknown user "no-such-user"'):
        await raw.start(driver, raw.task("id", user="no-such-user"))


async def test_a_task_killed_by_a_signal_says_which(raw) -> None:
    driver = raw.driver()
    handle = await raw.start(driver, raw.task("kill -SEGV $$"))
    assert await driver.wait(handle) == Exit(signal=signal.SIGSEGV)


async def test_the_default_signal_is_an_interrupt(raw, logs, until) -> None:
    driver = raw.driver()
    task = raw.task("trap 'echo interrupted; exit 3' INT; echo up; while :; do sleep 0.05; done")
    handle = await raw.start(driver, task)
    await until(lambda: "up" in logs(task))
    await driver.stop(handle, signal="", grace_s=5)
    assert await driver.wait(handle) == Exit(code=3)


async def test_what_a_task_leaves_behind_dies_with_it(raw, logs, until) -> None:
    driver = raw.driver()
    # One in a session of its own, one whose parent is gone, both deaf to polite signals.
    task = raw.task(
        "trap '' INT TERM HUP; setsid sleep 4321 & (sleep 4321 >/dev/null 2>&1 &); "
        "echo up; sleep 0.1",
    )
    handle = await raw.start(driver, task)
    await until(lambda: "up" in logs(task))
    assert await driver.wait(handle) == Exit()
    assert not sleepers("4321")


def sleepers(seconds: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", seconds.encode()]:
                found.append(int(name))
    return found


async def test_output_of_what_is_left_behind_is_kept_for_a_moment(raw, logs) -> None:
    driver = raw.driver()
    task = raw.task("(sleep 0.3; echo late) & echo early")
    assert await driver.wait(await raw.start(driver, task)) == Exit()
    assert logs(task) == "early\nlate\n"


async def test_stopping_kills_the_whole_tree(raw, logs, until) -> None:
    driver = raw.driver()
    task = raw.task("trap '' INT; setsid sh -c 'sleep 5432 & sleep 5432' & echo up; wait; wait")
    handle = await raw.start(driver, task)
    await until(lambda: len(sleepers("5432")) == 2)
    await driver.stop(handle, signal="", grace_s=0.2)
    assert (await driver.wait(handle)).signal == signal.SIGKILL
    assert not sleepers("5432")


async def test_the_death_of_the_fork_server_touches_no_task(raw, logs) -> None:
    driver = raw.driver()
    first = raw.task("echo one; sleep 0.5; exit 4")
    handle = await raw.start(driver, first)
    zygote = driver._fork_server.pid
    os.kill(zygote, signal.SIGKILL)
    second = raw.task("echo two; exit 5")
    again = await raw.start(driver, second)
    assert await driver.wait(handle) == Exit(code=4)
    assert await driver.wait(again) == Exit(code=5)
    assert (logs(first), logs(second)) == ("one\n", "two\n")
    assert driver._fork_server.pid != zygote


async def test_a_task_does_not_outlive_its_supervisor_and_is_reported_lost(raw, until) -> None:
    driver = raw.driver()
    handle = await raw.start(driver, raw.task("setsid sleep 6543 & sleep 6543; sleep 6543"))
    await until(lambda: sleepers("6543"))
    waiting = asyncio.create_task(driver.wait(handle))
    await asyncio.sleep(0.05)
    kill_supervisor(handle)
    assert "supervisor ended unexpectedly" in (await waiting).error
    if cgroups.find_mounts().version:
        assert not sleepers("6543")
    assert not await raw.driver().recover(handle)


async def test_a_handle_from_before_a_reboot_kills_nobody(raw) -> None:
    driver = raw.driver()
    handle = await raw.start(driver, raw.task("exec sleep 60"))
    # The same pid and start time in another boot is another process.
    other = msgspec.structs.replace(
        handle, state={**handle.state, "boot_id": "other", "dir": str(raw.root / "none")}
    )
    assert not await driver.recover(other)
    assert raw.alive(handle)


async def test_a_folder_with_a_long_name_is_no_problem(raw, logs) -> None:
    raw.root = raw.root / ("x" * 100) / ("y" * 100)
    driver = raw.driver()
    task = raw.task("echo out; sleep 0.1; exit 2")
    handle = await raw.start(driver, task)
    assert await raw.driver().recover(handle)
    assert await raw.driver().wait(handle) == Exit(code=2)


async def test_each_task_has_a_control_group_that_goes_with_it(raw, until) -> None:
    if not cgroups.find_mounts().version:
        pytest.fail("this machine has no control groups that can be written")
    driver = raw.driver()
    task = raw.task("exec sleep 60")
    handle = await raw.start(driver, task)
    groups = tuple(handle.state["cgroup"])
    assert groups
    assert all("/hanse/" in group for group in groups)
    assert cgroups.members(groups) == [handle.state["pid"]]
    assert "/hanse/supervisors" in read(f"/proc/{handle.state['supervisor']}/cgroup")
    await driver.destroy(handle)
    await until(lambda: not any(Path(group).exists() for group in groups))


async def test_a_fork_server_leaves_nothing_behind_and_clears_up_after_others(raw, until) -> None:
    driver = raw.driver()
    handle = await raw.start(driver, raw.task("exec sleep 60"))
    tops = {str(Path(group).parent) for group in handle.state["cgroup"]}
    zygote = driver._fork_server.pid

    def left() -> list[str]:
        return [name for top in tops for name in os.listdir(top) if name.startswith(f"{zygote}-")]

    await until(lambda: len(left()) == 2 * len(tops))
    del driver
    # Its own task stays, the supervisor that stood by goes.
    await until(lambda: len(left()) == len(tops))
    assert raw.alive(handle)
    stale = [Path(top, "4194999-1-1") for top in tops]
    for path in stale:
        path.mkdir()
    await raw.start(raw.driver(), raw.task("exec sleep 60"))
    assert not any(path.exists() for path in stale)
    assert raw.alive(handle)


def test_a_control_group_of_the_second_kind_is_joined_killed_and_removed() -> None:
    """On a machine with both kinds, the second has no controllers but works as a group."""
    root = next(
        (path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if is_second_kind(path)), ""
    )
    if not root or not os.access(root, os.W_OK):
        pytest.fail("this machine has no control groups of the second kind that can be written")
    group = (f"{root}/hanse-test-{os.getpid()}",)
    cgroups.create(group)
    cgroups.create(group)
    pid = os.fork()
    if pid == 0:
        try:
            cgroups.join(group)
            os.execvp("sleep", ["sleep", "7654"])
        finally:
            os._exit(1)
    while cgroups.members(group) != [pid] or not sleepers("7654"):
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    assert not cgroups.remove(group)
    assert cgroups.kill(group)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not cgroups.kill(group)
    assert cgroups.remove(group)
    assert cgroups.remove(group)


def is_second_kind(path: str) -> bool:
    return Path(path, "cgroup.procs").exists() and Path(path, "cgroup.controllers").exists()


async def test_a_log_that_cannot_be_written_does_not_stop_the_task(raw) -> None:
    driver = raw.driver()
    task = raw.task("for i in 1 2 3; do echo $i; sleep 0.1; done; exit 3")
    planted = plant(task, "web.stdout.1")
    target = LogTarget(folder=task.logs.folder, max_file_bytes=2, max_files=5)
    with pytest.raises(DriverFailed, match=r"web\.stdout\.1"):
        await raw.start(driver, msgspec.structs.replace(task, logs=target))
    planted.rmdir()
    task = raw.task("for i in 1 2 3; do echo $i; sleep 0.2; done; exit 3")
    target = LogTarget(folder=task.logs.folder, max_file_bytes=2, max_files=5)
    handle = await raw.start(driver, msgspec.structs.replace(task, logs=target))
    plant(task, "web.stdout.1")
    assert await driver.wait(handle) == Exit(code=3)


async def test_much_output_arrives_whole(raw, files) -> None:
    driver = raw.driver()
    size = 64 << 20
    task = raw.task(f"head -c {size} /dev/zero")
    target = LogTarget(folder=task.logs.folder, max_file_bytes=10 << 20)
    task = raw.task(f"head -c {size} /dev/zero", logs=target)
    began = time.monotonic()
    assert await driver.wait(await raw.start(driver, task)) == Exit()
    took_s = time.monotonic() - began
    assert [path.stat().st_size for path in files(task)] == [10 << 20] * 6 + [4 << 20]
    assert took_s < 10


async def test_many_tasks_start_fast_and_small(raw) -> None:
    driver = raw.driver()
    await driver.wait(await raw.start(driver, raw.task("true")))
    tasks = [raw.task("", config={"command": "sleep", "args": ["60"]}) for _ in range(50)]
    began = time.monotonic()
    handles = await asyncio.gather(*(raw.start(driver, task) for task in tasks))
    took_s = time.monotonic() - began
    # A tenth of what an idle machine does: the tests share theirs.
    assert took_s < 50 / 20
    assert len({handle.state["pid"] for handle in handles}) == 50
    private_kib = [
        int(line.split()[1])
        for line in read(f"/proc/{handles[0].state['supervisor']}/smaps_rollup").splitlines()
        if line.startswith("Private_")
    ]
    assert sum(private_kib) < 4 << 10
