"""`format` and `formatlist`: Go's verbs on our values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hanse.jobspec import numbers as num
from hanse.jobspec.convert import CannotConvert, convert
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import (
    BadArgument,
    FunctionFailed,
    anything,
    function,
    text,
)
from hanse.jobspec.functions.encoding import json_text
from hanse.jobspec.graphemes import cluster_count, clusters
from hanse.jobspec.limits import STRING_CHARS_MAX
from hanse.jobspec.numbers import Number, Real
from hanse.jobspec.values import (
    BOOL,
    NUMBER,
    STRING,
    ListValue,
    Sequence,
    SetValue,
    TupleValue,
    Value,
    string,
)

_WIDTH_MAX = 10_000
_VERB = re.compile(
    r"%(?P<flags>[#0 +\-]*)(?P<width>[1-9]\d*)?(?:\.(?P<precision>\d*))?"
    r"(?:\[(?P<index>\d+)\])?(?P<mode>[A-Za-z])",
    re.ASCII,
)
_GOOD_PREFIX = re.compile(r"%[#0 +\-]*(?:[1-9]\d*)?(?:\.\d*)?(?:\[\d*\]?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Verb:
    raw: str
    offset: int
    flags: str
    width: int
    precision: int | None
    mode: str

    @property
    def padding(self) -> str:
        return "0" if "0" in self.flags and "-" not in self.flags else " "


def _format(scope: Scope, template: str, *arguments: Value) -> Value:
    result, used = _formatted(scope, template, arguments)
    if used < len(arguments):
        raise BadArgument(1 + used, f"too many arguments; only {used} used by format string")
    return string(result)


def _formatted(scope: Scope, template: str, arguments: tuple[Value, ...]) -> tuple[str, int]:
    """The text, and how many of the arguments the template asked for at most."""
    pieces: list[str] = []
    position = next_argument = used = 0
    while True:
        percent = template.find("%", position)
        if percent < 0:
            pieces.append(template[position:])
            return "".join(pieces), used
        pieces.append(template[position:percent])
        if template.startswith("%%", percent):
            pieces.append("%")
            position = percent + 2
            continue
        match = _VERB.match(template, percent)
        if match is None:
            raise _bad_template(template, percent)
        index = int(match["index"][:9]) if match["index"] else next_argument + 1
        if not 1 <= index <= len(arguments):
            offset = len(template[:percent].encode())
            raise FunctionFailed(
                f'not enough arguments for "{match[0]}" at {offset}: need index {index}'
                f" but have {len(arguments)} total"
            )
        next_argument, used = index, max(used, index)
        pieces.append(_verb(_parsed(match), arguments[index - 1]))
        scope.budget.charge(1 + len(pieces[-1]) // 64)
        if len(pieces[-1]) > STRING_CHARS_MAX:
            raise FunctionFailed("the result would be too long")
        position = match.end()


def _parsed(match: re.Match[str]) -> _Verb:
    width = int((match["width"] or "0")[:9])
    precision = int((match["precision"] or "0")[:9]) if match["precision"] is not None else None
    if max(width, precision or 0) > _WIDTH_MAX:
        raise FunctionFailed(f"widths over {_WIDTH_MAX} are refused")
    offset = len(match.string[: match.start()].encode())
    return _Verb(match[0], offset, match["flags"], width, precision, match["mode"])


def _bad_template(template: str, percent: int) -> FunctionFailed:
    match = _GOOD_PREFIX.match(template, percent)
    stop = match.end() if match else percent + 1
    offset = len(template[:stop].encode())
    if stop >= len(template):
        return FunctionFailed(f"invalid format string starting at offset {offset}")
    return FunctionFailed(f"unrecognized format character {template[stop]!r} at offset {offset}")


def _verb(verb: _Verb, value: Value) -> str:
    mode = verb.mode
    if mode not in "vtbdoxXeEfgGsq":
        raise FunctionFailed(
            f"unsupported format verb '{mode}' in \"{verb.raw}\" at offset {verb.offset}"
        )
    if mode == "v":
        return _as_is(verb, value)
    if value is None:
        raise _unsupported(verb, "null value cannot be formatted")
    if mode == "t":
        try:
            return _pad("true" if convert(value, BOOL) else "false", verb)
        except CannotConvert:
            raise _unsupported(verb, "a bool is required") from None
    try:
        if mode in "sq":
            return _text(verb, str(convert(value, STRING)))
        number = convert(value, NUMBER)
    except CannotConvert as problem:
        raise _unsupported(verb, str(problem)) from None
    assert isinstance(number, (int, Real))
    return _integer(verb, number) if mode in "bdoxX" else _float(verb, number)


def _unsupported(verb: _Verb, problem: str) -> FunctionFailed:
    return FunctionFailed(f'unsupported value for "{verb.raw}" at {verb.offset}: {problem}')


def _as_is(verb: _Verb, value: Value) -> str:
    if "#" not in verb.flags:
        if isinstance(value, bool):
            return _pad("true" if value else "false", verb)
        if isinstance(value, str):
            return _text(verb, value)
        if isinstance(value, (int, Real)):
            general = _Verb(verb.raw, verb.offset, verb.flags, verb.width, verb.precision, "g")
            return _float(general, value)
    return _pad(json_text(value), verb)


def _pad(body: str, verb: _Verb) -> str:
    missing = verb.width - cluster_count(body)
    if missing <= 0:
        return body
    return body + " " * missing if "-" in verb.flags else verb.padding * missing + body


def _text(verb: _Verb, body: str) -> str:
    if verb.precision is not None and verb.mode != "v":
        body = "".join(list(clusters(body))[: verb.precision])
    if verb.mode == "q":
        body = json_text(body)
    return _pad(body, verb)


def _integer(verb: _Verb, number: Number) -> str:
    value = None if num.is_infinite(number) else num.as_int(number)
    if value is None:
        raise _unsupported(verb, "an integer is required")
    digits = format(abs(value), verb.mode)
    if verb.precision is not None:
        digits = digits.zfill(verb.precision)
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb.mode, "")
    if "#" not in verb.flags:
        prefix = ""
    zeros = verb.precision is None
    return _signed(verb, value < 0, prefix, digits, zeros_allowed=zeros)


def _signed(
    verb: _Verb, negative: bool, prefix: str, digits: str, *, zeros_allowed: bool = True
) -> str:
    sign = "-" if negative else "+" if "+" in verb.flags else " " if " " in verb.flags else ""
    missing = verb.width - len(sign + prefix + digits)
    if missing > 0 and verb.padding == "0" and zeros_allowed:
        return sign + prefix + "0" * missing + digits
    body = sign + prefix + digits
    return body.ljust(verb.width) if "-" in verb.flags else body.rjust(verb.width)


def _float(verb: _Verb, number: Number) -> str:
    negative = num.sign(number) < 0
    if num.is_infinite(number):
        return _signed(verb, negative, "", "Inf", zeros_allowed=False)
    digits, point = num.digits_of(number)
    mode = verb.mode.lower()
    if mode == "g":
        body = _general(number, digits, point, verb.precision)
    else:
        precision = 6 if verb.precision is None else verb.precision
        body = _exponential(number, precision) if mode == "e" else _fixed(number, precision)
    return _signed(verb, negative, "", body.upper() if verb.mode.isupper() else body)


def _exact(number: Number) -> tuple[int, int]:
    """The number as a fraction of whole numbers, the sign left out."""
    if isinstance(number, Real):
        if number.exponent < 0:
            return abs(number.mantissa), 1 << -number.exponent
        return abs(number.mantissa) << number.exponent, 1
    return abs(number), 1


def _round_half_even(top: int, bottom: int) -> int:
    quotient, rest = divmod(top, bottom)
    if rest * 2 > bottom or (rest * 2 == bottom and quotient & 1):
        quotient += 1
    return quotient


def _fixed(number: Number, precision: int) -> str:
    top, bottom = _exact(number)
    if precision > 3000:
        raise FunctionFailed("precisions over 3000 are refused")
    digits = str(_round_half_even(top * 10**precision, bottom)).zfill(precision + 1)
    return f"{digits[:-precision]}.{digits[-precision:]}" if precision else digits


def _significant(number: Number, count: int) -> tuple[str, int]:
    """That many rounded significant digits, and the place of the point in them."""
    top, bottom = _exact(number)
    if not top:
        return "0" * count, 1
    _, point = num.digits_of(number)
    shift = count - point
    scaled = (top * 10**shift, bottom) if shift >= 0 else (top, bottom * 10**-shift)
    digits = str(_round_half_even(*scaled))
    if len(digits) > count:
        return digits[:count], point + 1
    return digits, point


def _exponential(number: Number, precision: int) -> str:
    if precision > 3000:
        raise FunctionFailed("precisions over 3000 are refused")
    digits, point = _significant(number, precision + 1)
    return _scientific(digits, point)


def _scientific(digits: str, point: int) -> str:
    exponent = point - 1
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _general(number: Number, digits: str, point: int, precision: int | None) -> str:
    if not num.sign(number):
        return "0"
    if precision is None:
        threshold = 6
    else:
        threshold = max(precision, 1)
        digits, point = _significant(number, threshold)
        digits = digits.rstrip("0") or "0"
        if threshold > len(digits) >= point:
            threshold = len(digits)
    if point - 1 < -4 or point - 1 >= threshold:
        return _scientific(digits, point)
    if point <= 0:
        return f"0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"


def _formatlist(scope: Scope, template: str, *arguments: Value) -> Value:
    if not arguments:
        return ListValue(STRING, [_format(scope, template)])
    length: int | None = None
    first = 0
    for position, argument in enumerate(arguments, 1):
        if not isinstance(argument, (ListValue, SetValue, TupleValue)):
            continue
        if length is None:
            length, first = len(argument.items), position
        elif len(argument.items) != length:
            raise BadArgument(
                position,
                f"argument {position} has length {len(argument.items)}, which is inconsistent"
                f" with argument {first} of length {length}",
            )
    results: list[Value] = []
    for index in range(1 if length is None else length):
        row = tuple([a.items[index] if isinstance(a, Sequence) else a for a in arguments])
        try:
            result, used = _formatted(scope, template, row)
        except FunctionFailed as problem:
            raise FunctionFailed(f"error on format iteration {index}: {problem}") from None
        if used < len(arguments):
            raise FunctionFailed(
                f"error on format iteration {index}: too many arguments; only {used} used by"
                " format string"
            )
        results.append(string(result))
    return ListValue(STRING, results)


FUNCTIONS = {
    "format": function(_format, text("format"), rest=anything("args", null=True)),
    "formatlist": function(_formatlist, text("format"), rest=anything("args", null=True)),
}
