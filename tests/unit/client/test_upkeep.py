"""Measurements, the collection of what has ended, and places in logs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.collect import Kept, surplus
from client.logs import log_files, position
from client.measure import HostMeter, cpu_times, loads, memory_stats, total_usage
from hanse.structs.stats import CpuStats, MemoryStats, ResourceUsage


def kept(*ends: int) -> list[Kept]:
    """One allocation for each number: 0 runs, else it ended then."""
    return [Kept(id=f"a{i}", ended=end > 0, ended_ns=end) for i, end in enumerate(ends)]


def test_what_ended_first_goes_first_when_there_are_too_many() -> None:
    assert surplus(kept(3, 0, 1, 2), 4, 10.0) == []
    assert surplus(kept(3, 0, 1, 2), 2, 10.0) == ["a2", "a3"]
    assert surplus(kept(0, 0, 0), 1, 10.0) == [], "what runs stays"


def test_a_full_disk_costs_half_of_what_has_ended() -> None:
    assert surplus(kept(3, 0, 1, 2), 50, 81.0) == ["a2", "a3"]
    assert surplus(kept(0), 50, 99.0) == []


def test_load_is_that_since_the_look_before() -> None:
    before = cpu_times("cpu  9 9 9 9 9\ncpu0 100 0 50 850 0 0 0 0\nintr 5\n")
    now = cpu_times("cpu0 160 0 70 870 0 0 0 0\n")
    (load,) = loads(before, now)
    assert (load.user, load.system, load.idle) == (60.0, 20.0, 20.0)
    (still,) = loads(now, now)
    assert (still.user, still.idle) == (0.0, 0.0)


def test_memory_is_read_in_bytes() -> None:
    stats = memory_stats("MemTotal: 100 kB\nMemFree: 20 kB\nMemAvailable: 60 kB\nHugePages: 0\n")
    assert (stats.total, stats.free, stats.available, stats.used) == (
        102400, 20480, 61440, 40960
    )  # fmt: skip


def test_the_machine_is_measured(tmp_path: Path) -> None:
    stats = HostMeter(tmp_path, 5200).measure()
    assert stats.uptime > 0
    assert stats.memory is not None
    assert 0 < stats.disk_stats[0].used_percent <= 100
    assert 0 <= stats.cpu_ticks_consumed <= 5200


def test_an_allocation_uses_what_its_tasks_use() -> None:
    one = ResourceUsage(
        memory_stats=MemoryStats(rss=1, measured=("RSS",)), cpu_stats=CpuStats(percent=2.5)
    )
    total = total_usage({"a": one, "b": one, "c": ResourceUsage()}, 7)
    assert total.resource_usage is not None
    assert total.resource_usage.memory_stats is not None
    assert total.resource_usage.cpu_stats is not None
    assert total.resource_usage.memory_stats.rss == 2
    assert total.resource_usage.memory_stats.measured == ("RSS",)
    assert total.resource_usage.cpu_stats.percent == 5.0
    assert sorted(total.tasks) == ["a", "b", "c"]


FILES = [(3, 10), (4, 10), (5, 4)]


@pytest.mark.parametrize(
    ("origin", "offset", "place"),
    [
        ("start", 0, (3, 0)),
        ("start", 9, (3, 9)),
        ("start", 10, (4, 0)),
        ("start", 24, (5, 4)),
        ("start", 99, (5, 4)),
        ("end", 0, (5, 4)),
        ("end", 4, (5, 0)),
        ("end", 5, (4, 9)),
        ("end", 99, (3, 0)),
    ],
)
def test_an_offset_counts_over_all_files(origin: str, offset: int, place: tuple[int, int]) -> None:
    assert position(FILES, origin, offset) == place


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 400))
def test_offsets_from_both_ends_meet(sizes: list[int], offset: int) -> None:
    files = list(enumerate(sizes))
    total = sum(sizes)

    def read_from(place: tuple[int, int]) -> int:
        number, at = place
        return sum(sizes[number:]) - at

    assert read_from(position(files, "start", offset)) == max(0, total - offset)
    assert read_from(position(files, "end", offset)) == min(total, offset)


def test_no_logs_yet_is_the_beginning(tmp_path: Path) -> None:
    assert position([], "end", 5) == (0, 0)
    assert log_files(tmp_path, "t", "stdout") == []


def test_only_the_tasks_own_log_files_count(tmp_path: Path) -> None:
    folder = tmp_path / "alloc" / "logs"
    folder.mkdir(parents=True)
    for name in (
        "t.stdout.10",
        "t.stdout.9",
        "t.stderr.1",
        "t.x.stdout.0",
        "t.stdout.x",
        "txstdout.0",
    ):
        (folder / name).write_text(name)
    assert log_files(tmp_path, "t", "stdout") == [(9, 10), (10, 11)]
