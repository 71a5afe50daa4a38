"""How things look in a terminal."""

from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.cli.text import (
    ago,
    bold,
    clean,
    mebibytes,
    moment,
    paint,
    pairs,
    red,
    span,
    table,
    width_of,
)

SECOND = 10**9


def test_columns_are_padded_and_divided_by_two_spaces() -> None:
    text = table(["ID", "Name"], [["1", "long name"], ["22", ""]])
    assert text == "ID  Name\n1   long name\n22  <none>"


def test_a_table_without_rows_is_its_header() -> None:
    assert table(["ID", "Name"], []) == "ID  Name"


def test_the_longest_columns_give_way_until_a_row_fits_but_ids_stay() -> None:
    identifier, words = "0" * 36, "w" * 80
    text = table(["ID", "Description", "Status"], [[identifier, words, "ok"]], width=70)
    header, row = text.split("\n")
    assert len(row) <= 70
    assert row.startswith(identifier + "  www")
    assert "…" in row
    assert row.endswith("ok")
    assert header.startswith("ID")


def test_keys_are_padded_so_that_the_equals_signs_stand_below_each_other() -> None:
    assert pairs([("ID", "x"), ("Long Key", "")]) == "ID       = x\nLong Key = <none>"


def test_wide_characters_count_twice_and_marks_not_at_all() -> None:
    assert width_of(bold("ab")) == 2
    assert width_of("日本") == 4
    assert table(["A", "B"], [["日本", "x"], ["a", "y"]]) == "A     B\n日本  x\na     y"


def test_colour_is_there_only_when_wanted() -> None:
    assert paint(red("x"), color=False) == "x"
    assert paint(red("x"), color=True) == "\x1b[31mx\x1b[0m"


def test_control_characters_from_outside_are_made_visible() -> None:
    evil = "\x1b]0;title\x07\x9b31m\u202egnp.exe\r\n"
    assert clean(evil) == "\\x1b]0;title\\x07\\x9b31m\\u202egnp.exe\\r\\n"
    assert "\x1b" not in paint(evil, color=True)


@given(st.text())
def test_no_text_can_reach_the_terminal_with_a_control_character_in_it(text: str) -> None:
    shown = paint(table(["A"], [[text]]) + pairs([(text, text)]), color=False)
    assert all(c.isprintable() or c in "\n\t" or ord(c) > 0x9F for c in shown)


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=5))
def test_a_table_has_a_line_for_each_row_whatever_is_in_it(rows: list[tuple[str, str]]) -> None:
    assert len(table(["A", "B"], rows).split("\n")) == len(rows) + 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600, "1h"),
        (3720, "1h2m"),
        (3601, "1h"),
        (90061, "1d1h"),
        (40 * 86400, "1mo10d"),
        (400 * 86400, "1y1mo"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: int, text: str) -> None:
    assert span(seconds * SECOND) == text


def test_times_are_told_from_now() -> None:
    now = 1_000_000 * SECOND
    assert ago(now - 3 * SECOND, now) == "3s ago"
    assert ago(now + 300 * SECOND, now) == "5m from now"
    assert ago(0, now) == ""


def test_a_moment_has_its_zone() -> None:
    at = 1_700_000_000 * SECOND
    assert moment(at, UTC) == "2023-11-14T22:13:20Z"
    assert moment(at, timezone(timedelta(hours=2))) == "2023-11-15T00:13:20+02:00"
    assert moment(0) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (300 * 1024**2, "300 MiB"),
        (5 * 1024**4, "5.0 TiB"),
    ],
)
def test_sizes_are_in_the_largest_unit_that_reads_well(size: int, text: str) -> None:
    assert mebibytes(size) == text
