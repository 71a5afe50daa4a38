"""The state file and the node's identity."""

import asyncio
import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from client.allocrunner import machine as alloc_machine
from client.checkpoint import Checkpoint, job_key
from client.identity import alloc_folder, node_identity, state_folder
from client.taskrunner import machine as task_machine
from hanse.config.model import AgentConfig, ClientConfig
from hanse.driver import TaskHandle
from hanse.errors import Invalid
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup

JOB = Job(id="web", namespace="default", version=2, task_groups=(TaskGroup(name="g"),))
ALLOCATION = Allocation(
    id="a1", namespace="default", job_id="web", job_version=2, group="g", index=0, node_id="n",
    eval_id="e",
)  # fmt: skip
MEMORY = alloc_machine.Memory(phase=alloc_machine.Phase.RUNNING)
TASKS = {
    "t": task_machine.Memory(
        phase=task_machine.Phase.RUNNING,
        handle=TaskHandle(driver="d", version=1, state={"pid": 7, "dir": "/x"}),
    )
}


async def filled(path: Path) -> Checkpoint:
    checkpoint = Checkpoint(path)
    checkpoint.put_alloc(ALLOCATION, JOB)
    checkpoint.put_memory("a1", MEMORY)
    checkpoint.put_tasks("a1", TASKS)
    checkpoint.put_meta("x", b"1")
    await checkpoint.flush()
    return checkpoint


async def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    (await filled(tmp_path / "s")).close()
    checkpoint = Checkpoint(tmp_path / "s")
    (found,), meta = checkpoint.load()
    assert (found.allocation, found.job) == (ALLOCATION, JOB)
    assert (found.memory, found.tasks) == (MEMORY, TASKS)
    assert meta == {"x": b"1"}
    checkpoint.close()


async def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    checkpoint = await filled(tmp_path / "s")
    checkpoint.forget("a1")
    checkpoint.forget_jobs_except(())
    await checkpoint.flush()
    assert checkpoint.load() == ([], {"x": b"1"})
    checkpoint.put_alloc(ALLOCATION, JOB)
    await checkpoint.flush()
    assert [job_key(each.job) for each in checkpoint.load()[0]] == [("default", "web", 2)]
    checkpoint.close()


async def test_an_allocation_without_memories_begins_anew(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "s")
    checkpoint.put_alloc(ALLOCATION, JOB)
    await checkpoint.flush()
    (found,), _ = checkpoint.load()
    assert found.memory.phase is alloc_machine.Phase.WAITING
    assert found.tasks == {}
    checkpoint.close()


async def test_many_flushes_at_once_all_end_with_everything_written(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "s")

    async def one(number: int) -> None:
        checkpoint.put_meta(str(number), b"x")
        await checkpoint.flush()

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(one(number))
    assert len(checkpoint.load()[1]) == 100
    checkpoint.close()


async def test_a_flush_that_is_given_up_loses_nothing(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "s")
    checkpoint.put_meta("a", b"1")
    free = threading.Event()
    checkpoint._thread.submit(free.wait)  # The write must wait its turn, and never gets it.
    flush = asyncio.create_task(checkpoint.flush())
    await asyncio.sleep(0)
    flush.cancel()
    await asyncio.wait({flush})
    free.set()
    checkpoint.put_meta("b", b"2")
    await checkpoint.flush()
    checkpoint.close()
    again = Checkpoint(tmp_path / "s")
    assert again.load()[1] == {"a": b"1", "b": b"2"}
    again.close()


def test_a_flush_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from client.checkpoint import Checkpoint\n"
        "async def main():\n"
        "    c = Checkpoint(Path(sys.argv[1]))\n"
        "    for n in range(50):\n"
        "        c.put_meta(str(n), b'x')\n"
        "        await c.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "s"
    code = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", script, str(path)])
    assert code == -signal.SIGKILL
    checkpoint = Checkpoint(path)
    assert len(checkpoint.load()[1]) == 50
    checkpoint.close()


async def test_a_second_agent_is_kept_off(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "s")
    with pytest.raises(Invalid, match="locked"):
        Checkpoint(tmp_path / "s")
    checkpoint.close()


async def test_a_file_of_a_newer_version_or_of_somebody_else_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "s").close()
    database = sqlite3.connect(tmp_path / "s")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Invalid, match="newer version"):
        Checkpoint(tmp_path / "s")
    (tmp_path / "torn").write_bytes(b"not a database" * 100)
    with pytest.raises(Invalid, match="state file"):
        Checkpoint(tmp_path / "torn")


def test_an_identity_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    first = node_identity(tmp_path / "c")
    assert node_identity(tmp_path / "c") == first
    assert len({first.node_id, first.secret}) == 2
    assert (tmp_path / "c" / "node.json").stat().st_mode & 0o777 == 0o600
    assert node_identity(tmp_path / "d") != first


def test_a_damaged_identity_is_not_replaced_in_silence(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text("{")
    with pytest.raises(Invalid, match="damaged"):
        node_identity(tmp_path)


def test_folders_come_from_the_configuration() -> None:
    config = AgentConfig(data_dir="/d")
    assert (str(state_folder(config)), str(alloc_folder(config))) == ("/d/client", "/d/alloc")
    config = AgentConfig(client=ClientConfig(state_dir="/s", alloc_dir="/a"))
    assert (str(state_folder(config)), str(alloc_folder(config))) == ("/s", "/a")
    for folder in (state_folder, alloc_folder):
        with pytest.raises(Invalid, match="data_dir"):
            folder(AgentConfig())
