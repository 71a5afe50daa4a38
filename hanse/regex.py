"""Regular expressions whose cost is bounded, for patterns that come from outside.

Python's `re` backtracks: `(a+)+$` on forty letters takes for ever. This one runs all
alternatives side by side (Thompson's construction, with the reached sets remembered as in a lazy
DFA), so the time is at most the length of the text times the size of the pattern. The syntax is
Go's RE2: no back-references, no look-around. It answers only whether there is a match; Nomad's
users ask for no more.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from hanse.errors import Invalid

PATTERN_CHARS_MAX = 1000
INSTRUCTIONS_MAX = 5000
REPEAT_MAX = 1000
DEPTH_MAX = 100
#: Visits of one search that the memory did not save.
VISITS_MAX = 200_000
_MEMORY_MAX = 20_000

_Has = Callable[[str], bool]

_BEGIN, _NEWLINE, _WORD, _OTHER = range(4)
_ESCAPES = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_POSIX: dict[str, str] = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\x00-\x7f",
    "blank": "\t ",
    "cntrl": "\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\t-\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


_PERL: dict[str, _Has] = {
    "d": lambda char: "0" <= char <= "9",
    "s": lambda char: char in "\t\n\f\r ",
    "w": _is_word,
}


class Regex:
    """A compiled pattern. Raises Invalid when made from one that is wrong or too large."""

    def __init__(self, pattern: str) -> None:
        """Compile."""
        if len(pattern) > PATTERN_CHARS_MAX:
            raise Invalid("regular expression", f"longer than {PATTERN_CHARS_MAX} characters")
        self._program = _Compiler(pattern).program()
        self._steps: dict[tuple[frozenset[int], int, str], frozenset[int] | None] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern matches somewhere in the text.

        Raises Invalid where even the bounded cost is too much.
        """
        state: frozenset[int] = frozenset((0,))
        before = _BEGIN
        visits = [VISITS_MAX]
        for char in text:
            key = (state, before, char)
            if key in self._steps:
                reached = self._steps[key]
            else:
                reached = self._step(state, before, char, visits)
                if len(self._steps) >= _MEMORY_MAX:
                    self._steps.clear()
                self._steps[key] = reached
            if reached is None:
                return True
            state = reached
            before = _NEWLINE if char == "\n" else _WORD if _is_word(char) else _OTHER
        return self._step(state, before, "", visits) is None

    def _step(
        self, state: frozenset[int], before: int, char: str, visits: list[int]
    ) -> frozenset[int] | None:
        """The places reached by `char` ("" at the end); None once a match is found."""
        program = self._program
        seen: set[int] = set()
        reached: set[int] = {0}
        stack = list(state)
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            op, arg, other = program[at]
            if op == "match":
                return None
            if op == "char":
                if char and arg(char):  # type: ignore[operator]
                    reached.add(at + 1)
            elif op == "assert":
                if _holds(str(arg), before, char):
                    stack.append(at + 1)
            else:
                stack.append(int(arg))  # type: ignore[call-overload]
                if op == "split":
                    stack.append(other)
        visits[0] -= len(seen)
        if visits[0] < 0:
            raise Invalid("regular expression", "too costly for this text")
        return frozenset(reached)


def _holds(what: str, before: int, char: str) -> bool:
    if what == "A":
        return before == _BEGIN
    if what == "^":
        return before in (_BEGIN, _NEWLINE)
    if what == "z":
        return char == ""
    if what == "$":
        return char in ("", "\n")
    boundary = (before == _WORD) != (char != "" and _is_word(char))
    return boundary if what == "b" else not boundary


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Regex:
    """A compiled pattern, remembered. Raises Invalid."""
    return Regex(pattern)


_Instruction = tuple[str, object, int]
_Code = list[_Instruction]


