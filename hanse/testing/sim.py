"""A simulated world: one clock, one seed, no sockets, no sleeping.

For machines that do no I/O. What happens is decided by the seed alone; `World.trace` folds
what happened into a hash, so that two runs can be shown to be the same one.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from random import Random


@dataclass
class World:
    """A queue of things to happen, run in order of simulated time.

    Ties run in the order they were scheduled. `seed` is all it takes to replay a run.
    """

    seed: int
    now: float = 0.0
    rng: Random = field(init=False)
    _queue: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _trace: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def __post_init__(self) -> None:
        """Seed the only source of chance."""
        self.rng = Random(self.seed)

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Have `act` happen at this time, or now if that has passed."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._numbers), act))

    def after(self, delay_s: float, act: Callable[[], object]) -> None:
        """Have `act` happen `delay_s` from now."""
        heapq.heappush(self._queue, (self.now + delay_s, next(self._numbers), act))

    def run_until(self, deadline: float) -> None:
        """Let everything due by `deadline` happen, then stop the clock there."""
        queue = self._queue
        while queue and queue[0][0] <= deadline:
            self.now, _, act = heapq.heappop(queue)
            act()
        self.now = deadline

    def run_while(self, goes_on: Callable[[], bool], deadline: float, step_s: float = 0.1) -> bool:
        """Run until `goes_on` is false, asked each `step_s`. False: the deadline came first."""
        while goes_on():
            if self.now >= deadline:
                return False
            self.run_until(min(deadline, self.now + step_s))
        return True

    def trace(self, what: object) -> None:
        """Remember that this happened now."""
        self._trace.update(f"{self.now!r} {what!r}\n".encode())

    @property
    def trace_hash(self) -> str:
        """All that was traced so far, as one value to compare."""
        return self._trace.hexdigest()


@dataclass
class Network:
    """Messages between named members: delayed, lost, doubled, cut off and held up, as told.

    A member held up is one whose process or machine is starved: what it would send and what
    comes for it waits, as in the experiments of the Lifeguard paper.
    """

    world: World
    #: Seconds one way, drawn evenly, where no pair of places has its own.
    delay_s: tuple[float, float] = (0.001, 0.050)
    #: Of all datagrams, this share is lost, and this one comes twice.
    loss: float = 0.0
    doubled: float = 0.0
    #: Where a member is; delays may be set between places.
    place: dict[str, str] = field(default_factory=dict)
    between: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    #: Pairs, one way, that streams do not pass; datagrams may.
    streams_cut: set[tuple[str, str]] = field(default_factory=set)
    sent: int = 0
    _cut: set[tuple[str, str]] = field(default_factory=set)
    _datagrams_cut: set[tuple[str, str]] = field(default_factory=set)
    _busy_until: dict[str, float] = field(default_factory=dict)

    def cut_one_way(self, source: str, target: str) -> None:
        """Let nothing through from `source` to `target`."""
        self._cut.add((source, target))

    def cut(self, a: Iterable[str], b: Iterable[str]) -> None:
        """Let nothing through between members of `a` and members of `b`, either way."""
        others = list(b)
        for one in a:
            for other in others:
                self._cut |= {(one, other), (other, one)}

    def cut_datagrams(self, a: str, b: str) -> None:
        """Let only streams through between `a` and `b`."""
        self._datagrams_cut |= {(a, b), (b, a)}

    def heal(self) -> None:
        """Let everything through again."""
        self._cut.clear()
        self._datagrams_cut.clear()
        self.streams_cut.clear()

    def hold_up(self, member: str, until: float) -> None:
        """Let nothing in or out of a member until then; it waits. Its timers go on."""
        self._busy_until[member] = max(until, self._busy_until.get(member, 0.0))

    def lag_s(self, source: str, target: str) -> float:
        """Draw how long a message takes one way."""
        span = self.delay_s
        if self.between:
            places = (self.place.get(source, ""), self.place.get(target, ""))
            span = self.between.get(places, span)
        return span[0] + (span[1] - span[0]) * self.world.rng.random()

    def passes(self, source: str, target: str) -> bool:
        """Whether a stream from `source` to `target` would get through now, both ways."""
        shut = self._cut | self.streams_cut if self.streams_cut else self._cut
        return (source, target) not in shut and (target, source) not in shut

    def send(self, source: str, target: str, deliver: Callable[[], object]) -> None:
        """Have `deliver` happen after a delay, unless the datagram is lost or cut off.

        Datagrams overtake each other, since each draws its own delay.
        """
        self.sent += 1
        self.when_free(source, lambda: self._leave(source, target, deliver))

    def _leave(self, source: str, target: str, deliver: Callable[[], object]) -> None:
        rng = self.world.rng
        copies = 1 + (self.doubled > 0 and rng.random() < self.doubled)
        for _ in range(copies):
            if self.loss > 0 and rng.random() < self.loss:
                continue
            self.world.after(
                self.lag_s(source, target), lambda: self._arrive(source, target, deliver)
            )

    def _arrive(self, source: str, target: str, deliver: Callable[[], object]) -> None:
        pair = (source, target)
        if pair in self._cut or pair in self._datagrams_cut:
            return
        self.when_free(target, deliver)

    def stream(self, source: str, target: str, deliver: Callable[[], object]) -> None:
        """Have `deliver` happen after a connection's two trips, unless the way is cut off."""
        lag_s = sum(self.lag_s(source, target) for _ in range(3))

        def arrive() -> None:
            if self.passes(source, target):
                self.when_free(target, deliver)

        self.when_free(source, lambda: self.world.after(lag_s, arrive))

    def when_free(self, member: str, act: Callable[[], object]) -> None:
        """Have `act` happen now, or when the member is no longer held up."""
        busy_until = self._busy_until.get(member, 0.0) if self._busy_until else 0.0
        if busy_until > self.world.now:
            self.world.at(busy_until, lambda: self.when_free(member, act))
        else:
            act()
