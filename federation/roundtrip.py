"""Round-trip times to members, measured.

Vivaldi coordinates estimate the time between members that never met. Here each server probes each
other one within minutes, and a forwarding server asks only for times from itself; so it has a
measurement for each, exact where coordinates err (a detour of one pair of regions breaks the
triangle inequality), with nothing to send and nothing to poison. Kept as TCP keeps it (RFC 6298):
smoothed mean and mean deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

_MEAN_GAIN = 0.125
_DEVIATION_GAIN = 0.25


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What was measured to one member, in seconds."""

    mean_s: float
    deviation_s: float

    @property
    def patience_s(self) -> float:
        """How long an answer takes at most, nearly always."""
        return self.mean_s + 4 * self.deviation_s


def measured(before: RoundTrip | None, sample_s: float) -> RoundTrip:
    """Return what is known with one more measurement."""
    if before is None:
        return RoundTrip(sample_s, sample_s / 2)
    off = abs(before.mean_s - sample_s)
    return RoundTrip(
        before.mean_s + _MEAN_GAIN * (sample_s - before.mean_s),
        before.deviation_s + _DEVIATION_GAIN * (off - before.deviation_s),
    )
