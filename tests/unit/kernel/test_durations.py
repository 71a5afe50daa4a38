"""Go's durations, and times in the API's notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.durations import format_duration, parse_duration
from hanse.structs.ids import IdStream, uuid_text
from hanse.structs.times import parse_rfc3339, rfc3339
from hanse.structs.wire import wire_name


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("0", 0),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        ("-5s", -5_000_000_000),
        ("+1us", 1_000),
        ("1µs", 1_000),
        ("100ms5ns", 100_000_005),
        (".5s", 500_000_000),
    ],
)
def test_durations_are_read_as_go_does(text: str, value_ns: int) -> None:
    assert parse_duration(text) == value_ns


@pytest.mark.parametrize("text", ["", "30", "1d", "s", "1s ", "1.s.", "--1s", "9999999999h"])
def test_anything_else_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_a_printed_duration_reads_back_as_itself(value_ns: int) -> None:
    assert parse_duration(format_duration(value_ns)) == value_ns


def test_durations_print_as_go_prints_them() -> None:
    shown = [format_duration(n) for n in (0, 1, 1500, 2 * 10**6, 10**9, 90 * 10**9, 3600 * 10**9)]
    assert shown == ["0s", "1ns", "1.5µs", "2ms", "1s", "1m30s", "1h0m0s"]


@given(st.integers(min_value=1, max_value=4 * 10**18))
def test_a_printed_time_reads_back_as_itself(at_ns: int) -> None:
    assert parse_rfc3339(rfc3339(at_ns)) == at_ns


def test_no_time_is_gos_zero_time() -> None:
    assert (rfc3339(0), parse_rfc3339("0001-01-01T00:00:00Z")) == ("0001-01-01T00:00:00Z", 0)
    assert parse_rfc3339("1970-01-01T01:00:00+01:00") == 0
    with pytest.raises(ValueError, match="not an RFC 3339 time"):
        parse_rfc3339("yesterday")


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_identifiers_are_uuids_of_version_4(bits: int) -> None:
    text = uuid_text(bits)
    assert len(text) == 36
    assert text[14] == "4"
    assert text[19] in "89ab"


def test_a_seed_gives_the_same_identifiers_again() -> None:
    first, second = IdStream(7), IdStream(7)
    assert [first.next() for _ in range(3)] == [second.next() for _ in range(3)]


def test_field_names_become_nomads() -> None:
    names = ["kill_timeout_ns", "id", "eval_id", "memory_mb", "cpu", "task_groups", "host_ip"]
    assert [wire_name(n) for n in names] == [
        "KillTimeout",
        "ID",
        "EvalID",
        "MemoryMB",
        "CPU",
        "TaskGroups",
        "HostIP",
    ]
