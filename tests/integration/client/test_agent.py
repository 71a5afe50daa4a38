"""The node agent from the outside: what it reports for what it is told."""

from typing import Any

from hanse.structs.task import Task


def scripted(**config: Any) -> Task:
    return Task(name="main", driver="fake", config=config)


async def test_a_task_is_run_and_its_end_reported(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(kind="batch", tasks=(scripted(run_for=0.05),))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        done = await bench.server.status("a1", "complete")
    events = [event.type for event in done.task_states["main"].events]
    assert events == ["Received", "Task Setup", "Started", "Terminated"]
    assert done.task_states["main"].state == "dead"
    assert not done.task_states["main"].failed


async def test_a_node_says_hello_and_keeps_its_heart_beating(bench: Any) -> None:
    async with bench.agent() as client:
        await bench.server.until(lambda: bench.server.heartbeats >= 3)
        hello = bench.server.hellos[0]
        assert hello.node.id == client.node_id
        assert hello.node.meta == {"rack": "r1"}
        assert hello.node.attributes["driver.fake"] == "1"
        assert hello.node.drivers["fake"].healthy


async def test_tasks_outlive_the_agent(bench: Any, make_job: Any, make_alloc: Any) -> None:
    job = make_job(tasks=(scripted(),))
    async with bench.agent() as first:
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
    (before,) = bench.host.living()
    async with bench.agent() as second:
        assert second.node_id == first.node_id
        bench.server.want(make_alloc(job), complete=True)
        before.end(bench.host.look(before) or _exit(3))
        failed = await bench.server.status("a1", "failed")
    assert bench.host.starts == [before.spec.id]
    types = [event.type for event in failed.task_states["main"].events]
    assert types.count("Started") == 1
    assert failed.task_states["main"].events[-2].exit_code == 3


def _exit(code: int) -> Any:
    from hanse.driver import Exit

    return Exit(code=code)
