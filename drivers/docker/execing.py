"""Running a command in a container, by the engine's two-way stream."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from drivers.common import streams
from drivers.docker.body import NAME
from drivers.docker.engine import Engine, failed
from drivers.docker.http import EngineAway, EngineRefused, Stream, open_stream
from hanse.driver import ExecInput, ExecOutput
from hanse.errors import DriverFailed

_FRAME_HEAD = 8
_NOT_STARTED = b"OCI runtime exec failed"
_NOT_STARTED_CODES = (126, 127)


async def run_command(
    engine: Engine,
    container_id: str,
    command: list[str],
    *,
    tty: bool,
    inputs: AsyncIterator[ExecInput],
) -> AsyncGenerator[ExecOutput]:
    """Run `command`; closing the generator ends it. Raises DriverFailed if it cannot start."""
    try:
        exec_id, stream = await _begin(engine, container_id, command, tty=tty)
    except (EngineAway, EngineRefused) as error:
        if isinstance(error, EngineRefused) and error.status == 409:
            raise DriverFailed(NAME, "the task is not running") from error
        raise failed(f"cannot run {command[0]}", error) from error
    ended = False
    try:
        outputs = _demux(stream, tty=tty)
        feed = _feed(engine, exec_id, stream, tty=tty, inputs=inputs)
        reads: list[tuple[str, Callable[[], Awaitable[bytes]]]] = [("stdout", outputs.stdout)]
        if not tty:
            reads.append(("stderr", outputs.stderr))
        code = _exit_code(engine, exec_id, outputs)
        first = True
        async with contextlib.aclosing(streams.run_exec(reads, feed, code)) as joined:
            async for output in joined:
                if first and output.stdout.startswith(_NOT_STARTED):
                    raise DriverFailed(NAME, output.stdout.decode(errors="replace").strip())
                first = False
                ended = output.exit_code is not None
                yield output
    finally:
        stream.close()
        if not ended:
            engine.submit(lambda client: _kill(client, exec_id))


async def _begin(
    engine: Engine, container_id: str, command: list[str], *, tty: bool
) -> tuple[str, Stream]:
    address = await engine.address()
    made = await engine.call(
        lambda client: client.exec_create(
            container_id, command, stdin=True, tty=tty, environment={"TERM": "xterm"} if tty else {}
        )
    )
    exec_id = str(made["Id"])
    stream = await open_stream(
        address,
        "POST",
        f"{engine.prefix}/exec/{exec_id}/start",
        body={"Detach": False, "Tty": tty},
        upgrade=True,
    )
    return exec_id, stream


def _resize(exec_id: str, height: int, width: int, client: Any) -> None:
    client.exec_resize(exec_id, height=height, width=width)


def _kill(client: Any, exec_id: str) -> None:
    """End a command nobody listens to; the engine has no call for it."""
    found = client.exec_inspect(exec_id)
    pid = found.get("Pid")
    # Only the engine's own machine has that process, and only as long as it runs.
    if found.get("Running") and pid and os.path.exists(f"/proc/{pid}"):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class _Demux:
    """Parts the engine's frames into two streams, read by two readers."""

    def __init__(self, stream: Stream, *, tty: bool) -> None:
        self._stream = stream
        self._tty = tty
        self._buffer = b""
        self._found: dict[int, list[bytes]] = {1: [], 2: []}
        self._reading = False
        self._arrived = asyncio.Condition()
        self.over = asyncio.Event()

    async def stdout(self) -> bytes:
        """The next bytes of stdout, b"" at the end."""
        return await self._next(1)

    async def stderr(self) -> bytes:
        """The next bytes of stderr, b"" at the end."""
        return await self._next(2)

    async def _next(self, stream: int) -> bytes:
        """Whoever finds nobody reading reads, for both."""
        while not self._found[stream] and not self.over.is_set():
            if self._reading:
                async with self._arrived:
                    await self._arrived.wait_for(
                        lambda: bool(self._found[stream]) or not self._reading or self.over.is_set()
                    )
                continue
            self._reading = True
            try:
                await self._read()
            finally:
                self._reading = False
                async with self._arrived:
                    self._arrived.notify_all()
        return self._found[stream].pop(0) if self._found[stream] else b""

    async def _read(self) -> None:
        try:
            data = await self._stream.read()
        except EngineAway:
            data = b""
        if not data:
            self.over.set()
            return
        if self._tty:
            self._found[1].append(data)
            return
        self._buffer += data
        while len(self._buffer) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(self._buffer[4:8], "big")
            if len(self._buffer) < end:
                break
            self._found[2 if self._buffer[0] == 2 else 1].append(self._buffer[_FRAME_HEAD:end])
            self._buffer = self._buffer[end:]


def _demux(stream: Stream, *, tty: bool) -> _Demux:
    return _Demux(stream, tty=tty)


async def _feed(
    engine: Engine, exec_id: str, stream: Stream, *, tty: bool, inputs: AsyncIterator[ExecInput]
) -> None:
    with contextlib.suppress(EngineAway):
        async for message in inputs:
            if message.tty_size:
                height, width = message.tty_size
                # Refused once the command has ended.
                with contextlib.suppress(EngineRefused):
                    await engine.call(functools.partial(_resize, exec_id, height, width))
            if message.stdin:
                await stream.write(message.stdin)
            if message.close_stdin:
                if tty:
                    await stream.write(b"\x04")
                else:
                    stream.write_end()
                    return


async def _exit_code(engine: Engine, exec_id: str, outputs: _Demux) -> int:
    await outputs.over.wait()
    try:
        found = await engine.call(lambda client: client.exec_inspect(exec_id))
    except (EngineAway, EngineRefused) as error:
        raise failed("cannot learn how the command ended", error) from error
    code = found.get("ExitCode")
    return code if isinstance(code, int) else 0
