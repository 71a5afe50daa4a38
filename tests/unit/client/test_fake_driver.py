"""The scripted driver keeps the promises of the driver protocol."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hanse.clock import SystemClock
from hanse.driver import (
    Driver,
    DriverEvent,
    ExecInput,
    Executes,
    Exit,
    LogTarget,
    Measures,
    Signals,
    TaskSpec,
)
from hanse.errors import DriverFailed
from hanse.testing.driver import FakeHost, ScriptedDriver


def spec(folder: Path, task_id: str = "t-1", **config: Any) -> TaskSpec:
    return TaskSpec(
        id=task_id, allocation_id="a", name="t", job_id="j", group="g", config=config,
        environment={}, alloc_dir=str(folder), local_dir=str(folder), secrets_dir=str(folder),
        task_dir=str(folder), logs=LogTarget(folder=str(folder)),
    )  # fmt: skip


@pytest.fixture
def host() -> FakeHost:
    return FakeHost(SystemClock())


@pytest.fixture
def driver(host: FakeHost) -> ScriptedDriver:
    return ScriptedDriver(host)


def ignore(event: DriverEvent) -> None:
    del event


async def test_it_is_a_driver_with_all_abilities(driver: ScriptedDriver) -> None:
    for protocol in (Driver, Signals, Measures, Executes):
        assert isinstance(driver, protocol)
    assert (await driver.fingerprint()).healthy


async def test_one_id_is_started_once(
    driver: ScriptedDriver, host: FakeHost, tmp_path: Path
) -> None:
    first = await driver.start(spec(tmp_path, stdout_string="hi"), ignore)
    assert await driver.start(spec(tmp_path, stdout_string="hi"), ignore) == first
    assert host.starts == ["t-1"]
    assert (tmp_path / "t.stdout.0").read_text() == "hi"


async def test_a_task_ends_as_its_script_says(driver: ScriptedDriver, tmp_path: Path) -> None:
    handle = await driver.start(spec(tmp_path, run_for=0.01, exit_code=3, oom=True), ignore)
    assert await driver.wait(handle) == Exit(code=3, oom_killed=True)
    assert await driver.wait(handle) == Exit(code=3, oom_killed=True)


async def test_a_task_outlives_its_driver(
    driver: ScriptedDriver, host: FakeHost, tmp_path: Path
) -> None:
    handle = await driver.start(spec(tmp_path), ignore)
    other = ScriptedDriver(host)
    assert await other.recover(handle)
    host.reboot()
    assert not await other.recover(handle)


async def test_a_stop_is_obeyed_or_enforced(driver: ScriptedDriver, tmp_path: Path) -> None:
    polite = await driver.start(spec(tmp_path, "t-1"), ignore)
    await driver.stop(polite, signal="SIGINT", grace_s=100.0)
    assert await driver.wait(polite) == Exit(signal=2)
    stubborn = await driver.start(spec(tmp_path, "t-2", ignore_signals=True), ignore)
    await driver.stop(stubborn, signal="", grace_s=0.01)
    assert await driver.wait(stubborn) == Exit(signal=9)
    await driver.destroy(stubborn)
    await driver.destroy(stubborn)
    assert not await driver.recover(stubborn)


async def test_a_cancelled_start_leaves_nothing(
    driver: ScriptedDriver, host: FakeHost, tmp_path: Path
) -> None:
    said: list[str] = []
    slow = spec(tmp_path, start_block_for=1000.0, event="pulling")
    start = asyncio.create_task(driver.start(slow, lambda event: said.append(event.message)))
    await asyncio.sleep(0)
    start.cancel()
    await asyncio.wait({start})
    assert said == ["pulling"]
    assert host.tasks == {}


@pytest.mark.parametrize("killed", [False, True])
async def test_a_start_cut_off_late_cleans_up_unless_the_agent_is_killed(
    driver: ScriptedDriver, host: FakeHost, tmp_path: Path, killed: bool
) -> None:
    start = asyncio.create_task(driver.start(spec(tmp_path, answer_block_for=1000.0), ignore))
    await asyncio.sleep(0)
    host.agent_killed = killed
    start.cancel()
    await asyncio.wait({start})
    assert bool(host.tasks) == killed


async def test_refusals_are_driver_failures(
    driver: ScriptedDriver, host: FakeHost, tmp_path: Path
) -> None:
    with pytest.raises(DriverFailed, match="no image") as caught:
        await driver.start(spec(tmp_path, start_error="no image"), ignore)
    assert not caught.value.recoverable
    assert driver.validate({"colour": "red"}) != []
    assert driver.validate({"run_for": "5"}) == []
    host.broken = "away"
    with pytest.raises(DriverFailed, match="away"):
        await driver.start(spec(tmp_path), ignore)
    assert not (await driver.fingerprint()).healthy


async def test_commands_and_signals_reach_the_task(driver: ScriptedDriver, tmp_path: Path) -> None:
    handle = await driver.start(spec(tmp_path), ignore)
    await driver.signal(handle, "SIGHUP")
    assert driver.host.named("t").signals == ["SIGHUP"]
    with pytest.raises(DriverFailed, match="unknown signal"):
        await driver.signal(handle, "SIGNONE")

    async def inputs() -> Any:
        yield ExecInput(stdin=b"x")
        yield ExecInput(close_stdin=True)

    found = [o async for o in driver.exec(handle, ["cat"], tty=False, inputs=inputs())]
    assert [(o.stdout, o.exit_code) for o in found] == [(b"x", None), (b"", 0)]
    lost = [o async for o in driver.exec(handle, ["ls"], tty=True, inputs=inputs())]
    assert lost[-1].exit_code == 127
    usage = await driver.usage(handle)
    assert usage.memory_stats is not None
