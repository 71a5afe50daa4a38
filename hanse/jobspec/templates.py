"""Quoted strings and heredocs: pieces of text, `${…}` and `%{…}`, trim markers and indents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanse.jobspec import scanner as tk
from hanse.jobspec.diagnostics import Fault, Span
from hanse.jobspec.graphemes import SPACES, cluster_count, clusters
from hanse.jobspec.limits import NESTING_MAX
from hanse.jobspec.scanner import Token, too_deep
from hanse.jobspec.syntax import (
    Expression,
    Interpolation,
    Literal,
    Template,
    TemplateFor,
    TemplateIf,
    Wrapped,
)
from hanse.jobspec.values import string

if TYPE_CHECKING:
    from hanse.jobspec.expressions import ExpressionParser

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.)|\Z)|\$\$\{|%%\{", re.DOTALL)
_HEREDOC_ESCAPE = re.compile(r"\$\$\{|%%\{")
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(slots=True)
class _Piece:
    """Text. In a heredoc, never more than one line of it."""

    text: str
    span: Span


@dataclass(slots=True)
class _Value:
    inner: Expression
    span: Span


@dataclass(slots=True)
class _Directive:
    """`word` is if, else, endif, for or endfor."""

    word: str
    span: Span
    condition: Expression | None = None
    key_name: str | None = None
    value_name: str = ""


_Part = _Piece | _Value | _Directive


def quoted(parser: ExpressionParser) -> Expression:
    """A quoted template from its opening quote on."""
    opening = parser.read()
    parts, closing = _parts(parser, tk.CLOSE_QUOTE, opening)
    span = (opening.start, closing.end)
    if len(parts) == 1 and isinstance(parts[0], _Value):
        return Wrapped(parts[0].inner, span, parts[0].span)
    return Template(_tree(parts, closing, parser.depth), span)


def heredoc(parser: ExpressionParser) -> Expression:
    """A heredoc from its marker on."""
    opening = parser.read()
    parts, closing = _parts(parser, tk.CLOSE_HEREDOC, opening)
    if opening.text.startswith("<<-"):
        _unindent(parts)
    span = (opening.start, closing.end)
    return Template(_tree(parts, closing, parser.depth), span, heredoc=True)


def bare(parser: ExpressionParser) -> Expression:
    """A whole source that is a template, with nothing around it."""
    opening = parser.peek()
    parts, closing = _parts(parser, tk.END, opening)
    span = (opening.start, closing.end)
    if len(parts) == 1 and isinstance(parts[0], _Value):
        return Wrapped(parts[0].inner, span, parts[0].span)
    return Template(_tree(parts, closing, parser.depth), span)


def quoted_literal(parser: ExpressionParser) -> tuple[str, Span]:
    """The text between quotes, where sequences are not allowed."""
    opening = parser.read()
    text = ""
    while True:
        token = parser.read()
        if token.kind == tk.TEXT:
            text += unescape(token)
        elif token.kind == tk.CLOSE_QUOTE:
            return text, (opening.start, token.end)
        elif token.kind in (tk.OPEN_VALUE, tk.OPEN_DIRECTIVE):
            raise Fault(
                "Invalid string literal",
                "Sequences are not allowed in this string.",
                token.span,
                f'to mean the characters "{token.text}", write "{token.text[0]}{token.text}"',
            )
        else:
            raise Fault(
                "Unterminated string literal",
                "The closing quote of this string is missing.",
                token.span,
            )


def constant_text(expression: Expression) -> str | None:
    """The text of a string without sequences, or None if it is anything else."""
    match expression:
        case Template(parts=[]):
            return ""
        case Template(parts=[Literal(value=str() as text)]):
            return text
        case _:
            return None


def unescape(token: Token) -> str:
    """The characters that a piece of a quoted string stands for."""
    text = token.text
    if "\\" not in text and "{" not in text:
        return string(text)

    def replace(match: re.Match[str]) -> str:
        if match[0] in ("$${", "%%{"):
            return match[0][1:]
        code = match[1] or match[2]
        if code:
            number = int(code, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                span = (token.start + match.start(), token.start + match.end())
                detail = f"There is no character with the code {code}."
                raise Fault("Invalid escape sequence", detail, span)
            return chr(number)
        if match[3] in _SIMPLE:
            return _SIMPLE[match[3]]
        raise _bad_escape(token, match)

    return string(_ESCAPE.sub(replace, text))


def _bad_escape(token: Token, match: re.Match[str]) -> Fault:
    start = token.start + match.start()
    if match[3] in ("u", "U"):
        digits = 4 if match[3] == "u" else 8
        detail = f"\\{match[3]} is followed by exactly {digits} hexadecimal digits."
        return Fault("Invalid escape sequence", detail, (start, token.start + match.end()))
    return Fault(
        "Invalid escape sequence",
        "A backslash is followed by one of n, r, t, u, U, a quote or another backslash.",
        (start, token.start + match.end()),
        'write "\\\\" to mean a backslash' if match[3] else "",
    )


def _parts(parser: ExpressionParser, closer: str, opening: Token) -> tuple[list[_Part], Token]:
    """What is between the quotes or markers, trimmed; and the closing token."""
    parts: list[_Part] = []
    trim_next = False
    parser.depth += 1
    if parser.depth > NESTING_MAX:
        raise too_deep(opening.span)
    while True:
        token = parser.read()
        if token.kind == closer:
            parser.depth -= 1
            return parts, token
        if token.kind == tk.TEXT:
            if closer == tk.CLOSE_QUOTE:
                text = unescape(token)
            else:
                text = string(_HEREDOC_ESCAPE.sub(lambda m: m[0][1:], token.text))
            if trim_next:
                text = text.lstrip(SPACES)
            parts.append(_Piece(text, token.span))
            trim_next = False
        elif token.kind in (tk.OPEN_VALUE, tk.OPEN_DIRECTIVE):
            if token.text.endswith("~") and parts and isinstance(parts[-1], _Piece):
                parts[-1].text = parts[-1].text.rstrip(SPACES)
            parser.newlines.append(False)
            read = _value if token.kind == tk.OPEN_VALUE else _directive
            parts.append(read(parser, token))
            end = _close_sequence(parser, token)
            parser.newlines.pop()
            parts[-1].span = (token.start, end.end)
            trim_next = end.text.startswith("~")
        else:
            raise Fault(
                "Unterminated template string",
                "The end of this string is missing.",
                token.span,
            )


def _value(parser: ExpressionParser, token: Token) -> _Part:
    return _Value(parser.expression(), token.span)


def _close_sequence(parser: ExpressionParser, opening: Token) -> Token:
    token = parser.peek()
    if token.kind != tk.CLOSE_SEQUENCE:
        if token.kind in (tk.END, tk.BROKEN_LINE):
            raise Fault(
                "Unclosed template interpolation sequence",
                "The closing brace of this sequence is missing.",
                opening.span,
            )
        what = (
            "interpolation expression"
            if opening.kind == tk.OPEN_VALUE
            else "template control sequence"
        )
        raise Fault(
            f"Extra characters after {what}",
            f'Expected a closing brace here, not "{token.text.strip()}".',
            token.span,
        )
    return parser.read()


def _directive(parser: ExpressionParser, opening: Token) -> _Part:
    word = parser.read()
    if word.kind != tk.IDENT:
        raise Fault(
            "Invalid template directive",
            "A directive begins with if, else, endif, for or endfor.",
            word.span,
        )
    directive = _Directive(word.text, opening.span)
    if word.text == "if":
        directive.condition = parser.expression()
    elif word.text == "for":
        names = [_loop_name(parser)]
        if parser.peek().kind == ",":
            parser.read()
            names.append(_loop_name(parser))
        token = parser.read()
        if token.kind != tk.IDENT or token.text != "in":
            raise _bad_loop('Expected "in" behind the names.', token)
        directive.condition = parser.expression()
        directive.key_name = names[0] if len(names) == 2 else None
        directive.value_name = names[-1]
    elif word.text not in ("else", "endif", "endfor"):
        raise Fault(
            "Invalid template control keyword",
            f'"{word.text}" is not a directive; these are if, else, endif, for and endfor.',
            word.span,
        )
    return directive


def _loop_name(parser: ExpressionParser) -> str:
    token = parser.read()
    if token.kind != tk.IDENT:
        raise _bad_loop("Expected a name for the element.", token)
    return token.text


def _bad_loop(problem: str, token: Token) -> Fault:
    return Fault("Invalid 'for' directive", problem, token.span)


def _unindent(parts: list[_Part]) -> None:
    """Take the smallest indent of the lines that are not blank away from all of those."""
    smallest: int | None = None
    indented: list[_Piece] = []
    at_line_start = True
    for part in parts:
        if at_line_start:
            at_line_start = False
            if isinstance(part, _Piece):
                text = part.text.lstrip(SPACES)
                if text or not part.text.endswith("\n"):
                    indent = cluster_count(part.text[: len(part.text) - len(text)])
                    indented.append(part)
                    smallest = indent if smallest is None else min(smallest, indent)
            else:
                smallest = 0
        if isinstance(part, _Piece) and part.text.endswith("\n"):
            at_line_start = True
    for piece in indented:
        drop = sum(len(cluster) for cluster in list(clusters(piece.text))[: smallest or 0])
        piece.text = piece.text[drop:]


class _TreeBuilder:
    """Nests the flat parts by their directives."""

    def __init__(self, parts: list[_Part], closing: Token, depth: int) -> None:
        self._parts = parts
        self._closing = closing
        self._position = 0
        self._depth = depth

    def build(self) -> list[Expression]:
        nodes, end = self._until(())
        if end is not None:
            raise Fault(
                f"Unexpected {end.word} directive",
                "There is no directive open that this could belong to.",
                end.span,
            )
        return nodes

    def _until(self, words: tuple[str, ...]) -> tuple[list[Expression], _Directive | None]:
        """Nodes up to a directive that is not an opening one, which is returned too."""
        nodes: list[Expression] = []
        while self._position < len(self._parts):
            part = self._parts[self._position]
            self._position += 1
            match part:
                case _Piece(text=text, span=span):
                    nodes.append(Literal(text, span))
                case _Value(inner=inner, span=span):
                    nodes.append(Interpolation(inner, span))
                case _Directive(word="if"):
                    nodes.append(self._if(part))
                case _Directive(word="for"):
                    nodes.append(self._for(part))
                case _Directive():
                    if words and part.word not in words:
                        raise Fault(
                            f"Unexpected {part.word} directive",
                            f"Expected {' or '.join(words)} here.",
                            part.span,
                        )
                    return nodes, part
        return nodes, None

    def _inside(
        self, opening: _Directive, words: tuple[str, ...]
    ) -> tuple[list[Expression], _Directive]:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise too_deep(opening.span)
        nodes, end = self._until(words)
        self._depth -= 1
        if end is None:
            raise Fault(
                "Unexpected end of template",
                f"The {opening.word} directive is not ended by {words[-1]}.",
                self._closing.span,
            )
        return nodes, end

    def _if(self, opening: _Directive) -> Expression:
        then, end = self._inside(opening, ("else", "endif"))
        otherwise: list[Expression] = []
        if end.word == "else":
            otherwise, end = self._inside(opening, ("endif",))
        assert opening.condition is not None
        return TemplateIf(opening.condition, then, otherwise, (opening.span[0], end.span[1]))

    def _for(self, opening: _Directive) -> Expression:
        body, end = self._inside(opening, ("endfor",))
        assert opening.condition is not None
        span = (opening.span[0], end.span[1])
        return TemplateFor(opening.key_name, opening.value_name, opening.condition, body, span)


def _tree(parts: list[_Part], closing: Token, depth: int) -> list[Expression]:
    return _TreeBuilder(parts, closing, depth).build()
