"""Source text to tokens.

Theory of operation: a stack of modes. The ground mode reads code; a quote or a heredoc's marker
pushes a mode that reads text; `${` and `%{` inside text push a mode that reads code until its
closing brace. The parser therefore sees a flat list and never has to look at characters.
Tokens that no valid file has are reported here, where they are found, and dropped from
nothing: the parser stumbles over them by itself if it gets that far.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hanse.jobspec.diagnostics import Fault, Report, Source, Span
from hanse.jobspec.graphemes import SPACES
from hanse.jobspec.limits import NESTING_MAX, TOKENS_MAX

IDENT = "identifier"
NUMBER = "number"
NEWLINE = "newline"
COMMENT = "comment"
OPEN_QUOTE = "opening quote"
CLOSE_QUOTE = "closing quote"
OPEN_HEREDOC = "heredoc"
CLOSE_HEREDOC = "end of heredoc"
TEXT = "text"
#: A line break inside a quoted string.
BROKEN_LINE = "line break in a string"
OPEN_VALUE = "${"
OPEN_DIRECTIVE = "%{"
CLOSE_SEQUENCE = "end of sequence"
INVALID = "invalid character"
END = "end of file"


class Token(NamedTuple):
    """`kind` is one of the constants above, or for punctuation the text itself."""

    kind: str
    start: int
    end: int
    text: str

    @property
    def span(self) -> Span:
        """Where the token is."""
        return self.start, self.end


_CODE = re.compile(
    r"""
      (?P<space>[ \t]+)
    | (?P<newline>\r?\n)
    | (?P<identifier>[A-Za-z_\u0080-\U0010ffff][\w\-\u0080-\U0010ffff]*)
    | (?P<number>[0-9]+(?:\.[0-9]+)*(?:[eE][+-]?[0-9]+(?:\.[0-9]+)*)?)
    | (?P<comment>(?:\#|//)[^\n]*|/\*(?s:.*?)\*/)
    | (?P<heredoc><<-?[A-Za-z_\u0080-\U0010ffff][\w\-\u0080-\U0010ffff]*\r?\n)
    | (?P<closing>~\})
    | (?P<operator>==|!=|>=|<=|&&|\|\||\.\.\.|=>|::|[{}()\[\].,=?:+\-*/%!<>])
    | (?P<quote>")
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r'(?:[^"\\\r\n$%]|\\[^\r\n]|\$\$\{|%%\{|[$%](?!\{)|\r(?!\n))+')
_HEREDOC_LINE = re.compile(r"(?:[^\n$%]|\$\$\{|%%\{|[$%](?!\{))*\n?")
#: Quotes of other kinds, which editors and web pages like to put in.
_CURLY = "\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"
_SEQUENCE = re.compile(r"[$%]\{~?")

_REFUSED = {
    "&": ("Unsupported operator", "Bitwise operators are not supported.", 'did you mean "&&"?'),
    "|": ("Unsupported operator", "Bitwise operators are not supported.", 'did you mean "||"?'),
    "^": ("Unsupported operator", "Bitwise operators are not supported.", ""),
    "~": ("Unsupported operator", "Bitwise operators are not supported.", 'did you mean "!"?'),
    "'": (
        "Invalid character",
        "Strings are not written in single quotes.",
        'use double quotes (")',
    ),
    "`": ("Invalid character", "Strings are not written in backticks.", 'use double quotes (")'),
    ";": (
        "Invalid character",
        "A semicolon does not separate anything here.",
        "put each argument on its own line; separate the items of a collection by commas",
    ),
}


class _Mode:
    """One entry of the stack. For code inside a sequence, `braces` counts those open in it."""

    __slots__ = ("braces", "kind", "marker")

    def __init__(self, kind: str, marker: str = "") -> None:
        self.kind = kind
        self.marker = marker
        self.braces = 0


class Scanner:
    """Reads one source once."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._text = source.text
        self._report = report
        self._tokens: list[Token] = []
        self._modes = [_Mode("code")]
        self._told: set[str] = set()
        self._position = 0
        #: Where a string is broken off: what follows is read as best as we can.
        self.doubtful_from: int | None = None
        #: Where characters were refused: what the parser says about those adds nothing.
        self.refused: set[int] = set()

    def scan(self, start: int = 0) -> list[Token]:
        """All tokens, the last one END; comments are among them."""
        self._position = start
        length = len(self._text)
        while self._position < length:
            mode = self._modes[-1]
            if mode.kind == "code":
                self._code(mode)
            elif mode.kind == "quoted":
                self._quoted()
            else:
                self._heredoc(mode)
            if len(self._tokens) > TOKENS_MAX:
                raise Fault(
                    "Source too large",
                    f"A source may have {TOKENS_MAX} tokens.",
                    (self._position, self._position),
                )
        self._emit(END, length, length)
        return self._tokens

    def scan_template(self) -> list[Token]:
        """All tokens of a text that is a template from its first character on, without escapes."""
        self._modes = [_Mode("heredoc", "\n")]
        return self.scan()

    def _emit(self, kind: str, start: int, end: int) -> None:
        self._tokens.append(Token(kind, start, end, self._text[start:end]))
        self._position = end

    def _push(self, mode: _Mode) -> None:
        self._modes.append(mode)
        if len(self._modes) > NESTING_MAX:
            raise too_deep((self._position, self._position))

    def _code(self, mode: _Mode) -> None:
        text, match_code, tokens = self._text, _CODE.match, self._tokens
        while True:
            position = self._position
            match = match_code(text, position)
            if match is None:
                if position < len(text):
                    self._refuse(position)
                    continue
                return
            kind, end = match.lastgroup, match.end()
            if kind == "space":
                self._position = end
            elif kind == "identifier":
                self._identifier(match.group())
            elif kind == "operator":
                operator = match.group()
                if operator == "{":
                    mode.braces += 1
                elif operator == "}":
                    if not mode.braces and len(self._modes) > 1:
                        self._emit(CLOSE_SEQUENCE, position, end)
                        self._modes.pop()
                        return
                    mode.braces -= 1
                tokens.append(Token(operator, position, end, operator))
                self._position = end
            elif kind in ("newline", "number", "comment"):
                self._emit(kind, position, end)
            elif self._special(kind or "", position, end, mode):
                return

    def _special(self, kind: str, start: int, end: int, mode: _Mode) -> bool:
        """Tokens that may change the mode; true if they did."""
        if kind == "quote":
            self._emit(OPEN_QUOTE, start, end)
            self._push(_Mode("quoted"))
            return True
        if kind == "heredoc":
            self._emit(OPEN_HEREDOC, start, end)
            self._push(_Mode("heredoc", self._text[start:end].lstrip("<-").strip()))
            return True
        self._emit(CLOSE_SEQUENCE, start, end)
        if len(self._modes) > 1 and not mode.braces:
            self._modes.pop()
            return True
        mode.braces -= 1
        return False

    def _identifier(self, word: str) -> None:
        start = self._position
        if not word.isascii():
            good = _identifier_prefix(word)
            if not good:
                self._refuse(start)
                return
            word = word[:good]
        self._tokens.append(Token(IDENT, start, start + len(word), word))
        self._position = start + len(word)

    def _refuse(self, position: int) -> None:
        char = self._text[position]
        summary, detail, hint = _REFUSED.get(
            char, ("Invalid character", "This character has no meaning here.", "")
        )
        if char in _CURLY:
            hint = 'strings are written in straight double quotes (")'
        if char not in self._told:
            self._told.add(char)
            self._report.add(self._source, Fault(summary, detail, (position, position + 1), hint))
        self.refused.add(position)
        self._emit(INVALID, position, position + 1)

    def _quoted(self) -> None:
        text, position = self._text, self._position
        match = _QUOTED.match(text, position)
        if match is not None:
            self._emit(TEXT, position, match.end())
            return
        char = text[position]
        if char == '"':
            self._emit(CLOSE_QUOTE, position, position + 1)
            self._modes.pop()
        elif char in "$%":
            match = _SEQUENCE.match(text, position)
            end = match.end() if match else position + 2
            self._emit(text[position : position + 2], position, end)
            self._push(_Mode("code"))
        elif char == "\\":
            self._emit(TEXT, position, position + 1)
        else:
            end = text.index("\n", position) + 1
            if self.doubtful_from is None:
                self.doubtful_from = position
                self._report.add(
                    self._source,
                    Fault(
                        "Invalid multi-line string",
                        "A quoted string must end on the line that it begins on.",
                        (position, end),
                        'close the quote, write a line break as "\\n", or use a heredoc (<<EOT)',
                    ),
                )
            self._emit(BROKEN_LINE, position, end)

    def _heredoc(self, mode: _Mode) -> None:
        text, position = self._text, self._position
        if position == 0 or text[position - 1] == "\n":
            line_end = text.find("\n", position)
            if line_end >= 0 and text[position:line_end].strip(SPACES) == mode.marker:
                end = text.index(mode.marker, position) + len(mode.marker)
                self._emit(CLOSE_HEREDOC, position, end)
                self._modes.pop()
                return
        match = _HEREDOC_LINE.match(text, position)
        if match is not None and match.end() > position:
            self._emit(TEXT, position, match.end())
            return
        match = _SEQUENCE.match(text, position)
        end = match.end() if match else position + 2
        self._emit(text[position : position + 2], position, end)
        self._push(_Mode("code"))


class TooDeep(Fault):
    """Nested beyond the limit."""


def too_deep(span: Span) -> TooDeep:
    """The one message for everything that nests."""
    return TooDeep(
        "Nested too deeply", f"Blocks, brackets and operators may nest {NESTING_MAX} levels.", span
    )


def _identifier_prefix(word: str) -> int:
    """How many characters of a word that is not all ASCII make a valid identifier."""
    for length, char in enumerate(word):
        if char == "-" and length:
            continue
        if not (("a" + char).isidentifier() if length else char.isidentifier()):
            return length
    return len(word)
