"""What the agent must not forget, in a SQLite file of its own.

Tasks outlive the agent, so all that is needed to find them again is here: allocations, the jobs
they run, and the memories of the machines. Writes are collected while one is under way and go to
the disk together, in one thread, off the event loop.

The file is in WAL mode with `synchronous=NORMAL`: a commit is in the page cache when `flush`
returns, which survives a kill -9 of the agent, and is synced to the disk only at checkpoints.
A power cut may lose the last commits but never tears the file; the tasks are gone then anyway.
Exclusive locking keeps a second agent off the same folder.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec

from client.allocrunner import machine as alloc
from client.taskrunner import machine as task
from hanse.errors import Invalid, OutOfSpace
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job

SCHEMA = 1
_TABLES = ("allocations", "memories", "jobs", "tasks", "meta")
_encode = msgspec.msgpack.Encoder().encode
_allocation = msgspec.msgpack.Decoder(Allocation)
_memory = msgspec.msgpack.Decoder(alloc.Memory)
_job = msgspec.msgpack.Decoder(Job)
_task = msgspec.msgpack.Decoder(dict[str, task.Memory])

JobKey = tuple[str, str, int]


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """One allocation as it was when the agent died."""

    allocation: Allocation
    job: Job
    memory: alloc.Memory
    tasks: dict[str, task.Memory]


def job_key(job: Job) -> JobKey:
    """Namespace, id and version."""
    return job.namespace, job.id, job.version


class Checkpoint:
    """The file. `put_*` and `forget_*` only queue; `flush` waits until all queued is safe."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Blocks. Raises Invalid if it is in use or not ours."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._lock = asyncio.Lock()
        self._pending: dict[tuple[str, str], bytes | None] = {}
        self._put = 0
        self._written = 0
        self._wake = asyncio.Event()
        self._jobs: set[JobKey] = set()
        try:
            self._database = _open(path)
        except sqlite3.Error as error:
            raise Invalid(str(path), f"cannot use this state file: {error}") from error

    def put_alloc(self, allocation: Allocation, job: Job) -> None:
        """Remember the allocation and the version of the job it runs."""
        self._queue("allocations", allocation.id, _encode(allocation))
        key = job_key(job)
        if key not in self._jobs:
            self._jobs.add(key)
            self._queue("jobs", _text(key), _encode(job))

    def put_memory(self, alloc_id: str, memory: alloc.Memory) -> None:
        """Remember where the allocation's machine is."""
        self._queue("memories", alloc_id, _encode(memory))

    def put_tasks(self, alloc_id: str, memories: dict[str, task.Memory]) -> None:
        """Remember where the machines of all of the allocation's tasks are."""
        self._queue("tasks", alloc_id, _encode(memories))

    def forget(self, alloc_id: str) -> None:
        """Forget the allocation."""
        for table in ("allocations", "memories", "tasks"):
            self._queue(table, alloc_id, None)

    def forget_jobs_except(self, keys: Iterable[JobKey]) -> None:
        """Forget the versions that nothing runs."""
        for key in self._jobs - set(keys):
            self._jobs.discard(key)
            self._queue("jobs", _text(key), None)

    def put_meta(self, name: str, value: bytes) -> None:
        """Remember something small by name."""
        self._queue("meta", name, value)

    async def flush(self) -> None:
        """Return when all that was put before this call is written. Raises OutOfSpace."""
        wanted = self._put
        while self._written < wanted:
            async with self._lock:  # Those who wait here often find their work done.
                if self._written >= wanted:
                    return
                batch, self._pending = self._pending, {}
                upto = self._put
                loop = asyncio.get_running_loop()
                try:
                    await loop.run_in_executor(self._thread, _write, self._database, batch)
                except asyncio.CancelledError:
                    # It may never have begun; writing it once more does no harm.
                    self._pending = batch | self._pending
                    raise
                except sqlite3.Error as error:
                    self._pending = batch | self._pending
                    raise OutOfSpace(
                        f"the agent's state file cannot be written: {error}"
                    ) from error
                self._written = upto

    async def wait_for_puts(self) -> None:
        """Return when something waits to be written."""
        await self._wake.wait()
        self._wake.clear()

    def load(self) -> tuple[list[Remembered], dict[str, bytes]]:
        """Everything, and the small things by name. Blocks; for the start of the agent.

        Raises Invalid if what is there cannot be understood.
        """
        try:
            return self._load()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Invalid("state file", f"cannot be understood: {error}") from error

    def _load(self) -> tuple[list[Remembered], dict[str, bytes]]:
        rows = {table: self._rows(table) for table in _TABLES}
        jobs = {key: _job.decode(body) for key, body in rows["jobs"].items()}
        self._jobs = {job_key(job) for job in jobs.values()}
        found: list[Remembered] = []
        for alloc_id, body in rows["allocations"].items():
            allocation = _allocation.decode(body)
            key = _text((allocation.namespace, allocation.job_id, allocation.job_version))
            if key not in jobs:
                continue
            memory = rows["memories"].get(alloc_id)
            tasks = rows["tasks"].get(alloc_id)
            found.append(
                Remembered(
                    allocation=allocation,
                    job=jobs[key],
                    memory=_memory.decode(memory) if memory else alloc.Memory(),
                    tasks=_task.decode(tasks) if tasks else {},
                )
            )
        return found, rows["meta"]

    def lose_what_waits(self) -> None:
        """Drop what was put and not flushed, as a kill of the agent does. For tests."""
        self._pending.clear()

    def close(self) -> None:
        """Close the file. Blocks until the write under way is done."""
        self._thread.shutdown(wait=True)
        _write(self._database, self._pending)
        self._database.close()

    def _rows(self, table: str) -> dict[str, bytes]:
        return dict(self._database.execute(f"SELECT key, body FROM {table}"))

    def _queue(self, table: str, key: str, body: bytes | None) -> None:
        self._pending[table, key] = body
        self._put += 1
        self._wake.set()


def _text(key: JobKey) -> str:
    return "\0".join((key[0], key[1], str(key[2])))


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA:
            raise sqlite3.DatabaseError(f"it was written by a newer version ({version})")
        with closing(database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} (key TEXT PRIMARY KEY, body BLOB NOT NULL)"
                    " WITHOUT ROWID"
                )
            cursor.execute(f"PRAGMA user_version={SCHEMA}")
            cursor.execute("COMMIT")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _write(database: sqlite3.Connection, batch: dict[tuple[str, str], bytes | None]) -> None:
    if not batch:
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        for (table, key), body in batch.items():
            if body is None:
                database.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
            else:
                database.execute(
                    f"INSERT INTO {table} VALUES (?, ?)"
                    " ON CONFLICT (key) DO UPDATE SET body = excluded.body",
                    (key, body),
                )
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
