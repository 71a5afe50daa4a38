"""Forming under every kind of accident: one seed decides what happens and in which order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from region.quorum.forming import Enter, Formed, Forming, Heard, Input, Refused, Save, Tick
from region.quorum.model import Alone, Bound, Card, Decided, Greeting, Record


def card(number: int, expect: int, generation: int = 0) -> Card:
    return Card(
        id=f"id-{number}-{generation}",
        name=f"s{number}",
        region="global",
        rpc=f"127.0.0.{number}:1",
        peer=f"127.0.0.{number}:2",
        client=f"127.0.0.{number}:3",
        expect=expect,
    )


class Server:
    """One server: what it has on disk outlives its machine."""

    def __init__(self, number: int, expect: int, rng: Random) -> None:
        self.card = card(number, expect)
        self.rng = rng
        self.disk = Record(id=self.card.id, region="global")
        self.decisions: list[Decided] = []
        self.enters: list[Enter] = []
        self.refused: list[Refused] = []
        self.boots = 0
        self.machine = self.boot()

    def boot(self) -> Forming:
        self.boots += 1
        boot = f"{self.card.id}-{self.boots}"
        self.machine = Forming(self.card, self.disk, boot=boot, rng=self.rng)
        return self.machine

    def greeting(self) -> Greeting:
        record = self.machine.record
        return Greeting(
            card=self.card, boot=self.machine.boot, epoch=record.epoch, phase=record.phase
        )

    def take(self, event: Input, *, crash: bool = False) -> None:
        """Handle an input; a crash comes before anything of it is on disk, or after a part."""
        for effect in self.machine.handle(event):
            if crash:
                self.boot()
                return
            match effect:
                case Save(record):
                    assert record.epoch > self.disk.epoch
                    self.disk = record
                    crash = self.rng.random() < 0.02
                case Formed(decided):
                    self.decisions.append(decided)
                case Enter():
                    self.enters.append(effect)
                case Refused():
                    self.refused.append(effect)


class World:
    """Servers, and a network that keeps every message and delivers what it likes."""

    def __init__(self, servers: int, expect: int, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.servers = [Server(number, expect, self.rng) for number in range(servers)]
        self.sent: list[tuple[int, Greeting]] = []

    def step(self) -> None:
        """One accident, message or moment."""
        rng = self.rng
        server = rng.choice(self.servers)
        match rng.choices(("send", "deliver", "tick", "crash"), (6, 8, 3, 1))[0]:
            case "send":
                to = rng.randrange(len(self.servers))
                self.sent.append((to, server.greeting()))
            case "deliver" if self.sent:
                to, greeting = rng.choice(self.sent[-60:])
                self.servers[to].take(Heard(greeting, self.now), crash=rng.random() < 0.05)
            case "tick":
                self.now += rng.random() * 0.6
                searched = rng.random() < 0.9
                server.take(Tick(self.now, searched), crash=rng.random() < 0.05)
            case _:
                server.boot()
        self.check()

    def calm(self, rounds: int) -> None:
        """All is well: everybody hears everybody, over and over."""
        for _ in range(rounds):
            self.now += 0.4
            for server in self.servers:
                server.take(Tick(self.now))
                for other in self.servers:
                    if other is not server:
                        other.take(Heard(server.greeting(), self.now))
                        server.take(Heard(other.greeting(), self.now))
            self.check()

    def check(self) -> None:
        """What must hold at every moment."""
        records = {server.disk.id: server.disk for server in self.servers}
        lists: dict[str, tuple[Card, ...]] = {}
        for server in self.servers:
            phase = server.disk.phase
            if isinstance(phase, Decided):
                assert lists.setdefault(phase.cluster, phase.members) == phase.members
                assert self_in(phase.members, server)
                assert len(phase.members) == server.card.expect
            assert len({d.cluster for d in server.decisions}) <= 1
        for cluster, members in lists.items():
            for member in members:
                phase = records[member.id].phase
                if isinstance(phase, Bound):
                    assert phase.proposal.cluster == cluster
                else:
                    assert isinstance(phase, Decided)
                    assert phase.cluster == cluster


def self_in(members: tuple[Card, ...], server: Server) -> bool:
    return any(member.id == server.card.id for member in members)


@given(seed=st.integers(min_value=0, max_value=2**48), expect=st.sampled_from((1, 2, 3, 5)))
def test_servers_agree_on_one_list_whatever_happened_before(seed: int, expect: int) -> None:
    world = World(expect, expect, seed)
    for _ in range(300):
        world.step()
    world.calm(60)
    clusters = {
        server.disk.phase.cluster
        for server in world.servers
        if isinstance(server.disk.phase, Decided)
    }
    assert len(clusters) == 1
    assert all(isinstance(server.disk.phase, Decided) for server in world.servers)


@given(seed=st.integers(min_value=0, max_value=2**48))
def test_one_server_too_many_enters_the_cluster_that_the_others_began(seed: int) -> None:
    world = World(4, 3, seed)
    for _ in range(300):
        world.step()
    world.calm(80)
    outside = [s for s in world.servers if not isinstance(s.disk.phase, Decided)]
    assert len(outside) == 1
    inside = next(s.disk.phase for s in world.servers if isinstance(s.disk.phase, Decided))
    assert outside[0].enters
    assert {enter.cluster for enter in outside[0].enters} == {inside.cluster}


def forgetful(seed: int) -> None:
    """A run in which disks sometimes lose that a server is bound."""
    world = World(4, 3, seed)
    for _ in range(400):
        world.step()
        victim = world.rng.choice(world.servers)
        disk = victim.disk
        if isinstance(disk.phase, Bound) and world.rng.random() < 0.1:
            victim.disk = replace(disk, phase=Alone(), epoch=disk.epoch + 1)
            victim.boot()


def test_the_checks_find_a_server_that_forgets_what_it_is_bound_to() -> None:
    """The simulation can fail."""
    found = 0
    for seed in range(100):
        try:
            forgetful(seed)
        except AssertionError:
            found += 1
    assert found > 10
