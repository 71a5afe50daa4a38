"""The membership protocol by numbers, in simulation: production code, simulated time and network.

python -m benchmarks.sim_membership [--quick]

Prints a table of Markdown. The right column names what others report or what was estimated
for other settings; a figure in virtual seconds does not depend on the machine it ran on.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.report import percentile
from federation.messages import Status
from federation.profile import LAN, WAN, Profile
from federation.verdicts import Verdict
from tests.sim.federation.pool import Pool

#: memberlist's WAN defaults, which Nomad and Consul use for servers of all regions.
OTHERS_WAN = replace(
    WAN, probe_s=5.0, ack_s=3.0, ack_min_s=3.0, suspicion_mult=6, gossip_s=0.5, fanout=4
)
PLAIN_SWIM = replace(LAN, awareness_max=1, suspicion_max_mult=1)


def regions_of(seed: int, profile: Profile, regions: int, *, watching: bool = False) -> Pool:
    """Return a federation with three servers in each region, 20 to 75 ms apart one way."""
    pool = Pool(seed, profile=profile, watching=watching)
    places = [f"r{number}" for number in range(regions)]
    names = [f"{n}.{place}" for place in places for n in range(3)]
    for name in names:
        pool.network.place[name] = name.split(".")[1]
    for a in places:
        for b in places:
            pool.network.between[a, b] = (0.0003, 0.001) if a == b else (0.020, 0.075)
    pool.grown(names, lambda name: {"region": name.split(".")[1], "id": name})
    return pool


def outside(pool: Pool) -> list[str]:
    return [name for name in pool.members if not name.endswith(".r0")]


def cut_off(pool: Pool) -> None:
    pool.network.cut([name for name in pool.members if name.endswith(".r0")], outside(pool))


def spread(values: Sequence[float], unit: str = "s") -> str:
    p50, p99 = statistics.median(values), percentile(values, 0.99)
    return f"p50 {p50:.1f} {unit}, p99 {p99:.1f} {unit} (n={len(values)})"


def region_lost(profile: Profile, regions: int, trials: int) -> tuple[str, str]:
    """Return when the first of a lost region's servers is dead to one, and all are to all."""

    def trial(seed: int) -> tuple[float, float]:
        pool = regions_of(seed, profile, regions)
        start = 20.0 + pool.world.rng.random() * profile.probe_s
        pool.world.run_until(start)
        cut_off(pool)
        rest = outside(pool)
        lost = [name for name in pool.members if name not in rest]

        def some_not_dead() -> bool:
            return any(pool.believe(name, rest) != {Status.DEAD} for name in lost)

        pool.world.run_while(some_not_dead, start + 600.0)
        dead = [at for at, by, _ in pool.deaths() if by in rest]
        return min(dead) - start, max(dead) - start

    first, whole = zip(*map(trial, range(trials)), strict=True)
    return spread(first), spread(whole)


def verdicts(trials: int, loss: float) -> tuple[str, str, str]:
    """Return when a region is lost to all others, and when both kinds of belief are right again."""

    def trial(seed: int) -> tuple[float, float, float]:
        pool = regions_of(seed, WAN, 3, watching=True)
        pool.network.loss = loss
        start = 15.0 + pool.world.rng.random()
        pool.world.run_until(start)
        cut_off(pool)
        rest = outside(pool)
        pool.world.run_while(lambda: pool.say("r0", rest) != {Verdict.LOST}, start + 60.0)
        lost = pool.world.now - start
        pool.world.run_until(start + 60.0)
        pool.network.heal()
        back = pool.world.now
        fine = {Verdict.ALIVE, Verdict.DEGRADED}
        pool.world.run_while(lambda: not pool.say("r0", pool.members) <= fine, back + 60.0)
        healed = pool.world.now - back
        pool.world.run_while(lambda: not pool.agrees(), back + 120.0)
        return lost, healed, pool.world.now - back

    lost, healed, agreed = zip(*map(trial, range(trials)), strict=True)
    return spread(lost), spread(healed), spread(agreed)


def one_crash(size: int, trials: int) -> tuple[str, str, str]:
    """Return when one crashed member is first suspected, first dead, and dead to all."""

    def trial(seed: int) -> tuple[float, float, float]:
        pool = Pool(seed, profile=LAN)
        pool.grown(f"m{number}" for number in range(size))
        start = 3.0 + pool.world.rng.random()
        pool.world.run_until(start)
        pool.crash("m0")
        pool.world.run_while(lambda: pool.believe("m0") != {Status.DEAD}, start + 120.0)
        dead = [at - start for at, _, _ in pool.deaths()]
        return min(at - start for at, _, _ in pool.suspicions()), min(dead), max(dead)

    suspected, first, last = zip(*map(trial, range(trials)), strict=True)
    return spread(suspected), spread(first), spread(last)


def false_positives(profile: Profile, loss: float, size: int, virtual_s: float) -> str:
    """Datagrams only: streams, which repeat what is lost, are shut."""
    pool = Pool(1, profile=profile)
    pool.network.loss = loss
    names = [f"m{number}" for number in range(size)]
    pool.grown(names)
    pool.network.streams_cut |= {(a, b) for a in names for b in names}
    pool.world.run_until(virtual_s)
    hours = size * virtual_s / 3600
    buried = len({(of, round(at)) for at, _, of in pool.deaths()})
    return f"{pool.refuted / hours:.2f} suspected, {buried / hours:.2f} dead"


