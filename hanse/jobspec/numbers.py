"""Numbers as job files have them: 512 bits, so that 10 / 3 * 3 is 10 and 0.1 + 0.2 is 0.3.

A number that is whole and fits 512 bits is a plain int; anything else is a Real. Decimal
would be nearer at hand but rounds in base ten, where 10 / 3 * 3 is 9.99….
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from hanse.jobspec.diagnostics import Fault
from hanse.jobspec.limits import EXPONENT_MAX

PRECISION_BITS = 512
#: Precision of what functions such as `length` return, and of `pow` and `log`.
COUNT_BITS = 64
FLOAT_BITS = 53

_EXPONENT_BITS_MAX = EXPONENT_MAX * 10 // 3
_LOOSE_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Real:
    """`mantissa * 2**exponent`, the mantissa odd; or an infinity, whose mantissa is 1 or -1."""

    mantissa: int
    exponent: int
    precision: int = PRECISION_BITS
    infinite: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Real) and text_of(self) == text_of(other)

    def __hash__(self) -> int:
        return hash(text_of(self))


class Count(int):
    """A whole number of 64 bits precision: a quotient of two of them has no more."""


Number: TypeAlias = int | Real

INFINITY = Real(1, 0, infinite=True)
NEGATIVE_INFINITY = Real(-1, 0, infinite=True)


class NotFinite(ArithmeticError):
    """0 / 0 and its like."""


def parse_number(text: str) -> Number:
    """The number that a text spells. Raises ValueError if it spells none, Fault if too large."""
    match = _LOOSE_NUMBER.match(text)
    if match is None or not (match[2] or match[3]):
        raise ValueError(text)
    fraction = match[3] or ""
    exponent_text = match[4] or "0"
    if len(exponent_text.lstrip("+-0")) > 6 or len(text) > EXPONENT_MAX:
        raise _too_large()
    exponent = int(exponent_text) - len(fraction)
    digits = int((match[2] or "") + fraction or "0")
    if match[1] == "-":
        digits = -digits
    if not digits:
        return 0
    if abs(exponent) > EXPONENT_MAX:
        raise _too_large()
    if exponent >= 0:
        return rounded(digits * 10**exponent, 0)
    return _ratio(digits, 10**-exponent, PRECISION_BITS)


def from_float(value: float) -> Number:
    """The number a 64-bit float stands for."""
    if value != value:  # noqa: PLR0124 - not a number
        raise NotFinite
    if value in (float("inf"), float("-inf")):
        return INFINITY if value > 0 else NEGATIVE_INFINITY
    numerator, denominator = value.as_integer_ratio()
    return rounded(numerator, 1 - denominator.bit_length(), FLOAT_BITS)


def rounded(mantissa: int, exponent: int, precision: int = PRECISION_BITS) -> Number:
    """`mantissa * 2**exponent` to the nearest number of that many bits, ties to even."""
    if not mantissa:
        return 0
    surplus = mantissa.bit_length() - precision
    if surplus > 0:
        low = mantissa & ((1 << surplus) - 1)
        mantissa >>= surplus
        half = 1 << (surplus - 1)
        if low > half or (low == half and mantissa & 1):
            mantissa += 1
        exponent += surplus
    zeros = (mantissa & -mantissa).bit_length() - 1
    mantissa >>= zeros
    exponent += zeros
    if exponent >= 0 and mantissa.bit_length() + exponent <= PRECISION_BITS:
        return mantissa << exponent
    if abs(exponent) > _EXPONENT_BITS_MAX:
        raise _too_large()
    return Real(mantissa, exponent, precision)


def _too_large() -> Fault:
    return Fault(
        "Number out of range",
        f"Numbers over 1e{EXPONENT_MAX} or under 1e-{EXPONENT_MAX} are refused.",
    )


def _ratio(top: int, bottom: int, precision: int) -> Number:
    """The quotient of two whole numbers, rounded once."""
    if bottom < 0:
        top, bottom = -top, -bottom
    shift = max(0, precision + 2 + bottom.bit_length() - abs(top).bit_length())
    quotient, rest = divmod(abs(top) << shift, bottom)
    # A sticky bit: whatever is left over only has to break a tie.
    quotient = (quotient << 1) | bool(rest)
    return rounded(-quotient if top < 0 else quotient, -shift - 1, precision)


def _parts(number: Number) -> tuple[int, int]:
    return (number.mantissa, number.exponent) if isinstance(number, Real) else (number, 0)


def _precision(left: Number, right: Number) -> int:
    bits = [
        n.precision
        if isinstance(n, Real)
        else COUNT_BITS
        if isinstance(n, Count)
        else PRECISION_BITS
        for n in (left, right)
    ]
    return max(bits)


def is_infinite(number: Number) -> bool:
    """Whether it is one of the two infinities."""
    return isinstance(number, Real) and number.infinite


def sign(number: Number) -> int:
    """-1, 0 or 1."""
    mantissa = number.mantissa if isinstance(number, Real) else number
    return (mantissa > 0) - (mantissa < 0)


def add(left: Number, right: Number) -> Number:
    """Raises NotFinite for the sum of opposite infinities."""
    if isinstance(left, int) and isinstance(right, int):
        return rounded(left + right, 0)
    if is_infinite(left) or is_infinite(right):
        if is_infinite(left) and is_infinite(right) and sign(left) != sign(right):
            raise NotFinite
        return left if is_infinite(left) else right
    (a, e), (b, f) = _parts(left), _parts(right)
    low = min(e, f)
    return rounded((a << (e - low)) + (b << (f - low)), low, _precision(left, right))


def negate(number: Number) -> Number:
    """The same with the other sign."""
    if isinstance(number, Real):
        return Real(-number.mantissa, number.exponent, number.precision, number.infinite)
    return -number


def subtract(left: Number, right: Number) -> Number:
    """Raises NotFinite for the difference of equal infinities."""
    return add(left, negate(right))


def multiply(left: Number, right: Number) -> Number:
    """Raises NotFinite for zero times infinity."""
    if isinstance(left, int) and isinstance(right, int):
        return rounded(left * right, 0)
    if is_infinite(left) or is_infinite(right):
        product = sign(left) * sign(right)
        if not product:
            raise NotFinite
        return INFINITY if product > 0 else NEGATIVE_INFINITY
    (a, e), (b, f) = _parts(left), _parts(right)
    return rounded(a * b, e + f, _precision(left, right))


def divide(left: Number, right: Number) -> Number:
    """Division by zero is an infinity; raises NotFinite for 0 / 0 and infinity / infinity."""
    if is_infinite(right):
        if is_infinite(left):
            raise NotFinite
        return 0
    if not sign(right):
        if not sign(left):
            raise NotFinite
        return INFINITY if sign(left) > 0 else NEGATIVE_INFINITY
    if is_infinite(left):
        return left if sign(right) > 0 else negate(left)
    (a, e), (b, f) = _parts(left), _parts(right)
    if e >= f:
        return _ratio(a << (e - f), b, _precision(left, right))
    return _ratio(a, b << (f - e), _precision(left, right))


def modulo(left: Number, right: Number) -> Number:
    """The remainder of the division that rounds towards zero; of a division by zero, `left`."""
    if is_infinite(left) or is_infinite(right) or not sign(right):
        return left
    return subtract(left, multiply(right, truncate(divide(left, right))))


def truncate(number: Number) -> Number:
    """The whole part. Infinities stay."""
    if not isinstance(number, Real) or number.infinite or number.exponent >= 0:
        return number
    whole = abs(number.mantissa) >> -number.exponent
    return rounded(-whole if number.mantissa < 0 else whole, 0)


def floor(number: Number) -> Number:
    """The next whole number downwards. Infinities stay."""
    if not isinstance(number, Real) or number.infinite or number.exponent >= 0:
        return number
    return rounded(number.mantissa >> -number.exponent, 0)


def compare(left: Number, right: Number) -> int:
    """Negative, zero or positive, by exact value."""
    if isinstance(left, int) and isinstance(right, int):
        return (left > right) - (left < right)
    if is_infinite(left) or is_infinite(right):
        a = sign(left) if is_infinite(left) else 0
        b = sign(right) if is_infinite(right) else 0
        return a - b
    (a, e), (b, f) = _parts(left), _parts(right)
    low = min(e, f)
    a, b = a << (e - low), b << (f - low)
    return (a > b) - (a < b)


def same(left: Number, right: Number) -> bool:
    """Equal for `==`: they print alike."""
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return text_of(left) == text_of(right)


def as_int(number: Number) -> int | None:
    """The number if it is whole, of any size."""
    if isinstance(number, int):
        return int(number)
    if number.infinite or number.exponent < 0:
        return None
    return number.mantissa << number.exponent


def as_float(number: Number) -> float:
    """The nearest 64-bit float; infinities where it overflows."""
    if isinstance(number, Real) and number.infinite:
        return float("inf") * number.mantissa
    mantissa, exponent = _parts(number)
    try:
        if exponent >= 0:
            return float(mantissa << exponent)
        return mantissa / (1 << -exponent)
    except OverflowError:
        return float("inf") if mantissa > 0 else float("-inf")


def digits_of(number: Number) -> tuple[str, int]:
    """The fewest digits that tell the number from its neighbours, and the place of the point.

    ("314", 1) is 3.14; the sign is left out; no trailing zeros. Only for finite numbers.
    """
    mantissa, exponent = _parts(number)
    mantissa = abs(mantissa)
    if isinstance(number, int):
        text = str(mantissa)
        return text.rstrip("0") or "0", len(text)
    precision = number.precision
    # Halves of the unit in the last place, so that the interval's ends are whole too.
    shift = precision + 1 - mantissa.bit_length()
    mantissa, exponent = mantissa << shift, exponent - shift
    scale = 5**-exponent if exponent < 0 else 1 << exponent
    lower, middle, upper = (str((mantissa + d) * scale) for d in (-1, 0, 1))
    point = len(middle) + min(exponent, 0)
    width = max(len(lower), len(middle), len(upper))
    pad = width - len(middle)
    lower, middle, upper = lower.zfill(width), middle.zfill(width), upper.zfill(width)
    digits, carry = _shortest(lower, middle, upper, inclusive=mantissa & 2 == 0)
    point += pad + carry
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    return stripped.rstrip("0") or "0", point


def _shortest(lower: str, middle: str, upper: str, *, inclusive: bool) -> tuple[str, int]:
    """Digits of the shortest decimal between two bounds, and 1 if a carry made it longer."""
    lower_end = len(lower.rstrip("0"))
    upper_end = len(upper.rstrip("0"))
    above = False  # whether upper's prefix is larger than middle's by more than the digit at hand
    for i, m in enumerate(middle):
        low, up = lower[i], upper[i]
        down_ok = low != m or (inclusive and i + 1 >= lower_end)
        up_ok = m != up and (inclusive or int(m) + 1 < int(up) or i + 1 < upper_end)
        above = above or m != up
        if down_ok and up_ok:
            rest = middle[i + 1 :]
            nearest_up = rest[:1] > "5" or (
                rest[:1] == "5" and (rest[1:].strip("0") != "" or int(m) % 2 == 1)
            )
            return _cut(middle, i, up=nearest_up)
        if down_ok:
            return _cut(middle, i, up=False)
        if up_ok:
            return _cut(middle, i, up=True)
    return middle, 0


def _cut(digits: str, last: int, *, up: bool) -> tuple[str, int]:
    head = digits[: last + 1]
    if not up:
        return head, 0
    raised = str(int(head) + 1).zfill(len(head))
    return raised, len(raised) - len(head)


def text_of(number: Number) -> str:
    """Plain decimal notation, never with an exponent."""
    if isinstance(number, int):
        return str(int(number))
    lead = "-" if number.mantissa < 0 else ""
    if number.infinite:
        return lead + "Inf" if lead else "+Inf"
    digits, point = digits_of(number)
    if point <= 0:
        return f"{lead}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return lead + digits + "0" * (point - len(digits))
    return f"{lead}{digits[:point]}.{digits[point:]}"
