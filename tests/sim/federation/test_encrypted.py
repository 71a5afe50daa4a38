"""Membership over bytes: federations kept apart, keys changed under way, attacks on the wire."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from federation.codec import Codec, Drop
from federation.keyring import Keyring
from federation.messages import Status
from tests.sim.federation.pool import Pool

OLD, NEW = bytes(16), bytes(range(32))


def encrypted(seed: int, size: int = 6, keys: tuple[bytes, ...] = (OLD,)) -> Pool:
    pool = Pool(seed)
    names = [f"m{number}" for number in range(size)]
    pool.grown(names, lambda name: {"region": "west", "id": name})
    pool.encrypt(names, "prod", Keyring(keys))
    return pool


def dropped(pool: Pool) -> dict[Drop, int]:
    total: dict[Drop, int] = {}
    for codec in pool.codecs.values():
        for why, count in codec.dropped.items():
            total[why] = total.get(why, 0) + count
    return total


@pytest.mark.parametrize("same_key", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_two_federations_never_merge_even_with_one_key(seed: int, same_key: bool) -> None:
    pool = encrypted(seed)
    theirs = [f"t{number}" for number in range(6)]
    pool.grown(theirs, lambda name: {"region": "east", "id": name})
    pool.encrypt(theirs, "test", Keyring((OLD if same_key else NEW,)))
    # By mistake, and again and again.
    for number in range(6):
        pool.world.at(number * 5.0, partial(pool.join, f"m{number}", f"t{number}"))
        pool.world.at(number * 5.0, partial(pool.join, f"t{number}", f"m{number}"))
    pool.world.run_until(60.0)
    for name, member in pool.members.items():
        assert {other[0] for other in member.roster.known} == {name[0]}
    assert pool.deaths() == []
    assert set(dropped(pool)) == {Drop.FOREIGN}


def test_a_key_is_changed_under_way_and_nobody_notices() -> None:
    pool = encrypted(1)
    pool.network.loss = 0.01

    def change(codec: Codec, how: Callable[[Keyring, bytes], Keyring], key: bytes) -> None:
        codec.keyring = how(codec.keyring, key)

    for number, codec in enumerate(pool.codecs.values()):
        # One after the other, each step begun once the one before has reached all.
        pool.world.at(10.0 + 2 * number, partial(change, codec, Keyring.install, NEW))
        pool.world.at(30.0 + 2 * number, partial(change, codec, Keyring.use, NEW))
        pool.world.at(50.0 + 2 * number, partial(change, codec, Keyring.remove, OLD))
    pool.world.run_until(90.0)
    assert {codec.keyring for codec in pool.codecs.values()} == {Keyring((NEW,))}
    assert pool.changes == []
    assert dropped(pool) == {}


def test_a_member_with_a_removed_key_is_heard_no_more() -> None:
    pool = encrypted(1)
    pool.world.run_until(5.0)
    for name, codec in pool.codecs.items():
        if name != "m3":
            codec.keyring = Keyring((NEW,))
    pool.world.run_until(60.0)
    assert pool.believe("m3") == {Status.DEAD}
    assert dropped(pool).keys() == {Drop.UNKNOWN_KEY}


def test_replayed_packets_are_dropped_and_change_nothing() -> None:
    pool = encrypted(2)
    tape: list[tuple[str, bytes]] = []
    pool.wire = lambda _, target, data: tape.append((target, data))
    # Something worth replaying: a death, and a return.
    pool.crash("m5")
    pool.world.run_until(30.0)
    assert pool.believe("m5") == {Status.DEAD}
    pool.down.clear()
    assert pool.world.run_while(lambda: not pool.agrees(), 90.0)
    pool.wire = None
    pool.world.run_until(pool.world.now + 1.0)
    changes = list(pool.changes)
    known = {name: dict(member.roster.known) for name, member in pool.members.items()}
    for target, data in tape:
        pool.hear(target, data, ("attacker", 1))
    assert dropped(pool) == {Drop.REPLAYED: len(tape)}
    pool.world.run_until(pool.world.now + 30.0)
    assert pool.changes == changes
    assert {name: dict(member.roster.known) for name, member in pool.members.items()} == known


def test_a_flood_of_junk_changes_nothing() -> None:
    pool = encrypted(3)
    tape: list[bytes] = []
    pool.wire = lambda _, __, data: tape.append(data)
    pool.world.run_until(3.0)
    pool.wire = None
    rng = Random(5)
    for _ in range(500):
        junk = bytearray(rng.choice(tape))
        match rng.randrange(4):
            case 0:
                junk = bytearray(rng.randbytes(rng.randrange(2000)))
            case 1:
                del junk[rng.randrange(len(junk)) :]
            case 2:
                junk[rng.randrange(len(junk))] ^= 1 << rng.randrange(8)
            case _:
                junk += rng.randbytes(65_507 - len(junk))
        pool.hear("m0", bytes(junk), ("attacker", 1))
    pool.world.run_until(30.0)
    assert sum(pool.codecs["m0"].dropped.values()) == 500
    assert pool.changes == []


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run() -> list[bytes]:
        pool = encrypted(9)
        tape: list[bytes] = []
        pool.wire = lambda _, __, data: tape.append(data)
        pool.crash("m2")
        pool.world.run_until(15.0)
        return tape

    first = run()
    assert len(first) > 100
    assert first == run()