def starved(profile: Profile, size: int, slow: int, trials: int) -> str:
    """The experiment of the Lifeguard paper: some members are held up for 16 s of each 20 s."""
    healthy = at_healthy = 0
    for seed in range(trials):
        pool = Pool(seed, profile=profile)
        names = [f"m{number:03}" for number in range(size)]
        pool.grown(names)
        for step in range(5):
            for name in names[:slow]:
                start = 5.0 + step * 20 + pool.world.rng.random()
                pool.world.at(start, partial(pool.network.hold_up, name, start + 16.0))
        pool.world.run_until(110.0)
        for _, by, of in pool.deaths():
            healthy += of not in names[:slow]
            at_healthy += of not in names[:slow] and by not in names[:slow]
    return f"{healthy / trials:.1f} ({at_healthy / trials:.1f} at healthy members)"


def load(size: int, virtual_s: float) -> tuple[str, str]:
    pool = Pool(1, profile=WAN)
    pool.grown((f"m{n}" for n in range(size)), lambda name: {"region": "r", "id": name})
    pool.world.run_until(virtual_s)
    quiet = sum(pool.datagrams.values()) / size / virtual_s
    pool.crash("m0")
    before = sum(pool.datagrams.values())
    began = pool.world.now
    pool.world.run_while(lambda: pool.believe("m0") != {Status.DEAD}, began + 200.0)
    busy = (sum(pool.datagrams.values()) - before) / size / (pool.world.now - began)
    return f"{quiet:.2f}", f"{busy:.2f}"


def joined(size: int) -> str:
    pool = Pool(1, profile=LAN)
    names = [f"m{number}" for number in range(size)]
    for name in names:
        pool.add(name)
    for name in names[1:]:
        pool.join(name, "m0", names[pool.world.rng.randrange(size)])
    pool.world.run_while(lambda: not pool.agrees(), 300.0)
    return f"{pool.world.now:.1f} s"


def main(*, quick: bool) -> None:
    """Print one row for each figure, as it comes."""
    trials = 10 if quick else 100
    began = time.perf_counter()

    def row(what: str, measured: str, others: str = "") -> None:
        print(f"| {what} | {measured} | {others} |", flush=True)

    print("| what | measured, virtual time | others |\n|---|---|---|")
    for profile, label, estimate in (
        (WAN, "our WAN profile", "probe 2 s, mult 4, estimated: 11; 15 / 20 s"),
        (OTHERS_WAN, "memberlist's WAN defaults", "estimated: 37; 45 / 58 s"),
        (LAN, "LAN profile", "estimated: 5; 7 / 10 s"),
    ):
        first, whole = region_lost(profile, 3, trials)
        row(f"one of 3 regions x 3 lost, {label}: first death", first, estimate)
        row(f"one of 3 regions x 3 lost, {label}: all dead in all views", whole)
    first, whole = region_lost(OTHERS_WAN, 10, max(4, trials // 5))
    row("one of 10 regions x 3 lost, memberlist's WAN defaults", whole, "estimated: 59 / 75 s")
    first, whole = region_lost(WAN, 10, max(4, trials // 5))
    row("one of 10 regions x 3 lost, our WAN profile", whole)
    for loss in (0.0, 0.05):
        lost, healed, agreed = verdicts(max(5, trials // 3), loss)
        row(f"region verdict `lost` in all views, {loss:.0%} loss", lost, "goal 10 s (W7)")
        row(f"verdicts right again after 60 s of cut, {loss:.0%} loss", healed, "goal 2 s (W7)")
        row(f"members all alive again, {loss:.0%} loss", agreed)
    for size in (10, 100) if quick else (10, 100, 1000):
        suspected, first, last = one_crash(
            size, max(3, trials * 10 // size // (2 if size > 50 else 1))
        )
        row(f"crash, {size} members, LAN: first suspicion", suspected, "SWIM: 1.6 periods + 1")
        row(f"crash, {size} members, LAN: first death", first)
        row(f"crash, {size} members, LAN: dead in all views", last)
    for loss in (0.01, 0.02, 0.05, 0.10):
        for profile, label in ((LAN, "Lifeguard"), (PLAIN_SWIM, "without it")):
            found = false_positives(profile, loss, 30, 200.0 if quick else 2000.0)
            row(f"false, per member and hour, {loss:.0%} loss, 30 members, {label}", found)
    for profile, label in ((LAN, "Lifeguard"), (PLAIN_SWIM, "without it")):
        for slow in (1, 4, 8):
            found = starved(profile, 32, slow, 2 if quick else 10)
            row(f"healthy buried, {slow} of 32 starved, {label}", found, "Lifeguard: > 50x fewer")
    for size in (9, 30, 100) if quick else (9, 30, 100, 300, 1000):
        quiet, busy = load(size, 30.0)
        row(f"datagrams sent per member and second, {size} members, WAN", quiet, "SWIM: constant")
        row(f"the same while a death is told, {size} members, WAN", busy)
    for size in (30, 100) if quick else (30, 100, 300):
        row(f"{size} members join at once, 1 to 50 ms apart: all know all", joined(size))
    print(f"\n{time.perf_counter() - began:.0f} s of real time", file=sys.stderr)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
