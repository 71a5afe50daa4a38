"""The edge to the person: standard output, error and input, and whether they are a terminal."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, TextIO

from hanse.cli.text import paint, width_of

_WIDTH_DEFAULT = 80


class Terminal:
    """Where a command writes to and reads from."""

    def __init__(
        self,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        source: TextIO | None = None,
        color: bool | None = None,
    ) -> None:
        """The process's own streams by default; colour by default only on a terminal."""
        self.out_stream = out or sys.stdout
        self.err_stream = err or sys.stderr
        self.in_stream = source or sys.stdin
        self.live_rows = 0
        self.color = self.out_stream.isatty() if color is None else color
        self.color_err = self.err_stream.isatty() if color is None else color

    @property
    def interactive(self) -> bool:
        """Whether lines may be rewritten: standard output is a terminal."""
        return self.out_stream.isatty()

    @property
    def width(self) -> int | None:
        """Columns to fit into; None means any number: the output is no terminal."""
        if not self.interactive:
            return None
        try:
            return os.get_terminal_size(self.out_stream.fileno()).columns or _WIDTH_DEFAULT
        except OSError:
            return _WIDTH_DEFAULT

    def out(self, text: str = "") -> None:
        """A line or several to standard output."""
        self.out_stream.write(paint(text, color=self.color) + "\n")
        if self.interactive:
            self.out_stream.flush()

    def err(self, text: str) -> None:
        """A line or several to standard error."""
        self.out_stream.flush()
        self.err_stream.write(paint(text, color=self.color_err) + "\n")
        self.err_stream.flush()

    def raw(self, data: bytes) -> None:
        """Bytes as they are: logs, files."""
        binary: BinaryIO | None = getattr(self.out_stream, "buffer", None)
        if binary is None:
            self.out_stream.write(data.decode(errors="replace"))
        else:
            self.out_stream.flush()
            binary.write(data)
        self.flush()

    def verbatim(self, data: bytes) -> None:
        """Somebody's text: as it is into a pipe, with control characters visible on a screen."""
        if self.interactive:
            self.out(data.decode(errors="replace").removesuffix("\n"))
        else:
            self.raw(data)

    def raw_err(self, data: bytes) -> None:
        """Bytes to standard error."""
        binary: BinaryIO | None = getattr(self.err_stream, "buffer", None)
        if binary is None:
            self.err_stream.write(data.decode(errors="replace"))
        else:
            binary.write(data)
        self.err_stream.flush()

    def live(self, text: str) -> None:
        """Show text in the place of what `live` showed last. Only on a terminal."""
        width = self.width or _WIDTH_DEFAULT
        erase = f"\x1b[{self.live_rows}A\x1b[J" if self.live_rows else ""
        lines = text.split("\n")
        self.live_rows = sum(max(1, -(-width_of(line) // width)) for line in lines)
        self.out_stream.write(erase + paint(text, color=self.color) + "\n")
        self.out_stream.flush()

    def live_done(self) -> None:
        """What `live` showed stays."""
        self.live_rows = 0

    def ask(self, question: str) -> str:
        """A question and its answer; an empty text at the end of the input."""
        self.out_stream.write(paint(question, color=self.color) + " ")
        self.out_stream.flush()
        return self.in_stream.readline().strip()

    def flush(self) -> None:
        """All that was written leaves now."""
        self.out_stream.flush()
