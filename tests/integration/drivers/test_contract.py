"""What every driver promises, tried on real processes and containers."""

import asyncio
import os
import signal

import pytest

from hanse.driver import ExecInput, Exit, LogTarget, TaskHandle
from hanse.errors import DriverFailed


def was_killed(ended: Exit) -> bool:
    """A process says so by its signal, a container by its code."""
    return ended in (Exit(signal=9), Exit(code=137))


async def test_a_task_that_ends_by_itself_gives_its_code_and_both_streams(rig, logs) -> None:
    driver = rig.driver()
    task = rig.task("echo out; echo err >&2; exit 7")
    handle = await rig.start(driver, task)
    assert await driver.wait(handle) == Exit(code=7)
    assert (logs(task), logs(task, "stderr")) == ("out\n", "err\n")


async def test_waiting_again_gives_the_same_answer_at_once(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("exit 3"))
    assert await driver.wait(handle) == Exit(code=3)
    assert await driver.wait(handle) == Exit(code=3)


async def test_two_may_wait_for_one_task(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 0.2; exit 3"))
    ends = await asyncio.gather(driver.wait(handle), driver.wait(handle))
    assert ends == [Exit(code=3), Exit(code=3)]


async def test_a_cancelled_wait_leaves_the_task_alone(rig, logs) -> None:
    driver = rig.driver()
    task = rig.task("trap 'echo over; exit 4' TERM; echo up; while :; do sleep 0.05; done")
    handle = await rig.start(driver, task)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driver.wait(handle), 0.3)
    assert rig.alive(handle)
    await driver.stop(handle, signal="SIGTERM", grace_s=10)
    assert await driver.wait(handle) == Exit(code=4)
    assert logs(task) == "up\nover\n"


async def test_starting_twice_starts_once(rig, logs) -> None:
    driver = rig.driver()
    task = rig.task("echo once; sleep 60")
    first = await rig.start(driver, task)
    second = await rig.start(driver, task)
    assert first.state == second.state
    await driver.stop(first, signal="SIGKILL", grace_s=5)
    assert was_killed(await driver.wait(second))
    assert logs(task) == "once\n"


async def test_starting_twice_at_the_same_time_starts_once(rig, logs) -> None:
    driver = rig.driver()
    task = rig.task("echo once")
    first, second = await asyncio.gather(rig.start(driver, task), rig.start(driver, task))
    await driver.wait(first)
    await driver.wait(second)
    assert logs(task) == "once\n"


async def test_starting_a_task_that_has_ended_does_not_run_it_again(rig, logs) -> None:
    task = rig.task("echo once; exit 5")
    driver = rig.driver()
    await driver.wait(await rig.start(driver, task))
    again = rig.driver()
    assert await again.wait(await rig.start(again, task)) == Exit(code=5)
    assert logs(task) == "once\n"


async def test_a_signal_reaches_the_task(rig, logs, until) -> None:
    driver = rig.driver()
    task = rig.task("trap 'echo got it; exit 9' USR1; echo up; while :; do sleep 0.05; done")
    handle = await rig.start(driver, task)
    await until(lambda: "up" in logs(task))
    await driver.signal(handle, "SIGUSR1")
    assert await driver.wait(handle) == Exit(code=9)
    assert logs(task) == "up\ngot it\n"


