"""Verdicts on regions in a simulated federation."""

from __future__ import annotations

import pytest

from federation.profile import WAN
from federation.verdicts import Verdict
from tests.sim.federation.pool import Pool

REGIONS = ("us-west-1", "us-east-1", "eu-central-1")


def federation(seed: int, regions: tuple[str, ...] = REGIONS, loss: float = 0.0) -> Pool:
    pool = Pool(seed, profile=WAN, watching=True)
    pool.network.loss = loss
    everybody = [f"{n}.{region}" for region in regions for n in range(3)]
    for name in everybody:
        pool.network.place[name] = name.split(".")[1]
    for a in regions:
        for b in regions:
            pool.network.between[a, b] = (0.0003, 0.001) if a == b else (0.040, 0.150)
    pool.grown(everybody, lambda name: {"region": name.split(".")[1], "id": name})
    return pool


def of(pool: Pool, *regions: str) -> list[str]:
    return [name for name in pool.members if name.split(".")[1] in regions]


def cut_off(pool: Pool, region: str) -> tuple[list[str], list[str]]:
    inside = of(pool, region)
    outside = [name for name in pool.members if name not in inside]
    pool.network.cut(inside, outside)
    return inside, outside


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1])
def test_loss_makes_no_region_lost_or_unreachable(loss: float) -> None:
    pool = federation(4, loss=loss)
    pool.world.run_until(150.0)
    assert {verdict for _, _, _, verdict in pool.verdicts} <= {Verdict.ALIVE, Verdict.DEGRADED}
    for region in REGIONS:
        assert pool.say(region, pool.members) <= {Verdict.ALIVE, Verdict.DEGRADED}
    if not loss:
        assert {verdict for _, _, _, verdict in pool.verdicts} == {Verdict.ALIVE}


@pytest.mark.parametrize("seed", range(10))
def test_a_region_cut_off_is_lost_to_the_others_in_ten_seconds(seed: int) -> None:
    pool = federation(seed, loss=0.01)
    pool.world.run_until(20.0)
    inside, outside = cut_off(pool, "eu-central-1")
    pool.world.run_until(30.0)
    assert pool.say("eu-central-1", outside) == {Verdict.LOST}
    judgement = pool.judgement(outside[0], "eu-central-1")
    assert 9.0 <= judgement.last_word_s <= 10.5
    assert (judgement.heard, judgement.known) == (0, 3)
    # Inside, nobody can tell whether it is the others that are gone.
    for region in ("us-west-1", "us-east-1"):
        assert pool.say(region, inside) == {Verdict.UNREACHABLE}
        assert pool.say(region, outside) <= {Verdict.ALIVE, Verdict.DEGRADED}
    assert pool.deaths() == [], "the verdict does not wait for deaths"


@pytest.mark.parametrize("away_s", [12.0, 60.0])
@pytest.mark.parametrize("seed", range(4))
def test_after_a_cut_all_agree_within_seconds(seed: int, away_s: float) -> None:
    pool = federation(seed)
    pool.world.run_until(20.0)
    cut_off(pool, "eu-central-1")
    pool.world.run_until(20.0 + away_s)
    pool.network.heal()
    healed = pool.world.now
    assert pool.world.run_while(
        lambda: any(
            pool.say(region, pool.members) - {Verdict.ALIVE, Verdict.DEGRADED} for region in REGIONS
        ),
        healed + 2.0,
    )
    assert pool.world.run_while(lambda: not pool.agrees(), healed + 6.0)
    pool.world.run_until(healed + 20.0)
    assert all(pool.say(region, pool.members) == {Verdict.ALIVE} for region in REGIONS)


def test_a_region_whose_servers_are_all_killed_is_lost() -> None:
    pool = federation(1)
    pool.world.run_until(20.0)
    pool.crash(*of(pool, "us-east-1"))
    pool.world.run_until(30.0)
    rest = of(pool, "us-west-1", "eu-central-1")
    assert pool.say("us-east-1", rest) == {Verdict.LOST}
    pool.world.run_until(200.0)
    assert pool.say("us-east-1", rest) == {Verdict.LOST}
    assert pool.judgement(rest[0], "us-east-1").last_word_s == pytest.approx(180.0, abs=2.0)


def test_a_region_without_one_of_its_servers_is_degraded() -> None:
    pool = federation(1)
    pool.world.run_until(20.0)
    pool.crash("1.us-east-1")
    pool.world.run_until(40.0)
    up = [name for name in pool.members if name not in pool.down]
    assert pool.say("us-east-1", up) == {Verdict.DEGRADED}
    judgement = pool.judgement("0.us-west-1", "us-east-1")
    assert (judgement.heard, judgement.known) == (2, 3)


def test_a_link_cut_between_two_regions_makes_each_unreachable_to_the_other_only() -> None:
    pool = federation(1)
    pool.world.run_until(20.0)
    west, east, eu = (of(pool, region) for region in REGIONS)
    pool.network.cut(west, east)
    pool.world.run_until(40.0)
    assert pool.say("us-east-1", west) == {Verdict.UNREACHABLE}
    assert pool.say("us-west-1", east) == {Verdict.UNREACHABLE}
    assert pool.say("us-east-1", eu) == {Verdict.DEGRADED}
    assert pool.judgement(eu[0], "us-east-1").deaf == ("us-west-1",)


def test_of_two_regions_neither_is_ever_called_lost() -> None:
    pool = federation(1, REGIONS[:2])
    pool.world.run_until(20.0)
    pool.crash(*of(pool, "us-east-1"))
    pool.world.run_until(120.0)
    assert pool.say("us-east-1", of(pool, "us-west-1")) == {Verdict.UNREACHABLE}


def test_one_deaf_server_does_not_speak_for_its_region() -> None:
    pool = federation(1)
    deaf = "0.us-west-1"
    for other in of(pool, "eu-central-1"):
        pool.network.cut_one_way(other, deaf)
    pool.world.run_until(60.0)
    assert pool.say("eu-central-1", pool.members) <= {Verdict.ALIVE, Verdict.DEGRADED}
    assert pool.say("eu-central-1", of(pool, "us-east-1")) == {Verdict.ALIVE}
