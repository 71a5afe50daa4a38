"""Functions on numbers."""

from __future__ import annotations

import math

from hanse.jobspec import numbers as num
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import (
    BadArgument,
    FunctionFailed,
    anything,
    function,
    number,
    whole,
)
from hanse.jobspec.limits import EXPONENT_MAX, RANGE_ITEMS_MAX
from hanse.jobspec.numbers import Number
from hanse.jobspec.values import NUMBER, ListValue, Value, name_of

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _abs(_: Scope, value: Number) -> Value:
    return num.negate(value) if num.sign(value) < 0 else value


def _ceil(_: Scope, value: Number) -> Value:
    return num.negate(num.floor(num.negate(value)))


def _floor(_: Scope, value: Number) -> Value:
    return num.floor(value)


def _signum(_: Scope, value: Number) -> Value:
    return num.sign(whole(value))


def _from_float(value: float, name: str) -> Value:
    try:
        return num.from_float(value)
    except num.NotFinite:
        raise FunctionFailed(f"{name} is not defined for these numbers") from None


def _logarithm(value: float) -> float:
    if value == 0:
        return -math.inf
    return math.log(value) if value > 0 else math.nan


def _log(_: Scope, value: Number, base: Number) -> Value:
    top, bottom = _logarithm(num.as_float(value)), _logarithm(num.as_float(base))
    if bottom == 0:
        infinite = math.copysign(math.inf, top)
        return _from_float(infinite if abs(top) > 0 else math.nan, "log")
    return _from_float(top / bottom, "log")


def _pow(_: Scope, base: Number, power: Number) -> Value:
    b, p = num.as_float(base), num.as_float(power)
    try:
        result = math.pow(b, p)
    except OverflowError:
        result = -math.inf if b < 0 and p % 2 == 1 else math.inf
    except ValueError:
        result = math.inf if b == 0 else math.nan
    return _from_float(result, "pow")


def _max(_: Scope, *values: Number) -> Value:
    return _pick(values, 1)


def _min(_: Scope, *values: Number) -> Value:
    return _pick(values, -1)


def _pick(values: tuple[Number, ...], direction: int) -> Value:
    if not values:
        raise FunctionFailed("must pass at least one number")
    best = values[0]
    for value in values[1:]:
        if num.compare(value, best) * direction > 0:
            best = value
    return best


def _parseint(_: Scope, text: Value, base: Number) -> Value:
    if not isinstance(text, str):
        raise BadArgument(0, f"first argument must be a string, not {name_of(text)}")
    radix = num.as_int(base)
    if radix is None or not 2 <= radix <= 62:
        raise BadArgument(1, "base must be a whole number between 2 and 62 inclusive")
    digits = text[1:] if text[:1] in ("+", "-") else text
    if radix <= 36:
        digits = digits.lower()
    allowed = _DIGITS[:radix]
    if not digits or len(digits) > EXPONENT_MAX // 2 or any(d not in allowed for d in digits):
        raise BadArgument(0, f'cannot parse "{text}" as a base {radix} integer')
    result = 0
    for digit in digits:
        result = result * radix + _DIGITS.index(digit)
    return num.rounded(-result if text[0] == "-" else result, 0)


def _range(_: Scope, *limits: Number) -> Value:
    if not 1 <= len(limits) <= 3:
        raise FunctionFailed("must have one, two, or three arguments")
    start, end = limits[:2] if len(limits) > 1 else (0, *limits)
    rising = num.compare(start, end) <= 0
    step: Number = limits[2] if len(limits) > 2 else (1 if rising else -1)
    if num.sign(step) > 0 and num.compare(start, end) > 0:
        raise BadArgument(1, "end must be greater than start when step is positive")
    if num.sign(step) < 0 and num.compare(start, end) < 0:
        raise BadArgument(1, "end must be less than start when step is negative")
    results: list[Value] = []
    at = start
    while num.compare(at, end) * (1 if rising else -1) < 0:
        if len(results) >= RANGE_ITEMS_MAX:
            raise FunctionFailed(
                f"more than {RANGE_ITEMS_MAX} values were generated; either decrease the"
                " difference between start and end or use a smaller step"
            )
        results.append(at)
        at = num.add(at, step)
    return ListValue(NUMBER, results)


FUNCTIONS = {
    "abs": function(_abs, number("num")),
    "ceil": function(_ceil, number("num")),
    "floor": function(_floor, number("num")),
    "log": function(_log, number("num"), number("base")),
    "max": function(_max, rest=number("numbers")),
    "min": function(_min, rest=number("numbers")),
    "parseint": function(_parseint, anything("number"), number("base")),
    "pow": function(_pow, number("num"), number("power")),
    "range": function(_range, rest=number("params")),
    "signum": function(_signum, number("num")),
}
