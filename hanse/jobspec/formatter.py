"""`hanse fmt`: the canonical layout of a source. Only blanks change; comments and line breaks stay.

A line has three cells: what leads, an assignment, a trailing comment. Lines are indented by the
brackets open before them; blanks inside a cell follow from pairs of tokens; the assignments of
neighbouring lines are aligned with one another, and so are their comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hanse.jobspec import scanner as tk
from hanse.jobspec.diagnostics import Report, Source
from hanse.jobspec.graphemes import cluster_count
from hanse.jobspec.job import decode_source
from hanse.jobspec.parser import parse_body
from hanse.jobspec.scanner import Scanner, Token

_OPENING = {"{", "[", "(", tk.OPEN_VALUE, tk.OPEN_DIRECTIVE}
_CLOSING = {"}", "]", ")", tk.CLOSE_SEQUENCE}
#: A minus behind one of these is a sign.
_BEFORE_SIGN = {
    "",
    *("(", "{", "[", "=", ":", ",", "?"),
    *("+", "*", "/", "%", "-"),
    *("==", "!=", ">", ">=", "<", "<="),
    *("&&", "||", "!"),
}
_INDENT = 2


def formatted(source: str, filename: str) -> str:
    """See `hanse.jobspec.format_source`."""
    report = Report()
    text = decode_source(source, filename, report)
    report.raise_errors()
    if text.text.lstrip().startswith("{"):
        from hanse.jobspec.diagnostics import Fault  # noqa: PLC0415 - seldom needed
        from hanse.jobspec.hcljson import parse_json  # noqa: PLC0415 - seldom needed

        try:
            parse_json(text)
        except Fault as fault:
            report.add(text, fault)
        report.raise_errors()
        return source
    parse_body(text, report)
    report.raise_errors()
    return _layout(text)


@dataclass(slots=True)
class _Piece:
    """A token with the blanks before it. A line comment includes its line break."""

    kind: str
    text: str
    #: Blanks in the source, for what must stay as it is.
    original: int
    blanks: int = 0
    #: Inside a `${…}` that the client agent will read as it is written.
    frozen: bool = False

    @property
    def change(self) -> int:
        """How many brackets it opens, or closes if negative."""
        return (self.kind in _OPENING) - (self.kind in _CLOSING)

    @property
    def ends_line(self) -> bool:
        return self.kind == tk.NEWLINE or (self.kind == tk.COMMENT and self.text.endswith("\n"))


_NOTHING = _Piece("", "", 0)


@dataclass(slots=True)
class _Line:
    lead: list[_Piece]
    assign: list[_Piece] = field(default_factory=list[_Piece])
    comment: list[_Piece] = field(default_factory=list[_Piece])


def _layout(source: Source) -> str:
    pieces = _pieces(Scanner(source, Report()).scan())
    lines = _lines(pieces)
    _indent(lines)
    for line in lines:
        _space(line.lead)
        if line.assign:
            line.assign[0].blanks = 1
            _space(line.assign)
    _align_assignments(lines)
    _align_comments(lines)
    return "".join([" " * piece.blanks + piece.text for piece in pieces])


def _pieces(tokens: list[Token]) -> list[_Piece]:
    pieces: list[_Piece] = []
    end = 0
    for token in tokens[:-1]:
        last = pieces[-1] if pieces else _NOTHING
        line_comment = last.kind == tk.COMMENT and not last.text.startswith("/*")
        if token.kind == tk.NEWLINE and line_comment and not last.ends_line:
            last.text += token.text
        else:
            pieces.append(_Piece(token.kind, token.text, token.start - end))
        end = token.end
    _freeze(pieces)
    return pieces


def _freeze(pieces: list[_Piece]) -> None:
    """Mark the inside of sequences that may be runtime references: their blanks are text."""
    for start, piece in enumerate(pieces):
        if piece.text != "${":
            continue
        end = start + 1
        while end < len(pieces) and pieces[end].kind in (
            tk.IDENT,
            tk.NUMBER,
            ".",
            "[",
            "]",
            tk.OPEN_QUOTE,
            tk.TEXT,
            tk.CLOSE_QUOTE,
        ):
            end += 1
        inside = pieces[start + 1 : end]
        if (
            end < len(pieces)
            and pieces[end].kind == tk.CLOSE_SEQUENCE
            and pieces[end].text == "}"
            and inside
            and inside[0].text not in ("var", "local")
        ):
            for part in [*inside, pieces[end]]:
                part.frozen = True


def _lines(pieces: list[_Piece]) -> list[_Line]:
    lines: list[_Line] = []
    start = 0
    for position, piece in enumerate(pieces):
        if piece.ends_line:
            lines.append(_cells(pieces[start : position + 1]))
            start = position + 1
    if start < len(pieces):
        lines.append(_cells(pieces[start:]))
    return lines


def _cells(pieces: list[_Piece]) -> _Line:
    line = _Line(pieces)
    if len(line.lead) > 1 and line.lead[-1].kind == tk.COMMENT:
        line.lead, line.comment = line.lead[:-1], line.lead[-1:]
    for position, piece in enumerate(line.lead):
        if position and piece.kind == "=":
            # Something that goes on over the next lines is not lined up with its neighbours.
            if sum(p.change for p in line.lead[position:]) == 0:
                line.lead, line.assign = line.lead[:position], line.lead[position:]
            break
    return line


def _net_change(pieces: list[_Piece]) -> int:
    """Brackets opened and not closed again, as far as a heredoc's marker."""
    change = 0
    for piece in pieces:
        change += piece.change
        if piece.kind == tk.OPEN_HEREDOC:
            break
    return change


