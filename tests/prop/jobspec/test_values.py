"""Laws of numbers, conversions and round trips."""

import json
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.jobspec import numbers as num
from hanse.jobspec import parse_job
from hanse.jobspec.graphemes import cluster_count, clusters
from hanse.jobspec.numbers import Number, Real

SETTINGS = settings(deadline=None, max_examples=100)

decimals = st.builds(
    lambda digits, places: f"{digits}e{places}",
    st.integers(-(10**40), 10**40),
    st.integers(-60, 60),
)
numbers = decimals.map(num.parse_number)


def exact(number: Number) -> Fraction:
    if isinstance(number, Real):
        return Fraction(number.mantissa) * Fraction(2) ** number.exponent
    return Fraction(number)


@SETTINGS
@given(decimals)
def test_a_number_prints_as_it_was_written(text: str) -> None:
    number = num.parse_number(text)
    assert Fraction(num.text_of(number)) == Fraction(text)
    assert num.same(num.parse_number(num.text_of(number)), number)


@SETTINGS
@given(numbers, numbers)
def test_arithmetic_is_exact_to_512_bits(left: Number, right: Number) -> None:
    a, b = exact(left), exact(right)
    for operation, wanted in ((num.add, a + b), (num.subtract, a - b), (num.multiply, a * b)):
        found = exact(operation(left, right))
        assert abs(found - wanted) <= abs(wanted) / 2**511
    if b:
        found = exact(num.divide(left, right))
        assert abs(found - a / b) <= abs(a / b) / 2**511
        rest = exact(num.modulo(left, right))
        assert abs(rest) <= abs(b)
    assert (num.compare(left, right) > 0) == (a > b)


@SETTINGS
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive(value: float) -> None:
    if abs(value) < 1e-300 and value:
        return
    number = num.from_float(value)
    assert num.as_float(number) == value
    if not (isinstance(number, Real) and abs(number.mantissa) == 1):
        # Of powers of two Go prints a digit too few, and so do we: the texts are compared.
        assert float(num.text_of(number)) == value


@SETTINGS
@given(numbers)
def test_rounding_goes_the_right_way(number: Number) -> None:
    floor = exact(num.floor(number))
    assert floor <= exact(number) < floor + 1
    assert abs(exact(num.truncate(number))) <= abs(exact(number))


@SETTINGS
@given(st.text(max_size=50))
def test_clusters_are_a_partition_of_the_text(text: str) -> None:
    parts = list(clusters(text))
    assert "".join(parts) == text
    assert all(parts)
    assert len(parts) == cluster_count(text)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1), inner),
    max_leaves=10,
)


def normal(value: Any) -> Any:
    """As values have it: strings in Unicode's normal form."""
    import unicodedata

    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    return value


def escaped(text: str) -> str:
    return json.dumps(text.replace("${", "$${").replace("%{", "%%{"))


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text("abc_", min_size=1), plain.filter(lambda v: v is not None)))
def test_free_values_survive_the_way_through_jsondecode(values: dict[str, Any]) -> None:
    config = "".join(f"{key} = jsondecode({escaped(json.dumps(v))})\n" for key, v in values.items())
    source = f'job "x" {{\n group "g" {{\n task "t" {{\n config {{\n{config}}}\n}}\n}}\n}}\n'
    job: Any = parse_job(source).job
    assert job["TaskGroups"][0]["Tasks"][0]["Config"] == normal(values)


@SETTINGS
@given(plain, st.sampled_from(["json", "yaml"]))
def test_what_was_encoded_can_be_decoded(value: Any, form: str) -> None:
    if form == "yaml" and not json.dumps(value).isprintable():
        return
    text = escaped(json.dumps(value))
    source = (
        f"locals {{\n v = jsondecode({text})\n}}\n"
        f'job "x" {{\n all_at_once = {form}decode({form}encode(local.v)) == local.v\n}}\n'
    )
    assert parse_job(source).job["AllAtOnce"] is True


@SETTINGS
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_quoting_a_text_keeps_it(text: str) -> None:
    quoted = (
        text.replace("\\", "\\\\")
        .replace('"', '\\"')
        .replace("\n", "\\n")
        .replace("\r", "\\r")
        .replace("${", "$${")
        .replace("%{", "%%{")
    )
    job = parse_job(f'job "x" {{\n region = "{quoted}"\n}}\n').job
    assert job["Region"] == normal(text)
