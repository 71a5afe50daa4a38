"""The part of Go's templates that `-t` knows."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.cli.gotemplate import TemplateError, render

JOB: dict[str, Any] = {
    "ID": "web",
    "Priority": 50,
    "Stop": False,
    "Meta": {"b": "2", "a": "1"},
    "TaskGroups": [{"Name": "one", "Count": 1}, {"Name": "two", "Count": 3}],
    "Periodic": None,
    "Ratio": 0.5,
}


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{.ID}}", "web"),
        ("{{ .ID }}-{{.Priority}}-{{.Stop}}-{{.Ratio}}", "web-50-false-0.5"),
        ("{{.Periodic}}", "<nil>"),
        ("{{range .TaskGroups}}{{.Name}} {{end}}", "one two "),
        (
            "{{range $i, $g := .TaskGroups}}{{$i}}={{$g.Name}}:{{$.ID}} {{end}}",
            "0=one:web 1=two:web ",
        ),
        ("{{range $k, $v := .Meta}}{{$k}}{{$v}}{{end}}", "a1b2"),
        ("{{range .Periodic}}x{{else}}none{{end}}", "none"),
        ('{{if .Stop}}a{{else if eq .ID "web"}}b{{else}}c{{end}}', "b"),
        ("{{if and .ID (gt .Priority 49)}}yes{{end}}", "yes"),
        ("{{if not .Periodic}}no{{end}}", "no"),
        ("{{with .Meta}}{{.a}}{{end}}", "1"),
        ("{{len .TaskGroups}}", "2"),
        ("{{(index .TaskGroups 1).Name}}", "two"),
        ('{{index .Meta "a"}}{{index .Meta "none"}}', "1<nil>"),
        ('{{.ID | printf "%s-%d" | len}}', "16"),
        ('{{printf "%s has %d and %v" .ID (len .TaskGroups) .Stop}}', "web has 2 and false"),
        ('{{printf "%q %5.1f|%-5s|" .ID .Ratio .ID}}', '"web"   0.5|web  |'),
        ("{{println .ID 1}}", "web 1\n"),
        ("{{.Meta | toJson}}", '{"b":"2","a":"1"}'),
        ("{{.Meta}}", "map[a:1 b:2]"),
        ("{{$x := .ID}}{{$x}}{{$x = 3}}{{$x}}", "web3"),
        ("a  {{- .ID -}}  b", "awebb"),
        ("{{/* nothing */}}x", "x"),
        ('{{`raw`}}{{"a\\n"}}', "rawa\n"),
        ("{{slice .ID 0 2}}{{upper .ID}}", "weWEB"),
        ('{{range .TaskGroups}}{{if eq .Name "two"}}{{.Count}}{{end}}{{end}}', "3"),
    ],
)
def test_what_people_write_works_as_in_go(template: str, shown: str) -> None:
    assert render(template, JOB) == shown


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.IDD}}", "can't evaluate field IDD (did you mean .ID?)"),
        ("{{.ID.Name}}", "has no fields"),
        ("{{nofunc .ID}}", "function 'nofunc' is not defined"),
        ("{{if .ID}}", "{{end}} is missing"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{.ID", "}} is missing"),
        ("{{range .ID}}{{end}}", "no list or map"),
        ('{{template "x"}}', "not supported"),
        ("{{$y}}", "undefined variable $y"),
        ("{{index .TaskGroups 7}}", "index out of range: 7"),
        ("{{len 3}}", "len:"),
        ("{{lt .ID 3}}", "lt:"),
        ("{{(.ID}}", ") is missing"),
        ("{{.ID .Name}}", "can't evaluate field Name"),
        ("{{.ID | .Priority}}", "no function"),
        ("{{}}", "an empty command"),
        ("{{.ID ; }}", "unexpected"),
    ],
)
def test_what_does_not_fit_is_a_clear_error(template: str, said: str) -> None:
    with pytest.raises(TemplateError) as error:
        render(template, JOB)
    assert said in str(error.value)


@given(st.text(alphabet='{}.$|()=:"`ab 1-/*ifrangeend', max_size=60))
def test_no_template_ends_in_anything_but_text_or_its_own_error(template: str) -> None:
    with suppress(TemplateError):
        assert isinstance(render(template, JOB), str)
