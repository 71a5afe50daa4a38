"""Rotated log files."""

import os
from pathlib import Path

import pytest

from drivers.common.rotate import Position, RotatedLog


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_file_is_cut_at_the_exact_size_and_the_next_made_only_when_needed(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=3, max_bytes=4)
    log.write(b"abcd")
    assert contents(tmp_path) == {"web.stdout.0": b"abcd"}
    log.write(b"efghij")
    assert contents(tmp_path) == {
        "web.stdout.0": b"abcd",
        "web.stdout.1": b"efgh",
        "web.stdout.2": b"ij",
    }
    assert log.position == Position(2, 2)
    log.close()


def test_the_oldest_file_goes_when_there_are_too_many(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=2, max_bytes=2)
    log.write(b"aabbccd")
    assert contents(tmp_path) == {"web.stdout.2": b"cc", "web.stdout.3": b"d"}
    log.close()


def test_a_new_writer_goes_on_at_the_end_of_the_last_file(tmp_path: Path) -> None:
    for text in (b"abc", b"def"):
        log = RotatedLog(str(tmp_path), "web.stdout", max_files=9, max_bytes=4)
        log.write(text)
        log.close()
    assert contents(tmp_path) == {"web.stdout.0": b"abcd", "web.stdout.1": b"ef"}


def test_the_tenth_file_comes_after_the_ninth(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / f"web.stdout.{number}").write_bytes(b"x")
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=9, max_bytes=4)
    assert log.position == Position(10, 1)
    log.close()


def test_files_of_a_task_whose_name_begins_alike_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "web.stdout.extra.7").write_bytes(b"x")
    (tmp_path / "web.stdout.old").write_bytes(b"x")
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=1, max_bytes=1)
    log.write(b"ab")
    log.close()
    assert sorted(contents(tmp_path)) == ["web.stdout.1", "web.stdout.extra.7", "web.stdout.old"]


def test_what_was_written_after_a_place_can_be_cut_off(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=9, max_bytes=4)
    log.write(b"abcde")
    place = log.position
    log.write(b"fghijkl")
    log.rewind(place)
    log.write(b"XY")
    log.close()
    assert contents(tmp_path) == {"web.stdout.0": b"abcd", "web.stdout.1": b"eXY"}


def test_a_pipe_is_emptied_over_the_end_of_a_file(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=9, max_bytes=4)
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.write(write, b"abcdef")
    assert (log.take(read), log.take(read)) == (4, 2)
    with pytest.raises(BlockingIOError):
        log.take(read)
    os.close(write)
    assert log.take(read) == 0
    os.close(read)
    log.close()
    assert contents(tmp_path) == {"web.stdout.0": b"abcd", "web.stdout.1": b"ef"}


def test_the_end_of_a_pipe_at_the_end_of_a_file_makes_no_empty_file(tmp_path: Path) -> None:
    log = RotatedLog(str(tmp_path), "web.stdout", max_files=9, max_bytes=4)
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.write(write, b"abcd")
    assert log.take(read) == 4
    with pytest.raises(BlockingIOError):
        log.take(read)
    os.write(write, b"efghijk")
    assert log.take(read) == 7
    os.write(write, b"l")
    assert log.take(read) == 1
    os.close(write)
    assert log.take(read) == 0
    os.close(read)
    log.close()
    assert contents(tmp_path) == {
        "web.stdout.0": b"abcd",
        "web.stdout.1": b"efgh",
        "web.stdout.2": b"ijkl",
    }


@pytest.mark.parametrize("plant", ["link", "fifo", "folder"])
def test_what_a_task_plants_in_a_files_place_is_not_written_to(tmp_path: Path, plant: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    logs = tmp_path / "logs"
    logs.mkdir()
    place = logs / "web.stdout.1"
    match plant:
        case "link":
            place.symlink_to(victim)
        case "fifo":
            os.mkfifo(place)
        case _:
            place.mkdir()
    with pytest.raises(OSError, match=r"web\.stdout\.1"):
        RotatedLog(str(logs), "web.stdout", max_files=9, max_bytes=4)
    assert victim.read_bytes() == b"precious"


def test_a_folder_swapped_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    logs, victim = tmp_path / "logs", tmp_path / "victim"
    logs.mkdir()
    victim.mkdir()
    log = RotatedLog(str(logs), "web.stdout", max_files=1, max_bytes=2)
    logs.rename(tmp_path / "moved")
    logs.symlink_to(victim)
    log.write(b"aabb")
    log.close()
    assert contents(victim) == {}
    with pytest.raises(NotADirectoryError):
        RotatedLog(str(logs), "web.stdout", max_files=1, max_bytes=2)
