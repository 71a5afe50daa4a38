"""No text whatever gets more out of the job file code than a result or a JobspecError."""

import json
import string
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.jobspec import JobspecError, canonicalize, format_source, parse_job

DATA = Path(__file__).parents[2] / "data" / "jobspec"
SOURCES: list[str] = [
    *(case["source"] for case in json.loads((DATA / "jobs.json").read_text())),
    *(case["source"] for case in json.loads((DATA / "syntax.json").read_text())),
]
EXPRESSIONS: list[str] = [
    case["expr"]
    for name in ("exprs.json", "functions.json")
    for case in json.loads((DATA / name).read_text())
]
FRAGMENTS = [
    *('"', "${", "%{", "}", "{", "(", ")", "[", "]", "=", ":", ",", ".", "...", "=>", "?", "::"),
    *("for", "in", "if", "endif", "else", "x", "1", "\n", "\r\n", "#", "/*", "*/", "<<E\n", "E\n"),
    *("~", "-", "!", "&&", "[*]", ".*", "\\", "$${", "%%{", "~}", "${~", "1.5", "null", "'", ";"),
    *("var.a", "local.b", 'dynamic "task" {\n', "\x00", "\ufeff", "é", "👨‍👩‍👧", "\u2028"),
]
SETTINGS = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def mutated(draw: st.DrawFn, sources: list[str]) -> str:
    """A text that once made sense, with a few wounds."""
    text = draw(st.sampled_from(sources))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + draw(st.sampled_from(["", *FRAGMENTS])) + text[end:]
    return text


def outcome(source: str | bytes, **options: Any) -> dict[str, Any] | None:
    """The job, or None if it was refused as it should be."""
    try:
        return parse_job(source, **options).job
    except JobspecError as refused:
        found = refused.diagnostics
    text = source.decode("utf-8", "replace") if isinstance(source, bytes) else source
    lines = text.count("\n") + 1
    assert any(one.severity == "error" for one in found)
    for one in found:
        assert "\x1b" not in one.render()
        assert one.file != "job.nomad.hcl" or 1 <= one.line <= lines
    return None


@SETTINGS
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    outcome(text)


@SETTINGS
@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    outcome(data)


@SETTINGS
@given(st.lists(st.sampled_from([*FRAGMENTS, " ", 'job "x" {\n', "group", '"g"']), max_size=60))
def test_any_sequence_of_tokens_is_parsed_or_refused(tokens: list[str]) -> None:
    outcome("".join(tokens))


@SETTINGS
@given(mutated(SOURCES))
def test_a_wounded_job_is_parsed_or_refused_and_what_is_parsed_can_be_filled_in(text: str) -> None:
    job = outcome(text, environment={"NOMAD_VAR_a": text[:20]}, variables={"a": text[-20:]})
    if job is not None:
        filled = canonicalize(job)
        assert canonicalize(filled) == filled
        json.dumps(filled)


@SETTINGS
@given(mutated(EXPRESSIONS))
def test_a_wounded_expression_is_evaluated_or_refused(text: str) -> None:
    outcome(f'job "x" {{\n meta = {{ a = {text}\n }}\n}}\n')


@SETTINGS
@given(st.lists(st.text(max_size=30), max_size=3), mutated(SOURCES))
def test_any_files_of_values_are_read_or_refused(texts: list[str], source: str) -> None:
    files = [(f"f{i}", text) for i, text in enumerate([*texts, source])]
    outcome('variable "a" {}\njob "x" {\n}\n', var_files=files, strict=False)


@SETTINGS
@given(mutated([json.dumps({"job": {"x": {"group": {"g": {"count": 1, "task": [{"t": {}}]}}}}})]))
def test_a_wounded_json_file_is_parsed_or_refused(text: str) -> None:
    outcome(text)


@SETTINGS
@given(mutated([*SOURCES, *(f"a = {text}\n" for text in EXPRESSIONS)]))
def test_formatting_changes_blanks_only_and_is_done_at_once(text: str) -> None:
    try:
        once = format_source(text, "t.hcl")
    except JobspecError:
        return
    assert format_source(once, "t.hcl") == once
    drop = str.maketrans("", "", string.whitespace)
    assert once.translate(drop) == text.removeprefix("\ufeff").translate(drop)
    assert outcome(once) == outcome(text)


blanks = st.text(alphabet=" \t", max_size=3)


@SETTINGS
@given(st.sampled_from(SOURCES), st.data())
def test_formatting_undoes_any_change_of_indents(source: str, data: st.DataObject) -> None:
    source = source.removeprefix("\ufeff")
    if "<<" in source or "${" in source:
        return
    try:
        wanted = format_source(source, "t.hcl")
    except JobspecError:
        return
    lines = [data.draw(blanks) + line.lstrip() for line in source.split("\n")]
    assert format_source("\n".join(lines), "t.hcl") == wanted
