"""Expressions and functions, against results measured from the original."""

import json
from pathlib import Path
from typing import Any

import pytest

from hanse.jobspec.functions import NAMES
from hanse.jobspec.functions.base import FunctionFailed
from hanse.jobspec.functions.encoding import json_text
from hanse.jobspec.values import name_of
from tests.unit.jobspec.evaluation import Outcome

DATA = Path(__file__).parents[2] / "data" / "jobspec"
CASES: list[dict[str, Any]] = json.loads((DATA / "exprs.json").read_text())


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
