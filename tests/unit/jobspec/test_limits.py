"""Files that want too much: refused at once and at their place, never a crash."""

import time

import pytest

from hanse.jobspec import JobspecError, format_source, parse_job
from hanse.jobspec.limits import NESTING_MAX, SOURCE_BYTES_MAX

#: More than the limit of one second, for slow machines.
CPU_S_MAX = 3.0


def refusal(source: str | bytes) -> tuple[str, int]:
    """The first summary and its line; and that it did not take long to say so."""
    started = time.thread_time()
    with pytest.raises(JobspecError) as caught:
        parse_job(source)
    assert time.thread_time() - started < CPU_S_MAX
    first = caught.value.diagnostics[0]
    return first.summary, first.line


def in_job(expression: str) -> str:
    return f'job "x" {{\n meta = {{ a = {expression} }}\n}}\n'


@pytest.mark.parametrize(
    ("expression", "summary"),
    [
        ("length(setproduct(range(1000), range(1000), range(1000)))", "Error in function call"),
        ("range(1e9)", "Error in function call"),
        ('indent(1000000000, "a\\nb")', "Error in function call"),
        ('format("%1000000000d", 1)', "Error in function call"),
        ('format("%.1000000000f", 1)', "Error in function call"),
        ('bcrypt("x", 31)', "Error in function call"),
        ("1e999999999", "Number out of range"),
        ("1e-999999999", "Number out of range"),
        ("pow(10,308) * pow(10,308) * pow(10,308) * pow(10,308)", "Number out of range"),
        ('convert("1e99999", number)', "Number out of range"),
        (f'parseint("{"9" * 100_000}", 10)', "Invalid function argument"),
        (
            "[for a in range(1000): [for b in range(1000): [for c in range(1000): c]]]",
            "Job file takes too much work",
        ),
        (
            '[for a in range(1000): [for b in range(1000): sha256("x")]]',
            "Job file takes too much work",
        ),
        ('length(split("", "' + "x" * 900_000 + '"))', "Value too large"),
        ('jsondecode("' + "[" * 100_000 + '")', "Error in function call"),
        ('yamldecode("' + "[" * 10_000 + '")', "Error in function call"),
        (
            'length(cidrsubnets("10.0.0.0/30", [for i in range(1000): 1]...))',
            "Invalid function argument",
        ),
    ],
)
def test_an_expression_that_would_grow_without_bound_is_refused(
    expression: str, summary: str
) -> None:
    assert refusal(in_job(expression)) == (summary, 2)


def test_a_pattern_cannot_make_the_matching_backtrack() -> None:
    text = "a" * 30_000 + "!"
    started = time.thread_time()
    job = parse_job(in_job(f'regex_replace("{text}", "(a+)+$", "x")')).job
    assert job["Meta"] == {"a": text}
    assert time.thread_time() - started < 1.0


def doubling(step: str, seed: str) -> str:
    lines = [f" a{i} = " + step.replace("@", f"local.a{i - 1}") for i in range(1, 60)]
    return (
        f"locals {{\n a0 = {seed}\n" + "\n".join(lines) + '\n}\njob "x" {\n region = local.a59\n}\n'
    )


@pytest.mark.parametrize(
    ("step", "seed", "summary"),
    [
        ('"${@}${@}"', '"xxxxxxxx"', "String too long"),
        ("[@, @]", "[1]", "Value too large"),
        ("concat(@, @)", "[1]", "Value too large"),
        ("{ a = @, b = @ }", "1", "Value too large"),
        ('replace(@, "x", "xxxxxxxxxxxxxxxx")', '"x"', "Error in function call"),
        ("@ * @", "1.5", "Number out of range"),
    ],
)
def test_values_that_double_line_by_line_are_refused(step: str, seed: str, summary: str) -> None:
    assert refusal(doubling(step, seed))[0] == summary


