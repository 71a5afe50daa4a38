"""What is wrong with a job file, where, and what to do about it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from hanse.errors import Invalid
from hanse.jobspec.graphemes import cluster_count
from hanse.jobspec.limits import FINDINGS_MAX

#: A half-open range of character offsets into one source text.
Span = tuple[int, int]

_LINE_SHOWN_MAX = 160
_LINE_CHARS_MAX = 100_000
#: How the findings begin that something is not there.
_ABSENCES = ("Missing ", "Unset ", "Undefined ", "Unsupported attribute")


class Diagnostic(msgspec.Struct, frozen=True):
    """One finding. `line` and `column` count from 1; both are 0 if it is of no place in a file."""

    severity: Literal["error", "warning"]
    summary: str
    detail: str
    file: str
    line: int
    column: int
    #: The whole line of the file that `line` names, without its line break; empty if too long.
    source_line: str
    #: What the author may have meant; empty if we cannot guess.
    hint: str

    def render(self, color: bool = False) -> str:
        """Several lines of text for a terminal; control characters of the source are escaped."""
        bold, red, yellow, plain = (
            ("\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m") if color else ("", "", "", "")
        )
        tint = red if self.severity == "error" else yellow
        lines = [f"{tint}{bold}{self.severity.title()}: {plain}{bold}{self.summary}{plain}"]
        if self.line:
            lines.append(f"  on {printable(self.file)}:{self.line}:{self.column}")
            lines.extend(self._excerpt(tint, plain))
        elif self.file:
            lines.append(f"  on {printable(self.file)}")
        lines.extend(f"  {printable(line)}" for line in self.detail.splitlines())
        if self.hint:
            lines.append(f"  Hint: {printable(self.hint)}")
        return "\n".join(lines)

    def _excerpt(self, tint: str, plain: str) -> list[str]:
        """The line and a caret under the place."""
        if not self.source_line:
            return []
        gutter = f"{self.line:>4} | "
        shown, indent = _window(self.source_line, self.column)
        caret = " " * (len(gutter) - 2) + "| " + " " * indent + f"{tint}^{plain}"
        return [gutter + shown, caret]


class JobspecError(Invalid):
    """A job file, variable file or variable value that cannot be used. Nothing was changed."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        """At least one of the diagnostics is an error."""
        super().__init__("", "\n\n".join(found.render() for found in diagnostics))
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)


class Fault(Exception):
    """Raised in this package to give up one expression, body item or value; always caught in it."""

    def __init__(self, summary: str, detail: str, span: Span | None = None, hint: str = "") -> None:
        """A `span` of None means that whoever catches it knows the place better."""
        super().__init__(summary)
        self.summary = summary
        self.detail = detail
        self.span = span
        self.hint = hint
        #: Set when the span is one of another source than that of the catcher.
        self.source: Source | None = None


class Silent(Fault):
    """Follows from something that has been reported; never reported itself."""

    def __init__(self) -> None:
        super().__init__("", "")


class Source:
    """One named text, able to turn offsets into lines and columns."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._starts: list[int] | None = None

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, from 1; columns count what a reader sees as characters."""
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        start = starts[line - 1]
        if offset - start > _LINE_CHARS_MAX:
            return line, offset - start + 1
        return line, cluster_count(self.text[start:offset]) + 1

    def line_text(self, line: int) -> str:
        """A line without its line break; empty if it is no line that anybody could look at."""
        starts = self._line_starts()
        end = starts[line] if line < len(starts) else len(self.text)
        if end - starts[line - 1] > _LINE_CHARS_MAX:
            return ""
        return self.text[starts[line - 1] : end].rstrip("\r\n")

    def where(self, offset: int) -> str:
        """The usual file:line:column."""
        line, column = self.place(offset)
        return f"{self.name}:{line}:{column}"

    def _line_starts(self) -> list[int]:
        if self._starts is None:
            self._starts = [0]
            position = self.text.find("\n")
            while position >= 0:
                self._starts.append(position + 1)
                position = self.text.find("\n", position + 1)
        return self._starts


class Report:
    """Collects the findings about one job; the same finding at the same place is kept once."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self._seen: set[tuple[str, str, int, int]] = set()
        #: Syntax errors have cost the file some items: that something is missing means nothing.
        self.incomplete = False

    @property
    def has_errors(self) -> bool:
        """Whether anything found makes the job unusable."""
        return any(found.severity == "error" for found in self.found)

    def add(
        self,
        source: Source | None,
        fault: Fault,
        span: Span | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Record a fault at its own span, or at `span` if it has none."""
        if isinstance(fault, Silent) or (self.incomplete and fault.summary.startswith(_ABSENCES)):
            return
        source = fault.source or source
        span = fault.span or span
        line, column, text = 0, 0, ""
        if source is not None and span is not None:
            line, column = source.place(min(span[0], len(source.text)))
            text = source.line_text(line)
        name = source.name if source is not None else ""
        key = (fault.summary, name, line, column)
        if (line and key in self._seen) or len(self.found) >= FINDINGS_MAX:
            return
        self._seen.add(key)
        self.found.append(
            Diagnostic(severity, fault.summary, fault.detail, name, line, column, text, fault.hint)
        )

    def sort_from(self, start: int) -> None:
        """Put the findings from the given one on into the order of their places."""
        rest = sorted(self.found[start:], key=lambda found: (found.file, found.line, found.column))
        self.found[start:] = rest

    def raise_errors(self) -> None:
        """Raises JobspecError with everything found if any of it is an error."""
        if self.has_errors:
            raise JobspecError(self.found)


def printable(text: str) -> str:
    """The text with control characters spelled out, so that it cannot drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else repr(c)[1:-1] for c in text)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known word that is at most two edits away, nearest first, or an empty string."""
    best, best_distance = "", 3
    for candidate in sorted(known):
        if abs(len(candidate) - len(word)) < best_distance:
            distance = edit_distance(word, candidate)
            if distance < best_distance:
                best, best_distance = candidate, distance
    return best


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or an empty string."""
    near = suggestion(word, known)
    return f'did you mean "{near}"?' if near else ""


def edit_distance(left: str, right: str) -> int:
    """Levenshtein's distance. Words over 64 characters are never near anything."""
    if len(left) > 64 or len(right) > 64:
        return 64
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a line to show, and how far the caret is to the right in it."""
    start = max(0, column - 1 - _LINE_SHOWN_MAX // 2) if len(line) > _LINE_SHOWN_MAX else 0
    end = start + _LINE_SHOWN_MAX
    lead, tail = "…" if start else "", "…" if end < len(line) else ""
    before = printable(line[start : column - 1].replace("\t", " "))
    after = printable(line[column - 1 : end].replace("\t", " "))
    return lead + before + after + tail, len(lead + before)
