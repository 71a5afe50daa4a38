"""The supervised member: it starts, dies and comes back as the agent wants, and loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hanse.clock import SystemClock
from hanse.errors import Invalid, NoLeader, Unavailable
from hanse.store import Batch, KeyIs, KeyValue, Put, Relisted, Store, Txn
from region.store.binary import Binary
from region.store.client import opened
from region.store.member import MemberConfig, Supervisor

Address = Callable[[], str]
CLOCK = SystemClock()


@pytest.fixture
def config(tmp_path: Path, new_address: Address) -> MemberConfig:
    return MemberConfig(
        name="lubeck",
        region="global",
        data_dir=tmp_path / "etcd",
        client_address=new_address(),
        peer_address=new_address(),
        dev=True,
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


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while alive(pid):  # noqa: ASYNC110 - it is no child of ours
            await asyncio.sleep(0.02)


async def test_a_stopped_member_is_gone_and_its_data_are_there_when_it_is_started_again(
    binary: Binary, config: MemberConfig
) -> None:
    async with running(binary, config) as member:
        first = member.pid
        assert first is not None
        async with opened([member.endpoint], clock=CLOCK) as store:
            await store.commit(Txn((), (Put("/kept", b"1"),)))
    assert not alive(first)
    async with running(binary, config) as member, opened([member.endpoint], clock=CLOCK) as store:
        assert await store.get("/kept") is not None
    assert config.data_dir.stat().st_mode & 0o777 == 0o700


async def test_another_agents_etcd_is_never_taken_for_our_own(
    binary: Binary, config: MemberConfig, tmp_path: Path, new_address: Address
) -> None:
    other = replace(config, data_dir=tmp_path / "other", peer_address=new_address())
    async with running(binary, config):
        intruder = Supervisor(binary, other, CLOCK)
        with pytest.raises(Invalid, match=r"ports.etcd_client.*in use"):
            await intruder.run()
        assert intruder.starts == 0


async def put_until_done(store: Store, key: str, value: bytes) -> None:
    """Write once, as callers must: after an unknown outcome look before trying again."""
    while True:
        try:
            held = await store.get(key)
            if held is not None and held.value == value:
                return
            expected = held.mod_revision if held is not None else 0
            await store.commit(Txn((KeyIs(key, expected),), (Put(key, value),)))
        except (Unavailable, NoLeader):
            continue


async def follow(store: Store, after: int, last: bytes, seen: list[KeyValue]) -> int:
    """Collect events until all four writers are done; gives how often it was listed afresh."""
    relisted = 0
    done: set[str] = set()
    async with aclosing(store.watch("/n/", after)) as watch:
        async for news in watch:
            if isinstance(news, Relisted):
                relisted += 1
                continue
            for event in news.events:
                assert isinstance(event, KeyValue)
                seen.append(event)
                if event.value == last:
                    done.add(event.key)
            if len(done) == 4:
                break
    return relisted


async def test_a_watch_misses_and_repeats_nothing_while_its_member_is_killed_under_writes(
    binary: Binary, config: MemberConfig
) -> None:
    seen: list[KeyValue] = []
    count = 150

    async with running(binary, config) as member, opened([member.endpoint], clock=CLOCK) as store:
        start = await store.revision()

        async def write(key: str) -> None:
            for number in range(count + 1):
                await put_until_done(store, key, b"%d" % number)

        async def kill() -> None:
            for target in (100, 300, 500):
                while len(seen) < target:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                pid, starts = member.pid, member.starts
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                while member.starts == starts:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            follower = group.create_task(follow(store, start, b"%d" % count, seen))
            for each in "abcd":
                group.create_task(write(f"/n/{each}"))
            group.create_task(kill())
        assert member.starts == 4

    assert follower.result() == 0
    # Every version of every key once and in order: nothing missing, nothing twice.
    for each in "abcd":
        versions = [event.version for event in seen if event.key == f"/n/{each}"]
        assert versions == list(range(1, len(versions) + 1))
    revisions = [event.mod_revision for event in seen]
    assert revisions == sorted(revisions)


def all_stopped(pid: int) -> bool:
    """Whether every thread of a process has stopped: on a busy machine that takes a moment."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rsplit(")", 1)[1].split()[0] == "T" for stat in stats)


