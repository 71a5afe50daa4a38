"""Control groups, messages, signals, users and figures."""

import os
import signal

import pytest

from drivers.common import cgroups, proc, stats
from drivers.common.frames import Broken, Frames, encode
from drivers.common.signals import signal_number
from drivers.common.users import identity_of
from drivers.docker.measure import sample_of
from hanse.errors import DriverFailed

V1 = """\
24 23 0:21 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
30 24 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
33 24 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2 = "33 24 0:29 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


def test_control_groups_of_the_first_kind_are_found() -> None:
    mounts = cgroups.parse_mounts(V1, "hugetlb")
    assert mounts.version == "1"
    assert cgroups.paths_for(mounts, "t") == (
        "/sys/fs/cgroup/cpu,cpuacct/hanse/t",
        "/sys/fs/cgroup/freezer/hanse/t",
        "/sys/fs/cgroup/memory/hanse/t",
    )


def test_control_groups_of_the_second_kind_are_found() -> None:
    mounts = cgroups.parse_mounts(V2, "cpuset cpu io memory pids")
    assert mounts.version == "2"
    assert cgroups.paths_for(mounts, "t") == ("/sys/fs/cgroup/hanse/t",)


def test_a_machine_may_have_none() -> None:
    assert cgroups.parse_mounts("", "").version == ""
    assert cgroups.parse_mounts("garbage - cgroup\n", "").version == ""


def test_messages_are_found_however_they_arrive() -> None:
    wire = encode({"a": 1}) + encode({"b": "ü" * 9})
    frames = Frames()
    found = [message for at in range(len(wire)) for message in frames.feed(wire[at : at + 1])]
    assert found == [{"a": 1}, {"b": "ü" * 9}]
    assert Frames().feed(wire) == found


@pytest.mark.parametrize("wire", [b"\xff\xff\xff\xff", b"\0\0\0\x01x", b"\0\0\0\x02[]"])
def test_what_is_no_message_is_refused(wire: bytes) -> None:
    with pytest.raises(Broken):
        Frames().feed(wire)


@pytest.mark.parametrize("name", ["SIGHUP", "hup", "sighup", "1"])
def test_a_signal_has_several_names(name: str) -> None:
    assert signal_number("x", name, "") == signal.SIGHUP


def test_no_name_is_the_default() -> None:
    assert signal_number("x", "", "SIGINT") == signal.SIGINT


@pytest.mark.parametrize("name", ["", "SIGX", "0", "999", "-1"])
def test_a_name_of_no_signal_is_refused(name: str) -> None:
    with pytest.raises(DriverFailed, match="unknown signal"):
        signal_number("x", name, "")


def test_users_are_looked_up() -> None:
    assert identity_of("x", "") is None
    if os.geteuid() == 0:
        found = identity_of("x", "nobody")
        assert found is not None
        assert (found.uid, found.name) == (65534, "nobody")
        number = identity_of("x", "4242:4343")
        assert number is not None
        assert (number.uid, number.gid, number.groups) == (4242, 4343, (4343,))
    for name, problem in (("no-such-user", "unknown user"), ("root:no-such", "unknown group")):
        with pytest.raises(DriverFailed, match=problem):
            identity_of("x", name)


def test_a_process_is_known_by_its_pid_and_start() -> None:
    started = proc.start_time(os.getpid())
    assert started > 0
    assert proc.alive(os.getpid(), started)
    assert not proc.alive(os.getpid(), started + 1)
    assert proc.start_time(2**22 + 1) == 0


def test_usage_is_over_the_time_between_two_looks() -> None:
    first = stats.Sample(at_s=10.0, cpu_s=1.0, user_s=0.5, system_s=0.5)
    second = stats.Sample(at_s=12.0, cpu_s=2.0, user_s=1.4, system_s=0.6)
    usage = stats.usage_between(first, second, core_mhz=2000)
    assert usage.cpu_stats is not None
    assert usage.cpu_stats.percent == pytest.approx(50)
    assert usage.cpu_stats.user_mode == pytest.approx(45)
    assert usage.cpu_stats.system_mode == pytest.approx(5)
    assert usage.cpu_stats.total_ticks == pytest.approx(1000)
    alone = stats.usage_between(None, second, core_mhz=2000).cpu_stats
    assert alone is not None
    assert alone.percent == 0.0


def test_the_engines_figures_are_read_in_both_kinds_of_control_groups() -> None:
    first = {
        "cpu_stats": {
            "cpu_usage": {"total_usage": 3_000_000_000, "usage_in_usermode": 1_000_000_000},
            "throttling_data": {"throttled_periods": 4, "throttled_time": 5},
        },
        "memory_stats": {
            "usage": 100,
            "max_usage": 200,
            "stats": {"rss": 7, "total_rss": 8, "total_cache": 9, "total_swap": 1},
        },
    }
    found = sample_of(first, 1.0)
    assert (found.cpu_s, found.user_s, found.throttled_periods, found.throttled_ns) == (3, 1, 4, 5)
    memory = found.memory
    assert (memory.rss, memory.cache, memory.swap, memory.usage, memory.max_usage) == (
        (8, 9, 1, 100, 200)
    )
    second = {"memory_stats": {"usage": 50, "stats": {"anon": 5, "file": 6}}}
    assert (sample_of(second, 1.0).memory.rss, sample_of(second, 1.0).memory.cache) == (5, 6)
    assert sample_of({}, 1.0).memory.usage == 0
