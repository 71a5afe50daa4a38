"""Measurements of one process: counters, gauges and samples, by name and labels.

Names are Nomad's, dotted (`nomad.broker.total_ready`). Two readers: `snapshot` gives the last
complete interval in the shape of Nomad's `/v1/metrics`, `prometheus` the running totals.
Recording costs about a microsecond and never fails.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

from hanse.clock import Clock
from hanse.structs.wire import Wire

INTERVAL_NS = 10 * 10**9
#: Distinct names and labels kept; more are dropped, so that no user input can fill the memory.
SERIES_MAX = 20_000
#: Samples kept for each series' quantiles.
WINDOW = 512

_QUANTILES = (0.5, 0.9, 0.99)
_Key = tuple[str, tuple[tuple[str, str], ...]]


class GaugeValue(Wire, frozen=True, kw_only=True):
    """A value that goes up and down."""

    name: str
    value: float
    labels: dict[str, str] = {}


class SampledValue(Wire, frozen=True, kw_only=True):
    """What was counted or sampled in one interval. Samples are in milliseconds."""

    name: str
    count: int
    rate: float
    sum: float
    min: float
    max: float
    mean: float
    stddev: float
    labels: dict[str, str] = {}


class PointValue(Wire, frozen=True, kw_only=True):
    """Values in their order."""

    name: str
    points: tuple[float, ...] = ()


class MetricsSummary(Wire, frozen=True, kw_only=True):
    """One interval."""

    timestamp: str
    gauges: tuple[GaugeValue, ...] = ()
    points: tuple[PointValue, ...] = ()
    counters: tuple[SampledValue, ...] = ()
    samples: tuple[SampledValue, ...] = ()


class _Sum:
    __slots__ = ("count", "high", "low", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.squares = 0.0
        self.low = math.inf
        self.high = -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def value(self, key: _Key) -> SampledValue:
        mean = self.total / self.count
        variance = max(0.0, self.squares / self.count - mean * mean)
        return SampledValue(
            name=key[0],
            count=self.count,
            rate=self.total / (INTERVAL_NS / 10**9),
            sum=self.total,
            min=self.low,
            max=self.high,
            mean=mean,
            stddev=math.sqrt(variance),
            labels=dict(key[1]),
        )


class Metrics:
    """All of one process. Not for use from other threads than the event loop's."""

    def __init__(self, clock: Clock) -> None:
        """The clock says when an interval ends."""
        self._clock = clock
        self._gauges: dict[_Key, float] = {}
        self._counts: dict[_Key, float] = {}
        self._windows: dict[_Key, tuple[_Sum, deque[float]]] = {}
        self._began = 0
        self._current: tuple[dict[_Key, _Sum], dict[_Key, _Sum]] = ({}, {})
        self._last_began = 0
        self._last: tuple[dict[_Key, _Sum], dict[_Key, _Sum]] | None = None

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a value."""
        key = _key(name, labels)
        if key in self._gauges or len(self._gauges) < SERIES_MAX:
            self._gauges[key] = value

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = _key(name, labels)
        if key not in self._counts and len(self._counts) >= SERIES_MAX:
            return
        self._roll()
        self._counts[key] = self._counts.get(key, 0.0) + by
        self._current[0].setdefault(key, _Sum()).add(by)

    def sample(self, name: str, value_ms: float, **labels: str) -> None:
        """Record one measurement, usually of how long something took."""
        key = _key(name, labels)
        entry = self._windows.get(key)
        if entry is None:
            if len(self._windows) >= SERIES_MAX:
                return
            entry = self._windows[key] = (_Sum(), deque(maxlen=WINDOW))
        self._roll()
        entry[0].add(value_ms)
        entry[1].append(value_ms)
        self._current[1].setdefault(key, _Sum()).add(value_ms)

    def _roll(self) -> None:
        began = self._clock.wall_ns() // INTERVAL_NS * INTERVAL_NS
        if began != self._began:
            if self._began:
                self._last = self._current
                self._last_began = self._began
            self._current = ({}, {})
            self._began = began

    def snapshot(self, more: Iterable[GaugeValue] = ()) -> MetricsSummary:
        """The last complete interval, or the one under way where there is no other.

        `more` are gauges that are worked out only when somebody asks.
        """
        self._roll()
        gauges = [
            GaugeValue(name=key[0], value=value, labels=dict(key[1]))
            for key, value in self._gauges.items()
        ]
        gauges += more
        gauges.sort(key=lambda gauge: (gauge.name, sorted(gauge.labels.items())))
        counters, samples = self._last if self._last is not None else self._current
        began = self._last_began if self._last is not None else self._began
        at = datetime.fromtimestamp(began // 10**9, UTC)
        return MetricsSummary(
            timestamp=at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
            gauges=tuple(gauges),
            counters=tuple(item.value(key) for key, item in sorted(counters.items())),
            samples=tuple(item.value(key) for key, item in sorted(samples.items())),
        )

    def prometheus(self, more: Iterable[GaugeValue] = ()) -> str:
        """The running totals in Prometheus' text format; `more` as in `snapshot`."""
        lines: list[str] = []
        extra = {_key(gauge.name, gauge.labels): gauge.value for gauge in more}
        _family(lines, "gauge", {**self._gauges, **extra})
        _family(lines, "counter", self._counts)
        previous = ""
        for key, (total, window) in sorted(self._windows.items()):
            name = _prometheus_name(key[0])
            if name != previous:
                lines += [f"# HELP {name} {name}", f"# TYPE {name} summary"]
                previous = name
            ordered = sorted(window)
            for quantile in _QUANTILES:
                value = ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
                labels = _prometheus_labels((*key[1], ("quantile", f"{quantile:g}")))
                lines.append(f"{name}{labels} {value!r}")
            labels = _prometheus_labels(key[1])
            lines += [f"{name}_sum{labels} {total.total!r}", f"{name}_count{labels} {total.count}"]
        return "\n".join(lines) + "\n"


def _family(lines: list[str], kind: str, values: dict[_Key, float]) -> None:
    previous = ""
    for (dotted, labels), value in sorted(values.items()):
        name = _prometheus_name(dotted)
        if name != previous:
            lines += [f"# HELP {name} {name}", f"# TYPE {name} {kind}"]
            previous = name
        lines.append(f"{name}{_prometheus_labels(labels)} {float(value)!r}")


def _key(name: str, labels: dict[str, str]) -> _Key:
    return (name, tuple(sorted(labels.items())))


_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")


def _prometheus_name(dotted: str) -> str:
    return _NOT_IN_NAMES.sub("_", dotted)


def _prometheus_labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    parts = (
        f'{_prometheus_name(key)}="'
        + value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        + '"'
        for key, value in labels
    )
    return "{" + ",".join(parts) + "}"
