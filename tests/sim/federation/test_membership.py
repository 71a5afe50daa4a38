"""Membership in a simulated federation: the production machine, simulated time and network.

Minutes of protocol time take milliseconds. Each failure names its seed, which replays the run.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from federation.events import (
    Departed,
    ForceLeave,
    Leave,
    NameTaken,
    RegionTaken,
    SetTags,
    StreamOnly,
)
from federation.messages import GONE, Alive, Status
from federation.profile import LAN, WAN, Profile, suspicion_min_s
from federation.swim import Swim
from tests.sim.federation.pool import Pool

REGIONS = ("us-west-1", "us-east-1", "eu-central-1")


def names(count: int) -> list[str]:
    return [f"m{number:03}" for number in range(count)]


def federation(seed: int, servers: int = 3, **settings: object) -> Pool:
    """Three regions on the WAN profile, 40 to 75 ms apart one way."""
    pool = Pool(seed, profile=WAN, **settings)  # type: ignore[arg-type]
    everybody = [f"{n}.{region}" for region in REGIONS for n in range(servers)]
    for name in everybody:
        pool.network.place[name] = name.split(".")[1]
    for a in REGIONS:
        for b in REGIONS:
            pool.network.between[a, b] = (0.0003, 0.001) if a == b else (0.040, 0.075)
    pool.grown(everybody, lambda name: {"region": name.split(".")[1], "id": name})
    return pool


def of(pool: Pool, region: str) -> list[str]:
    return [name for name in pool.members if name.endswith(region)]


def detection_bound_s(pool: Pool) -> float:
    """When all have declared a crashed member dead, without loss.

    Two rounds until the unluckiest probed it, one period for the answer, then the suspicion at
    its longest if nobody confirmed, and the gossip.
    """
    size, profile = len(pool.members), pool.profile
    first = min(2 * size - 1, 8) * profile.probe_s
    return first + profile.probe_s + suspicion_min_s(profile, size) * 2 + 20 * profile.gossip_s


@pytest.mark.parametrize("seed", range(5))
def test_a_quiet_network_raises_no_suspicion(seed: int) -> None:
    pool = Pool(seed)
    pool.grown(names(40))
    pool.world.run_until(90.0)
    assert pool.changes == []
    # One probe and one answer a second, and no gossip without news.
    assert sum(pool.datagrams.values()) / 40 / 90 == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [3, 9, 64])
def test_a_crashed_member_is_declared_dead_by_all_others_in_time(size: int, seed: int) -> None:
    pool = Pool(seed)
    pool.grown(names(size))
    pool.world.run_until(10.0)
    pool.crash("m001")
    pool.world.run_until(10.0 + detection_bound_s(pool))
    assert pool.believe("m001") == {Status.DEAD}
    assert {of for _, _, of in pool.deaths()} == {"m001"}


@pytest.mark.parametrize("seed", range(6))
def test_five_percent_loss_kills_nobody(seed: int) -> None:
    pool = Pool(seed)
    pool.network.loss = 0.05
    pool.grown(names(30))
    # Streams, which repeat what is lost, are cut so that datagrams must do it alone.
    for a in pool.members:
        for b in pool.members:
            pool.network.streams_cut.add((a, b))
    pool.world.run_until(200.0)
    assert pool.deaths() == []
    assert pool.refuted <= 30, "more than one false suspicion per member in three minutes"


def test_the_local_health_of_held_up_members_keeps_them_from_killing_others() -> None:
    """Lifeguard's experiment: some are starved again and again; none may bury the healthy."""

    def deaths_of_healthy(profile: Profile) -> int:
        found = 0
        for seed in range(3):
            pool = Pool(seed, profile=profile)
            pool.grown(names(24))
            slow = names(4)
            for step in range(5):
                for name in slow:
                    start = 5.0 + step * 20 + pool.world.rng.random()
                    pool.world.at(start, partial(pool.network.hold_up, name, start + 16.0))
            pool.world.run_until(110.0)
            found += sum(of not in slow for _, _, of in pool.deaths())
        return found

    plain_swim = replace(LAN, awareness_max=1, suspicion_max_mult=1)
    by_plain_swim = deaths_of_healthy(plain_swim)
    assert by_plain_swim > 0
    assert deaths_of_healthy(LAN) * 50 <= by_plain_swim


@pytest.mark.parametrize("seed", range(5))
def test_a_short_cut_makes_suspects_that_object_and_nobody_dies(seed: int) -> None:
    pool = federation(seed)
    west = of(pool, "us-west-1")
    pool.world.run_until(10.0)
    pool.network.cut(west, of(pool, "us-east-1") + of(pool, "eu-central-1"))
    pool.world.run_until(10.0 + 0.7 * suspicion_min_s(WAN, 9))
    pool.network.heal()
    pool.world.run_until(90.0)
    assert pool.suspicions() != []
    assert pool.deaths() == []
    assert pool.agrees()
    assert pool.refuted > 0
    assert any(member.me.incarnation > 1 for member in pool.members.values())


