"""Functions and operators, against results measured from the reference implementation of HCL."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hanse.jobspec.functions.encoding import json_text
from hanse.jobspec.values import name_of
from tests.unit.jobspec.evaluation import Outcome, value_of

DATA = Path(__file__).parents[2] / "data" / "jobspec"
CASES: list[dict[str, Any]] = json.loads((DATA / "functions.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["expr"]))
def test_an_expression_has_the_measured_result(case: dict[str, Any], tmp_path: Path) -> None:
    outcome = Outcome(case["expr"], base=tmp_path)
    if case["ok"]:
        assert not outcome.error
        assert name_of(outcome.value) == case["type"]
        assert json.loads(json_text(outcome.value)) == case["value"]
    else:
        assert (outcome.error, outcome.line, outcome.column) == (
            case["summary"],
            case["line"],
            case["column"],
        )


def test_bcrypt_makes_a_hash_of_the_wanted_cost() -> None:
    assert value_of('bcrypt("secret", 4)').startswith("$2a$04$")


def test_uuidv4_is_another_one_every_time() -> None:
    first, second = value_of("[uuidv4(), uuidv4()]")
    assert first != second
    assert first[14] == "4"


# A 512-bit key made for this test, and "hanse" encrypted with it by OpenSSL.
KEYS = {
    "RSA PRIVATE KEY": (
        "MIIBOwIBAAJBAMGHyTePkxZEU5Jw44gUhgc3oY1+cTxOIOy6oq9MWw+ERttaKDlf+SomW2+AuLAakEjw"
        "ay/Xml2XiCKAh4LuqjMCAwEAAQJBAIF0ENbHhT35ymVEeg6Gm/ir77a0A46xPDjdxwC3dJn1VuVcVP1k"
        "Z4Bt5rMCVxOzTcCqF3fGYYdtTWVLa9FLytECIQD+2ErW8MxdfcKDqdPZvShQrMIw0kjJqBRU38joQnv8"
        "pQIhAMJoWQkeSgXbeRe8F5WyH6M/NrfWcK/DPhmt59zwHpv3AiAH9rpf/SZlxYhOlQAJzd90pfFrlSax"
        "Jo98F4Ivv+QgAQIgTrmIzJt6aFLO/6CIgHMoQqg3lUx+R36t6CI3UY3fJ1MCIQDHLxIYlqJbGUmrYz3r"
        "5LCHF0zTGG8cfRggLIHUKjlD0A=="
    ),
    "PRIVATE KEY": (
        "MIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAwYfJN4+TFkRTknDjiBSGBzehjX5xPE4g"
        "7Lqir0xbD4RG21ooOV/5KiZbb4C4sBqQSPBrL9eaXZeIIoCHgu6qMwIDAQABAkEAgXQQ1seFPfnKZUR6"
        "Doab+KvvtrQDjrE8ON3HALd0mfVW5VxU/WRngG3mswJXE7NNwKoXd8Zhh21NZUtr0UvK0QIhAP7YStbw"
        "zF19woOp09m9KFCswjDSSMmoFFTfyOhCe/ylAiEAwmhZCR5KBdt5F7wXlbIfoz82t9Zwr8M+Ga3n3PAe"
        "m/cCIAf2ul/9JmXFiE6VAAnN33Sl8WuVJrEmj3wXgi+/5CABAiBOuYjMm3poUs7/oIiAcyhCqDeVTH5H"
        "fq3oIjdRjd8nUwIhAMcvEhiWolsZSatjPevksIcXTNMYbxx9GCAsgdQqOUPQ"
    ),
}
CIPHERTEXT = (
    "rgaOMYaTUWSUcIo2bWFQnOKKcHwgYcsiWO1rr8fJlQIB47JaIgMv6NDKk0FLg/IFjjriTZOUu8+mLfuHY87ZZQ=="
)


def pem(kind: str) -> str:
    return f"-----BEGIN {kind}-----\n{KEYS[kind]}\n-----END {kind}-----\n"


@pytest.mark.parametrize("kind", KEYS)
def test_rsadecrypt_reads_both_forms_of_key(kind: str) -> None:
    key = json.dumps(pem(kind))
    assert value_of(f'rsadecrypt("{CIPHERTEXT}", {key})') == "hanse"


@pytest.mark.parametrize(
    ("ciphertext", "key"),
    [
        ("!", "x"),
        (CIPHERTEXT, "x"),
        (CIPHERTEXT, "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"),
        ("AAAA", pem("PRIVATE KEY")),
        (base64.b64encode(bytes(63) + b"\1").decode(), pem("PRIVATE KEY")),
    ],
)
def test_rsadecrypt_refuses_what_it_cannot_decrypt(ciphertext: str, key: str) -> None:
    outcome = Outcome(f"rsadecrypt({json.dumps(ciphertext)}, {json.dumps(key)})")
    assert outcome.error == "Error in function call"


def test_filesets_are_relative_and_sorted_and_follow_the_pattern(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/deep/d.md", "[x]"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for pattern, found in {
        "*": ["[x]", "a.txt", "b.txt"],
        "**": ["[x]", "a.txt", "b.txt", "sub/c.txt", "sub/deep/d.md"],
        "**/*.txt": ["a.txt", "b.txt", "sub/c.txt"],
        "{a,sub/c}.txt": ["a.txt", "sub/c.txt"],
        "[^a]*.txt": ["b.txt"],
        "sub/*/?.md": ["sub/deep/d.md"],
        r"\[x\]": ["[x]"],
    }.items():
        assert value_of(f'fileset(".", {json.dumps(pattern)})', base=tmp_path) == found, pattern


def test_paths_are_taken_apart_as_texts(tmp_path: Path) -> None:
    for expression, result in {
        'basename("")': ".",
        'basename("a//")': "a",
        'dirname("a//b/../c")': "a",
        'dirname("/a/b/")': "/a/b",
        'dirname("//a")': "/",
        'dirname("../x")': "..",
        'pathexpand("/~/x")': "/~/x",
        'abspath("/a/../b")': "/b",
        'fileexists("nope")': False,
    }.items():
        assert value_of(expression, base=tmp_path) == result, expression


def test_files_that_are_not_text_folders_and_absent_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    for expression in (
        'file("bytes")',
        'file(".")',
        'file("nope")',
        'fileexists(".")',
        'file("\\u0000")',
    ):
        assert Outcome(expression, base=tmp_path).error == "Error in function call", expression
    assert value_of('filebase64("bytes")', base=tmp_path) == "/w=="
