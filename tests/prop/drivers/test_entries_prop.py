"""Whenever copying a container's log is broken off, each entry is copied once."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from drivers.docker.entries import Cursor, EntryParser, Resume, parse_time

NS = 1_000_000_000


def stamp(at_ns: int) -> str:
    moment = datetime.fromtimestamp(at_ns // NS, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns % NS:09d}Z"


def frame(stream: int, at_ns: int, data: bytes) -> bytes:
    body = stamp(at_ns).encode() + b" " + data
    return bytes([stream, 0, 0, 0]) + len(body).to_bytes(4, "big") + body


TIMES = st.integers(1_700_000_000 * NS, 1_900_000_000 * NS)


@given(TIMES)
def test_a_time_is_read_to_the_nanosecond(at_ns: int) -> None:
    assert parse_time(stamp(at_ns).encode()) == at_ns


@given(
    entries=st.lists(
        st.tuples(st.sampled_from([1, 2]), TIMES, st.binary(max_size=50)), max_size=20
    ),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=50),
)
def test_frames_are_found_however_they_arrive(
    entries: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    wire = b"".join(frame(*entry) for entry in entries)
    parser = EntryParser(tty=False)
    found = []
    at = 0
    for size in cuts * (len(wire) // len(cuts) + 1):
        found += parser.feed(wire[at : at + size])
        at += size
    assert [
        (1 if each.stream == "stdout" else 2, each.at_ns, each.data) for each in found
    ] == entries


@given(
    lines=st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"")), max_size=10),
    tail=st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=50),
)
def test_lines_of_a_terminal_are_found_however_they_arrive(
    lines: list[bytes], tail: bytes, cuts: list[int]
) -> None:
    wanted = [line + b"\r\n" for line in lines] + ([tail] if tail else [])
    wire = b"".join(stamp(1_700_000_000 * NS).encode() + b" " + line for line in wanted)
    parser = EntryParser(tty=True)
    found = []
    at = 0
    for size in cuts * (len(wire) // len(cuts) + 1):
        found += parser.feed(wire[at : at + size])
        at += size
    found += parser.finish()
    assert [each.data for each in found] == wanted


class EngineLog:
    """A log as the engine keeps it, with the engine's own filter."""

    def __init__(self, times: list[int]) -> None:
        self.entries = [(at_ns, str(n)) for n, at_ns in enumerate(times)]

    def read(self, since_ns: int, written: int) -> list[tuple[int, str]]:
        return [each for each in self.entries[:written] if each[0] >= since_ns]


@given(
    steps=st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    breaks=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8),
    forward=st.booleans(),
)
def test_each_entry_is_copied_once_however_often_copying_breaks_off(
    steps: list[int], breaks: list[tuple[int, int]], forward: bool
) -> None:
    # Times may be equal, and without `forward` they may go back, but not between one reading and
    # the next: what the engine then leaves out is the limit that `entries` states.
    at_ns, times = 1000, []
    for step in steps:
        at_ns += abs(step) if forward else step
        times.append(at_ns)
    engine = EngineLog(times)
    cursor, copied = Cursor(), []
    for written, taken in [*sorted(breaks), (len(times), len(times))]:
        resume = Resume(cursor)
        visible = written if forward else len(times)
        for at, (time, name) in enumerate(engine.read(cursor.since_ns, visible)):
            caught_up = min(times[int(name) :]) >= cursor.latest_ns
            if at >= taken and written < len(times) and caught_up:
                break
            if resume.is_new(time):
                copied.append(name)
                cursor = cursor.after(time)
    resume = Resume(cursor)
    for time, name in engine.read(cursor.since_ns, len(times)):
        if resume.is_new(time):
            copied.append(name)
            cursor = cursor.after(time)
    assert copied == [str(n) for n in range(len(times))]
