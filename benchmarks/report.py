"""Figures, and the table they end in."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, how much it was, what is asked for."""

    workload: str
    what: str
    measured: str
    goal: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the others lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], unit: str = "ms") -> str:
    """Median and 99th percentile of times in seconds, shown in milliseconds."""
    p50, p99 = statistics.median(values) * 1000, percentile(values, 0.99) * 1000
    return f"p50 {p50:.1f} {unit}, p99 {p99:.1f} {unit} (n={len(values)})"


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes so far, children they have reaped included."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Proportional set size of a process: memory it shares is counted by its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def write(rows: Sequence[Row], constants: Sequence[Row]) -> None:
    """Put the table where the next reader finds it."""
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Linux {platform.release()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}. Machines are noisy and",
        "shared: read figures beside the constants of the same run, not across days.",
        "",
        "| workload | what | measured | goal |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r.workload} | {r.what} | {r.measured} | {r.goal} |" for r in rows]
    lines += [
        "",
        "## The machine's constants in the same run",
        "",
        "| constant | measured |",
        "|---|---|",
    ]
    lines += [f"| {r.what} | {r.measured} |" for r in constants]
    RESULTS.write_text("\n".join(lines) + "\n")