def test_values_that_get_deeper_line_by_line_are_refused() -> None:
    lines = [f" a{i} = [local.a{i - 1}]" for i in range(1, 3000)]
    source = "locals {\n a0 = 1\n" + "\n".join(lines) + '\n}\njob "x" {\n}\n'
    assert refusal(source)[0] == "Value too deep"


def test_an_alias_in_yaml_does_not_multiply_the_work() -> None:
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 9)]
    text = "\\n".join(levels)
    assert refusal(in_job(f'length(yamldecode("{text}").a8)'))[0] == "Value too large"


def test_dynamic_blocks_are_counted() -> None:
    source = (
        'job "x" {\n dynamic "group" {\n  for_each = range(200)\n  labels = ["g"]\n  content {\n'
        '   dynamic "task" {\n    for_each = range(200)\n    labels = ["t"]\n'
        "    content {\n    }\n   }\n  }\n }\n}\n"
    )
    # On a slow machine the time is up before the number is reached.
    assert refusal(source)[0] in ("Too many dynamic blocks", "Job file takes too much work")


@pytest.mark.parametrize(
    "source",
    [
        "a = 1\n" * 174_000,
        "a {\n" * 200_000,
        "}\n" * 500_000,
        '"' * SOURCE_BYTES_MAX,
        '"' + "${" * 500_000,
        "a = " + "(" * 1_000_000,
        "a = b" + ".c" * 500_000,
        "a = " + "1 + " * 250_000,
        "\x00" * 1_000_000,
        "{" * 1_000_000,
        "/*" * 500_000,
        "é" * 500_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_file_of_a_megabyte_of_nonsense_is_refused_soon(source: str) -> None:
    refusal(source)


def test_formatting_has_the_same_limits() -> None:
    for source in ("a = " + "(" * 1_000_000, "{" * 1_000_000):
        with pytest.raises(JobspecError):
            format_source(source, "t.hcl")


def test_a_long_line_is_shown_around_the_mistake() -> None:
    source = (
        'job "x" {\n meta = { ' + ", ".join(f"a{i} = {i}" for i in range(500)) + ", b = [] }\n}\n"
    )
    with pytest.raises(JobspecError) as caught:
        parse_job(source)
    shown = caught.value.diagnostics[0].render().splitlines()
    assert max(map(len, shown)) < 200


def test_a_file_over_the_limit_is_not_even_read() -> None:
    assert refusal(b"#" * (SOURCE_BYTES_MAX + 1))[0] == "Source too large"
    assert refusal("#" * 100_000_000)[0] == "Source too large"


def test_nesting_up_to_the_limit_works_also_deep_in_the_stack() -> None:
    depth = NESTING_MAX - 5
    text = "[" * depth + "]" * depth

    def deep(levels: int) -> None:
        if levels:
            return deep(levels - 1)
        assert refusal(f'job "x" {{\n region = {text}\n}}\n') == ("Unsuitable value type", 2)
        return None

    deep(200)


def test_a_stack_that_is_too_full_is_reported_like_any_other_limit() -> None:
    text = "(" * 90 + "1" + ")" * 90

    def deep(levels: int) -> None:
        if levels:
            return deep(levels - 1)
        assert refusal(f'job "x" {{\n region = {text}\n}}\n')[0] == "Nested too deeply"
        return None

    deep(800)


def test_values_from_outside_are_limited_too() -> None:
    source = 'variable "a" {\n type = string\n}\njob "x" {\n}\n'
    for text, summary in (
        ("x" * 2_000_000, "Source too large"),
        ("\udcff", "Invalid character encoding"),
    ):
        for given in ({"variables": {"a": text}}, {"var_files": [("f", text)]}):
            with pytest.raises(JobspecError) as caught:
                parse_job(source, **given)
            assert caught.value.diagnostics[0].summary == summary


def test_at_most_fifty_findings_are_reported() -> None:
    source = 'job "x" {\n' + "".join(f" nope{i} = 1\n" for i in range(1000)) + "}\n"
    with pytest.raises(JobspecError) as caught:
        parse_job(source)
    assert len(caught.value.diagnostics) == 50
