"""Members on real sockets over loopback: the transport under the simulated protocol."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest

from federation.agent import STREAMS_OF_ONE_MAX, Gossip, GossipSettings, StreamFailed, open_gossip
from federation.codec import Drop
from federation.events import Changed, Verdicts
from federation.keyring import Keyring
from federation.messages import Address, KeyringAsked, Status
from federation.profile import LAN
from federation.regions import WatchProfile
from federation.verdicts import Verdict
from hanse.clock import SystemClock
from hanse.errors import Invalid

FAST = replace(
    LAN, probe_s=0.1, ack_s=0.05, ack_min_s=0.02, gossip_s=0.02, reconnect_s=0.3, leave_s=0.1
)
OLD, NEW = bytes(32), bytes(range(32))


class Pool:
    """Members that run in this process."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group
        self.members: dict[str, Gossip] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(
        self,
        name: str,
        *,
        region: str = "west",
        federation: str = "prod",
        keys: tuple[bytes, ...] = (OLD,),
        join: tuple[Address, ...] = (),
        port: int = 0,
    ) -> Gossip:
        settings = GossipSettings(
            name=name,
            region=region,
            federation=federation,
            bind_host="127.0.0.1",
            bind_port=port,
            tags={"id": name, "role": "nomad"},
            keyring=Keyring(keys),
            join=join,
            retry_join_s=0.1,
            profile=FAST,
            watch=WatchProfile(look_s=0.1, silence_s=0.4),
        )
        gossip = open_gossip(settings, clock=SystemClock(), rng=Random(), fresh=os.urandom)
        self.members[name] = gossip
        self.tasks[name] = self.group.create_task(gossip.run())
        return gossip

    def stop(self, name: str) -> None:
        """Vanish without a word."""
        self.tasks[name].cancel()
        del self.members[name]

    def see(self, name: str) -> set[Status | None]:
        """What the others believe of a member."""
        return {
            {member.alive.name: member.status for member in other.members()}.get(name)
            for mine, other in self.members.items()
            if mine != name
        }


@asynccontextmanager
async def pool() -> AsyncIterator[Pool]:
    async with asyncio.TaskGroup() as group:
        made = Pool(group)
        yield made
        for task in made.tasks.values():
            task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_members_find_each_other_and_notice_who_leaves_and_who_dies() -> None:
    async with pool() as made:
        first = made.start("a")
        changes: list[Changed | Verdicts] = []
        first.listen(changes.append)
        for name in "bcde":
            made.start(name, join=(first.address,))
        await until(lambda: all(made.see(name) == {Status.ALIVE} for name in "abcde"))
        await made.members["b"].leave()
        await until(lambda: made.see("b") <= {Status.LEFT})
        made.stop("b")
        made.stop("c")
        await until(lambda: made.see("c") == {Status.DEAD})
        assert made.see("b") == {Status.LEFT}
        assert made.see("e") == {Status.ALIVE}
        seen = {(e.member.name, e.after) for e in changes if isinstance(e, Changed)}
        assert {("c", Status.DEAD), ("b", Status.LEFT), ("d", Status.ALIVE)} <= seen
        first.force_leave("c", prune=True)
        await until(lambda: made.see("c") == {None})
        with pytest.raises(Invalid, match="nobody"):
            first.force_leave("nobody")


async def test_a_member_that_returns_at_its_address_is_alive_again() -> None:
    async with pool() as made:
        first = made.start("a")
        second = made.start("b", join=(first.address,))
        await until(lambda: made.see("b") == {Status.ALIVE})
        host_port = second.address
        made.stop("b")
        await until(lambda: made.see("b") == {Status.DEAD})
        await asyncio.wait({made.tasks["b"]})
        made.start("b", join=(first.address,), port=host_port[1])
        await until(lambda: made.see("b") == {Status.ALIVE} and made.see("a") == {Status.ALIVE})


