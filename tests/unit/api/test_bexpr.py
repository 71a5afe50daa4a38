"""Filter expressions, against a naive oracle."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import Invalid
from hanse.structs.job import Job, PeriodicConfig, TaskGroup
from region.api.bexpr import compiled, parse

JOB = Job(
    id="a/b",
    name="a b",
    type="service",
    priority=50,
    stop=False,
    meta={"x": "1", "y.z": "2"},
    datacenters=("dc1", "dc2"),
    task_groups=(TaskGroup(name="g", count=3), TaskGroup(name="h", count=1)),
)


@pytest.mark.parametrize(
    "text",
    [
        "Type == service",
        'Type == "service" and Priority != 51',
        'not Type != "service"',
        'Type == "batch" or Priority == 50 and Stop == false',
        '(Type == "batch" or Priority == 50) and Stop != true',
        '"dc1" in Datacenters',
        "dc3 not in Datacenters",
        'Datacenters contains "dc2"',
        'Datacenters not contains "dc"',
        'ID contains "/"',
        'Meta.x == "1"',
        'Meta["y.z"] == "2"',
        'Meta.nothing != "1"',
        "Meta.nothing is empty",
        "x in Meta",
        '"/Meta/y.z" == "2"',
        "TaskGroups.0.Name == g",
        "TaskGroups.7 is empty",
        "any TaskGroups as group { group.Count == 3 }",
        "all TaskGroups as i, group { group.Count != 0 and i != 9 }",
        "not any Meta as key, value { value == 3 }",
        "any Meta as key { key == x }",
        "Periodic is empty",
        "Periodic.Spec is empty",
        "TaskGroups is not empty",
        'Name matches "^a.b$"',
        "Name not matches `^b`",
        'Name == "a\\u0020b" or Name == "a b"',
    ],
)
def test_these_hold(text: str) -> None:
    assert compiled(text)(JOB)
    assert not compiled(f"not ({text})")(JOB)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("Type ==", 8),
        ("Type == a and", 14),
        ("(Type == a", 11),
        ("Type = a", 6),
        ('Type == "a', 9),
        ("Type is full", 6),
        ("== a", 1),
        ("a b", 3),
        ("any TaskGroups { x == 1 }", 16),
        ("Meta[x] == 1", 6),
        ("Type == a)", 10),
    ],
)
def test_a_wrong_expression_is_refused_with_its_column(text: str, column: int) -> None:
    with pytest.raises(Invalid, match=rf"column {column}: "):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "Colour == red",
        "Priority == high",
        "Stop == maybe",
        "TaskGroups == g",
        "Priority contains 5",
        "Priority is empty",
        "Type.Name == x",
        "TaskGroups.g.Count == 3",
        "Priority matches 5",
    ],
)
def test_an_expression_that_does_not_fit_the_object_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="error in filter expression: column 1"):
        compiled(text)(JOB)


@pytest.mark.parametrize(
    "text", ["(" * 5000 + "a == b", "not " * 5000 + "a == b", "a == b " + "and a == b " * 3000]
)
def test_huge_expressions_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


def test_a_field_below_null_is_nothing_but_a_set_one_is_read() -> None:
    periodic = Job(id="p", periodic=PeriodicConfig(spec="@daily"))
    assert compiled('Periodic.Spec == "@daily"')(periodic)
    assert not compiled('Periodic.Spec == "@daily"')(JOB)


WORDS = st.sampled_from(["a", "b", "ab", "", "x y", "5"])
SUBJECTS = st.fixed_dictionaries(
    {
        "s": WORDS,
        "n": st.integers(-5, 5),
        "f": st.booleans(),
        "l": st.lists(WORDS, max_size=3),
        "m": st.dictionaries(WORDS, WORDS, max_size=3),
    }
)


def quoted(text: str) -> str:
    return '"' + text + '"'


#: Pairs of an expression's text and what it means.
LEAVES: Any = st.one_of(
    st.tuples(WORDS, st.booleans()).map(
        lambda v: (
            f"s {'==' if v[1] else '!='} {quoted(v[0])}",
            lambda o: (o["s"] == v[0]) == v[1],
        )
    ),
    st.integers(-5, 5).map(lambda v: (f"n == {v}", lambda o: o["n"] == v)),
    st.booleans().map(lambda v: (f"f == {str(v).lower()}", lambda o: o["f"] == v)),
    WORDS.map(lambda v: (f"{quoted(v)} in l", lambda o: v in o["l"])),
    WORDS.map(lambda v: (f"l not contains {quoted(v)}", lambda o: v not in o["l"])),
    WORDS.map(lambda v: (f"{quoted(v)} not in m", lambda o: v not in o["m"])),
    WORDS.map(lambda v: (f"m[{quoted(v)}] is empty", lambda o: not o["m"].get(v))),
    st.just(("l is not empty", lambda o: bool(o["l"]))),
    WORDS.map(lambda v: (f"s contains {quoted(v)}", lambda o: v in o["s"])),
)
EXPRESSIONS: Any = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda e: (f"not ({e[0]})", lambda o: not e[1](o))),
        st.tuples(inner, inner).map(
            lambda e: (f"({e[0][0]}) and ({e[1][0]})", lambda o: e[0][1](o) and e[1][1](o))
        ),
        st.tuples(inner, inner).map(
            lambda e: (f"({e[0][0]} or {e[1][0]})", lambda o: e[0][1](o) or e[1][1](o))
        ),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, SUBJECTS)
def test_an_expression_means_what_a_naive_reading_says(
    expression: Any, subject: dict[str, Any]
) -> None:
    text, oracle = expression
    assert compiled(text)(subject) == oracle(subject)


@given(st.text(max_size=80))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        compiled(text)(JOB)
    except Invalid:
        return
    assert parse(text)
