"""`hanse alloc logs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from hanse.cli.alloc_choice import choose_alloc, choose_task
from hanse.cli.command import Context
from hanse.cli.flags import UsageError

if TYPE_CHECKING:
    from hanse.sdk.transport import Stream

_LINES_DEFAULT = 10
#: How long a line is taken to be when the end of a log is first asked for.
_LINE_BYTES = 240
_WINDOW_BYTES_MIN = 4096


def run(context: Context) -> int:
    """Show what a task has written to one of its outputs."""
    flags = context.flags
    if flags.on("stdout") and flags.on("stderr"):
        raise UsageError("-stdout and -stderr exclude each other")
    tail_of(context)
    alloc = choose_alloc(context)
    task = choose_task(context, alloc, context.argument(1))
    which = "stderr" if flags.on("stderr") else "stdout"

    def read(*, follow: bool, offset: int, origin: str) -> Stream:
        return context.client.files.logs(
            alloc.id,
            task,
            which,
            follow=follow,
            offset=offset,
            origin=origin,
            namespace=alloc.namespace,
        )

    show(context, read, lambda stream: stream.chunks())
    return 0


class Read(Protocol):
    """Begin to read a log or a file."""

    def __call__(self, *, follow: bool, offset: int, origin: str) -> Stream:
        """`offset` bytes from the `origin`: `start`, or `end` and then backwards."""
        ...


def show(context: Context, read: Read, pieces: Callable[[Stream], Iterator[bytes]]) -> None:
    """Copy what is read to the output, as -f, -tail, -n and -c say."""
    follow = context.flags.on("f")
    lines, size = tail_of(context)
    if lines is not None:
        _tail(context, read, pieces, lines, follow=follow)
        return
    origin = "start" if size is None else "end"
    with read(follow=follow, offset=size or 0, origin=origin) as stream:
        for piece in pieces(stream):
            context.terminal.raw(piece)


def tail_of(context: Context) -> tuple[int | None, int | None]:
    """How many lines and how many bytes from the end to show; None is all. Raises UsageError."""
    flags = context.flags
    count, size = flags.number("n"), flags.number("c")
    if count is not None and size is not None:
        raise UsageError("-n and -c exclude each other")
    if not (flags.on("tail") or count is not None or size is not None):
        return None, None
    if (count or size or 0) < 0:
        raise UsageError("-n and -c take numbers from 0 up")
    if size is not None:
        return None, size
    return (_LINES_DEFAULT if count is None else count), None


def _tail(
    context: Context,
    read: Read,
    pieces: Callable[[Stream], Iterator[bytes]],
    lines: int,
    *,
    follow: bool,
) -> None:
    """The last lines: ask for more and more of the end until it holds so many."""
    window = max(lines * _LINE_BYTES, _WINDOW_BYTES_MIN)
    while True:
        with read(follow=False, offset=window, origin="end") as stream:
            end = b"".join(pieces(stream))
        if len(end) < window or end.count(b"\n") > lines:
            break
        window *= 4
    if not follow:
        context.terminal.raw(last_lines(end, lines))
        return
    # More may have been written meanwhile; at least so many bytes are there.
    with read(follow=True, offset=len(end), origin="end") as stream:
        first = b""
        for piece in pieces(stream):
            if len(first) >= len(end):
                context.terminal.raw(piece)
                continue
            first += piece
            if len(first) >= len(end):
                context.terminal.raw(last_lines(first, lines))


def last_lines(data: bytes, count: int) -> bytes:
    """The last lines of some bytes; one without an end counts. Pure."""
    if count == 0:
        return b""
    ended = data.endswith(b"\n")
    lines = data.removesuffix(b"\n").split(b"\n")[-count:]
    return b"\n".join(lines) + (b"\n" if ended else b"")
