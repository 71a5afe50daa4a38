"""However output is cut into writes, the files hold it."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivers.common.rotate import RotatedLog


def joined(folder: str) -> bytes:
    files = sorted(Path(folder).iterdir(), key=lambda path: int(path.suffix[1:]))
    return b"".join(path.read_bytes() for path in files)


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=20),
    max_bytes=st.integers(1, 30),
    reopen=st.sets(st.integers(0, 19)),
)
def test_the_files_in_order_are_the_stream(
    pieces: list[bytes], max_bytes: int, reopen: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = RotatedLog(folder, "t.stdout", max_files=10_000, max_bytes=max_bytes)
        for number, piece in enumerate(pieces):
            if number in reopen:
                log.close()
                log = RotatedLog(folder, "t.stdout", max_files=10_000, max_bytes=max_bytes)
            log.write(piece)
        log.close()
        assert joined(folder) == b"".join(pieces)
        sizes = [path.stat().st_size for path in Path(folder).iterdir()]
        assert all(size <= max_bytes for size in sizes)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=20),
    max_bytes=st.integers(1, 30),
    max_files=st.integers(1, 5),
)
def test_with_few_files_the_end_of_the_stream_is_kept(
    pieces: list[bytes], max_bytes: int, max_files: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = RotatedLog(folder, "t.stdout", max_files=max_files, max_bytes=max_bytes)
        for piece in pieces:
            log.write(piece)
        log.close()
        kept, stream = joined(folder), b"".join(pieces)
        assert stream.endswith(kept)
        assert len(list(Path(folder).iterdir())) <= max_files
        assert len(kept) >= min(len(stream), (max_files - 1) * max_bytes)


@given(
    before=st.binary(max_size=60),
    lost=st.binary(max_size=60),
    after=st.binary(max_size=60),
    max_bytes=st.integers(1, 30),
)
def test_going_back_to_a_place_forgets_only_what_came_after(
    before: bytes, lost: bytes, after: bytes, max_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = RotatedLog(folder, "t.stdout", max_files=10_000, max_bytes=max_bytes)
        log.write(before)
        place = log.position
        log.write(lost)
        log.close()
        log = RotatedLog(folder, "t.stdout", max_files=10_000, max_bytes=max_bytes)
        log.rewind(place)
        log.write(after)
        log.close()
        assert joined(folder) == before + after