async def test_regions_are_judged() -> None:
    async with pool() as made:
        first = made.start("a1", region="a")
        for name in ("a2", "b1", "b2", "c1", "c2"):
            made.start(name, region=name[0], join=(first.address,))

        def said(region: str) -> set[Verdict | None]:
            found = [m.regions().get(region) for m in made.members.values()]
            return {None if judgement is None else judgement.verdict for judgement in found}

        await until(lambda: all(said(region) == {Verdict.ALIVE} for region in "abc"))
        made.stop("c1")
        made.stop("c2")
        await until(lambda: said("c") == {Verdict.LOST})
        assert said("a") == said("b") == {Verdict.ALIVE}


async def test_a_key_is_changed_everywhere_and_what_fails_is_told() -> None:
    async with pool() as made:
        first = made.start("a")
        for name in "bc":
            made.start(name, join=(first.address,))
        await until(lambda: all(made.see(name) == {Status.ALIVE} for name in "abc"))
        refused = await first.keyring(KeyringAsked("use", NEW))
        assert {told.error for told in refused.told.values()} == {
            "key: the key is not in the keyring; install it first"
        }
        for change, key, keys in (
            ("install", NEW, (OLD, NEW)),
            ("use", NEW, (NEW, OLD)),
            ("remove", OLD, (NEW,)),
            ("list", b"", (NEW,)),
        ):
            report = await made.members["b"].keyring(KeyringAsked(change, key))  # type: ignore[arg-type]
            assert {name: told.keys for name, told in report.told.items()} == dict.fromkeys(
                "abc", keys
            )
            assert report.failed == {}
        # Old keys get nobody in any more; the new one does.
        stranger = made.start("x", keys=(OLD,))
        assert await stranger.join([first.address]) == (
            0,
            [f"127.0.0.1:{first.address[1]}: 0 bytes read on a total of 4 expected bytes"],
        )
        made.start("y", keys=(NEW,), join=(first.address,))
        await until(lambda: {m.alive.name for m in first.members()} == {"a", "b", "c", "y"})
        assert first.dropped.keys() == {Drop.UNKNOWN_KEY}


async def test_another_federation_is_refused() -> None:
    async with pool() as made:
        first = made.start("a")
        stranger = made.start("x", federation="test")
        joined, failures = await stranger.join([first.address])
        assert (joined, len(failures)) == (0, 1)
        assert [m.alive.name for m in first.members()] == ["a"]
        assert first.dropped == {Drop.FOREIGN: 1}


async def test_junk_on_both_sockets_is_dropped_and_the_member_lives() -> None:
    async with pool() as made:
        first = made.start("a")
        rng = Random(4)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for length in (0, 1, 25, 26, 100, 1400, 60_000):
                sender.sendto(rng.randbytes(length), first.address)
        for frame in (b"", b"\0", b"\xff" * 8, (50).to_bytes(4, "big") + rng.randbytes(50)):
            reader, writer = await asyncio.open_connection(*first.address)
            writer.write(frame)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        await until(lambda: sum(first.dropped.values()) == 8)
        second = made.start("b", join=(first.address,))
        await until(lambda: made.see("b") == {Status.ALIVE})
        assert second.dropped == {}


async def test_nobody_at_an_address_is_told_and_a_taken_port_refused() -> None:
    async with pool() as made:
        first = made.start("a")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            nobody = ("127.0.0.1", taken.getsockname()[1])
            joined, failures = await first.join([nobody])
        assert joined == 0
        assert str(nobody[1]) in failures[0]
        with pytest.raises(Invalid, match="cannot listen"):
            made.start("b", port=first.address[1])
        with pytest.raises(StreamFailed):
            await first._ask(nobody, KeyringAsked("list"))


async def test_one_address_cannot_have_all_streams() -> None:
    async with pool() as made:
        first = made.start("a")
        idle = [await asyncio.open_connection(*first.address) for _ in range(STREAMS_OF_ONE_MAX)]
        await until(lambda: first.serving == STREAMS_OF_ONE_MAX)
        reader, writer = await asyncio.open_connection(*first.address)
        assert await reader.read() == b"", "closed unread"
        writer.close()
        for _, writer in idle:
            writer.close()
        await until(lambda: first.serving == 0)
        second = made.start("b", join=(first.address,))
        await until(lambda: made.see("b") == {Status.ALIVE})
        assert second.serving == 0
