"""The node agent from the outside: what it does and reports for what it is told."""

import os
from typing import Any

import msgspec
import pytest

from client.agent import Client
from hanse.driver import Exit
from hanse.errors import Invalid
from hanse.structs.job import UpdateStrategy
from hanse.structs.task import NetworkResource, Port, RestartPolicy, Task
from hanse.structs.taskstate import AllocatedPortMapping, DesiredTransition


def scripted(name: str = "main", *, task: dict[str, Any] | None = None, **config: Any) -> Task:
    return Task(name=name, driver="fake", config=config, **(task or {}))


def types(status: Any, task: str = "main") -> list[str]:
    return [event.type for event in status.task_states[task].events]


def stopped(alloc: Any, **transition: Any) -> Any:
    return msgspec.structs.replace(
        alloc, desired_status="stop", transition=DesiredTransition(**transition)
    )


async def test_a_task_is_run_and_its_end_reported(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(kind="batch", tasks=(scripted(run_for=0.05),))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        done = await bench.server.status("a1", "complete")
    assert types(done) == ["Received", "Task Setup", "Started", "Terminated"]
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
        assert len(hello.secret) == 36


async def test_a_task_is_told_all_about_itself(bench: Any, make_job: Any, make_alloc: Any) -> None:
    task = scripted(
        task={"env": {"WHERE": "${meta.rack}/${node.datacenter}", "PORT": "${NOMAD_PORT_http}"}},
        args=["${NOMAD_ALLOC_DIR}", "${HOME}", '${env["WHERE"]}', "${attr.kernel.name}"],
    )
    job = make_job(tasks=(task,))
    port = AllocatedPortMapping(label="http", value=21000, host_ip="127.0.0.1")
    async with bench.agent():
        bench.server.want(make_alloc(job, ports=(port,)), jobs=(job,))
        await bench.server.status("a1", "running")
        spec = bench.host.named("main").spec
        folder = spec.alloc_dir
        assert spec.environment["WHERE"] == "r1/dc1"
        assert spec.environment["PORT"] == "21000"
        assert spec.environment["NOMAD_ADDR_http"] == "127.0.0.1:21000"
        assert spec.config["args"] == [folder, "${HOME}", "r1/dc1", "linux"]
        assert sorted(os.listdir(folder)) == ["data", "logs", "tmp"]
        assert sorted(os.listdir(spec.task_dir)) == ["local", "secrets", "tmp"]
        assert os.stat(spec.secrets_dir).st_mode & 0o777 == 0o700


async def test_a_failing_task_is_restarted_and_then_given_up(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    policy = RestartPolicy(attempts=2, interval_ns=10**12, delay_ns=10**6, mode="fail")
    job = make_job(tasks=(scripted(run_for=0.0, exit_code=7),), restart_policy=policy)
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        failed = await bench.server.status("a1", "failed")
    assert len(bench.host.starts) == len(set(bench.host.starts)) == 3
    assert sorted(bench.host.destroyed) == sorted(bench.host.starts)
    state = failed.task_states["main"]
    assert (state.restarts, state.failed, state.state) == (2, True, "dead")
    assert types(failed)[-2:] == ["Terminated", "Not Restarting"]
    assert state.events[-2].details["exit_code"] == "7"


async def test_a_stop_withdraws_and_kills_in_order(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    task = scripted(
        task={"shutdown_delay_ns": 10**7, "kill_signal": "SIGINT", "kill_timeout_ns": 10**12}
    )
    job = make_job(tasks=(task,))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
        fake = bench.host.named("main")
        bench.server.want(stopped(make_alloc(job)))
        done = await bench.server.status("a1", "complete")
    assert fake.signals == ["SIGINT"]
    assert types(done)[-4:] == ["Killing", "Waiting for shutdown delay", "Terminated", "Killed"]
    killing = next(e for e in done.task_states["main"].events if e.type == "Killing")
    assert killing.kill_timeout_ns == 30 * 10**9, "the node's limit caps the task's wish"


async def test_a_stop_without_delay_skips_the_delays(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    task = scripted(task={"shutdown_delay_ns": 10**13})
    job = make_job(tasks=(task,), shutdown_delay_ns=10**13)
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
        bench.server.want(stopped(make_alloc(job), no_shutdown_delay=True))
        done = await bench.server.status("a1", "complete")
    assert "Skipping shutdown delay" in types(done)


async def test_a_failed_task_takes_its_siblings_along(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(scripted("bad", run_for=0.01, exit_code=1), scripted("good")))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        failed = await bench.server.status("a1", "failed")
    assert types(failed, "good")[-4:] == ["Sibling Task Failed", "Killing", "Terminated", "Killed"]
    assert failed.task_states["bad"].failed
    assert not failed.task_states["good"].failed


async def test_what_cannot_be_configured_fails_with_the_reason(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    wrong = make_job("wrong", tasks=(scripted(colour="red"),))
    missing = make_job("missing", tasks=(Task(name="main", driver="absent"),))
    refused = make_job("refused", tasks=(scripted(start_error="no such image"),))
    async with bench.agent():
        for index, job in enumerate((wrong, missing, refused)):
            bench.server.want(make_alloc(job, f"a{index}"), jobs=(job,))
        for index, (kind, text) in enumerate(
            (("Failed Validation", "colour"), ("Failed Validation", "absent"),
             ("Driver Failure", "no such image"))
        ):  # fmt: skip
            failed = await bench.server.status(f"a{index}", "failed")
            event = next(e for e in failed.task_states["main"].events if e.type == kind)
            assert text in event.display_message
    assert bench.host.starts == []


async def test_a_job_that_breaks_its_driver_does_not_break_the_agent(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    bad = make_job("bad", tasks=(Task(name="main", driver="fake", config={"break": True}),))
    evil = make_job("evil", tasks=(scripted("../../etc"),))
    good = make_job("good", tasks=(scripted(),))
    for _ in range(2):
        async with bench.agent():
            bench.server.want(
                make_alloc(bad, "a1"), make_alloc(evil, "a2"), make_alloc(good, "a3"),
                jobs=(bad, evil, good),
            )  # fmt: skip
            failed = await bench.server.status("a1", "failed")
            assert "the driver broke" in failed.task_states["main"].events[-1].display_message
            assert "folder" in (await bench.server.status("a2", "failed")).client_description
            await bench.server.status("a3", "running")
        bench.server.statuses.clear()


async def test_one_waits_for_the_port_of_another_that_is_to_stop(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    network = NetworkResource(reserved_ports=(Port(label="http", value=8080),))
    slow = scripted(ignore_signals=True, task={"kill_timeout_ns": 10**8})
    old = make_job("old", tasks=(slow,), networks=(network,))
    new = make_job("new", tasks=(scripted(),), networks=(network,))
    async with bench.agent():
        bench.server.want(make_alloc(old, "a1"), jobs=(old,))
        await bench.server.status("a1", "running")
        bench.server.want(stopped(make_alloc(old, "a1")), make_alloc(new, "a2"), jobs=(new,))
        waiting = await bench.server.status("a2", "pending")
        assert types(waiting) == []
        await bench.server.status("a2", "running")
        assert bench.server.latest("a1").client_status == "complete"


async def test_an_allocation_becomes_healthy_when_it_has_run_long_enough(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    update = UpdateStrategy(
        health_check="task_states", min_healthy_time_ns=5 * 10**7, healthy_deadline_ns=10**11
    )
    good = make_job("good", update=update, tasks=(scripted(),))
    bad = make_job("bad", update=update, tasks=(scripted(run_for=0.01, exit_code=1),))
    async with bench.agent():
        bench.server.want(
            make_alloc(good, "a1", deployment_id="d"),
            make_alloc(bad, "a2", deployment_id="d"),
            make_alloc(good, "a3"),
            jobs=(good, bad),
        )
        await bench.server.until(lambda: _healthy(bench, "a1"))
        await bench.server.until(lambda: _healthy(bench, "a2") is False)
        assert _healthy(bench, "a3") is None, "no deployment asks for it"
        # Updated in place, another deployment asks anew.
        newer = msgspec.structs.replace(good, version=1)
        bench.server.want(make_alloc(newer, "a1", deployment_id="e"), jobs=(newer,))
        await bench.server.until(lambda: _healthy(bench, "a1") is None)
        await bench.server.until(lambda: _healthy(bench, "a1"))
    assert len(bench.host.starts) == 3


def _healthy(bench: Any, alloc_id: str) -> bool | None:
    status = bench.server.latest(alloc_id)
    return status.healthy if status else None


async def test_what_servers_forget_is_stopped_and_removed(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(scripted(),))
    async with bench.agent() as client:
        bench.server.want(make_alloc(job, "a1"), make_alloc(job, "a2"), jobs=(job,))
        await bench.server.status("a1", "running")
        await bench.server.status("a2", "running")
        folder = client.world.alloc_root
        bench.server.want(make_alloc(job, "a1"), complete=True)
        await bench.server.until(lambda: len(client.allocations) == 1)
        await bench.server.until(lambda: os.listdir(folder) == ["a1"])
    assert len(bench.host.living()) == 1


async def test_a_job_that_was_not_sent_is_asked_for(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(scripted(),))
    async with bench.agent():
        bench.server.want(make_alloc(job))
        (wanted,) = await bench.server.until(lambda: bench.server.wanted)
        assert wanted.jobs == (("default", "web", 0),)
        bench.server.want(jobs=(job,))
        await bench.server.status("a1", "running")


async def test_one_that_was_stopped_before_we_had_it_is_reported_complete(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job()
    async with bench.agent():
        bench.server.want(stopped(make_alloc(job)))
        await bench.server.status("a1", "complete")
    assert bench.host.starts == []


async def test_a_dev_agent_takes_its_tasks_along(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(scripted(),))
    async with bench.agent(dev=True):
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
    assert bench.host.living() == []


async def test_two_agents_never_share_a_state_folder(bench: Any) -> None:
    async with bench.agent():
        with pytest.raises(Invalid, match="state file"):
            Client(bench.config, {}, bench.clock)


async def test_a_driver_that_falls_ill_is_reported_with_the_node(bench: Any) -> None:
    async with bench.agent() as client:
        bench.host.broken = "the engine does not answer"
        await client.look_at_drivers()
        changed = (await bench.server.until(lambda: bench.server.nodes))[-1]
        assert not changed.node.drivers["fake"].healthy
        (report,) = await bench.server.until(lambda: bench.server.reports)
        assert "the engine does not answer" in report.text


async def test_an_exit_while_away_is_reported_once(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    job = make_job(tasks=(scripted(),))
    async with bench.agent() as first:
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
    (before,) = bench.host.living()
    before.end(Exit(code=3))
    async with bench.agent() as second:
        assert second.node_id == first.node_id
        failed = await bench.server.status("a1", "failed")
    assert types(failed).count("Started") == types(failed).count("Terminated") == 1
    assert failed.task_states["main"].events[-2].exit_code == 3
    assert bench.host.starts == [before.spec.id]
