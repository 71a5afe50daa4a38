"""Filter expressions in the language of go-bexpr, such as `Status == "running" and Meta.a != b`.

    expression  = and-part ("or" and-part)*
    and-part    = not-part ("and" not-part)*
    not-part    = "not" not-part | "(" expression ")" | collection | comparison
    collection  = ("any" | "all") selector "as" name ["," name] "{" expression "}"
    comparison  = selector ("==" | "!=" | ["not"] "contains" | ["not"] "matches") value
                | selector "is" ["not"] "empty"
                | value ["not"] "in" selector
    selector    = name ("." name | "." digits | "[" string "]")*  |  JSON pointer in quotes
    value       = string | `raw string` | number | selector-like word

This module reads; `region.api.bexpr_eval` answers. Both are pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hanse.errors import Invalid

DEPTH_MAX = 64
TOKENS_MAX = 2000

Operator = Literal["==", "!=", "contains", "not contains", "matches", "not matches"]
Operator2 = Literal["in", "not in", "is empty", "is not empty"]


@dataclass(frozen=True, slots=True)
class Selector:
    """The way to a value inside an object."""

    parts: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Compare:
    """A selected value against a literal."""

    selector: Selector
    operator: Operator | Operator2
    value: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Expression


@dataclass(frozen=True, slots=True)
class Both:
    """Both hold."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Either:
    """At least one holds."""

    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Quantified:
    """It holds for any, or for all, items of a collection."""

    every: bool
    selector: Selector
    names: tuple[str, ...]
    inner: Expression


Expression = Compare | Not | Both | Either | Quantified

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<raw>`[^`]*`)
    | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    | (?P<word>[a-zA-Z_](?:[\w/]|:(?!\s))*)
    | (?P<index>(?<=\.)\w+)
    | (?P<sign>==|!=|[().,{}\[\]])
    )""",
    re.VERBOSE,
)
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "empty", "contains", "matches"})
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Expression:
    """Read an expression. Raises Invalid with the column."""
    return _Parser(text).whole()


@lru_cache(maxsize=128)
def compiled(text: str) -> Callable[[object], bool]:
    """The test that an expression stands for. Raises Invalid, as the test itself may."""
    from region.api.bexpr_eval import evaluator  # noqa: PLC0415  (it imports this module)

    return evaluator(parse(text))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise _error(start, f"unexpected {text[start : start + 10]!r}")
        kind = match.lastgroup
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        if len(tokens) > TOKENS_MAX:
            raise _error(at, f"more than {TOKENS_MAX} words")
        at = match.end()
    tokens.append(_Token("end", "", len(text)))
    return tokens


def _error(position: int, problem: str) -> Invalid:
    return Invalid("", f"failed to parse filter expression: column {position + 1}: {problem}")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def whole(self) -> Expression:
        expression = self._either(0)
        if self._now.kind != "end":
            raise self._expected('"and", "or" or the end')
        return expression

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _expected(self, what: str) -> Invalid:
        found = f'"{self._now.text[:40]}"' if self._now.kind != "end" else "the end"
        return _error(self._now.position, f"expected {what}, found {found}")

    def _word(self, *words: str) -> bool:
        """Take these words if they come next."""
        for i, word in enumerate(words):
            token = self._tokens[min(self._at + i, len(self._tokens) - 1)]
            if token.kind not in ("word", "index") or token.text != word:
                return False
        self._at += len(words)
        return True

    def _sign(self, sign: str) -> bool:
        if self._now.kind == "sign" and self._now.text == sign:
            self._at += 1
            return True
        return False

    def _either(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise _error(self._now.position, f"nested deeper than {DEPTH_MAX} levels")
        left = self._both(depth)
        while self._word("or"):
            left = Either(left, self._both(depth))
        return left

    def _both(self, depth: int) -> Expression:
        left = self._negated(depth)
        while self._word("and"):
            left = Both(left, self._negated(depth))
        return left

    def _negated(self, depth: int) -> Expression:
        if depth > DEPTH_MAX:
            raise _error(self._now.position, f"nested deeper than {DEPTH_MAX} levels")
        if self._word("not"):
            return Not(self._negated(depth + 1))
        if self._sign("("):
            inner = self._either(depth + 1)
            if not self._sign(")"):
                raise self._expected('")"')
            return inner
        if self._now.kind == "word" and self._now.text in ("any", "all"):
            quantified = self._quantified(depth)
            if quantified is not None:
                return quantified
        return self._comparison()

    def _quantified(self, depth: int) -> Expression | None:
        start = self._at
        every = self._next().text == "all"
        if self._now.kind != "word" or self._now.text in _KEYWORDS:
            self._at = start
            return None
        selector = self._selector()
        if not self._word("as"):
            raise self._expected('"as"')
        names = [self._name()]
        if self._sign(","):
            names.append(self._name())
        if not self._sign("{"):
            raise self._expected('"{"')
        inner = self._either(depth + 1)
        if not self._sign("}"):
            raise self._expected('"}"')
        return Quantified(every, selector, tuple(names), inner)

    def _name(self) -> str:
        if self._now.kind != "word":
            raise self._expected("a name")
        return self._next().text

    def _comparison(self) -> Expression:
        start = self._at
        token = self._now
        if token.kind in ("number", "raw"):
            return self._membership(self._value())
        if token.kind == "string" and not token.text.startswith('"/'):
            return self._membership(self._value())
        selector = self._selector()
        for operator in ("==", "!="):
            if self._sign(operator):
                return Compare(selector, operator, self._value())
        for operator in ("contains", "matches"):
            if self._word(operator):
                return Compare(selector, operator, self._value())  # type: ignore[arg-type]
            if self._word("not", operator):
                negative: Operator = "not contains" if operator == "contains" else "not matches"
                return Compare(selector, negative, self._value())
        if self._word("is", "empty"):
            return Compare(selector, "is empty")
        if self._word("is", "not", "empty"):
            return Compare(selector, "is not empty")
        after = self._at
        self._at = start
        value = self._value()
        if self._now.text in ("in", "not"):
            return self._membership(value)
        self._at = after
        raise self._expected("an operator")

    def _membership(self, value: str) -> Expression:
        if self._word("in"):
            return Compare(self._selector(), "in", value)
        if self._word("not", "in"):
            return Compare(self._selector(), "not in", value)
        raise self._expected('"in" or "not in"')

    def _selector(self) -> Selector:
        token = self._now
        if token.kind == "string" and token.text.startswith('"/'):
            self._next()
            pointer = _unquoted(token)
            names = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
            return Selector(tuple(names), token.position)
        if token.kind != "word" or token.text in _KEYWORDS:
            raise self._expected("a selector")
        self._next()
        parts = [token.text]
        while True:
            if self._sign("."):
                if self._now.kind not in ("word", "index", "number"):
                    raise self._expected("a name")
                parts.append(self._next().text)
            elif self._sign("["):
                key = self._next()
                if key.kind not in ("string", "raw") or not self._sign("]"):
                    raise _error(key.position, 'expected a quoted key and "]"')
                parts.append(_unquoted(key))
            else:
                return Selector(tuple(parts), token.position)

    def _value(self) -> str:
        token = self._now
        if token.kind in ("string", "raw", "number"):
            return _unquoted(self._next())
        if token.kind == "word":
            return ".".join(self._selector().parts)
        raise self._expected("a value")


def _unquoted(token: _Token) -> str:
    if token.kind == "raw":
        return token.text[1:-1]
    if token.kind == "string":
        return _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), token.text[1:-1])
    return token.text
