"""Moving bytes between descriptors and the messages of an exec, without threads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

from hanse.driver import ExecInput, ExecOutput

_READ_BYTES = 1 << 16
#: The most messages that wait for a slow reader.
_QUEUE_MAX = 16
#: How long output may go on after the command's end: a child of it may hold the stream.
_REST_S = 1.0


async def _ready(fd: int, *, to_write: bool) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    add = loop.add_writer if to_write else loop.add_reader
    remove = loop.remove_writer if to_write else loop.remove_reader

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    add(fd, wake)
    try:
        await done
    finally:
        remove(fd)


async def read_fd(fd: int) -> bytes:
    """Read from a non-blocking pipe or terminal; b"" at its end."""
    while True:
        try:
            return os.read(fd, _READ_BYTES)
        except BlockingIOError:
            await _ready(fd, to_write=False)
        except OSError as error:
            # A terminal whose other side is closed says so.
            if error.errno == errno.EIO:
                return b""
            raise


async def write_fd(fd: int, data: bytes) -> bool:
    """Write all of `data` to a non-blocking descriptor; False when nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, to_write=True)
        except OSError:
            return False
    return True


def resize(fd: int, height: int, width: int) -> None:
    """Set the size of a terminal, in characters."""
    size = struct.pack("HHHH", max(0, height) & 0xFFFF, max(0, width) & 0xFFFF, 0, 0)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, size)


async def feed_pipe(fd: int, inputs: AsyncIterator[ExecInput]) -> None:
    """Write what comes in to a command's stdin, which is closed at the end. Takes `fd`."""
    try:
        async for message in inputs:
            if message.stdin and not await write_fd(fd, message.stdin):
                return
            if message.close_stdin:
                return
    finally:
        os.close(fd)


async def feed_terminal(fd: int, inputs: AsyncIterator[ExecInput]) -> None:
    """Write what comes in to a terminal, and follow its size. `fd` stays open."""
    async for message in inputs:
        if message.tty_size:
            resize(fd, *message.tty_size)
        if message.stdin and not await write_fd(fd, message.stdin):
            return
        if message.close_stdin:
            await write_fd(fd, b"\x04")


async def run_exec(
    outputs: Sequence[tuple[str, Callable[[], Awaitable[bytes]]]],
    feed: Awaitable[None],
    ended: Awaitable[int],
) -> AsyncGenerator[ExecOutput]:
    """Join a command's streams into one: output as it comes, then the exit code.

    `outputs` are names (`stdout`, `stderr`) and ways to read, b"" being the end.
    """
    queue: asyncio.Queue[ExecOutput] = asyncio.Queue(_QUEUE_MAX)

    async def pump(name: str, read: Callable[[], Awaitable[bytes]]) -> None:
        while data := await read():
            message = ExecOutput(stdout=data) if name == "stdout" else ExecOutput(stderr=data)
            await queue.put(message)

    async def pump_all() -> None:
        async with asyncio.TaskGroup() as group:
            for name, read in outputs:
                group.create_task(pump(name, read))

    async def finish() -> None:
        async with asyncio.TaskGroup() as group:
            pumps = group.create_task(pump_all())
            code = await ended
            # The clock of the loop: this is about the process, not about what it says.
            await asyncio.wait([pumps], timeout=_REST_S if queue.empty() else None)
            pumps.cancel()
        await queue.put(ExecOutput(exit_code=code))

    closed = False
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_await(feed)), group.create_task(finish())]
        try:
            while not closed:
                message = await queue.get()
                yield message
                closed = message.exit_code is not None
        except GeneratorExit:
            # Inside a task group it would come out as an exception group.
            closed = True
        for task in tasks:
            task.cancel()


async def _await(something: Awaitable[None]) -> None:
    await something