async def test_a_watch_outlives_a_member_that_is_frozen_for_a_moment(
    binary: Binary, config: MemberConfig
) -> None:
    async with running(binary, config) as member, opened([member.endpoint], clock=CLOCK) as store:
        start = await store.revision()
        pid = member.pid
        assert pid is not None
        async with asyncio.timeout(30), aclosing(store.watch("/w/", start)) as watch:
            await store.commit(Txn((), (Put("/w/1", b""),)))
            first = await anext(watch)
            os.kill(pid, signal.SIGSTOP)
            while not all_stopped(pid):  # noqa: ASYNC110 - /proc wakes nobody
                await asyncio.sleep(0.005)
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(store.commit(Txn((), (Put("/w/2", b""),))))
                await asyncio.sleep(0.3)
                assert not waiting.done()
                os.kill(pid, signal.SIGCONT)
            second = await anext(watch)
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert [first.revision, second.revision] == [start + 1, waiting.result().revision]


AGENT = textwrap.dedent("""\
    import asyncio, sys
    from pathlib import Path
    from hanse.clock import SystemClock
    from region.store.binary import Binary
    from region.store.member import MemberConfig, Supervisor

    async def main(binary, data, client, peer):
        config = MemberConfig("lubeck", "global", Path(data), client, peer, dev=True)
        member = Supervisor(Binary(Path(binary), (3, 5, 30)), config, SystemClock())
        async with asyncio.TaskGroup() as group:
            group.create_task(member.run())
            await member.ready()
            print(member.pid, flush=True)

    asyncio.run(main(*sys.argv[1:]))
""")


async def test_a_member_does_not_outlive_an_agent_that_is_killed(
    binary: Binary, config: MemberConfig
) -> None:
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, str(binary.path), str(config.data_dir),
        config.client_address, config.peer_address,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert agent.stdout is not None
    async with asyncio.timeout(60):
        line = b"log"
        while line and not line.strip().isdigit():
            line = await agent.stdout.readline()
        pid = int(line)
        assert alive(pid)
        async with opened([config.client_address], clock=CLOCK) as store:
            await store.commit(Txn((), (Put("/kept", b"1"),)))
        agent.kill()
        await agent.wait()
        await gone(pid)
    # The next agent takes the directory over.
    async with running(binary, config) as member, opened([member.endpoint], clock=CLOCK) as store:
        assert await store.get("/kept") is not None


async def test_a_member_that_cannot_start_is_tried_again_and_its_reason_is_known(
    binary: Binary, config: MemberConfig
) -> None:
    config.data_dir.mkdir(mode=0o700)
    hindrance = config.data_dir / "member"
    hindrance.write_text("a file where etcd wants a folder")
    supervisor = Supervisor(binary, config, CLOCK)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run())
        while supervisor.starts < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert "failed to create snapshot directory" in supervisor.last_words
        hindrance.unlink()
        await supervisor.ready(timeout_s=30)
        task.cancel()


async def test_a_member_waits_until_the_one_before_it_lets_go_of_the_port(
    binary: Binary, config: MemberConfig
) -> None:
    before = await asyncio.start_server(
        lambda _reader, writer: writer.close(), *config.client_address.split(":")
    )
    supervisor = Supervisor(binary, config, CLOCK)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run())
        await asyncio.sleep(0)  # the supervisor's turn: it looks, and starts nothing
        assert supervisor.starts == 0
        before.close()
        await before.wait_closed()
        await supervisor.ready(timeout_s=30)
        assert supervisor.starts == 1
        task.cancel()
