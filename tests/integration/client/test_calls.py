"""What servers ask of a node: files, logs, commands, restarts, measurements."""

import asyncio
import json
import os
from typing import Any

import msgspec
import pytest

from hanse.driver import ExecInput, ExecOutput
from hanse.rpc.codec import decoder, encode
from hanse.rpc.messages import (
    AllocRequest,
    CallInput,
    ExecRequest,
    FileFrame,
    FileRequest,
    LogsRequest,
    MetaRequest,
)
from hanse.structs.task import Task

_frame = decoder(FileFrame)
_output = decoder(ExecOutput)


@pytest.fixture
async def running(bench: Any, make_job: Any, make_alloc: Any) -> Any:
    """An agent with a task that runs and has said something."""
    task = Task(name="main", driver="fake", config={"stdout_string": "hello\n"})
    job = make_job(tasks=(task,))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "running")
        yield bench


def append(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


def logs(**more: Any) -> LogsRequest:
    return LogsRequest(alloc_id="a1", task="main", kind="stdout", **more)


async def refused(bench: Any, method: str, body: object) -> tuple[str, str]:
    """Kind and text of the refusal that a call must meet."""
    with pytest.raises(Exception, match=r".") as caught:
        await bench.server.ask(method, body)
    assert hasattr(caught.value, "kind"), caught.value
    return caught.value.kind, str(caught.value)


async def test_logs_are_followed_over_rotations_until_the_task_is_dead(running: Any) -> None:
    folder = running.host.named("main").spec.logs.folder
    chunks = running.server.call("Logs", logs(follow=True))
    read, files = b"", set()
    while not read.endswith(b"end\n"):
        async with asyncio.timeout(5):
            frame = _frame(await anext(chunks))
        read += frame.data
        if frame.file:
            files.add(frame.file)
        if read == b"hello\n":
            append(f"{folder}/main.stdout.0", "more\n")
            append(f"{folder}/main.stdout.1", "end\n")
    assert read == b"hello\nmore\nend\n"
    assert files == {"alloc/logs/main.stdout.0", "alloc/logs/main.stdout.1"}
    running.server.want(_stopped(running))
    rest = [_frame(chunk).data async for chunk in chunks]
    assert b"".join(rest) == b""


def _stopped(bench: Any) -> Any:
    runner = bench.client.allocations.get("a1")
    return msgspec.structs.replace(runner.allocation, desired_status="stop")


async def test_logs_begin_where_they_are_asked_to(running: Any) -> None:
    async def text(**more: Any) -> bytes:
        return b"".join([_frame(c).data async for c in running.server.call("Logs", logs(**more))])

    assert await text() == b"hello\n"
    assert await text(offset=2) == b"llo\n"
    assert await text(origin="end", offset=3) == b"lo\n"
    assert await text(origin="end", offset=300) == b"hello\n"


async def test_logs_of_the_wrong_thing_are_refused_in_nomads_words(running: Any) -> None:
    other = LogsRequest(alloc_id="a1", task="nobody", kind="stdout")
    assert await refused(running, "Logs", other) == ("invalid", 'unknown task name "nobody"')
    gone = LogsRequest(alloc_id="a9", task="main", kind="stdout")
    assert await refused(running, "Logs", gone) == ("not-found", 'Unknown allocation "a9"')
    kind, _ = await refused(running, "Logs", logs(offset=-1))
    assert kind == "invalid"


async def test_logs_before_the_start_are_refused(
    bench: Any, make_job: Any, make_alloc: Any
) -> None:
    slow = Task(name="main", driver="fake", config={"start_block_for": 1000.0})
    job = make_job(tasks=(slow,))
    async with bench.agent():
        bench.server.want(make_alloc(job), jobs=(job,))
        await bench.server.status("a1", "pending")
        kind, text = await refused(bench, "Logs", logs())
        assert (kind, text) == ("not-found", 'task "main" not started yet. No logs available')


async def test_files_are_listed_described_and_read(running: Any) -> None:
    server = running.server
    top = json.loads(await server.ask("ListFiles", FileRequest(alloc_id="a1")))
    assert [(f["Name"], f["IsDir"]) for f in top] == [("alloc", True), ("main", True)]
    path = "alloc/logs/main.stdout.0"
    info = json.loads(await server.ask("StatFile", FileRequest(alloc_id="a1", path=path)))
    assert (info["Name"], info["Size"], info["FileMode"]) == ("main.stdout.0", 6, "-rw-r--r--")
    assert info["ContentType"] == "text/plain; charset=utf-8"
    part = FileRequest(alloc_id="a1", path=path, offset=1, limit=3)
    assert await server.ask("ReadFile", part) == b"ell"
    frames = [
        _frame(c) async for c in server.call("StreamFile", FileRequest(alloc_id="a1", path=path))
    ]
    assert [(f.data, f.offset) for f in frames] == [(b"hello\n", 6)]


async def test_no_path_leads_out_or_to_secrets(running: Any) -> None:
    task = running.host.named("main").spec.task_dir
    append(f"{task}/secrets/key", "secret")
    os.symlink("/etc/passwd", f"{task}/local/out")
    os.symlink("../secrets", f"{task}/local/in")
    os.symlink("../../../..", f"{task}/local/up")
    for path in (
        "../../state/state.db",
        "main/local/out",
        "main/secrets/key",
        "main/./secrets//key",
        "main/local/../secrets/key",
        "main/local/in/key",
        "main/local/up/etc/passwd",
        "main/secrets",
    ):
        for method in ("ReadFile", "StatFile", "ListFiles", "StreamFile"):
            kind, text = await refused(running, method, FileRequest(alloc_id="a1", path=path))
            assert kind == "denied", (method, path, text)
    missing = FileRequest(alloc_id="a1", path="alloc/nothing")
    assert (await refused(running, "ReadFile", missing))[0] == "not-found"
    assert (await refused(running, "ReadFile", FileRequest(alloc_id="a1", path="a\0b")))[
        0
    ] == "invalid"


async def test_a_command_runs_in_a_task_with_its_input_and_code(running: Any) -> None:
    inputs = (
        CallInput(body=encode(ExecInput(stdin=b"one "))),
        CallInput(body=encode(ExecInput(stdin=b"two"))),
        CallInput(closed=True),
    )
    cat = ExecRequest(alloc_id="a1", task="main", command=["cat"])
    outputs = [_output(c) async for c in running.server.call("Exec", cat, inputs)]
    assert b"".join(o.stdout for o in outputs) == b"one two"
    assert outputs[-1].exit_code == 0
    three = ExecRequest(alloc_id="a1", task="main", command=["exit", "3"])
    (last,) = [_output(c) async for c in running.server.call("Exec", three)]
    assert last.exit_code == 3


async def test_a_user_restarts_and_signals_a_task(running: Any) -> None:
    request = AllocRequest(alloc_id="a1", signal="SIGHUP")
    await running.server.ask("SignalAlloc", request)
    assert running.host.named("main").signals == ["SIGHUP"]
    kind, _ = await refused(running, "SignalAlloc", AllocRequest(alloc_id="a1", signal="SIGX"))
    assert kind == "invalid"
    await running.server.ask("RestartAlloc", AllocRequest(alloc_id="a1", task="main"))
    await running.server.until(lambda: len(running.host.starts) == 2)
    await running.server.until(lambda: _restarts(running) == 1)
    types = [e.type for e in running.server.latest("a1").task_states["main"].events]
    assert "Restart Signaled" in types
    assert "Signaling" in types
    nobody = AllocRequest(alloc_id="a1", task="nobody")
    assert (await refused(running, "RestartAlloc", nobody))[0] == "not-found"


def _restarts(bench: Any) -> int:
    return bench.server.latest("a1").task_states["main"].restarts


async def test_the_node_and_its_tasks_are_measured(running: Any) -> None:
    host = json.loads(await running.server.ask("NodeStats", AllocRequest()))
    assert host["Memory"]["Total"] > host["Memory"]["Available"] > 0
    assert len(host["CPU"]) == os.cpu_count()
    assert host["Uptime"] > 0
    used = json.loads(await running.server.ask("AllocStats", AllocRequest(alloc_id="a1")))
    assert used["ResourceUsage"]["MemoryStats"]["RSS"] == 1024
    assert used["Tasks"]["main"]["ResourceUsage"]["CpuStats"]["Percent"] == 1.5


async def test_ended_allocations_are_collected_on_request(running: Any) -> None:
    server, client = running.server, running.client
    await server.ask("CollectAlloc", AllocRequest(alloc_id="a1"))
    assert len(client.allocations) == 1, "it runs"
    server.want(_stopped(running))
    await server.status("a1", "complete")
    await server.until(lambda: client._outbox.settled("a1"))
    await server.ask("CollectAll", AllocRequest())
    await server.until(lambda: len(client.allocations) == 0)
    kind, _ = await refused(running, "Logs", logs())
    assert kind == "not-found"


async def test_a_nodes_meta_is_changed_for_good(bench: Any) -> None:
    async with bench.agent():
        body = MetaRequest(changes={"rack": None, "zone": "z1"})
        answer = json.loads(await bench.server.ask("NodeMeta", body))
        assert answer["Meta"] == {"zone": "z1"}
        assert answer["Static"] == {"rack": "r1"}
        changed = (await bench.server.until(lambda: bench.server.nodes))[-1]
        assert changed.node.meta == {"zone": "z1"}
    async with bench.agent():
        assert bench.server.hellos[-1].node.meta == {"zone": "z1"}


async def test_a_call_nobody_knows_is_refused(bench: Any) -> None:
    async with bench.agent():
        assert (await refused(bench, "Explode", AllocRequest()))[0] == "unsupported"
        assert (await refused(bench, "Logs", AllocRequest()))[0] == "invalid"
