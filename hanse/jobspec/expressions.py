"""Tokens to expressions. A mistake raises a Fault at its place; the caller knows how to go on."""

from __future__ import annotations

from hanse.jobspec import scanner as tk
from hanse.jobspec import templates
from hanse.jobspec.diagnostics import Fault, Source, Span
from hanse.jobspec.limits import NESTING_MAX
from hanse.jobspec.numbers import parse_number
from hanse.jobspec.scanner import Token, too_deep
from hanse.jobspec.syntax import (
    Access,
    AttrStep,
    Binary,
    Call,
    Conditional,
    Expression,
    ForExpr,
    IndexStep,
    Literal,
    ObjectCons,
    Parens,
    Reference,
    SplatStep,
    Step,
    TupleCons,
    Unary,
    start_of,
)
from hanse.jobspec.values import Value

_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 4,
    ">": 4,
    "<=": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
KEYWORDS: dict[str, Value] = {"true": True, "false": False, "null": None}


def describe(token: Token) -> str:
    """A token in the words of a message."""
    if token.kind in (tk.NEWLINE, tk.BROKEN_LINE):
        return "the end of the line"
    if token.kind == tk.END:
        return "the end of the file"
    if token.kind in (tk.OPEN_QUOTE, tk.OPEN_HEREDOC):
        return "a string"
    return f'"{token.text}"'


