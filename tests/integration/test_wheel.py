"""The wheel holds what it should, and what is installed from it runs without the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from hanse import __version__

REPO = Path(__file__).resolve().parents[2]
PACKAGES = {"hanse", "region", "federation", "client", "drivers"}
UV = Path(sys.executable).with_name("uv")
LOAD_DRIVERS = """
from importlib.metadata import entry_points
for point in sorted(entry_points(group="hanse.drivers")):
    print(point.name, point.load().__module__.split(".")[0])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the repository; its output, or a failed test with all it said."""
    outside = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        command, cwd=cwd, env=outside, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built through the sdist, so that the sdist is complete too."""
    out = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--out-dir", out, REPO, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment with only the wheel in it."""
    home = tmp_path_factory.mktemp("installed")
    run(UV, "venv", "--quiet", "--python", sys.executable, home / "venv", cwd=home)
    programs = home / "venv" / "bin"
    run(UV, "pip", "install", "--quiet", "--python", programs / "python", wheel, cwd=home)
    return programs


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    info = f"hanse-{__version__}.dist-info"
    assert {PurePosixPath(name).parts[0] for name in names} == PACKAGES | {info}
    assert "hanse/py.typed" in names
    licence = zipfile.ZipFile(wheel).read(f"{info}/licenses/LICENSE")
    assert licence.startswith(b"Mozilla Public License Version 2.0")
    ours = {
        str(path.relative_to(REPO))
        for package in PACKAGES
        for path in (REPO / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours - set(names) == set()


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert __version__ in run(installed / "hanse", "version", cwd=tmp_path)


def test_the_installed_drivers_are_found_by_entry_point(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "python", "-I", "-c", LOAD_DRIVERS, cwd=tmp_path)
    assert said.split("\n")[:-1] == ["docker drivers", "raw_exec drivers"]