@pytest.mark.parametrize("seed", range(5))
def test_a_region_cut_off_for_long_is_dead_to_others_and_one_pool_again_after(seed: int) -> None:
    pool = federation(seed)
    west = of(pool, "us-west-1")
    rest = [name for name in pool.members if name not in west]
    pool.network.cut(west, rest)
    pool.world.run_until(100.0)
    for name in west:
        assert pool.believe(name, rest) == {Status.DEAD}
        assert pool.believe(name, west) <= {Status.ALIVE}
    pool.network.heal()
    # The first to speak to a member it believes dead is told, and so is everybody: the time is
    # that until somebody tries, one reconnection in the pool.
    assert pool.world.run_while(lambda: not pool.agrees(), pool.world.now + 2 * WAN.reconnect_s)


@pytest.mark.parametrize("seed", range(3))
def test_a_leaving_member_is_gone_at_once_and_never_called_dead(seed: int) -> None:
    pool = federation(seed)
    pool.world.run_until(5.0)
    gone = "1.us-east-1"
    pool.feed(gone, Leave())
    pool.world.run_until(5.0 + WAN.leave_s + 2.0)
    assert (gone, Departed()) in [(name, effect) for _, name, effect in pool.reports]
    assert pool.believe(gone) == {Status.LEFT}
    pool.world.run_until(60.0)
    assert pool.believe(gone) == {Status.LEFT}
    assert pool.deaths() == pool.suspicions() == []


def test_a_member_that_left_comes_back_under_its_name() -> None:
    pool = federation(1)
    pool.feed("1.us-east-1", Leave())
    pool.world.run_until(20.0)
    assert pool.believe("1.us-east-1") == {Status.LEFT}
    tags = {"region": "us-east-1", "id": "1.us-east-1"}
    # Its disk was lost: it begins with an incarnation that all have seen.
    pool.add("1.us-east-1", tags, incarnation=0)
    pool.join("1.us-east-1", "0.us-east-1")
    assert pool.world.run_while(lambda: not pool.agrees(), 40.0)


def test_a_restarted_member_takes_its_tags_and_address_with_it() -> None:
    pool = federation(1)
    pool.crash("2.eu-central-1")
    pool.world.run_until(3.0)
    tags = {"region": "eu-central-1", "id": "2.eu-central-1", "build": "2.0"}
    pool.add("2.eu-central-1", tags, ("elsewhere", 4648), incarnation=0)
    pool.join("2.eu-central-1", "0.us-west-1")
    assert pool.world.run_while(lambda: not pool.agrees(), 30.0)
    for member in pool.members.values():
        if member.me.name != "2.eu-central-1":
            assert member.roster.known["2.eu-central-1"].host == "elsewhere"
            assert member.roster.known["2.eu-central-1"].tags["build"] == "2.0"


def test_changed_tags_reach_everybody() -> None:
    pool = federation(1)
    pool.feed("0.us-west-1", SetTags({"region": "us-west-1", "build": "9.9"}))
    pool.world.run_until(8.0)
    for member in pool.members.values():
        if member.me.name != "0.us-west-1":
            assert member.roster.known["0.us-west-1"].tags["build"] == "9.9"


def test_a_storm_of_joins_ends_in_one_pool() -> None:
    pool = Pool(3)
    pool.network.loss = 0.02
    for name in names(100):
        pool.add(name)
    for name in names(100)[1:]:
        # Each knows the first and one other.
        pool.join(name, "m000", f"m{pool.world.rng.randrange(100):03}")
    assert pool.world.run_while(lambda: not pool.agrees(), 40.0)
    assert pool.deaths() == []


@pytest.mark.parametrize("seed", range(3))
def test_late_doubled_and_reordered_datagrams_change_no_belief(seed: int) -> None:
    pool = Pool(seed)
    pool.network.doubled = 0.3
    pool.network.delay_s = (0.001, 0.2)
    pool.grown(names(20))
    for number in range(20):
        change = SetTags({"turn": str(number)})
        pool.world.at(number * 2.0, partial(pool.feed, "m007", change))
    pool.world.run_until(60.0)
    assert pool.deaths() == []
    for name, member in pool.members.items():
        if name != "m007":
            assert member.roster.known["m007"].tags == {"turn": "19"}


@pytest.mark.parametrize("seed", range(3))
def test_a_member_that_hears_nothing_cannot_bury_those_who_are_heard(seed: int) -> None:
    pool = federation(seed)
    deaf = "0.us-west-1"
    for other in pool.members:
        if other != deaf:
            pool.network.cut_one_way(other, deaf)
    pool.world.run_until(240.0)
    healthy = [name for name in pool.members if name != deaf]
    assert all(deaf in (of, by) for _, by, of in pool.deaths())
    # It goes on accusing everybody; everybody objects.
    assert pool.refuted > 0
    for name in healthy:
        assert Status.DEAD not in pool.believe(name, healthy)