class ExpressionParser:
    """A cursor over tokens, and how to read an expression from it."""

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.position = 0
        #: Whether line breaks count, innermost construct last.
        self.newlines = [True]
        #: How many constructs enclose the cursor.
        self.depth = 0

    def peek(self) -> Token:
        """The next token that counts."""
        tokens = self.tokens
        if not self.newlines[-1]:
            while tokens[self.position].kind == tk.NEWLINE:
                self.position += 1
        return tokens[self.position]

    def read(self) -> Token:
        """The next token that counts, and step over it. The end is never stepped over."""
        token = self.peek()
        if token.kind != tk.END:
            self.position += 1
        return token

    def previous_end(self) -> int:
        """Where the token before the cursor ends."""
        return self.tokens[self.position - 1].end

    def expression(self) -> Expression:
        """One expression, conditionals included."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise too_deep(self.peek().span)
        condition = self._binary()
        if self.peek().kind == "?":
            self.read()
            then = self.expression()
            colon = self.peek()
            if colon.kind != ":":
                raise Fault(
                    "Missing false expression in conditional",
                    "A conditional needs a colon and the value for when it does not hold.",
                    colon.span,
                )
            self.read()
            otherwise = self.expression()
            span = (condition.span[0], otherwise.span[1])
            condition = Conditional(condition, then, otherwise, span)
        self.depth -= 1
        return condition

    def _binary(self) -> Expression:
        """Operators by precedence, with stacks of our own instead of recursion."""
        operands = [self._operand()]
        pending: list[str] = []
        while (precedence := _PRECEDENCE.get(self.peek().kind, 0)) > 0:
            while pending and _PRECEDENCE[pending[-1]] >= precedence:
                _reduce(operands, pending)
            token = self.read()
            pending.append(token.kind)
            operands.append(self._operand())
        while pending:
            _reduce(operands, pending)
        return operands[0]

    def _operand(self) -> Expression:
        """A term with its prefix operators and what follows it."""
        token = self.peek()
        if token.kind in ("-", "!"):
            self.depth += 1
            if self.depth > NESTING_MAX:
                raise too_deep(token.span)
            self.read()
            operand = self._operand()
            self.depth -= 1
            return Unary(token.kind, operand, (token.start, operand.span[1]))
        return self._steps_after(self._term(token))

    def _term(self, token: Token) -> Expression:
        kind = token.kind
        if kind == tk.IDENT:
            return self._named()
        if kind == tk.OPEN_QUOTE:
            return templates.quoted(self)
        if kind == tk.NUMBER:
            return self._number()
        if kind == "[":
            return self._tuple()
        if kind == "{":
            return self._object()
        if kind == "(":
            return self._parens()
        if kind == tk.OPEN_HEREDOC:
            return templates.heredoc(self)
        summary = "Missing expression" if kind == tk.END else "Invalid expression"
        hint = ""
        if kind == tk.NEWLINE:
            hint = "an expression goes on in the next line only inside brackets or parentheses"
        raise Fault(summary, f"Expected a value here, not {describe(token)}.", token.span, hint)

    def _number(self) -> Expression:
        token = self.read()
        try:
            return Literal(parse_number(token.text), token.span)
        except ValueError:
            detail = "A number has at most one decimal point, before the exponent."
            raise Fault("Invalid number literal", detail, token.span) from None
        except Fault as fault:
            fault.span = token.span
            raise

    def _named(self) -> Expression:
        token = self.read()
        following = self.peek().kind
        if following in ("(", "::"):
            return self._call(token)
        if token.text in KEYWORDS:
            return Literal(KEYWORDS[token.text], token.span)
        return Reference(token.text, token.span, [], token.span)

    def _parens(self) -> Expression:
        start = self.read().start
        self.newlines.append(False)
        inner = self.expression()
        closing = self.peek()
        if closing.kind != ")":
            raise Fault(
                "Unbalanced parentheses",
                f"Expected a closing parenthesis, not {describe(closing)}.",
                closing.span,
            )
        self.read()
        self.newlines.pop()
        return Parens(inner, (start, closing.end))

    def _call(self, name: Token) -> Expression:
        full_name = name.text
        while self.peek().kind == "::":
            self.read()
            part = self.read()
            if part.kind != tk.IDENT:
                raise Fault(
                    "Missing function name",
                    f"Expected the function's name here, not {describe(part)}.",
                    part.span,
                )
            full_name += "::" + part.text
        name_span = (name.start, self.previous_end())
        opening = self.read()
        if opening.kind != "(":
            raise Fault(
                "Missing open parenthesis",
                "A function's name is followed by its arguments in parentheses.",
                opening.span,
            )
        self.newlines.append(False)
        arguments: list[Expression] = []
        spread = False
        while (closing := self.peek()).kind != ")":
            arguments.append(self.expression())
            separator = self.read()
            if separator.kind == ")":
                closing = separator
                break
            if separator.kind == "...":
                spread = True
                closing = self.peek()
                if closing.kind != ")":
                    raise Fault(
                        "Missing closing parenthesis",
                        "An argument followed by three dots is the last one.",
                        separator.span,
                    )
                self.read()
                break
            if separator.kind != ",":
                if separator.kind == tk.END:
                    raise Fault(
                        "Unterminated function call",
                        "The file ends before the closing parenthesis of this call.",
                        name_span,
                    )
                raise Fault(
                    "Missing argument separator",
                    f"Expected a comma or a closing parenthesis, not {describe(separator)}.",
                    separator.span,
                )
        else:
            self.read()
        self.newlines.pop()
        span = (name.start, closing.end)
        return Call(full_name, arguments, spread, span, name_span, closing.span)

    def _for_follows(self) -> bool:
        self.newlines.append(False)
        token = self.peek()
        self.newlines.pop()
        return token.kind == tk.IDENT and token.text == "for"

    def _tuple(self) -> Expression:
        opening = self.read()
        if self._for_follows():
            return self._for(opening, "]")
        self.newlines.append(False)
        items: list[Expression] = []
        while self.peek().kind != "]":
            items.append(self.expression())
            separator = self.peek()
            if separator.kind == "]":
                break
            if separator.kind != ",":
                if separator.kind == tk.END:
                    raise Fault(
                        "Unterminated tuple constructor expression",
                        "The file ends before the closing bracket of this list.",
                        opening.span,
                    )
                raise Fault(
                    "Missing item separator",
                    f"Expected a comma or a closing bracket, not {describe(separator)}.",
                    separator.span,
                )
            self.read()
        closing = self.read()
        self.newlines.pop()
        return TupleCons(items, (opening.start, closing.end))

    def _object(self) -> Expression:
        opening = self.read()
        if self._for_follows():
            return self._for(opening, "}")
        self.newlines.append(True)
        items: list[tuple[Expression, Expression]] = []
        while (token := self.peek()).kind != "}":
            if token.kind == tk.NEWLINE:
                self.read()
                continue
            key = self._object_key()
            self._key_separator(opening)
            items.append((key, self.expression()))
            separator = self.peek()
            if separator.kind == "}":
                break
            if separator.kind not in (",", tk.NEWLINE):
                if separator.kind == tk.END:
                    raise Fault(
                        "Unterminated object constructor expression",
                        "The file ends before the closing brace of this object.",
                        opening.span,
                    )
                raise Fault(
                    "Missing attribute separator",
                    f"Expected a comma or a line break, not {describe(separator)}.",
                    separator.span,
                )
            self.read()
        closing = self.read()
        self.newlines.pop()
        return ObjectCons(items, (opening.start, closing.end))

    def _object_key(self) -> Expression:
        key = self.expression()
        match key:
            case Reference(root=name, steps=[], span=span):
                return Literal(name, span)
            case Literal(value=bool() | None as word, span=span):
                return Literal({True: "true", False: "false", None: "null"}[word], span)
            case _:
                return key

    def _key_separator(self, opening: Token) -> None:
        token = self.peek()
        if token.kind in ("=", ":"):
            self.read()
            return
        if token.kind == tk.END:
            raise Fault(
                "Unterminated object constructor expression",
                "The file ends before the closing brace of this object.",
                opening.span,
            )
        if token.kind in (tk.NEWLINE, ",", "}"):
            raise Fault(
                "Missing attribute value",
                f"Expected an equals sign and a value here, not {describe(token)}.",
                token.span,
            )
        raise Fault(
            "Missing key/value separator",
            f"Expected an equals sign behind the key, not {describe(token)}.",
            token.span,
            "a key with dots or spaces in it is written in quotes",
        )

    def _for(self, opening: Token, closer: str) -> Expression:
        self.newlines.append(False)
        self.read()
        names = [self._for_name()]
        if self.peek().kind == ",":
            self.read()
            names.append(self._for_name())
        word = self.read()
        if word.kind != tk.IDENT or word.text != "in":
            raise _bad_for('Expected "in" behind the names', word)
        collection = self.expression()
        self._for_expect(":", "Expected a colon behind the collection")
        key: Expression | None = None
        value = self.expression()
        if self.peek().kind == "=>":
            arrow = self.read()
            if closer == "]":
                raise _bad_for("A key is only for the form in braces", arrow)
            key, value = value, self.expression()
        elif closer == "}":
            raise _bad_for('Expected "=>" and the value of the key', self.peek())
        group = False
        if self.peek().kind == "...":
            dots = self.read()
            if closer == "]":
                raise _bad_for("Grouping is only for the form in braces", dots)
            group = True
        condition: Expression | None = None
        if self.peek().kind == tk.IDENT and self.peek().text == "if":
            self.read()
            condition = self.expression()
        end = self._for_expect(closer, "Expected the closing bracket")
        self.newlines.pop()
        key_name = names[0] if len(names) == 2 else None
        span = (opening.start, end.end)
        return ForExpr(key_name, names[-1], collection, key, value, condition, group, span)

    def _for_name(self) -> str:
        token = self.read()
        if token.kind != tk.IDENT:
            raise _bad_for("Expected a name for the element", token)
        return token.text

    def _for_expect(self, kind: str, problem: str) -> Token:
        token = self.peek()
        if token.kind != kind:
            raise _bad_for(problem, token)
        return self.read()

    def _steps_after(self, source: Expression) -> Expression:
        """The steps behind a term: as long as they are constant, part of its reference."""
        steps: list[Step] = []
        while self.peek().kind in (".", "["):
            step = self._step()
            if (
                isinstance(source, Reference)
                and not steps
                and not isinstance(step, SplatStep)
                and _is_constant(step)
            ):
                source.steps.append(step)
                source.span = (source.span[0], self.previous_end())
            else:
                steps.append(step)
        if not steps:
            return source
        return Access(source, steps, (start_of(source)[0], self.previous_end()))

    def _step(self) -> Step:
        if self.read().kind == ".":
            return self._dotted_step()
        start = self.previous_end() - 1
        if self.peek().kind == "*":
            self.read()
            closing = self.read()
            if closing.kind != "]":
                raise Fault(
                    "Missing close bracket on splat index",
                    f"Expected a closing bracket behind the star, not {describe(closing)}.",
                    self._bracket_after(closing),
                )
            inner: list[Step] = []
            while self.peek().kind in (".", "["):
                inner.append(self._step())
            return SplatStep(inner, (start, closing.end))
        self.newlines.append(False)
        key = self.expression()
        closing = self.read()
        if closing.kind != "]":
            raise Fault(
                "Missing close bracket on index",
                f"Expected a closing bracket behind the index, not {describe(closing)}.",
                self._bracket_after(closing),
            )
        self.newlines.pop()
        return IndexStep(key, (start, closing.end))

    def _bracket_after(self, token: Token) -> Span:
        """The bracket that closes the one that `token` is inside of, where this is reported."""
        depth = 0
        for later in self.tokens[self.tokens.index(token, max(self.position - 1, 0)) :]:
            if later.kind in ("[", "{", "("):
                depth += 1
            elif later.kind in ("]", "}", ")"):
                if not depth:
                    return later.span
                depth -= 1
        return token.span

    def _dotted_step(self) -> Step:
        start = self.previous_end() - 1
        token = self.peek()
        if token.kind == tk.IDENT:
            self.read()
            return AttrStep(token.text, (start, token.end))
        if token.kind == tk.NUMBER:
            return self._legacy_index(start)
        if token.kind == "*":
            star = self.read()
            inner: list[Step] = []
            while self.peek().kind == ".":
                dot = self.read()
                following = self.peek()
                if following.kind == tk.NUMBER:
                    inner.append(self._legacy_index(dot.start))
                elif following.kind == tk.IDENT:
                    self.read()
                    inner.append(AttrStep(following.text, (dot.start, following.end)))
                elif following.kind == "*":
                    raise Fault(
                        "Nested splat expression not allowed",
                        'One ".*" cannot follow another.',
                        following.span,
                        'use the form "[*]"',
                    )
                else:
                    raise _no_name(following, star.span)
            return SplatStep(inner, (start, token.end))
        raise _no_name(token)

    def _legacy_index(self, start: int) -> IndexStep:
        token = self.read()
        if not token.text.isdigit():
            indexes = "".join(f"[{part}]" for part in token.text.split("."))
            raise Fault(
                "Invalid legacy index syntax",
                "Two indexes behind dots read as one number.",
                token.span,
                f"write {indexes}" if token.text.replace(".", "").isdigit() else "",
            )
        return IndexStep(Literal(int(token.text[:32]), token.span), (start, token.end))

    def quoted_literal(self) -> tuple[str, Span]:
        """A quoted string in which no sequence may be: a block's label."""
        return templates.quoted_literal(self)


def _reduce(operands: list[Expression], pending: list[str]) -> None:
    right, left = operands.pop(), operands.pop()
    operands.append(Binary(pending.pop(), left, right, (left.span[0], right.span[1])))


def _is_constant(step: AttrStep | IndexStep) -> bool:
    match step:
        case AttrStep():
            return True
        case IndexStep(key=Literal(value=value)):
            return value is not None and not isinstance(value, bool)
        case IndexStep(key=key):
            return templates.constant_text(key) is not None


def _bad_for(problem: str, token: Token) -> Fault:
    return Fault("Invalid 'for' expression", f"{problem}, not {describe(token)}.", token.span)


def _no_name(token: Token, span: Span | None = None) -> Fault:
    return Fault(
        "Invalid attribute name",
        f"A dot is followed by a name, not {describe(token)}.",
        span or token.span,
    )
