"""The stream to the servers: which server, what is said again, what is never lost."""

from typing import Any

from hanse.structs.task import RestartPolicy, Task


def forever() -> Task:
    return Task(name="main", driver="fake")


async def test_what_was_not_acknowledged_is_said_again_with_a_higher_number(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(forever(),))
    bench.server.acknowledge = False
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
    first = list(bench.server.batches)
    bench.server.statuses.clear()
    async with bench.agent():
        await bench.server.status("a1", "running")
    second = bench.server.batches[len(first) :]
    assert min(second) > max(first)


async def test_a_node_moves_to_another_server_that_it_was_told_of(
    bench: Any, make_job: Any, make_alloc: Any, another_server: Any
) -> None:
    job = make_job(tasks=(forever(),))
    bench.server.acknowledge = False
    bench.server.servers = (another_server.address,)
    async with bench.agent() as client:
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
        await bench.server.stop()
        await another_server.until(lambda: another_server.hellos)
        assert another_server.hellos[0].node.id == client.node_id
        await another_server.status("a1", "running")


async def test_a_server_that_comes_back_finds_the_node_again(bench: Any) -> None:
    async with bench.agent():
        port = bench.server.port
        await bench.server.stop()
        hellos = len(bench.server.hellos)
        await bench.server.start(port)
        await bench.server.until(lambda: len(bench.server.hellos) > hellos)


async def test_after_a_reboot_a_task_is_started_anew_and_its_loss_is_told_once(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    policy = RestartPolicy(attempts=1, interval_ns=10**12, delay_ns=10**6, mode="fail")
    job = make_job(tasks=(forever(),), restart_policy=policy)
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
    bench.host.reboot()
    async with bench.agent():
        await bench.server.until(lambda: len(bench.host.starts) == 2)
        await bench.server.until(lambda: _types(bench).count("Started") == 2)
    async with bench.agent():
        await bench.server.until(lambda: bench.server.heartbeats > 3)
    assert _types(bench).count("Failed Restoring Task") == 1
    assert len(bench.host.starts) == 2
    bench.host.reboot()
    async with bench.agent():
        failed = await bench.server.status("a1", "failed")
    assert failed.task_states["main"].failed
    assert _types(bench).count("Failed Restoring Task") == 2


def _types(bench: Any) -> list[str]:
    status = bench.server.latest("a1")
    return [event.type for event in status.task_states["main"].events] if status else []


async def test_a_driver_that_is_away_for_a_moment_loses_no_task(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(forever(),))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
    bench.host.broken = "the engine is starting"
    async with bench.agent() as client:
        bench.host.broken = ""
        runner = client.allocations.get("a1").task("main")
        await bench.server.until(lambda: runner.machine.serving)
        bench.host.named("main").end(_exit())
        await bench.server.status("a1", "failed")
    assert len(bench.host.starts) == 1
    assert "Failed Restoring Task" not in _types(bench)


def _exit() -> Any:
    from hanse.driver import Exit

    return Exit(code=1)


async def test_a_task_killed_while_it_starts_leaves_nothing_behind(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    slow = Task(name="main", driver="fake", config={"start_block_for": 1000.0, "event": "pulling"})
    job = make_job(tasks=(slow,))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.until(lambda: "Driver" in _types(bench))
        bench.server.want(make_alloc(job, desired_status="stop"))
        done = await bench.server.status("a1", "complete")
    assert not done.task_states["main"].failed
    assert _types(bench)[-1] == "Killed"
    assert bench.host.starts == []
