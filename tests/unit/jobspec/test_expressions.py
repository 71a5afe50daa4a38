"""Expressions and functions, against results measured from the original."""

import json
from pathlib import Path
from typing import Any

import pytest

from hanse.jobspec.budget import Budget
from hanse.jobspec.diagnostics import Fault, Report, Source
from hanse.jobspec.evaluator import Scope, evaluate
from hanse.jobspec.functions import NAMES, call_function
from hanse.jobspec.functions.base import FunctionFailed
from hanse.jobspec.functions.encoding import json_text
from hanse.jobspec.parser import parse_expression
from hanse.jobspec.values import Value, name_of

DATA = Path(__file__).parents[2] / "data" / "jobspec"
CASES: list[dict[str, Any]] = json.loads((DATA / "exprs.json").read_text())
#: These two were measured in a folder of their own; `file_tree` makes one like it.
FILE_CASES = {'fileset(".","proto/h*.py")', 'file("t1.py") != ""'}


class Outcome:
    """What came of an expression: a value, or the summary and place of what is wrong."""

    def __init__(self, text: str, *, base: Path | None = None) -> None:
        self.value: Value = None
        self.error = ""
        self.column = 0
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
            self.column = report.found[0].column


def value_of(text: str, *, base: Path | None = None) -> Any:
    outcome = Outcome(text, base=base)
    assert not outcome.error, (text, outcome.error, outcome.detail)
    return json.loads(json_text(outcome.value))


@pytest.fixture(scope="module")
def file_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("files")
    (base / "proto").mkdir()
    for name in ("hfun.py", "hjob.py", "hsx.py", "hval.py", "other.py"):
        (base / "proto" / name).write_text("x")
    (base / "t1.py").write_text("x")
    (base / "bytes").write_bytes(b"\xff")
    return base


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["expr"]))
def test_an_expression_has_the_measured_type_and_value_or_error(
    case: dict[str, Any], file_tree: Path
) -> None:
    outcome = Outcome(case["expr"], base=file_tree)
    if case["ok"]:
        assert not outcome.error
        assert name_of(outcome.value) == case["type"]
        assert json.loads(json_text(outcome.value)) == case["value"]
    elif case["error"] == "; ":
        # Infinity: the original computes it and fails when it writes it out.
        with pytest.raises(FunctionFailed, match="infinity"):
            json_text(outcome.value)
    else:
        assert outcome.error == case["error"].split("; ")[0]


def test_there_are_83_functions_and_each_can_be_called() -> None:
    assert len(NAMES) == 83
    for name in NAMES:
        outcome = Outcome(f"{name}()")
        assert outcome.error != "Call to unknown function", name
