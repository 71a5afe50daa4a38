"""A view that renews itself in place."""

import io
import re

from hanse.cli.terminal import Terminal


class Screen(io.StringIO):
    """A terminal of 24 rows and 80 columns that draws what it is told, and can scroll."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = [""]
        self.row = 0

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no file")

    def write(self, text: str) -> int:
        for part in re.split(r"(\x1b\[\d*[AJ]|\n)", text):
            if part == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif part.endswith("A") and part.startswith("\x1b"):
                top = max(0, len(self.rows) - 24)
                self.row = max(top, self.row - int(part[2:-1]))
            elif part == "\x1b[J":
                del self.rows[self.row :]
                self.rows.append("")
            elif part:
                # A line over 80 columns goes on in the next row.
                for at in range(0, len(part), 80):
                    self.row += bool(at)
                    self.rows += [""] * (self.row + 1 - len(self.rows))
                    self.rows[self.row] = part[at : at + 80]
        return len(text)


def test_what_is_shown_again_takes_the_place_of_what_was_shown() -> None:
    screen = Screen()
    terminal = Terminal(out=screen, err=screen, color=False)
    terminal.out("before")
    terminal.live("one\n" + "w" * 100)
    terminal.live("two")
    terminal.live("three\nfour", last=True)
    terminal.out("after")
    assert screen.rows == ["before", "three", "four", "after", ""]


def test_a_view_taller_than_the_screen_is_cut_until_its_end() -> None:
    screen = Screen()
    terminal = Terminal(out=screen, err=screen, color=False)
    lines = [f"line {n}" for n in range(40)]
    for _ in range(3):
        terminal.live("\n".join(lines))
    assert screen.rows == [*lines[:23], ""]
    terminal.live("\n".join(lines), last=True)
    assert screen.rows == [*lines, ""]
