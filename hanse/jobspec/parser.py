"""Tokens to the bodies of a syntax tree: attributes and blocks.

Recovery: a body item that cannot be read is reported once and skipped up to the end of its line, or
of the brackets that it opened; the items after it are read as if nothing had happened.
"""

from __future__ import annotations

from hanse.jobspec import scanner as tk
from hanse.jobspec import templates
from hanse.jobspec.diagnostics import Fault, Report, Source, Span
from hanse.jobspec.expressions import ExpressionParser, describe
from hanse.jobspec.limits import FINDINGS_MAX, NESTING_MAX
from hanse.jobspec.scanner import Scanner, Token, TooDeep, too_deep
from hanse.jobspec.syntax import Attribute, Block, Body, Expression

_OPENERS = {"{", "(", "[", tk.OPEN_QUOTE, tk.OPEN_HEREDOC, tk.OPEN_VALUE, tk.OPEN_DIRECTIVE}
#: How far the end of an item that cannot be read is looked for.
_SKIPPED_TOKENS_MAX = 10_000
_CLOSERS = {"}", ")", "]", tk.CLOSE_QUOTE, tk.CLOSE_HEREDOC, tk.CLOSE_SEQUENCE}


def parse_body(source: Source, report: Report) -> Body:
    """The whole source as a body. What is wrong with it goes to the report."""
    scanner = Scanner(source, report)
    tokens = _tokens(source, report, scanner)
    if tokens is None:
        return Body(source, (0, 0))
    return _BodyParser(source, tokens, report, scanner).file()


def parse_expression(source: Source, report: Report, start: int = 0) -> Expression | None:
    """The source from `start` as one expression, or None if it is not one."""
    tokens = _tokens(source, report, Scanner(source, report), start)
    if tokens is None:
        return None
    parser = ExpressionParser(source, tokens)
    parser.newlines.append(False)
    try:
        expression = parser.expression()
        rest = parser.peek()
        if rest.kind != tk.END:
            raise Fault(
                "Extra characters after expression",
                "The expression ends before this.",
                rest.span,
            )
    except Fault as fault:
        report.add(source, fault)
        return None
    return None if report.has_errors else expression


def parse_template(source: Source, report: Report) -> Expression | None:
    """The whole source as a template without quotes around it, or None if it is not one."""
    scanner = Scanner(source, report)
    try:
        parser = ExpressionParser(source, scanner.scan_template())
        return templates.bare(parser)
    except Fault as fault:
        report.add(source, fault)
        return None


def _tokens(source: Source, report: Report, scanner: Scanner, start: int = 0) -> list[Token] | None:
    """Tokens without comments, or None if there are too many or they nest too deeply."""
    try:
        scanned = scanner.scan(start)
    except Fault as fault:
        report.add(source, fault)
        return None
    kept: list[Token] = []
    comment: Token | None = None
    for token in scanned:
        if token.kind == tk.COMMENT:
            comment = None if token.text.startswith("/*") else token
        elif comment is not None and token.kind == tk.NEWLINE:
            kept.append(Token(tk.NEWLINE, comment.start, token.end, token.text))
            comment = None
        else:
            comment = None
            kept.append(token)
    return kept


def _hint_after_name(tokens: list[Token], position: int) -> str:
    """What to do about a name that nothing follows on its line."""
    while tokens[position].kind == tk.NEWLINE:
        position += 1
    if tokens[position].kind == "=":
        return "name, equals sign and the beginning of the value go on one line"
    return ""


class _GiveUpError(Exception):
    """There is no point in reading on."""


