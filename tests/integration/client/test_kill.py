"""The agent's process is killed under real tasks: they go on, and not a line of log is lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hanse.rpc.codec import decoder
from hanse.rpc.messages import FileFrame, LogsRequest
from hanse.structs.task import Task

TASKS = 10
AGENT = """
import asyncio, sys
from client.agent import Client
from drivers.raw_exec import RawExecDriver
from hanse.clock import SystemClock
from hanse.config.model import AgentConfig, ClientConfig
from hanse.driver import DriverContext
from hanse.service import supervise

async def main(folder, server):
    clock = SystemClock()
    context = DriverContext(config={"enabled": True}, state_dir=folder + "/driver", clock=clock)
    config = AgentConfig(data_dir=folder, client=ClientConfig(enabled=True))
    client = Client(config, {"raw_exec": RawExecDriver(context)}, clock, servers=[server])
    await supervise(client.services(), asyncio.Event())

asyncio.run(main(*sys.argv[1:]))
"""
#: Counts without end, and says its process's id first.
COUNT = "echo pid $$; i=0; while :; do echo $i; i=$((i+1)); sleep 0.005; done"

_frame = decoder(FileFrame)


@asynccontextmanager
async def agent(folder: Path, server: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """An agent in a process of its own, registered; killed at the end."""
    hellos = len(server.hellos)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, str(folder), server.address, cwd=Path(__file__).parents[3]
    )
    try:
        await server.until(lambda: len(server.hellos) > hellos, 30)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def lines(server: Any, alloc_id: str, enough: int) -> list[str]:
    """All that the task has said, once that is enough."""
    request = LogsRequest(alloc_id=alloc_id, task="main", kind="stdout", follow=True)
    text = b""
    async for chunk in server.call("Logs", request):
        text += _frame(chunk).data
        if text.count(b"\n") >= enough:
            break
    return text.decode().splitlines()


async def test_tasks_survive_a_kill_of_the_agent_with_all_they_say(
    tmp_path: Path, server: Any, make_job: Any, make_alloc: Any
) -> None:
    config: dict[str, object] = {"command": "/bin/sh", "args": ["-c", COUNT]}
    job = make_job(tasks=(Task(name="main", driver="raw_exec", config=config),))
    ids = [f"a{number}" for number in range(TASKS)]
    allocations = [make_alloc(job, alloc_id) for alloc_id in ids]
    async with agent(tmp_path, server) as first:
        server.want(*allocations, jobs=(job,))
        for alloc_id in ids:
            await server.status(alloc_id, "running")
        before = {alloc_id: await lines(server, alloc_id, 20) for alloc_id in ids}
        first.send_signal(signal.SIGKILL)
        await first.wait()
    pids = {alloc_id: int(said[0].removeprefix("pid ")) for alloc_id, said in before.items()}
    try:
        for pid in pids.values():
            os.kill(pid, 0)
        server.statuses.clear()
        async with agent(tmp_path, server):
            server.want(*allocations, complete=True)
            for alloc_id in ids:
                enough = len(before[alloc_id]) + 50
                said = await lines(server, alloc_id, enough)
                assert said[0] == f"pid {pids[alloc_id]}"
                assert said[1:] == [str(number) for number in range(len(said) - 1)]
            # And they can still be stopped, by an agent that did not start them.
            server.want(*[make_alloc(job, i, desired_status="stop") for i in ids])
            for alloc_id in ids:
                done = await server.status(alloc_id, "complete")
                kinds = [event.type for event in done.task_states["main"].events]
                assert kinds == [
                    "Received", "Task Setup", "Started", "Killing", "Terminated", "Killed"
                ]  # fmt: skip
        for pid in pids.values():
            assert not _alive(pid)
    finally:
        for pid in filter(_alive, pids.values()):
            os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
