"""The edge to the person: standard output, error and input, and whether they are a terminal."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, TextIO

from hanse.cli.text import paint, width_of

_WIDTH_DEFAULT = 80
_HEIGHT_DEFAULT = 24


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
        self._live_rows = 0
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
        return self._size()[0]

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

    def live(self, text: str, *, last: bool = False) -> None:
        """Show text in the place of what `live` showed before. Only on a terminal.

        What does not fit on the screen is left out, except of the `last` text, which stays.
        """
        width, height = self._size()
        erase = f"\x1b[{self._live_rows}A\x1b[J" if self._live_rows else ""
        rows = 0
        shown: list[str] = []
        for line in text.split("\n"):
            rows += max(1, -(-width_of(line) // width))
            if rows >= height and not last:
                break
            self._live_rows = rows
            shown.append(line)
        if last:
            self._live_rows = 0
        self.out_stream.write(erase + paint("\n".join(shown), color=self.color) + "\n")
        self.out_stream.flush()

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self.out_stream.fileno())
        except OSError:
            return _WIDTH_DEFAULT, _HEIGHT_DEFAULT
        return size.columns or _WIDTH_DEFAULT, size.lines or _HEIGHT_DEFAULT

    def ask(self, question: str) -> str:
        """A question and its answer; an empty text at the end of the input."""
        self.out_stream.write(paint(question, color=self.color) + " ")
        self.out_stream.flush()
        return self.in_stream.readline().strip()

    def flush(self) -> None:
        """All that was written leaves now."""
        self.out_stream.flush()
