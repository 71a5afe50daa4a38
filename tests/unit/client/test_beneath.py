"""Paths that must not leave an allocation's folder."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client import beneath
from client.files import describe, go_mode, list_folder, sniff
from client.layout import AllocFolders, alloc_folders
from hanse.errors import Denied, HanseError, Invalid, NotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folders = AllocFolders(tmp_path / "allocs" / "a1")
    folders.root.parent.mkdir()
    folders.make()
    folders.of_task("web").make()
    (folders.logs / "web.stdout.0").write_text("said")
    (folders.of_task("web").secrets / "key").write_text("hidden")
    (tmp_path / "outside").write_text("outside")
    return folders.root


def read(root: Path, path: str) -> str:
    descriptor = beneath.open_file(root, path)
    try:
        return os.read(descriptor, 100).decode()
    finally:
        os.close(descriptor)


def test_plain_paths_in_any_spelling_are_read(root: Path) -> None:
    for path in ("alloc/logs/web.stdout.0", "/alloc//logs/./web.stdout.0",
                 "web/../alloc/logs/web.stdout.0", "alloc/logs/../logs/web.stdout.0"):  # fmt: skip
        assert read(root, path) == "said"


def test_links_that_stay_inside_are_followed(root: Path) -> None:
    (root / "web/local/logs").symlink_to("../../alloc/logs")
    (root / "web/local/last").symlink_to("logs/web.stdout.0")
    assert read(root, "web/local/last") == "said"
    assert [info.name for info in list_folder(root, "web/local/logs")] == ["web.stdout.0"]


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../outside", "../../../..", "/", "../../alloc/../../.."]
)
def test_links_that_lead_out_are_refused(root: Path, target: str) -> None:
    (root / "web/local/out").symlink_to(target)
    for use in (beneath.open_file, beneath.stat_of, list_folder, describe):
        with pytest.raises(Denied):
            use(root, "web/local/out")


@pytest.mark.parametrize("path", ["..", "../a2", "alloc/../../..", "web/local/../../../outside"])
def test_dots_that_lead_out_are_refused(root: Path, path: str) -> None:
    with pytest.raises(Denied):
        beneath.stat_of(root, path)


@pytest.mark.parametrize(
    "path", ["web/secrets", "web/secrets/key", "web/secrets/", "web//secrets/./key", "alloc/s/key"]
)
def test_secrets_are_refused_by_any_name(root: Path, path: str) -> None:
    (root / "alloc/s").symlink_to("../web/secrets")
    with pytest.raises(Denied):
        beneath.open_file(root, path)
    with pytest.raises(Denied):
        list_folder(root, path)


def test_a_folder_called_secrets_elsewhere_is_nobodys_secret(root: Path) -> None:
    (root / "alloc/secrets").mkdir()
    (root / "alloc/secrets/x").write_text("open")
    assert read(root, "alloc/secrets/x") == "open"


def test_the_listing_of_a_task_shows_links_as_links(root: Path) -> None:
    (root / "web/out").symlink_to("/etc/passwd")
    found = {info.name: info.file_mode[0] for info in list_folder(root, "web")}
    assert found == {"local": "d", "out": "L", "secrets": "d", "tmp": "d"}


def test_loops_pipes_and_folders_are_no_files(root: Path) -> None:
    (root / "web/local/loop").symlink_to("loop")
    os.mkfifo(root / "web/local/pipe")
    for path in ("web/local/loop", "web/local/pipe", "web/local"):
        with pytest.raises(Invalid):
            beneath.open_file(root, path)
    with pytest.raises(Invalid):
        list_folder(root, "alloc/logs/web.stdout.0")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "a/" * 300])
def test_nonsense_is_refused(root: Path, path: str) -> None:
    with pytest.raises((Invalid, NotFound)):
        beneath.open_file(root, path)


def test_what_is_not_there_is_not_found(root: Path) -> None:
    with pytest.raises(NotFound):
        beneath.open_file(root, "alloc/nothing")
    with pytest.raises(NotFound):
        beneath.open_file(root, "nothing/at/all")


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "web/local/out").symlink_to("../../../..")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("alloc/logs/web.stdout.0", "web/local/out", "nothing", "web/secrets/key", ".."):
        try:
            os.close(beneath.open_file(root, path))
        except HanseError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before


PARTS = st.sampled_from(
    ["..", ".", "web", "alloc", "logs", "local", "secrets", "key", "l1", "l2", ""]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(PARTS, max_size=8).map("/".join),
    first=st.lists(PARTS, max_size=5).map("/".join),
    second=st.lists(PARTS, max_size=5).map("/".join),
)
def test_nothing_but_what_is_inside_is_ever_read(
    root: Path, path: str, first: str, second: str
) -> None:
    """Against the kernel's own idea of where a path leads."""
    for name, target in (("web/local/l1", first), ("alloc/l2", second)):
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target or ".")
    try:
        found = beneath.stat_of(root, path)
    except HanseError:
        return
    real = os.path.realpath(root / path.lstrip("/"))
    inside = os.path.realpath(root)
    assert real == inside or real.startswith(inside + "/")
    assert not real.startswith(f"{inside}/web/secrets")
    assert (os.stat(real).st_ino, os.stat(real).st_dev) == (found.st_ino, found.st_dev)


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0o100644, "-rw-r--r--"),
        (0o040755, "drwxr-xr-x"),
        (0o041777, "dtrwxrwxrwx"),
        (0o120777, "Lrwxrwxrwx"),
        (0o104755, "urwxr-xr-x"),
        (0o010600, "prw-------"),
        (0o020600, "Dcrw-------"),
    ],
)
def test_modes_are_written_as_go_does(mode: int, text: str) -> None:
    assert go_mode(mode) == text


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"", "text"), (b"<html>", "text"), (b"\x7fELF\0", "octet"), ("ä".encode()[:1], "text"),
     (b"a\xffb", "octet"), (b"\x1b[1mred", "text"), (b"\x01\x02", "octet")],
)  # fmt: skip
def test_content_is_never_called_anything_a_browser_would_run(head: bytes, kind: str) -> None:
    assert kind in sniff(head)


@pytest.mark.parametrize("name", ["", ".", "..", "alloc", "a/b", "a\0b"])
def test_a_tasks_name_never_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        AllocFolders(tmp_path).of_task(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\0"])
def test_an_allocations_id_never_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="allocation"):
        alloc_folders(tmp_path, name)
