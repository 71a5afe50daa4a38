"""The field table against the measured facts, and the package's small promises."""

import json
import subprocess
import sys
from pathlib import Path

from hanse.jobspec.schema import INTEGERS, structures

DATA = Path(__file__).parents[2] / "data" / "jobspec"
FACTS: dict[str, list[dict[str, str]] | None] = json.loads((DATA / "schema.json").read_text())


def test_the_table_has_every_field_in_the_measured_order() -> None:
    table = {
        name: [field.api for field in structure.fields if field.api[0] != "."]
        for name, structure in structures().items()
    }
    assert table == {
        name: [field["Go"] for field in fields or [] if field["Json"] != "-"]
        for name, fields in FACTS.items()
    }


def test_the_table_has_every_name_of_job_files() -> None:
    for name, fields in FACTS.items():
        structure = structures()[name]
        for field in fields or []:
            hcl, _, kind = field["Hcl"].partition(",")
            if not hcl or kind == "label":
                continue
            where = structure.blocks if kind == "block" else structure.attributes
            assert where[hcl].api == field["Go"], (name, hcl)


def test_every_type_in_the_table_is_known() -> None:
    known = {"string", "bool", "duration", "any", "strings", "bytes", "anything", *INTEGERS}
    for structure in structures().values():
        for field in structure.fields:
            assert field.kind in known or field.kind in structures(), field


def test_importing_the_package_imports_none_of_the_work() -> None:
    code = (
        "import sys, hanse.jobspec;"
        "print([m for m in sys.modules"
        " if m.startswith('hanse.jobspec.') or m in ('re2', 'yaml', 'bcrypt')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_parsing_a_plain_job_loads_none_of_the_slow_libraries() -> None:
    code = (
        "import sys, hanse.jobspec; hanse.jobspec.parse_job('job \"x\" {\\n}\\n');"
        "print([m for m in ('re2', 'yaml', 'bcrypt', 'hashlib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
