"""The scanner and the parser, against results measured from the original."""

import json
from pathlib import Path
from typing import Any

import pytest

from hanse.jobspec.diagnostics import Diagnostic, Report, Source
from hanse.jobspec.limits import NESTING_MAX
from hanse.jobspec.parser import parse_body

DATA = Path(__file__).parents[2] / "data" / "jobspec"
CASES: list[dict[str, Any]] = json.loads((DATA / "syntax.json").read_text())


def findings(text: str) -> list[Diagnostic]:
    report = Report()
    parse_body(Source("t.hcl", text.removeprefix("\ufeff")), report)
    return report.found


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_file_is_accepted_or_its_first_mistake_is_at_the_measured_place(
    case: dict[str, Any],
) -> None:
    found = findings(case["source"])
    first = found[0] if found else None
    assert {
        "ok": first is None,
        "summary": first and first.summary,
        "line": first and first.line,
        "column": first and first.column,
    } == {key: case[key] for key in ("ok", "summary", "line", "column")}


def test_every_mistake_of_a_file_is_reported() -> None:
    text = 'a = [1 2]\nb {\n  c = "\\q"\n  d = 1 e = 2\n}\nf = 1 +\ng = "fine"\n"h" = 1\n'
    assert [(found.line, found.column) for found in findings(text)] == [
        (1, 8),
        (3, 8),
        (4, 9),
        (6, 8),
        (8, 1),
    ]


def test_a_brace_on_the_next_line_does_not_hide_what_is_behind_it() -> None:
    text = 'job "x"\n{\n  a = [1 2]\n}\n'
    assert [(found.line, found.column) for found in findings(text)] == [(1, 8), (3, 10)]


def test_a_value_on_the_next_line_is_one_mistake() -> None:
    text = 'a\n=\n"us"\nb =\n"us"\nc\n= "us"\nd =\n[\n1\n]\n"e" = 1\n' + "=\n" * 3000
    assert [(found.line, found.column) for found in findings(text)] == [
        (1, 1),
        (4, 4),
        (6, 1),
        (8, 4),
        (12, 1),
    ]


def test_a_broken_string_does_not_cause_a_cascade() -> None:
    text = 'a = "x\nb = 1\nc = 2\n'
    assert [found.summary for found in findings(text)] == ["Invalid multi-line string"]


@pytest.mark.parametrize(
    "opener", ["[", "(", "{a=", "f(", '"${', "!", "-", "x[", "a ? b : ", "[for x in "]
)
def test_endless_nesting_is_refused_at_its_place(opener: str) -> None:
    found = findings("a = " + opener * 10_000)
    assert found[0].summary == "Nested too deeply"
    assert found[0].column > NESTING_MAX / 2


def test_endless_blocks_are_refused_at_their_place() -> None:
    found = findings("a {\n" * 10_000)
    assert found[0].summary == "Nested too deeply"
    assert found[0].line == NESTING_MAX + 1


def test_a_long_sum_is_not_nesting() -> None:
    assert findings("a = 1" + " + 1" * 5000 + "\n") == []


def test_a_finding_shows_the_line_with_a_caret_and_a_hint() -> None:
    found = findings("job {\n\tregion = \u201cus\u201d\n}\n")[0]
    assert found.render() == (
        "Error: Invalid character\n"
        "  on t.hcl:2:11\n"
        "   2 |  region = \u201cus\u201d\n"
        "     |           ^\n"
        "  This character has no meaning here.\n"
        '  Hint: strings are written in straight double quotes (")'
    )


def test_control_characters_of_a_file_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in findings("a = 1 \x1b[31m\n")[0].render()