class _Compiler:
    """A recursive-descent parser that gives code straight away; jumps are relative to 0."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._fold = False
        self._multi = False
        self._dot_all = False
        self._swap = False

    def program(self) -> list[_Instruction]:
        code = self._alternatives(0)
        if self._at < len(self._text):
            raise self._error("unexpected )")
        return [*code, ("match", 0, 0)]

    def _error(self, problem: str) -> Invalid:
        return Invalid("regular expression", f"{problem} at character {self._at + 1}")

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise self._error("unexpected end")
        self._at += 1
        return char

    def _alternatives(self, depth: int) -> _Code:
        if depth > DEPTH_MAX:
            raise self._error("nested too deeply")
        code = self._sequence(depth)
        while self._peek() == "|":
            self._at += 1
            other = self._sequence(depth)
            code = [
                ("split", 1, len(code) + 2),
                *_moved(code, 1),
                ("jump", len(code) + len(other) + 2, 0),
                *_moved(other, len(code) + 2),
            ]
            self._check(code)
        return code

    def _check(self, code: _Code) -> None:
        if len(code) > INSTRUCTIONS_MAX:
            raise self._error("expression is too large")

    def _sequence(self, depth: int) -> _Code:
        code: _Code = []
        while self._peek() not in ("", "|", ")"):
            atom = self._repeated(self._atom(depth))
            code += _moved(atom, len(code))
            self._check(code)
        return code

    def _repeated(self, atom: _Code) -> _Code:
        first = True
        while self._peek() in ("*", "+", "?", "{"):
            bounds = self._bounds()
            if bounds is None:
                break
            if not first:
                raise self._error("invalid nested repetition operator")
            first = False
            if self._peek() == "?":
                self._at += 1
            atom = _repeat(atom, *bounds)
            self._check(atom)
        return atom

    def _bounds(self) -> tuple[int, int | None] | None:
        char = self._peek()
        if char != "{":
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(end, 0)].partition(",")
        if not (low.isascii() and low.isdigit()) or (high and not high.isdigit()):
            return None
        if len(low) > 4 or len(high) > 4 or int(low) > REPEAT_MAX or int(high or 0) > REPEAT_MAX:
            raise self._error("repeat count is too large")
        self._at = end + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if most is not None and most < least:
            raise self._error("invalid repeat count")
        return (least, most)

    def _atom(self, depth: int) -> _Code:
        char = self._take()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return [("char", self._char_class(), 0)]
        if char == ".":
            every = self._dot_all
            return [("char", lambda c: every or c != "\n", 0)]
        if char == "^":
            return [("assert", "^" if self._multi else "A", 0)]
        if char == "$":
            return [("assert", "$" if self._multi else "z", 0)]
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise self._error("missing argument to repetition operator")
        return self._literal(char)

    def _literal(self, char: str) -> _Code:
        if self._fold and char.lower() != char.upper():
            both = {char, char.lower(), char.upper()}
            return [("char", both.__contains__, 0)]
        return [("char", char.__eq__, 0)]

    def _group(self, depth: int) -> _Code:
        saved = (self._fold, self._multi, self._dot_all)
        if self._peek() == "?":
            self._at += 1
            if self._flags():
                return []
        code = self._alternatives(depth + 1)
        if self._peek() != ")":
            raise self._error("missing )")
        self._at += 1
        self._fold, self._multi, self._dot_all = saved
        return code

    def _flags(self) -> bool:
        """Read what follows `(?`; True for `(?i)`, which has no body."""
        if self._text.startswith(("P<", "<"), self._at):
            end = self._text.find(">", self._at)
            name = self._text[self._at : end].lstrip("P<")
            if end < 0 or not name or not all(map(_is_word, name)):
                raise self._error("invalid named group")
            self._at = end + 1
            return False
        on = True
        while True:
            char = self._take()
            if char == "i":
                self._fold = on
            elif char == "m":
                self._multi = on
            elif char == "s":
                self._dot_all = on
            elif char == "U":
                self._swap = on
            elif char == "-" and on:
                on = False
            elif char in ":)":
                return char == ")"
            else:
                raise self._error("invalid or unsupported Perl syntax")

    def _escape(self) -> _Code:
        char = self._take()
        if char in "AzbB":
            return [("assert", char, 0)]
        if char == "Q":
            end = self._text.find("\\E", self._at)
            end = len(self._text) if end < 0 else end
            quoted, self._at = self._text[self._at : end], min(end + 2, len(self._text))
            return [self._literal(c)[0] for c in quoted]
        has = self._shorthand(char)
        if has is not None:
            return [("char", has, 0)]
        return self._literal(self._escaped_char(char))

    def _shorthand(self, char: str) -> _Has | None:
        """A class with a name of its own, such as that of digits."""
        perl = _PERL.get(char.lower())
        if perl is not None:
            return perl if char.islower() else _not(perl)
        if char in "pP":
            name = self._take()
            if name == "{":
                end = self._text.find("}", self._at)
                if end < 0:
                    raise self._error("invalid character class range")
                name, self._at = self._text[self._at : end], end + 1
            negated = (char == "P") != name.startswith("^")
            name = name.lstrip("^")
            if name[:1] not in "LMNPSZC" or len(name) not in (1, 2):
                raise self._error(f"unknown character class {name[:20]!r}")
            has = _category(name)
            return _not(has) if negated else has
        return None

    def _escaped_char(self, char: str) -> str:
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char == "x":
            digits = self._take()
            if digits == "{":
                end = self._text.find("}", self._at)
                digits, self._at = self._text[self._at : max(end, 0)], end + 1
            else:
                digits += self._take()
            try:
                return chr(int(digits, 16))
            except (ValueError, OverflowError):
                raise self._error("invalid escape sequence") from None
        if char.isascii() and char.isalnum():
            raise self._error("invalid escape sequence")
        return char

    def _char_class(self) -> _Has:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[str, str]] = []
        more: list[_Has] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if self._text.startswith("[:", self._at):
                more.append(self._posix())
                continue
            low = self._class_item(more)
            if low is None:
                continue
            high: str | None = low
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._class_item([])
            if high is None or high < low:
                raise self._error("invalid character class range")
            ranges.append((low, high))
        self._at += 1
        has = _in_ranges(ranges, more, fold=self._fold)
        return _not(has) if negated else has

    def _class_item(self, more: list[_Has]) -> str | None:
        """One character of a class; None when it was a class of its own, added to `more`."""
        char = self._take()
        if char != "\\":
            return char
        char = self._take()
        has = self._shorthand(char)
        if has is None:
            return self._escaped_char(char)
        more.append(has)
        return None

    def _posix(self) -> _Has:
        end = self._text.find(":]", self._at)
        name = self._text[self._at + 2 : max(end, 0)]
        negated = name.startswith("^")
        body = _POSIX.get(name.lstrip("^"))
        if body is None:
            raise self._error("invalid character class range")
        self._at = end + 2
        inner = _Compiler(body + "]")
        has = inner._char_class()
        return _not(has) if negated else has


def _not(has: _Has) -> _Has:
    return lambda char: not has(char)


def _category(name: str) -> _Has:
    return lambda char: unicodedata.category(char).startswith(name)


def _in_ranges(ranges: list[tuple[str, str]], more: list[_Has], *, fold: bool) -> _Has:
    def within(char: str) -> bool:
        return any(low <= char <= high for low, high in ranges) or any(h(char) for h in more)

    if not fold:
        return within
    return lambda char: within(char) or within(char.lower()) or within(char.upper())


def _moved(code: _Code, by: int) -> _Code:
    """The same code for a place `by` further on."""
    if by == 0:
        return code
    return [
        (op, int(arg) + by, other + by) if op in ("split", "jump") else (op, arg, other)  # type: ignore[call-overload]
        for op, arg, other in code
    ]


def _repeat(code: _Code, least: int, most: int | None) -> _Code:
    if len(code) * max(least, most or 0, 1) > INSTRUCTIONS_MAX:
        raise Invalid("regular expression", "expression is too large")
    out: _Code = []
    for _ in range(least):
        out += _moved(code, len(out))
    if most is None:
        start = len(out)
        end = start + len(code) + 2
        return [
            *out,
            ("split", start + 1, end),
            *_moved(code, start + 1),
            ("jump", start, 0),
        ]
    optional = most - least
    end = len(out) + optional * (len(code) + 1)
    for _ in range(optional):
        out.append(("split", len(out) + 1, end))
        out += _moved(code, len(out))
    return out