def test_a_firewall_that_stops_datagrams_is_reported_and_kills_nobody() -> None:
    pool = federation(1)
    blocked = "0.us-west-1"
    for other in pool.members:
        if other != blocked:
            pool.network.cut_datagrams(blocked, other)
    pool.world.run_until(200.0)
    assert pool.deaths() == []
    reports = [effect for _, _, effect in pool.reports]
    assert StreamOnly(blocked) in reports
    assert len(reports) <= 2 * len(pool.members), "each pair is reported once"


def test_a_dead_member_sent_away_is_left_and_pruned_is_forgotten_by_all() -> None:
    pool = federation(1)
    gone = "1.us-east-1"
    pool.crash(gone)
    pool.world.run_until(60.0)
    assert pool.believe(gone) == {Status.DEAD}
    pool.feed("0.eu-central-1", ForceLeave(gone))
    pool.world.run_until(70.0)
    assert pool.believe(gone) == {Status.LEFT}
    pool.feed("0.eu-central-1", ForceLeave(gone, prune=True))
    pool.world.run_until(80.0)
    assert pool.believe(gone) == {None}
    pool.world.run_until(200.0)
    assert pool.believe(gone) == {None}, "an exchange brought it back"


@pytest.mark.parametrize("prune", [False, True])
def test_a_living_member_sent_away_objects(prune: bool) -> None:
    pool = federation(1)
    pool.feed("0.eu-central-1", ForceLeave("1.us-east-1", prune=prune))
    pool.world.run_until(120.0)
    assert pool.agrees()


def test_the_long_dead_are_forgotten() -> None:
    pool = Pool(1, profile=replace(LAN, reconnect_for_s=100.0))
    pool.grown(names(5))
    pool.crash("m003")
    pool.world.run_until(60.0)
    assert pool.believe("m003") == {Status.DEAD}
    pool.world.run_until(180.0)
    assert pool.believe("m003") == {None}


def test_another_member_cannot_take_a_name_that_lives() -> None:
    pool = federation(1)
    first = pool.members["0.us-west-1"].me
    claim = Alive("0.us-west-1", "impostor", 4648, 7, {"region": "us-west-1", "id": "x"})
    pool.start("impostor", Swim(claim, pool.world.rng, WAN))
    pool.join("impostor", "0.us-east-1")
    pool.world.run_until(60.0)
    for name in pool.members:
        if name not in ("impostor", "0.us-west-1"):
            assert pool.members[name].roster.known["0.us-west-1"].address == first.address
    assert any(isinstance(effect, NameTaken) for _, _, effect in pool.reports)


def test_a_cluster_that_calls_its_region_as_another_does_is_kept_out() -> None:
    pool = Pool(1, profile=WAN)
    pool.grown(["a1", "a2", "a3"], lambda _: {"region": "global", "cluster": "one"})
    pool.add("b1", {"region": "global", "cluster": "two"})
    pool.add("b2", {"region": "global", "cluster": "two"})
    pool.join("b2", "b1")
    pool.world.run_until(5.0)
    pool.join("b1", "a1")
    pool.join("a2", "b2")
    pool.world.run_until(100.0)
    assert all(set(pool.members[a].roster.known) <= {"a1", "a2", "a3"} for a in ("a1", "a2", "a3"))
    assert all(set(pool.members[b].roster.known) <= {"b1", "b2"} for b in ("b1", "b2"))
    assert {effect.region for _, _, effect in pool.reports if isinstance(effect, RegionTaken)} == {
        "global"
    }


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    def run(seed: int) -> str:
        pool = Pool(seed, traced=True)
        pool.network.loss = 0.1
        pool.grown(names(12))
        pool.world.at(10.0, lambda: pool.crash("m004"))
        pool.world.run_until(40.0)
        assert pool.believe("m004") == {Status.DEAD}
        return pool.world.trace_hash

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_round_trips_are_kept_and_tell_regions_apart() -> None:
    pool = federation(1)
    pool.world.run_until(60.0)
    times = {m.alive.name: m.round_trip for m in pool.members["0.us-west-1"].members()}
    near, far = times["1.us-west-1"], times["1.us-east-1"]
    assert near is not None
    assert far is not None
    assert near.mean_s < 0.003
    assert 0.08 <= far.mean_s <= 0.15


def test_everybody_gone_is_none_of_the_living() -> None:
    pool = federation(2)
    pool.crash(*of(pool, "eu-central-1"))
    pool.world.run_until(120.0)
    for name in of(pool, "eu-central-1"):
        assert pool.believe(name) <= GONE
    assert not {of_ for _, _, of_ in pool.deaths()} - set(of(pool, "eu-central-1"))
