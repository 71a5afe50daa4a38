"""The bounded regular expressions, against Python's."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hanse.errors import Invalid
from hanse.regex import Regex

ATOMS = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "^", "$", r"\b", "[a-c]", "x"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text(alphabet="abcx1. \n", max_size=12))
def test_it_finds_what_python_finds(pattern: str, text: str) -> None:
    # In Python `$` also matches before a newline at the end; in RE2 it does not.
    theirs = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    assert Regex(pattern).search(text) == (theirs.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?i)HeL+o", "say helLO", True),
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        ("(?m)^b$", "a\nb\nc", True),
        ("(?P<name>a)b", "ab", True),
        ("[[:alpha:]]+[[:^alpha:]]", "ab1", True),
        (r"\Qa.b\E+", "a.bb", True),
        (r"\x41\x{1F600}", "A\U0001f600", True),
        (r"\pL\PL", "é1", True),
        (r"[\]\-x]", "-", True),
        ("[]a]", "]", True),
        ("a{,2}", "a{,2}", True),
        ("", "", True),
    ],
)
def test_the_syntax_of_go(pattern: str, text: str, found: bool) -> None:
    assert Regex(pattern).search(text) == found


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "[a", "*a", "a**", r"\1", "(?=a)", r"\8", "a{2,1}", "a{9999}", r"\p{Foo}", "[b-a]"],
)
def test_what_go_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(Invalid):
        Regex(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "^(a|aa)*$", "(a*)*b", "((a{0,30}){0,30}){0,30}b", ".*.*.*.*.*x"]
)
def test_patterns_that_make_others_backtrack_end_soon(pattern: str) -> None:
    try:
        regex = Regex(pattern)
    except Invalid:
        return
    assert regex.search("a" * 20_000 + "!") is False


def test_too_large_patterns_are_refused() -> None:
    for pattern in ("a" * 2000, "(((a{99}){99}){99}){99}"):
        with pytest.raises(Invalid):
            Regex(pattern)


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_pattern_is_searched_for_or_refused(pattern: str, text: str) -> None:
    try:
        regex = Regex(pattern)
    except Invalid:
        assume(False)
        return
    assert regex.search(text) in (True, False)
