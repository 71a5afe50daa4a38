"""Status, snapshots, defragmentation and the alarm for a full quota, on a real member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hanse.clock import SystemClock
from hanse.errors import Invalid, OutOfSpace
from hanse.store import Delete, Put, Txn
from region.store.binary import Binary, tool
from region.store.client import opened
from region.store.maintain import maintenance, restore
from region.store.member import MemberConfig, Supervisor

CLOCK = SystemClock()


@pytest.fixture
def config(tmp_path: Path, new_address: Callable[[], str]) -> MemberConfig:
    return MemberConfig(
        name="lubeck",
        region="global",
        data_dir=tmp_path / "etcd",
        client_address=new_address(),
        peer_address=new_address(),
        dev=True,
        quota_bytes=8 * 1024 * 1024,
    )


@asynccontextmanager
async def running(binary: Binary, config: MemberConfig) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(binary, config, CLOCK)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run())
        try:
            await supervisor.ready(timeout_s=30)
            yield supervisor
        finally:
            task.cancel()


async def test_a_snapshot_restored_elsewhere_holds_what_was_and_never_goes_back(
    binary: Binary, config: MemberConfig, tmp_path: Path
) -> None:
    path = tmp_path / "region.snap"
    async with (
        running(binary, config) as member,
        opened([member.endpoint], clock=CLOCK) as store,
        maintenance(member.endpoint, clock=CLOCK) as operate,
    ):
        for number in range(20):
            await store.commit(Txn((), (Put(f"/kept/{number}", b"x" * 1000),)))
        revision = await store.revision()
        status = await operate.status()
        assert status.leads
        assert status.revision == revision
        assert status.version == ".".join(str(part) for part in binary.version)
        taken = await operate.snapshot(path)
        assert (taken.path, taken.size) == (path, path.stat().st_size)
        await store.commit(Txn((), (Put("/after", b""),)))

    elsewhere = replace(config, data_dir=tmp_path / "elsewhere")
    await restore(tool(binary, "etcdutl"), path, elsewhere, bump_revisions=1_000)
    async with (
        running(binary, elsewhere) as member,
        opened([member.endpoint], clock=CLOCK) as store,
    ):
        assert len((await store.list("/kept/")).items) == 20
        assert await store.get("/after") is None
        assert await store.revision() >= revision + 1_000
    with pytest.raises(Invalid, match="not empty"):
        await restore(tool(binary, "etcdutl"), path, elsewhere)


async def test_a_damaged_snapshot_is_not_restored(
    binary: Binary, config: MemberConfig, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.snap"
    path.write_bytes(b"x" * 40_000)
    with pytest.raises(Invalid, match="cannot be restored"):
        await restore(tool(binary, "etcdutl"), path, config)


async def test_a_full_quota_refuses_writes_with_the_reason_until_an_operator_makes_room(
    binary: Binary, config: MemberConfig
) -> None:
    async with (
        running(binary, config) as member,
        opened([member.endpoint], clock=CLOCK) as store,
        maintenance(member.endpoint, clock=CLOCK) as operate,
    ):

        async def fill() -> None:
            for number in range(60):
                await store.commit(Txn((), (Put(f"/big/{number % 4}", b"x" * 500_000),)))

        with pytest.raises(OutOfSpace, match="quota"):
            await fill()
        (alarm,) = await operate.alarms()
        assert alarm.kind == "NOSPACE"
        assert await store.get("/big/0") is not None

        await store.commit(Txn((), (Delete("/big/", prefix=True),)))
        await operate.compact(await store.revision())
        before = (await operate.status()).file_bytes
        await operate.defragment()
        assert (await operate.status()).file_bytes < before / 2
        await operate.disarm(alarm)
        assert await operate.alarms() == []
        assert (await store.commit(Txn((), (Put("/small", b""),)))).succeeded