async def test_a_signal_of_no_such_name_is_refused(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 60"))
    with pytest.raises(DriverFailed, match='unknown signal "SIGNONE"'):
        await driver.signal(handle, "SIGNONE")


async def test_a_signal_to_an_ended_task_is_refused(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("exit 0"))
    await driver.wait(handle)
    with pytest.raises(DriverFailed, match="not running"):
        await driver.signal(handle, "SIGUSR1")


async def test_a_task_that_ignores_its_signal_is_killed_after_the_grace(rig, logs, until) -> None:
    driver = rig.driver()
    task = rig.task("trap '' TERM; echo up; while :; do sleep 0.05; done")
    handle = await rig.start(driver, task)
    await until(lambda: "up" in logs(task))
    began = rig.clock.now()
    await driver.stop(handle, signal="SIGTERM", grace_s=1)
    assert 0.9 < rig.clock.now() - began < 8
    ended = await driver.wait(handle)
    assert was_killed(ended)


async def test_stopping_an_ended_task_is_no_error(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("exit 0"))
    await driver.wait(handle)
    await driver.stop(handle, signal="", grace_s=1)
    assert (await driver.wait(handle)).successful


async def test_destroying_ends_the_task_and_twice_is_no_error(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 60"))
    await driver.destroy(handle)
    assert not rig.alive(handle)
    await driver.destroy(handle)
    assert not await rig.driver().recover(handle)


async def test_a_running_task_is_found_again_by_another_driver(rig, logs, until) -> None:
    task = rig.task("trap 'echo over; exit 6' TERM; echo up; while :; do sleep 0.05; done")
    first = rig.driver()
    handle = await rig.start(first, task)
    await until(lambda: "up" in logs(task))
    del first
    copied = TaskHandle(driver=handle.driver, version=handle.version, state={**handle.state})
    driver = rig.driver()
    assert await driver.recover(copied)
    await driver.stop(copied, signal="SIGTERM", grace_s=10)
    assert await driver.wait(copied) == Exit(code=6)
    assert logs(task) == "up\nover\n"


async def test_how_a_task_ended_is_known_though_no_driver_was_there(rig, logs, until) -> None:
    task = rig.task("echo out; exit 5")
    handle = await rig.start(rig.driver(), task)
    await until(lambda: not rig.alive(handle))
    driver = rig.driver()
    assert await driver.recover(handle)
    assert await driver.wait(handle) == Exit(code=5)
    assert logs(task) == "out\n"


async def test_a_task_nobody_knows_is_not_recovered(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("exit 0"))
    await driver.wait(handle)
    await driver.destroy(handle)
    assert not await driver.recover(handle)


async def test_logs_are_cut_at_the_exact_size_and_the_oldest_removed(rig, files) -> None:
    driver = rig.driver()
    script = "i=0; while [ $i -lt 1000 ]; do echo 012345678; i=$((i+1)); done"
    task = rig.task(script)
    target = LogTarget(folder=task.logs.folder, max_files=4, max_file_bytes=1024)
    task = rig.task(script, logs=target)
    handle = await rig.start(driver, task)
    assert (await driver.wait(handle)).successful
    found = files(task)
    assert [path.name for path in found] == [f"web.stdout.{n}" for n in (6, 7, 8, 9)]
    assert [path.stat().st_size for path in found] == [1024, 1024, 1024, 10_000 - 9 * 1024]
    text = b"".join(path.read_bytes() for path in found)
    assert text == (b"012345678\n" * 1000)[6 * 1024 :]


async def test_a_restarted_task_goes_on_in_the_same_log(rig, logs) -> None:
    driver = rig.driver()
    first = rig.task("echo one")
    second = rig.task("echo two", logs=first.logs)
    await driver.wait(await rig.start(driver, first))
    await driver.wait(await rig.start(driver, second))
    assert logs(first) == "one\ntwo\n"


async def test_a_task_whose_logs_are_disabled_runs_and_leaves_no_file(rig, files) -> None:
    task = rig.task("echo out; exit 2")
    target = LogTarget(folder=task.logs.folder, disabled=True)
    task = rig.task("echo out; exit 2", logs=target)
    driver = rig.driver()
    assert await driver.wait(await rig.start(driver, task)) == Exit(code=2)
    assert files(task) == []


async def collect(outputs) -> tuple[bytes, bytes, int | None]:
    stdout, stderr, code = b"", b"", None
    async for output in outputs:
        stdout, stderr = stdout + output.stdout, stderr + output.stderr
        code = output.exit_code
    return stdout, stderr, code


async def test_a_command_runs_in_the_task_with_its_environment(rig, inputs) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 60"))
    script = 'echo "$GREETING"; echo err >&2; exit 5'
    outputs = driver.exec(handle, ["sh", "-c", script], tty=False, inputs=inputs())
    assert await collect(outputs) == (b"good day\n", b"err\n", 5)


async def test_a_command_gets_what_is_typed_until_it_is_closed(rig, inputs) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 60"))
    typed = inputs(
        ExecInput(stdin=b"one\n"), ExecInput(stdin=b"two\n"), ExecInput(close_stdin=True)
    )
    outputs = driver.exec(handle, ["cat"], tty=False, inputs=typed)
    assert await collect(outputs) == (b"one\ntwo\n", b"", 0)


async def test_a_command_may_have_a_terminal_of_a_size(rig, inputs) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 60"))

    async def typed():
        yield ExecInput(tty_size=(31, 97))
        yield ExecInput(stdin=b"stty size; exit 8\n")

    stdout, _, code = await collect(driver.exec(handle, ["sh"], tty=True, inputs=typed()))
    assert b"31 97" in stdout
    assert code == 8


async def test_closing_an_exec_ends_its_command(rig, inputs, until) -> None:
    driver = rig.driver()
    task = rig.task("sleep 60")
    handle = await rig.start(driver, task)
    outputs = driver.exec(
        handle, ["sh", "-c", "echo up; exec sleep 987"], tty=False, inputs=inputs()
    )
    assert (await anext(outputs)).stdout == b"up\n"
    await until(lambda: b"987" in processes())
    await outputs.aclose()
    await until(lambda: b"987" not in processes())
    assert rig.alive(handle)


def processes() -> bytes:
    """The last words of all processes that sleep."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"sleep"):
                found.append(words[1])
    return b" ".join(found)


async def test_a_command_that_does_not_exist_is_refused_or_ends_with_127(rig, inputs) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("sleep 60"))
    with pytest.raises(DriverFailed, match="no-such-program"):
        await collect(driver.exec(handle, ["no-such-program"], tty=False, inputs=inputs()))


async def test_what_a_task_uses_can_be_measured(rig) -> None:
    driver = rig.driver()
    handle = await rig.start(driver, rig.task("while :; do :; done"))
    await driver.usage(handle)
    await rig.clock.sleep(0.5)
    usage = await driver.usage(handle)
    assert usage.memory_stats.usage > 0
    assert usage.cpu_stats.percent > 1
    assert usage.cpu_stats.total_ticks > 1
    assert "Usage" in usage.memory_stats.measured


async def test_a_cancelled_start_leaves_no_task_behind(rig, until) -> None:
    driver = rig.driver()
    await driver.fingerprint()
    for delay in (0.0, 0.002, 0.01, 0.05):
        task = rig.task("exec sleep 654")
        starting = asyncio.create_task(rig.start(driver, task))
        await asyncio.sleep(delay)
        if starting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:
            await driver.destroy(await starting)
        await until(lambda: b"654" not in processes())


async def test_tasks_survive_the_death_of_their_host_and_no_byte_is_lost(rig, host, logs) -> None:
    script = (
        "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; echo err $i >&2; sleep 0.05; done;"
        " exit 6"
    )
    tasks = [rig.task(script) for _ in range(10)]
    process, handles = await asyncio.to_thread(host, rig, tasks)
    await rig.clock.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert all(rig.alive(handle) for handle in handles)
    await rig.clock.sleep(0.3)
    driver = rig.driver()
    assert all(await asyncio.gather(*(driver.recover(handle) for handle in handles)))
    ends = await asyncio.gather(*(driver.wait(handle) for handle in handles))
    assert ends == [Exit(code=6)] * 10
    for task in tasks:
        assert logs(task) == "".join(f"line {n}\n" for n in range(1, 41))
        assert logs(task, "stderr") == "".join(f"err {n}\n" for n in range(1, 41))


async def test_a_healthy_driver_says_so(rig) -> None:
    info = await rig.driver().fingerprint()
    assert (info.detected, info.healthy) == (True, True)
    assert info.attributes[f"driver.{rig.name}"] == "1"


async def test_an_unknown_key_is_refused_with_a_suggestion(rig) -> None:
    driver = rig.driver()
    config = {**rig.config("true"), "comand": "x"}
    assert driver.validate(rig.config("true")) == []
    assert driver.validate(config) == ['unknown key "comand", did you mean "command"?']
    with pytest.raises(DriverFailed, match="comand"):
        await rig.start(driver, rig.task("true", config=config))
