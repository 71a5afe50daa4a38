"""A whole job file: variables first, then locals, then the one job block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hanse.jobspec.budget import Budget
from hanse.jobspec.content import Content, Reader, Shape
from hanse.jobspec.decoder import Decoder
from hanse.jobspec.diagnostics import Diagnostic, Fault, Report, Source, Span
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions import call_function
from hanse.jobspec.limits import (
    SOURCE_BYTES_MAX,
    TRUSTED_CPU_S_MAX,
    UNTRUSTED_CPU_S_MAX,
)
from hanse.jobspec.variables import Given, Locals, Submission, Variables, read_body

_FILE = Shape((), {"job": 1, "variable": 1, "variables": 0, "locals": 0})


class ParseResult(msgspec.Struct, frozen=True):
    """A job and what is needed to submit it."""

    #: The API's Job JSON, not canonicalised; durations are nanoseconds.
    job: dict[str, object]
    #: Warnings only.
    diagnostics: tuple[Diagnostic, ...]
    #: The values of simple variables from the command line and the environment.
    variable_flags: dict[str, str]
    #: The text of the variable files, and the other values in the same notation.
    variables_text: str


def decode_source(source: str | bytes, name: str, report: Report) -> Source:
    """The source as text. What makes it unusable goes to the report."""
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogatepass")
    text = raw[: SOURCE_BYTES_MAX + 1].decode("utf-8", "replace").removeprefix("\ufeff")
    result = Source(name, text)
    if len(raw) > SOURCE_BYTES_MAX:
        detail = f"A job file may have {SOURCE_BYTES_MAX} bytes; this one has {len(raw)}."
        report.add(result, Fault("Source too large", detail, (0, 0)))
        return result
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        at = len(raw[: problem.start].decode("utf-8").removeprefix("\ufeff"))
        detail = "A job file must be UTF-8 text."
        report.add(result, Fault("Invalid character encoding", detail, (at, at + 1)))
    return result


def read_job(
    source: str | bytes,
    filename: str,
    given: Given,
    base_dir: Path | None,
    allow_filesystem: bool,
) -> ParseResult:
    """See `hanse.jobspec.parse_job`."""
    report = Report()
    text = decode_source(source, filename, report)
    report.raise_errors()
    files = (base_dir or Path.cwd()) if allow_filesystem else None
    budget = Budget(TRUSTED_CPU_S_MAX if allow_filesystem else UNTRUSTED_CPU_S_MAX)
    scope = Scope(text, budget, call_function, files=files)
    job: dict[str, Any] | None = None
    submission = Submission()
    reader = _Job(text, scope, report)
    try:
        job, submission = reader.read(given)
    except Fault as fault:
        # Exhausted; any other is caught nearer to its place, and this is the last net.
        report.add(text, fault, (0, 0))
    except RecursionError:
        # The limits on nesting should make this impossible; a caller deep in its own stack may not.
        report.add(text, Fault("Nested too deeply", "This file is nested too deeply."), (0, 0))
    report.sort_from(reader.syntax_errors)
    report.raise_errors()
    assert job is not None
    return ParseResult(
        job,
        tuple(report.found),
        submission.flags,
        "".join(submission.texts),
    )


class _Job:
    def __init__(self, source: Source, scope: Scope, report: Report) -> None:
        self._source = source
        self._scope = scope
        self._report = report
        self._reader = Reader(report)
        self.syntax_errors = 0

    def read(self, given: Given) -> tuple[dict[str, Any] | None, Submission]:
        body = read_body(self._source, self._report)
        self.syntax_errors = len(self._report.found)
        self._report.incomplete = self._report.has_errors
        self._scope.budget.check()
        content = self._reader.content(body, self._scope, _FILE)
        variables = Variables(self._reader, self._scope)
        for found in content.blocks["variable"]:
            variables.declare(found)
        for found in content.blocks["variables"]:
            variables.declare_defaults(found)
        variables.assign(given)
        names = Locals(self._report)
        for found in content.blocks["locals"]:
            names.declare(found)
        scope = names.settle(variables.settle())
        return self._job(content, scope), variables.submission

    def _job(self, content: Content, scope: Scope) -> dict[str, Any] | None:
        jobs = content.blocks["job"]
        if not jobs:
            if not self._report.has_errors:
                place: Span = (len(self._source.text), len(self._source.text))
                detail = "A job file has one job block; this one has none."
                self._report.add(self._source, Fault("Missing job block", detail, place))
            return None
        for extra in jobs[1:]:
            first = jobs[0].block
            where = self._source.where(first.type_span[0])
            detail = f"A job file has one job block. There is one at {where} already."
            fault = Fault("Duplicate job block", detail, extra.block.type_span)
            self._report.add(self._source, fault)
        block = jobs[0].block
        return Decoder(self._reader).structure("Job", block.body, scope, block)


def given_values(
    variables: Mapping[str, str],
    var_files: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    strict: bool,
) -> Given:
    """Bundle what the caller gave."""
    return Given(variables, var_files, environment, strict)
