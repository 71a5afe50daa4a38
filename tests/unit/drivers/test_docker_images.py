"""Names of images, progress of pulls, times of log entries."""

import pytest

from drivers.docker.entries import Cursor, EntryParser, Resume, since_parameter
from drivers.docker.http import Address, EngineRefused, parse_address
from drivers.docker.images import Progress, join_reference, registry_of, split_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("reference", "name", "registry"),
    [
        ("redis", "redis:latest", "https://index.docker.io/v1/"),
        ("redis:7", "redis:7", "https://index.docker.io/v1/"),
        ("hashicorp/web", "hashicorp/web:latest", "https://index.docker.io/v1/"),
        ("https://reg.example:5000/a/b", "reg.example:5000/a/b:latest", "reg.example:5000"),
        ("localhost/x:1", "localhost/x:1", "localhost"),
        (f"redis@{DIGEST}", f"redis@{DIGEST}", "https://index.docker.io/v1/"),
    ],
)
def test_an_image_has_a_full_name_and_a_registry(reference: str, name: str, registry: str) -> None:
    assert join_reference(*split_reference(reference)) == name
    assert registry_of(name) == registry


def test_progress_adds_up_the_layers() -> None:
    progress = Progress()
    for line in (
        {"status": "Pulling from library/redis", "id": "7"},
        {"status": "Already exists", "id": "a"},
        {"status": "Pulling fs layer", "id": "b", "progressDetail": {}},
        {"status": "Pulling fs layer", "id": "c", "progressDetail": {}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 512, "total": 1024}},
        {"status": "Downloading", "id": "c", "progressDetail": {"current": 0, "total": 3 << 20}},
    ):
        progress.take(line)
    assert str(progress) == "Pulled 1/3 layers (512 B of 3.0 MiB)"
    progress.take({"status": "Download complete", "id": "b"})
    progress.take({"status": "Pull complete", "id": "b"})
    assert str(progress) == "Pulled 2/3 layers (1.0 KiB of 3.0 MiB)"
    with pytest.raises(EngineRefused, match="no such thing"):
        progress.take({"error": "no such thing"})


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("unix:///var/run/docker.sock", Address(path="/var/run/docker.sock")),
        ("http+unix:///run/d.sock", Address(path="/run/d.sock")),
        ("tcp://10.0.0.1:99", Address(host="10.0.0.1", port=99)),
        ("tcp://10.0.0.1", Address(host="10.0.0.1", port=2375)),
    ],
)
def test_an_engines_address_is_read(url: str, address: Address) -> None:
    assert parse_address(url) == address


def test_an_address_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="npipe"):
        parse_address("npipe:////./pipe/docker_engine")


STAMP = b"2026-01-02T03:04:05.000000001Z "


def test_a_long_line_of_a_terminal_comes_in_pieces() -> None:
    parser = EntryParser(tty=True)
    long = b"a" * (16 << 10)
    wire = STAMP + long + STAMP + b"rest\r\n" + STAMP + b"next"
    found = [*parser.feed(wire), *parser.finish()]
    assert [entry.data for entry in found] == [long, b"rest\r\n", b"next"]


@pytest.mark.parametrize(
    "wire", [b"\x07\0\0\0\0\0\0\x01x", b"\x01\0\0\0\0\0\0\x01x", b"\x01\0\0\0\0\0\0\x03x y"]
)
def test_what_is_no_log_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|invalid|time"):
        list(EntryParser(tty=False).feed(wire))


def test_entries_of_one_moment_are_counted() -> None:
    cursor = Cursor().after(5).after(5)
    assert (cursor.since_ns, cursor.skip) == (5, 2)
    resume = Resume(cursor)
    assert [resume.is_new(at) for at in (4, 5, 5, 5, 6)] == [False, False, False, True, True]
    assert since_parameter([cursor, Cursor().after(1_500_000_000)]) == "0.000000005"


def test_a_clock_set_back_falls_back_to_counting() -> None:
    cursor = Cursor().after(10).after(7)
    assert (cursor.since_ns, cursor.skip) == (0, 2)
    assert cursor.after(11) == Cursor(since_ns=11, skip=1, total=3, latest_ns=11)
