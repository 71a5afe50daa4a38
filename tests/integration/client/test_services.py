"""Service registrations, health checks against real sockets, and what failing checks do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from client.checks import Prober
from client.registrations import CheckPlan
from hanse.rpc.messages import AllocRequest
from hanse.structs.job import UpdateStrategy
from hanse.structs.service import CheckRestart, Service, ServiceCheck
from hanse.structs.task import RestartPolicy, Task
from hanse.structs.taskstate import AllocatedPortMapping


@asynccontextmanager
async def web(answer: Callable[[], bytes]) -> AsyncIterator[int]:
    """A web server of a few lines; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nugh!!"


def check(kind: str = "http", **more: Any) -> ServiceCheck:
    values = {"path": "/health", "interval_ns": 10**9, "timeout_ns": 10**9, **more}
    return ServiceCheck(name="alive", type=kind, **values)


def plan(port: int, **more: Any) -> CheckPlan:
    spec = check(**more)
    return CheckPlan(
        id="c", check=spec, name="alive", service="web", task="main", address="127.0.0.1",
        port=port, path=spec.path, header={}, body="", interval_s=1, timeout_s=1,
        mode="healthiness",
    )  # fmt: skip


async def test_a_service_is_there_while_its_task_runs(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    service = Service(name="web", provider="nomad", port_label="http", tags=("${meta.rack}",))
    own = Service(name="${NOMAD_TASK_NAME}-admin", provider="nomad", port_label="8080")
    task = Task(name="main", driver="fake", shutdown_delay_ns=10**8, services=(own,))
    job = make_job(tasks=(task,), services=(service,))
    port = AllocatedPortMapping(label="http", value=21000, host_ip="127.0.0.1")
    async with bench.agent():
        bench.server.want(make_alloc(job, ports=(port,)), jobs=(job,))
        status = await bench.server.status("a1", "running")
        web_service, admin = status.services
        assert web_service.id == "_nomad-task-a1-group-g-web-http"
        assert (web_service.address, web_service.port) == ("127.0.0.1", 21000)
        assert web_service.tags == ("r1",)
        assert admin.id == "_nomad-task-a1-main-main-admin-8080"
        bench.server.want(make_alloc(job, ports=(port,), desired_status="stop"))
        withdrawn = await bench.server.until(lambda: _without_services(bench))
        assert withdrawn.client_status == "running", "services go before the task does"
        assert len(bench.host.living()) == 1
        await bench.server.status("a1", "complete")


def _without_services(bench: Any) -> Any:
    status = bench.server.latest("a1")
    return status if status.services == () else None


async def test_a_service_whose_final_name_is_wrong_is_not_run(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    wrong = Service(name="web ${meta.rack}!", provider="nomad")
    job = make_job(services=(wrong,))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        failed = await bench.server.status("a1", "failed")
    assert "'web r1!' is not a valid service name" in failed.client_description
    assert bench.host.starts == []


async def test_an_allocation_is_healthy_once_its_checks_pass(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    update = UpdateStrategy(
        health_check="checks", min_healthy_time_ns=10**7, healthy_deadline_ns=10**11
    )
    async with web(lambda: OK) as number:
        port = AllocatedPortMapping(label="http", value=number, host_ip="127.0.0.1")
        service = Service(name="web", provider="nomad", port_label="http", checks=(check(),))
        job = make_job(services=(service,), update=update)
        async with bench.agent():
            bench.server.want(make_alloc(job, ports=(port,), deployment_id="d"), jobs=(job,))
            await bench.server.until(lambda: (s := bench.server.latest("a1")) and s.healthy)
            answer = await bench.server.ask("AllocChecks", AllocRequest(alloc_id="a1"))
    assert b'"Status":"success","StatusCode":200' in answer
    assert b'"Mode":"healthiness"' in answer


async def test_a_check_that_keeps_failing_restarts_its_task(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    policy = RestartPolicy(attempts=1, interval_ns=10**13, delay_ns=0, mode="fail")
    failing = check(check_restart=CheckRestart(limit=1, grace_ns=0))
    async with web(lambda: BAD) as number:
        port = AllocatedPortMapping(label="http", value=number, host_ip="127.0.0.1")
        service = Service(name="web", provider="nomad", port_label="http", checks=(failing,))
        task = Task(name="main", driver="fake", services=(service,))
        job = make_job(tasks=(task,), restart_policy=policy)
        async with bench.agent():
            bench.server.want(make_alloc(job, ports=(port,)), jobs=(job,))
            failed = await bench.server.status("a1", "failed")
    assert len(bench.host.starts) == 2
    kinds = [event.type for event in failed.task_states["main"].events]
    assert kinds.count("Restart Signaled") == 2
    assert kinds[-1] == "Not Restarting"


@pytest.mark.parametrize(
    ("answer", "passed", "code", "words"),
    [(OK, True, 200, "200 OK"), (BAD, False, 503, "ugh!!"), (b"nonsense\r\n\r\n", False, 0, "")],
)
async def test_an_http_check_sees_what_is_answered(
    answer: bytes, passed: bool, code: int, words: str
) -> None:
    prober = Prober()
    try:
        async with web(lambda: answer) as port:
            probe = await prober.probe(plan(port))
        assert (probe.passed, probe.code) == (passed, code)
        assert words in probe.output
    finally:
        await prober.close()


async def test_a_service_that_starts_late_passes_before_the_interval_is_over(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    answers = [BAD, BAD]
    async with web(lambda: answers.pop() if answers else OK) as number:
        port = AllocatedPortMapping(label="http", value=number, host_ip="127.0.0.1")
        slow = check(interval_ns=3600 * 10**9)
        service = Service(name="web", provider="nomad", port_label="http", checks=(slow,))
        update = UpdateStrategy(min_healthy_time_ns=1, healthy_deadline_ns=10**13)
        job = make_job(services=(service,), update=update)
        async with bench.agent():
            bench.server.want(make_alloc(job, ports=(port,), deployment_id="d"), jobs=(job,))
            await bench.server.until(lambda: (s := bench.server.latest("a1")) and s.healthy)
    assert answers == []


async def test_a_tcp_check_sees_whether_anybody_listens() -> None:
    prober = Prober()
    async with web(lambda: OK) as port:
        assert (await prober.probe(plan(port, kind="tcp"))).passed
    closed = await prober.probe(plan(port, kind="tcp"))
    assert not closed.passed
    assert "refused" in closed.output.lower() or "connect" in closed.output.lower()
