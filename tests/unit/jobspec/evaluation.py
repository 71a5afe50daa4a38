"""Evaluating one expression in a test."""

import json
from pathlib import Path
from typing import Any

from hanse.jobspec.budget import Budget
from hanse.jobspec.diagnostics import Fault, Report, Source
from hanse.jobspec.evaluator import Scope, evaluate
from hanse.jobspec.functions import call_function
from hanse.jobspec.functions.encoding import json_text
from hanse.jobspec.parser import parse_expression
from hanse.jobspec.values import Value


class Outcome:
    """What came of an expression: a value, or the summary and place of what is wrong."""

    def __init__(self, text: str, *, base: Path | None = None) -> None:
        self.value: Value = None
        self.error = ""
        self.detail = ""
        self.line = self.column = 0
        report = Report()
        source = Source("t.hcl", text)
        node = parse_expression(source, report)
        if node is not None:
            scope = Scope(source, Budget(5), call_function, {}, False, files=base)
            try:
                self.value = evaluate(node, scope)
            except Fault as fault:
                report.add(source, fault)
        if report.found:
            self.error = report.found[0].summary
            self.detail = report.found[0].detail
            self.line = report.found[0].line
            self.column = report.found[0].column


def value_of(text: str, *, base: Path | None = None) -> Any:
    outcome = Outcome(text, base=base)
    assert not outcome.error, (text, outcome.error, outcome.detail)
    return json.loads(json_text(outcome.value))
