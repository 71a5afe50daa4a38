"""`hanse alloc exec`: this terminal and a program far away."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hanse.cli.alloc_choice import choose_alloc, choose_task
from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError

if TYPE_CHECKING:
    from hanse.sdk.execution import Execution

_HEARTBEAT_S = 10.0
_CHUNK_BYTES = 32 * 1024
#: What a shell says of a program that a signal ended.
_HUNG_UP = 130


class Escape:
    """Finds `~.` at the beginning of a line: hang up. `~~` is one `~`."""

    def __init__(self, character: bytes) -> None:
        """An empty character finds nothing."""
        self._character = character
        self._at_start = True
        self._held = False

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """The bytes to pass on, and whether to hang up after them."""
        if not self._character:
            return data, False
        passed = bytearray()
        for at in range(len(data)):
            byte = data[at : at + 1]
            if self._held:
                self._held = False
                if byte == b".":
                    return bytes(passed), True
                passed += byte if byte == self._character else self._character + byte
            elif self._at_start and byte == self._character:
                self._held = True
                continue
            else:
                passed += byte
            self._at_start = byte in (b"\r", b"\n")
        return bytes(passed), False


def run(context: Context) -> int:
    """Run a program beside a task and end with its exit code."""
    from hanse.sdk.execution import Execution

    flags = context.flags
    command = context.arguments[1:]
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    wants_input = flags.on("i", default=True)
    tty = flags.on("t", default=terminal and wants_input)
    if tty and not wants_input:
        raise UsageError("-t needs -i")
    escape = _escape(flags.text("e", "~"))
    alloc = choose_alloc(context)
    task = choose_task(context, alloc, "")
    execution = Execution.start(
        context.client, alloc.id, task, command, tty=tty, namespace=alloc.namespace
    )
    source = sys.stdin.fileno() if wants_input else None
    session = _Session(context, execution, source, Escape(escape if tty and terminal else b""))
    try:
        if not wants_input:
            execution.close_input()
        with _raw_terminal(source if tty and terminal else None), _resizing(session, active=tty):
            return session.run()
    finally:
        session.close()


def _escape(text: str) -> bytes:
    if text == "none":
        return b""
    if len(text) != 1 or not text.isascii():
        raise UsageError("-e takes one character, or none")
    return text.encode()


class _Session:
    def __init__(
        self, context: Context, execution: Execution, source: int | None, escape: Escape
    ) -> None:
        self.execution = execution
        self._context = context
        self._source = source
        self._escape = escape
        #: Written to by the handler of SIGWINCH, so that `select` returns.
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)

    def run(self) -> int:
        """Carry bytes both ways until the program ends. Returns its exit code."""
        websocket = self.execution.websocket
        while True:
            watched = [websocket.fileno(), self.wake_read]
            if self._source is not None and not websocket.unsent:
                watched.append(self._source)
            leaving = [websocket.fileno()] if websocket.unsent else []
            wait_s = 0.0 if websocket.pending else _HEARTBEAT_S
            ready, writable, _ = select.select(watched, leaving, [], wait_s)
            if writable:
                websocket.flush()
            if websocket.fileno() in ready or websocket.pending:
                code = self._show()
                if code is not None:
                    return code
            if self.wake_read in ready:
                os.read(self.wake_read, _CHUNK_BYTES)
                self.send_size()
            if self._source is not None and self._source in ready and not self._pass_on():
                return _HUNG_UP
            if not ready and not writable and not websocket.pending:
                self.execution.heartbeat()

    def close(self) -> None:
        """Hang up."""
        self.execution.close()
        os.close(self.wake_read)
        os.close(self.wake_write)

    def _show(self) -> int | None:
        for output in self.execution.receive():
            if output.stdout:
                self._context.terminal.raw(output.stdout)
            if output.stderr:
                self._context.terminal.raw_err(output.stderr)
            if output.exit_code is not None:
                return output.exit_code
        return None

    def _pass_on(self) -> bool:
        """Hand input on; False when the person hangs up."""
        assert self._source is not None
        data = os.read(self._source, _CHUNK_BYTES)
        if not data:
            self._source = None
            self.execution.close_input()
            return True
        passed, hang_up = self._escape.feed(data)
        if passed:
            self.execution.send_input(passed)
        return not hang_up

    def send_size(self) -> None:
        """Tell how large our terminal is."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return
        if size.lines and size.columns:
            self.execution.resize(height=size.lines, width=size.columns)


@contextmanager
def _raw_terminal(terminal: int | None) -> Generator[None]:
    """Every key goes to the program; whatever happens, our terminal is as before afterwards."""
    if terminal is None:
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(terminal)
    try:
        # Draining, not flushing: what was typed ahead is for the program.
        tty.setraw(terminal, termios.TCSADRAIN)
        yield
    except termios.error as error:
        raise Failed(f"The terminal cannot be used: {error}") from error
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextmanager
def _resizing(session: _Session, *, active: bool) -> Generator[None]:
    """Tell the program whenever our terminal changes its size."""
    if not active:
        yield
        return

    def changed(number: int, frame: object) -> None:
        del number, frame
        os.write(session.wake_write, b"x")

    before = signal.signal(signal.SIGWINCH, changed)
    try:
        session.send_size()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