class _BodyParser(ExpressionParser):
    def __init__(
        self, source: Source, tokens: list[Token], report: Report, scanner: Scanner
    ) -> None:
        super().__init__(source, tokens)
        self._report = report
        self._doubtful_from = scanner.doubtful_from
        self._refused = scanner.refused
        self._faults = 0

    def file(self) -> Body:
        try:
            return self._body(tk.END, (0, 0))
        except _GiveUpError:
            return Body(self.source, (0, 0))

    def _tell(self, fault: Fault) -> None:
        """Report a fault; after too many, or one that leaves no hope, end the whole parse."""
        self._faults += 1
        start = fault.span[0] if fault.span else 0
        doubtful = self._doubtful_from is not None and start >= self._doubtful_from
        if not doubtful and start not in self._refused:
            self._report.add(self.source, fault)
        if self._faults >= FINDINGS_MAX or isinstance(fault, TooDeep):
            raise _GiveUpError

    def _body(self, closer: str, opened: Span) -> Body:
        """The items up to the closing token, which is read too."""
        body = Body(self.source, (opened[0], opened[0]))
        faults_before = self._faults
        while True:
            token = self.peek()
            if token.kind == closer:
                self.read()
                return body
            if token.kind == tk.END:
                if self._faults == faults_before:
                    self._tell(
                        Fault(
                            "Unclosed configuration block",
                            "The file ends before this block's closing brace.",
                            opened,
                            "braces may be unbalanced further down",
                        )
                    )
                return body
            if token.kind == tk.NEWLINE:
                self.read()
                continue
            start, depth = self.position, self.depth
            try:
                self._item(body)
            except Fault as fault:
                self._tell(fault)
                self.depth = depth
                self.newlines = [True]
                self._skip_item(start)
                self._skip_continuations(fault)

    def _item(self, body: Body) -> None:
        token = self.read()
        if token.kind == tk.OPEN_QUOTE:
            raise Fault("Invalid argument name", "Names of arguments are not quoted.", token.span)
        if token.kind != tk.IDENT:
            raise Fault(
                "Argument or block definition required",
                f"Expected an argument or a block here, not {describe(token)}.",
                token.span,
            )
        following = self.peek()
        if following.kind == "=":
            self._attribute(body, token)
            self._end_of_item(
                "Missing newline after argument", "An argument ends at the end of its line."
            )
        elif following.kind in (tk.OPEN_QUOTE, "{", tk.IDENT):
            self._block(body, token)
            self._end_of_item(
                "Missing newline after block definition", "A block ends at the end of its line."
            )
        else:
            raise Fault(
                "Argument or block definition required",
                f'After "{token.text}" comes an equals sign or the opening brace of a block,'
                " on the same line.",
                token.span,
                _hint_after_name(self.tokens, self.position),
            )

    def _attribute(self, body: Body, name: Token) -> None:
        self.read()
        value = self.expression()
        earlier = body.attributes.get(name.text)
        if earlier is None:
            body.attributes[name.text] = Attribute(name.text, name.span, value)
            return
        where = self.source.where(earlier.name_span[0])
        self._tell(
            Fault(
                "Attribute redefined",
                f'The argument "{name.text}" is set at {where} already.',
                name.span,
            )
        )

    def _end_of_item(self, summary: str, detail: str) -> None:
        token = self.peek()
        if token.kind == tk.NEWLINE:
            self.read()
        elif token.kind == ",":
            raise Fault(
                "Unexpected comma after argument",
                "Arguments are separated by line breaks, not commas.",
                token.span,
            )
        elif token.kind != tk.END:
            raise Fault(summary, detail, token.span)

    def _block(self, body: Body, name: Token) -> None:
        labels: list[str] = []
        spans: list[Span] = []
        opened = self._header(name, labels, spans)
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise too_deep(opened)
        if self.peek().kind in (tk.NEWLINE, tk.END, "}"):
            inner = self._body("}", opened)
        else:
            inner = self._one_line_body(opened)
        self.depth -= 1
        body.blocks.append(Block(name.text, name.span, labels, spans, inner, opened))

    def _header(self, name: Token, labels: list[str], spans: list[Span]) -> Span:
        """Labels and the opening brace, whose span is returned."""
        while True:
            token = self.peek()
            if token.kind == "{":
                return self.read().span
            if token.kind == tk.OPEN_QUOTE:
                label, span = self.quoted_literal()
                labels.append(label)
                spans.append(span)
            elif token.kind == tk.IDENT:
                self.read()
                labels.append(token.text)
                spans.append(token.span)
            elif token.kind == tk.NEWLINE and self._brace_follows():
                self._tell(
                    Fault(
                        "Invalid block definition",
                        "The opening brace must be on the line of the block's header.",
                        token.span,
                        f'move the brace up, behind "{name.text}" and its labels',
                    )
                )
                while self.peek().kind == tk.NEWLINE:
                    self.read()
            elif token.kind == "=":
                raise Fault(
                    "Invalid block definition",
                    "An equals sign belongs to an argument, and an argument has no labels.",
                    token.span,
                )
            else:
                raise Fault(
                    "Invalid block definition",
                    f"Expected a label or an opening brace here, not {describe(token)}.",
                    token.span,
                )

    def _brace_follows(self) -> bool:
        position = self.position
        while self.tokens[position].kind == tk.NEWLINE:
            position += 1
        return self.tokens[position].kind == "{"

    def _one_line_body(self, opened: Span) -> Body:
        """`{ name = value }`."""
        body = Body(self.source, (opened[0], opened[0]))
        name = self.read()
        if name.kind != tk.IDENT:
            raise Fault(
                "Argument or block definition required",
                f"Expected an argument here, not {describe(name)}.",
                name.span,
            )
        token = self.peek()
        if token.kind in ("{", tk.OPEN_QUOTE, tk.IDENT):
            raise Fault(
                "Argument definition required",
                "A block on one line can hold one argument, and no block.",
                name.span,
                f'put "{name.text}" on a line of its own',
            )
        if token.kind != "=":
            raise Fault(
                "Argument or block definition required",
                f'Expected an equals sign after "{name.text}".',
                name.span,
            )
        self._attribute(body, name)
        end = self.peek()
        if end.kind != "}":
            raise Fault(
                "Invalid single-argument block definition",
                "A block on one line holds one argument and ends on that line.",
                end.span,
                "put each argument on its own line",
            )
        self.read()
        return body

    def _skip_item(self, start: int) -> None:
        """Go on behind the item that begins at token `start` and could not be read."""
        failed_at = self.position
        depth = 0
        position = start
        tokens = self.tokens
        last = min(start + _SKIPPED_TOKENS_MAX, len(tokens) - 1)
        while (kind := tokens[position].kind) != tk.END and position < last:
            if kind in _OPENERS:
                depth += 1
            elif kind in _CLOSERS:
                if kind == "}" and depth == 0 and position >= failed_at:
                    break
                depth = max(depth - 1, 0)
            elif kind == tk.NEWLINE and depth == 0 and position + 1 >= failed_at:
                position += 1
                break
            position += 1
        if position == last and depth > 0:
            # The item left something open: do not swallow the rest of the file because of it.
            position = failed_at
            while tokens[position].kind not in (tk.NEWLINE, tk.END):
                position += 1
        self.position = max(position, min(start + 1, len(tokens) - 1))

    def _skip_continuations(self, failed: Fault) -> None:
        """Lines that no item begins with belong to the item before, which has been reported."""
        tokens = self.tokens
        value_follows = failed.summary == "Invalid expression" and _is_line_end(
            tokens, self.position, failed
        )
        while True:
            position = self.position
            while tokens[position].kind == tk.NEWLINE:
                position += 1
            kind = tokens[position].kind
            if kind not in ("=", "[", "(") and not (value_follows and kind in _VALUE_STARTS):
                return
            value_follows = kind == "=" and tokens[position + 1].kind == tk.NEWLINE
            self.position = position
            self._skip_item(position)


_VALUE_STARTS = (tk.OPEN_QUOTE, tk.OPEN_HEREDOC, tk.NUMBER, "{", "-", "!")


def _is_line_end(tokens: list[Token], position: int, failed: Fault) -> bool:
    """Whether the token at fault is the line break just before `position`."""
    before = tokens[position - 1]
    return before.kind == tk.NEWLINE and failed.span == before.span
