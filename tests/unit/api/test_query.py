"""Query parameters."""

import pytest

from hanse.errors import Invalid
from region.api.query import ListOptions, Query, ReadOptions, list_options, read_options


def query(**values: str) -> Query:
    return Query({name: [value] for name, value in values.items()})


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({}, ReadOptions(stale=False, after=0, wait_s=300)),
        ({"stale": ""}, ReadOptions(stale=True)),
        ({"stale": "true"}, ReadOptions(stale=True)),
        ({"stale": "false"}, ReadOptions(stale=False)),
        ({"index": "7", "wait": "10s"}, ReadOptions(after=7, wait_s=10)),
        ({"index": "7", "wait": "1h"}, ReadOptions(after=7, wait_s=300)),
        ({"index": "7", "wait": "0s"}, ReadOptions(after=7, wait_s=300)),
    ],
)
def test_read_options_are_understood(values: dict[str, str], options: ReadOptions) -> None:
    assert read_options(query(**values)) == options


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"stale": "yes"}, "Expect `true` or `false` for `stale` query string parameter"),
        ({"index": "x"}, "Invalid index"),
        ({"index": "-1"}, "Invalid index"),
        ({"index": "9" * 30}, "Invalid index"),
        ({"wait": "x"}, "Invalid wait time"),
        ({"wait": "10"}, "Invalid wait time"),
    ],
)
def test_wrong_read_options_are_refused_in_nomads_words(
    values: dict[str, str], problem: str
) -> None:
    with pytest.raises(Invalid) as caught:
        read_options(query(**values))
    assert str(caught.value) == problem


def test_list_options_are_understood() -> None:
    values = {"prefix": "a", "per_page": "3", "next_token": "t", "filter": "A == 1"}
    expected = ListOptions("a", 3, "t", "A == 1", reverse=True)
    assert list_options(query(**values, reverse="true")) == expected


@pytest.mark.parametrize(
    "values", [{"per_page": "x"}, {"per_page": "1.5"}, {"reverse": "maybe"}, {"filter": "x" * 9000}]
)
def test_wrong_list_options_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        list_options(query(**values))
