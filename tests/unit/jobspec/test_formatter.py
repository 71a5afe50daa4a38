"""`format_source`: the layout, and what it must leave alone."""

import pytest

from hanse.jobspec import JobspecError, format_source


def fmt(text: str) -> str:
    return format_source(text, "t.hcl")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('job   "x"{\na=1\n}\n', 'job "x" {\n  a = 1\n}\n'),
        ('job "x"   {   }\njob y {a=1}\n', 'job "x" {}\njob y { a = 1 }\n'),
        ("a = 1\nbbb = 2\n\nc = 3\n", "a   = 1\nbbb = 2\n\nc = 3\n"),
        ("a = 1 # x\nbb = 22 // y\n", "a  = 1  # x\nbb = 22 // y\n"),
        ("# c\n   # d\na {\n# e\n}\n", "# c\n# d\na {\n  # e\n}\n"),
        ("a = [\n1,\n2\n]\n", "a = [\n  1,\n  2\n]\n"),
        ("a = [ {\n b = 1 }, {\n c = 2\n}]\n", "a = [{\n  b = 1 }, {\n  c = 2\n}]\n"),
        ("a = {\nb = 1\nccc : 2\n}\n", "a = {\n  b = 1\n  ccc : 2\n}\n"),
        ("a = f( 1,2 )[ 0 ] . b\n", "a = f(1, 2)[0].b\n"),
        ("a = -1 - -2\nb = x ? - 1 : ! y\n", "a = -1 - -2\nb = x ? -1 : !y\n"),
        (
            "a = [for x in [1]:x]\nb={for k,v in y:k=>v...}\n",
            "a = [for x in [1] : x]\nb = { for k, v in y : k => v... }\n",
        ),
        ('a = "x  ${ f( 1 ) }%{ if  b }y%{ endif }  z"\n', 'a = "x  ${f(1)}%{if b}y%{endif}  z"\n'),
        (
            "a {\n  b = <<-E\n   x\n     y\n    E\n c = 1\n}\n",
            "a {\n  b = <<-E\n   x\n     y\n    E\n  c = 1\n}\n",
        ),
        ("a = 1   \n\n\n\nb = 2\t\n", "a = 1\n\n\n\nb = 2\n"),
        ("a {\r\nb = 1\r\n}\r\n", "a {\r\n  b = 1\r\n}\r\n"),
        ("a = /* c */ 1 /* d */\n", "a = /* c */ 1 /* d */\n"),
        ("a = x.0 .1\n", "a = x.0 .1\n"),
        ("a = 1", "a = 1"),
        ("", ""),
        ("\t\n", "\n"),
    ],
)
def test_the_layout_is_canonical_and_stays(before: str, after: str) -> None:
    assert fmt(before) == after
    assert fmt(after) == after


def test_blanks_in_runtime_references_are_text_and_stay() -> None:
    text = 'a = "${ NOMAD_X } ${  env[ "b" ] . c }"\nb = "${ var.x }"\n'
    assert fmt(text) == 'a = "${ NOMAD_X } ${  env[ "b" ] . c }"\nb = "${var.x}"\n'


def test_a_source_that_is_not_valid_is_refused_with_its_mistakes() -> None:
    with pytest.raises(JobspecError) as caught:
        format_source('a = [1 2]\n"b" = 1\n', "x.hcl")
    assert [(d.file, d.line, d.column) for d in caught.value.diagnostics] == [
        ("x.hcl", 1, 8),
        ("x.hcl", 2, 1),
    ]


def test_the_json_notation_is_checked_and_left_alone() -> None:
    assert fmt('{ "a":1 }\n') == '{ "a":1 }\n'
    with pytest.raises(JobspecError):
        fmt('{ "a": }')
