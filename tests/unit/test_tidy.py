"""The limits of size and the habits that no linter knows. The numbers only go down."""

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("hanse", "region", "federation", "client", "drivers")
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 600
FORBIDDEN = re.compile(r"\b(?:TODO|FIXME|XXX|unittest\.mock|from unittest import mock|MagicMock)\b")
ASSERTING_CALLS = {"raises", "fail", "warns"}


def modules(*folders: str) -> list[Path]:
    """All our Python files under the folders."""
    return sorted(path for folder in folders for path in (REPO / folder).rglob("*.py"))


def docstring_lines(node: ast.AST) -> int:
    """How many lines of a node are its own or its children's docstrings."""
    return sum(
        (body[0].end_lineno or 0) - body[0].lineno + 1
        for child in ast.walk(node)
        if (body := getattr(child, "body", None))
        and isinstance(body, list)
        and isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    )


def long_functions(source: str) -> Iterator[str]:
    """Each function of too many lines, with its line number and length."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1 - docstring_lines(node)
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.lineno}: {node.name} has {lines} lines"


def module_lines(source: str) -> int:
    """The lines of a module, docstrings free."""
    return len(source.splitlines()) - docstring_lines(ast.parse(source))


def claims_something(source: str) -> bool:
    """Whether a test module has an assert, or expects an error or a warning."""
    return any(
        isinstance(node, ast.Assert)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ASSERTING_CALLS
        )
        for node in ast.walk(ast.parse(source))
    )


def test_the_measures_measure() -> None:
    body = "    x = 1\n"
    doc = '    """A.\n\n    B.\n    """\n'
    assert list(long_functions("def f():\n" + doc + body * 59)) == []
    assert list(long_functions("def f():\n" + doc + body * 60)) == ["1: f has 61 lines"]
    assert list(long_functions("class C:\n  async def g(self):\n" + body * 60))
    assert module_lines('"""One.\n\nTwo.\n"""\nx = 1\ny = 2\n') == 2
    assert claims_something("def test_x():\n    assert f()\n")
    assert not claims_something("def test_x():\n    f()\n")
    assert FORBIDDEN.search("x = 1  # TODO: y")
    assert FORBIDDEN.search("from unittest import mock")
    assert not FORBIDDEN.search("TODOS = 3")


def test_no_function_is_too_long() -> None:
    found = [
        f"{path.relative_to(REPO)}:{text}"
        for path in modules(*PACKAGES)
        for text in long_functions(path.read_text())
    ]
    assert found == []


def test_no_module_is_too_long() -> None:
    found = {
        str(path.relative_to(REPO)): lines
        for path in modules(*PACKAGES)
        if (lines := module_lines(path.read_text())) > MODULE_LINES_MAX
    }
    assert found == {}


def test_nothing_is_left_to_do_and_nothing_is_mocked() -> None:
    found = [
        f"{path.relative_to(REPO)}:{number}: {line.strip()}"
        for path in modules(*PACKAGES, "tests")
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


def test_every_test_module_claims_something() -> None:
    found = [
        str(path.relative_to(REPO))
        for path in modules("tests")
        if path.name.startswith("test_") and not claims_something(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_our_import_names(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, []))
    assert owners <= {"hanse"}
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin == str(REPO / name / "__init__.py")


def test_every_folder_of_ours_with_python_in_it_is_a_package() -> None:
    found = sorted(
        {
            str(path.parent.relative_to(REPO))
            for path in modules(*PACKAGES)
            if not (path.parent / "__init__.py").exists()
        }
    )
    assert found == []