def _indent(lines: list[_Line]) -> None:
    """A line that opens brackets, however many, indents what follows by one step."""
    opened: list[int] = []
    for line in lines:
        if line.lead[0].kind == tk.NEWLINE:
            line.lead[0].blanks = 0
            continue
        change = _net_change(line.lead) + _net_change(line.assign)
        closed = max(-change, 0)
        while closed and opened:
            taken = min(closed, opened[-1])
            opened[-1] -= taken
            closed -= taken
            if not opened[-1]:
                opened.pop()
        line.lead[0].blanks = _INDENT * len(opened)
        if change > 0:
            opened.append(change)


def _space(pieces: list[_Piece]) -> None:
    before = _NOTHING
    for position, piece in enumerate(pieces[:-1]):
        after = pieces[position + 1]
        if after.frozen or (piece.kind == tk.NUMBER and after.kind == "."):
            # `x.0 .0` is two steps, `x.0.0` is a number.
            after.blanks = after.original
        else:
            after.blanks = int(_blank_between(before, piece, after))
        before = piece


_TEXTUAL = (tk.TEXT, tk.OPEN_QUOTE, tk.OPEN_HEREDOC)
_TEXTUAL_END = (tk.TEXT, tk.CLOSE_QUOTE, tk.CLOSE_HEREDOC)
_SEQUENCES = (tk.OPEN_VALUE, tk.OPEN_DIRECTIVE)


def _blank_between(before: _Piece, piece: _Piece, after: _Piece) -> bool:
    """Whether a blank belongs behind a piece, given its neighbours."""
    kind, following = piece.kind, after.kind
    if following == tk.NEWLINE or (kind == tk.IDENT and following == "("):
        return False
    if "::" in (kind, following) or "." in (kind, following) or following in (",", "..."):
        return False
    if kind == ",":
        return True
    if kind in _TEXTUAL or following in _TEXTUAL_END:
        return False
    if kind == tk.IDENT and piece.text == "in" and before.kind == tk.IDENT:
        return True
    if following == "[" and (kind in (tk.IDENT, tk.NUMBER) or piece.change < 0):
        return False
    if kind == "!":
        return False
    if kind == "-":
        return before.kind not in _BEFORE_SIGN
    return _blank_at_bracket(piece, after)


def _blank_at_bracket(piece: _Piece, after: _Piece) -> bool:
    kind, following = piece.kind, after.kind
    if kind == "{" or following == "}":
        return not (kind == "{" and following == "}")
    if (kind in _SEQUENCES and following == "{") or (
        kind == "}" and following == tk.CLOSE_SEQUENCE
    ):
        return True
    if kind == tk.CLOSE_SEQUENCE and following in _SEQUENCES:
        return False
    return not (piece.change > 0 or after.change < 0)


def _columns(pieces: list[_Piece]) -> int:
    return sum(piece.blanks + cluster_count(piece.text) for piece in pieces)


def _align_assignments(lines: list[_Line]) -> None:
    chain: list[_Line] = []
    for line in [*lines, _Line([])]:
        if line.assign:
            chain.append(line)
            continue
        widest = max((_columns(member.lead) for member in chain), default=0)
        for member in chain:
            member.assign[0].blanks = widest - _columns(member.lead) + 1
        chain = []


def _align_comments(lines: list[_Line]) -> None:
    chain: list[_Line] = []
    for line in [*lines, _Line([])]:
        if line.comment:
            chain.append(line)
            continue
        widths = [_columns(member.lead) + _columns(member.assign) for member in chain]
        widest = max(widths, default=0)
        for member, width in zip(chain, widths, strict=True):
            member.comment[0].blanks = widest - width + 1
        chain = []
