"""Whole job files, against results measured from the original."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hanse.jobspec import JobspecError, ParseResult, parse_job

DATA = Path(__file__).parents[2] / "data" / "jobspec"
CASES: list[dict[str, Any]] = json.loads((DATA / "jobs.json").read_text())

#: Mistakes of the original that we do not copy, with our answer.
UPSTREAM_BUGS: dict[str, Callable[[Any], bool]] = {
    # A group's secret makes the original give a task its own secrets twice.
    "group secret": lambda job: (
        [[secret["Name"] for secret in task["Secrets"]] for task in job["TaskGroups"][0]["Tasks"]]
        == [["s"], ["z"]]
    ),
    # The original's search for the end of a runtime reference runs on to the next brace.
    "unknown with trailing brace (upstream bug)": lambda job: job["Region"] == "${NOMAD_X} }",
}

#: Errors that the original reports without a place or, of a cycle, at the wrong end of it.
PLACED_BETTER = {
    "no job": (4, 1),
    "locals cycle": (2, 2),
    "var unset unused": (1, 1),
    "var cli number bad": (1, 1),
    "var cli no eq": (1, 1),
    "var undefined strict": (0, 0),
    "varfile undefined": (1, 1),
    "varfile dup": (2, 1),
    "variables dup": (2, 2),
}


def parse(case: dict[str, Any]) -> ParseResult:
    options = case["options"]
    return parse_job(
        case["source"],
        filename="input.hcl",
        variables=dict(v.split("=", 1) for v in options.get("ArgVars", ()) if "=" in v),
        environment=dict(v.split("=", 1) for v in options.get("Envs", ())),
        var_files=[("input.hcl", options["VarContent"])] if "VarContent" in options else [],
    )


def parsed(source: str, **options: Any) -> dict[str, Any]:
    return parse_job(source, **options).job


def errors(source: str | bytes, **options: Any) -> list[tuple[int, int, str]]:
    with pytest.raises(JobspecError) as caught:
        parse_job(source, **options)
    return [(d.line, d.column, d.summary) for d in caught.value.diagnostics]


def in_task(text: str) -> str:
    return f'job "x" {{\n group "g" {{\n  task "t" {{\n{text}\n  }}\n }}\n}}\n'


def task_of(text: str, **options: Any) -> dict[str, Any]:
    task: dict[str, Any] = parsed(in_task(text), **options)["TaskGroups"][0]["Tasks"][0]
    return task


@pytest.mark.parametrize("case", [c for c in CASES if c["ok"]], ids=lambda case: str(case["name"]))
def test_a_job_file_becomes_the_measured_job(case: dict[str, Any]) -> None:
    job = parse(case).job
    if case["name"] in UPSTREAM_BUGS:
        assert job != case["job"]
        assert UPSTREAM_BUGS[case["name"]](job)
    else:
        assert job == case["job"]
        assert list(job) == list(case["job"])


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c["ok"]], ids=lambda case: str(case["name"])
)
def test_a_wrong_job_file_is_refused_at_the_measured_place(case: dict[str, Any]) -> None:
    with pytest.raises(JobspecError) as caught:
        parse(case)
    first = caught.value.diagnostics[0]
    measured = re.match(r"input\.hcl:(\d+),(\d+)", case["error"])
    if case["name"] in PLACED_BETTER:
        assert (first.line, first.column) == PLACED_BETTER[case["name"]]
    else:
        assert measured is not None
        assert (first.line, first.column) == (int(measured[1]), int(measured[2]))


def test_every_mistake_of_a_job_is_reported_in_the_order_of_the_file() -> None:
    source = (
        'job "x" {\n datacentres = ["a"]\n priority = "high"\n group "g" {\n  count = 1.5\n'
        '  task "t" {\n   driver = null\n   config = {}\n  }\n }\n}\n'
    )
    assert [(line, column) for line, column, _ in errors(source)] == [
        (2, 2),
        (3, 14),
        (5, 11),
        (7, 13),
        (8, 4),
    ]


def test_mistakes_of_meaning_are_reported_beside_those_of_syntax() -> None:
    source = 'job "x" {\n region = [1 2]\n priority = "high"\n}\n'
    assert [summary for _, _, summary in errors(source)] == [
        "Missing item separator",
        "Unsuitable value type",
    ]


def test_a_mistake_in_a_variable_does_not_cause_others() -> None:
    source = (
        'variable "a" {\n type = number\n default = "x"\n}\nlocals {\n b = var.a + 1\n}\n'
        'job "x" {\n priority = local.b\n}\n'
    )
    assert errors(source) == [(3, 12, "Invalid default value for variable")]


def test_environment_files_and_flags_win_in_this_order() -> None:
    source = 'variable "a" {\n default = "default"\n}\njob "x" {\n region = var.a\n}\n'
    given: dict[str, Any] = {}
    assert parsed(source, **given)["Region"] == "default"
    given["environment"] = {"NOMAD_VAR_a": "nomad", "OTHER": "x"}
    assert parsed(source, **given)["Region"] == "nomad"
    given["environment"]["HANSE_VAR_a"] = "hanse"
    assert parsed(source, **given)["Region"] == "hanse"
    given["var_files"] = [("one", 'a = "one"'), ("two", '{"a": "two"}')]
    assert parsed(source, **given)["Region"] == "two"
    given["variables"] = {"a": "flag"}
    assert parsed(source, **given)["Region"] == "flag"


def test_values_for_undeclared_variables_are_warnings_when_not_strict() -> None:
    source = 'job "x" {\n}\n'
    result = parse_job(source, variables={"b": "1"}, var_files=[("v.hcl", "a = 1\n")], strict=False)
    assert [(d.severity, d.summary) for d in result.diagnostics] == [
        ("warning", "Undefined -var variable"),
        ("warning", "Undefined variable"),
    ]


def test_values_are_kept_in_the_form_in_which_they_are_submitted() -> None:
    source = (
        'variable "s" {\n type = string\n}\nvariable "l" {\n type = list(string)\n}\n'
        'variable "e" {\n default = true\n}\nvariable "f" {\n type = number\n}\njob "x" {\n}\n'
    )
    result = parse_job(
        source,
        variables={"s": "a b", "l": '["x"]'},
        environment={"NOMAD_VAR_e": "false"},
        var_files=[("v.hcl", "f = 3"), ("w.json", '{"f": 4}')],
    )
    assert result.variable_flags == {"s": "a b", "e": "false"}
    assert result.variables_text == 'f = 3\nf = 4\nl = ["x"]\n'
    again = parse_job(
        source,
        variables=result.variable_flags,
        var_files=[("variables", result.variables_text.removeprefix("f = 3\n"))],
    )
    assert again.job == result.job


def test_a_validation_checks_the_value_that_won() -> None:
    source = (
        'variable "n" {\n default = 1\n validation {\n  condition = var.n < 10\n'
        '  error_message = "Zu groß."\n }\n}\njob "x" {\n priority = var.n\n}\n'
    )
    assert parsed(source, variables={"n": "9"})["Priority"] == 9
    with pytest.raises(JobspecError, match="Zu groß"):
        parse_job(source, variables={"n": "10"})
    assert parsed(source, var_files=[("v", "n = 99")], variables={"n": "2"})["Priority"] == 2


@pytest.mark.parametrize(
    ("condition", "summary"),
    [
        ("var.m == 1", "Invalid reference in variable validation"),
        ("attr.x == 1", "Invalid reference in variable validation"),
        ("true", "Invalid variable validation condition"),
        ("[for a in [1] : a] == var", "Invalid reference in variable validation"),
    ],
)
def test_a_validation_may_only_look_at_its_own_variable(condition: str, summary: str) -> None:
    source = (
        f'variable "n" {{\n default = 1\n validation {{\n  condition = {condition}\n'
        '  error_message = "m"\n }\n}\njob "x" {\n}\n'
    )
    assert errors(source)[0][2] == summary


@pytest.mark.parametrize(
    "kind",
    ["any", "list", "list(any)", "optional(string)", '"string"', "strin", "map", "object", "tuple"],
)
def test_inexact_and_unknown_types_of_variables_are_refused(kind: str) -> None:
    source = f'variable "n" {{\n type = {kind}\n default = null\n}}\njob "x" {{\n}}\n'
    assert errors(source)[0][::2] == (2, "Invalid type specification")


def test_functions_are_not_called_in_defaults_and_files_of_values() -> None:
    source = 'variable "n" {\n default = upper("a")\n}\njob "x" {\n}\n'
    assert errors(source) == [(2, 12, "Function calls not allowed")]
    source = 'variable "n" {}\njob "x" {\n}\n'
    assert errors(source, var_files=[("v", 'n = "${attr.x}"')]) == [(1, 8, "Variables not allowed")]


def test_an_unset_variable_that_a_local_uses_is_one_clean_error() -> None:
    source = 'variable "a" {}\nlocals {\n b = var.a\n}\njob "x" {\n region = local.b\n}\n'
    assert errors(source) == [(1, 1, 'Unset variable "a"')]


def test_locals_depend_on_each_other_in_any_order() -> None:
    names = [f"n{i}" for i in range(500)]
    chain = "\n".join(f" {a} = local.{b}" for a, b in pairwise(names))
    source = f'locals {{\n{chain}\n {names[-1]} = "end"\n}}\njob "x" {{\n region = local.n0\n}}\n'
    assert parsed(source)["Region"] == "end"


def test_every_member_of_a_cycle_is_named_and_what_depends_on_it_is_not() -> None:
    source = (
        "locals {\n a = local.b\n b = [for x in [1] : local.c]\n c = local.a\n d = local.a\n}\n"
        'job "x" {\n region = local.d\n}\n'
    )
    assert errors(source) == [(line, 2, "Cycle in locals") for line in (2, 3, 4)]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('"foo-${BAR}"', "foo-${BAR}"),
        ('"${env["BLAH"]}"', '${env["BLAH"]}'),
        ('"${mixed.0[3]["F"].5}"', '${mixed.0[3]["F"].5}'),
        ('"${   root.  field[  "FOO"].5  }"', '${   root.  field[  "FOO"].5  }'),
        ('"a ${ x } b"', "a ${ x } b"),
        ("meta.mytest", "${meta.mytest}"),
        ("upper(attr.kernel.name)", "${ATTR.KERNEL.NAME}"),
        ('attr.x == "y" ? 1 : 2', "2"),
        ('"${(attr.x)}"', "${attr.x}"),
        ('"$${a} %%{b}"', "${a} %{b}"),
        ('<<E\n{"a":{"b": ${FOO} } }\nE\n', '{"a":{"b": ${FOO} } }\n'),
        ('try(local.nope, "d")', "d"),
        ('[for attr in ["z"] : attr][0]', "z"),
    ],
)
def test_runtime_references_are_left_as_they_are_written(text: str, result: str) -> None:
    assert parsed(f'job "x" {{\n region = {text}\n}}\n')["Region"] == result


@pytest.mark.parametrize("name", ["var", "local"])
def test_unknown_variables_and_locals_are_errors_and_not_runtime_references(name: str) -> None:
    assert errors(f'job "x" {{\n region = {name}.nope\n}}\n') == [
        (2, 14 if name == "var" else 16, "Unsupported attribute")
    ]


def test_dynamic_blocks_work_at_every_level_and_shadow_runtime_names() -> None:
    source = (
        'job "x" {\n dynamic "group" {\n  for_each = { b = 1, a = 2 }\n  labels = [group.key]\n'
        '  content {\n   count = group.value\n   dynamic "task" {\n    for_each = ["t"]\n'
        '    iterator = attr\n    labels = ["${group.key}-${attr.value}"]\n    content {\n'
        '     user = "${attr.key}"\n     env {\n      X = "${node.class}"\n     }\n'
        "    }\n   }\n  }\n }\n}\n"
    )
    groups = parsed(source)["TaskGroups"]
    assert [(g["Name"], g["Count"], g["Tasks"][0]["Name"]) for g in groups] == [
        ("a", 2, "a-t"),
        ("b", 1, "b-t"),
    ]
    assert groups[0]["Tasks"][0]["User"] == "0"
    assert groups[0]["Tasks"][0]["Env"] == {"X": "${node.class}"}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("for_each = [1]\ncontent {\n}", (2, 2)),
        ('for_each = null\nlabels = ["a"]\ncontent {\n}', (3, 12)),
        ('for_each = [1]\nlabels = ["a", "b"]\ncontent {\n}', (2, 10)),
        ('for_each = [1]\nlabels = ["a"]', (2, 18)),
        ('labels = ["a"]\ncontent {\n}', (2, 18)),
    ],
)
def test_a_dynamic_block_that_cannot_be_expanded_is_an_error(
    body: str, place: tuple[int, int]
) -> None:
    found = errors(f'job "x" {{\n dynamic "group" {{\n{body}\n}}\n}}\n')
    assert len(found) == 1
    assert found[0][0] in (2, 3)


def test_constraint_shorthands_become_operators() -> None:
    source = (
        'job "x" {\n constraint {\n  distinct_hosts = false\n }\n constraint {\n'
        '  distinct_property = "${meta.rack}"\n  value = 2\n }\n constraint {\n'
        '  attribute = "a"\n  version = ">= 1"\n  is_set = true\n }\n affinity {\n'
        '  attribute = "a"\n  set_contains_all = "x"\n }\n}\n'
    )
    job = parsed(source)
    assert job["Constraints"] == [
        {"LTarget": "", "RTarget": "false", "Operand": "distinct_hosts"},
        {"LTarget": "${meta.rack}", "RTarget": "2", "Operand": "distinct_property"},
        {"LTarget": "a", "RTarget": ">= 1", "Operand": "version"},
    ]
    assert job["Affinities"] == [
        {"LTarget": "a", "RTarget": "x", "Operand": "set_contains_all", "Weight": None}
    ]


def test_weights_out_of_range_are_refused() -> None:
    assert errors('job "x" {\n affinity {\n  weight = 300\n }\n}\n') == [
        (3, 12, "Unsuitable value type")
    ]


def test_the_default_identity_has_a_field_of_its_own() -> None:
    task = task_of(
        'identity {\n name = "a"\n}\nidentity {\n name = "default"\n ttl = "1h"\n}\n'
        "identity {\n file = true\n}"
    )
    assert task["Identity"]["TTL"] == 3600 * 10**9
    assert [identity["Name"] for identity in task["Identities"]] == ["a", ""]


def test_a_task_of_the_job_is_a_group_in_front_and_takes_what_the_job_gives() -> None:
    source = (
        'job "x" {\n vault {\n  role = "job"\n }\n secret "s" {\n }\n group "g" {\n  vault {\n'
        '   role = "group"\n  }\n  task "a" {\n  }\n  task "b" {\n   vault {\n    role = "task"\n'
        "   }\n  }\n }\n"
        ' task "alone" {\n }\n}\n'
    )
    groups = parsed(source)["TaskGroups"]
    assert [group["Name"] for group in groups] == ["alone", "g"]
    tasks = [task for group in groups for task in group["Tasks"]]
    assert [(t["Name"], t["Vault"]["Role"], t["Vault"]["Env"]) for t in tasks] == [
        ("alone", "job", True),
        ("a", "group", True),
        ("b", "task", True),
    ]
    assert all([secret["Name"] for secret in task["Secrets"]] == ["s"] for task in tasks)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ('scaling "disk" {\n}', "Invalid scaling policy name"),
        ('scaling "cpu" {\n}\nscaling "CPU" {\n}', "Duplicate scaling block"),
        ("scaling {\n}", "Missing resource for scaling"),
        ('scaling "mem" {\n type = "horizontal"\n}', "Invalid scaling type"),
    ],
)
def test_scaling_of_a_task_names_one_of_its_resources(text: str, summary: str) -> None:
    assert errors(in_task(text))[0][2] == summary


def test_scaling_of_a_task_is_typed_by_its_label() -> None:
    policies = task_of('scaling "CPU" {\n max = 1\n}\nscaling "mem" {\n}')["ScalingPolicies"]
    assert [policy["Type"] for policy in policies] == ["vertical_cpu", "vertical_mem"]


def test_free_maps_keep_types_and_wrap_literal_objects_only() -> None:
    config = task_of(
        "config {\n a = ({ b = 1 })\n c = [{ d = 2.5 }]\n e = { f = { g = true } }\n h = null\n"
        ' i = {for k in ["x"] : k => 1}\n j {\n  k = { l = "m" }\n }\n j {\n }\n}'
    )["Config"]
    assert config == {
        "a": {"b": 1},
        "c": [{"d": 2.5}],
        "e": [{"f": {"g": True}}],
        "i": {"x": 1},
        "j": [{"k": [{"l": "m"}]}, {}],
    }


def test_a_file_that_begins_with_a_brace_is_the_json_notation() -> None:
    source = json.dumps(
        {
            "variable": {"dc": {"default": "dc1"}},
            "locals": {"n": "${1 + 1}"},
            "job": {
                "x": {
                    "//": "a comment",
                    "datacenters": ["${var.dc}", "a-${NOMAD_X}"],
                    "meta": {"a": 1},
                    "group": {
                        "g": {
                            "count": "${local.n}",
                            "network": {"port": {"http": {}, "s": {"static": 80}}},
                            "task": [
                                {
                                    "t": {
                                        "driver": "docker",
                                        "config": {"image": "i", "l": {"a": 1}},
                                    }
                                },
                                {
                                    "u": {
                                        "dynamic": {
                                            "service": {
                                                "for_each": ["p"],
                                                "content": {"name": "${service.value}"},
                                            }
                                        }
                                    }
                                },
                            ],
                        }
                    },
                }
            },
        }
    )
    job = parsed(source)
    group = job["TaskGroups"][0]
    assert job["Datacenters"] == ["dc1", "a-${NOMAD_X}"]
    assert (job["Meta"], group["Count"]) == ({"a": "1"}, 2)
    assert group["Networks"][0]["ReservedPorts"][0]["Label"] == "s"
    assert [task["Name"] for task in group["Tasks"]] == ["t", "u"]
    assert group["Tasks"][0]["Config"] == {"image": "i", "l": {"a": 1}}
    assert group["Tasks"][1]["Services"][0]["Name"] == "p"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ('{"job": {"x": {"prioritee": 1}}}', (1, 16)),
        ('{"job": {"x": {"priority": "a"}}}', (1, 28)),
        ('{"job": {"x": 1}}', (1, 15)),
        ('{"job": {"x": {}},}', (1, 19)),
        ('{\n "job": {"x": {}', (2, 17)),
        ('{"job": {"x": {"region": "${"}}}', (1, 26)),
        ('{"job": {"x": {"region": "${file("a")}"}}}', (1, 26)),
        ("{" * 5000, (1, 2)),
        ('{"a":' * 5000, (1, 506)),
    ],
)
def test_mistakes_in_the_json_notation_are_reported_at_their_places(
    source: str, place: tuple[int, int]
) -> None:
    assert errors(source.replace('("a")', r"(\"a\")"))[0][:2] == place


def test_files_are_read_relative_to_the_base_folder_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    source = 'job "x" {\n region = file("a.txt")\n}\n'
    assert parsed(source, base_dir=tmp_path, allow_filesystem=True)["Region"] == "hello"
    assert errors(source, base_dir=tmp_path) == [(2, 11, "Error in function call")]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (b'job "x" {\n region = "\xff"\n}\n', (2, 12)),
        ("\ud800", (1, 1)),
        (b"\xef\xbb\xbf\xff", (1, 1)),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_at_their_place(
    source: str | bytes, place: tuple[int, int]
) -> None:
    assert errors(source) == [(*place, "Invalid character encoding")]
