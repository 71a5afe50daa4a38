"""Functions on timestamps, which are texts in RFC 3339's format."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from hanse.durations import parse_duration
from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import BadArgument, FunctionFailed, function, text
from hanse.jobspec.values import Value, string

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|([+-])(\d\d):(\d\d))\Z", re.ASCII
)
_MONTHS = (
    "January February March April May June July August September October November December".split()
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_PART = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']+", re.ASCII)


def _parse(value: str) -> datetime:
    """Whole seconds; the fraction is dropped, as upstream does. Raises FunctionFailed."""
    match = _TIMESTAMP.match(value)
    problem = f'not a valid RFC3339 timestamp: "{value}"'
    if match is None:
        raise FunctionFailed(problem)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    offset = timedelta()
    if match[7] != "Z":
        if int(match[9]) > 23 or int(match[10]) > 59:
            raise FunctionFailed(problem)
        offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
        offset = -offset if match[8] == "-" else offset
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset))
    except ValueError as cause:
        raise FunctionFailed(f"{problem}: {cause}") from None


def _offset_text(moment: datetime, separator: str, zero: str) -> str:
    offset = moment.utcoffset() or timedelta()
    if not offset and zero:
        return zero
    minutes = abs(int(offset.total_seconds())) // 60
    sign = "-" if offset < timedelta() else "+"
    return f"{sign}{minutes // 60:02d}{separator}{minutes % 60:02d}"


def _timeadd(_: Scope, timestamp: str, duration: str) -> Value:
    moment = _parse(timestamp)
    try:
        added = moment + timedelta(microseconds=parse_duration(duration) // 1000)
    except ValueError as problem:
        raise FunctionFailed(str(problem)) from None
    except OverflowError:
        raise FunctionFailed("the result is out of range") from None
    return f"{added:%Y-%m-%dT%H:%M:%S}".zfill(19) + _offset_text(added, ":", "Z")


def _formatdate(_: Scope, layout: str, timestamp: str) -> Value:
    try:
        moment = _parse(timestamp)
    except FunctionFailed as problem:
        raise BadArgument(1, str(problem)) from None
    pieces: list[str] = []
    position = 0
    while position < len(layout):
        match = _PART.match(layout, position)
        if match is None:
            raise BadArgument(0, "unterminated literal '")
        position = match.end()
        part = match[0]
        if part.startswith("'"):
            pieces.append(part[1:-1].replace("''", "'"))
        elif match[1]:
            pieces.append(_verb(part, moment))
        else:
            pieces.append(part)
    return string("".join(pieces))


def _verb(verb: str, moment: datetime) -> str:
    letter, count = verb[0], len(verb)
    hour12 = moment.hour % 12 or 12
    month, day = _MONTHS[moment.month - 1], _DAYS[moment.weekday()]
    forms: dict[str, tuple[str, dict[int, str]]] = {
        "Y": (
            'year must either be "YY" or "YYYY"',
            {2: f"{moment.year % 100:02d}", 4: f"{moment.year:04d}"},
        ),
        "M": (
            'month must be "M", "MM", "MMM", or "MMMM"',
            {1: str(moment.month), 2: f"{moment.month:02d}", 3: month[:3], 4: month},
        ),
        "D": (
            'day of month must either be "D" or "DD"',
            {1: str(moment.day), 2: f"{moment.day:02d}"},
        ),
        "E": ('day of week must either be "EEE" or "EEEE"', {3: day[:3], 4: day}),
        "h": (
            '24-hour must either be "h" or "hh"',
            {1: str(moment.hour), 2: f"{moment.hour:02d}"},
        ),
        "H": ('12-hour must either be "H" or "HH"', {1: str(hour12), 2: f"{hour12:02d}"}),
        "A": ('must be "AA"', {2: "PM" if moment.hour >= 12 else "AM"}),
        "a": ('must be "aa"', {2: "pm" if moment.hour >= 12 else "am"}),
        "m": (
            'minute must either be "m" or "mm"',
            {1: str(moment.minute), 2: f"{moment.minute:02d}"},
        ),
        "s": (
            'second must either be "s" or "ss"',
            {1: str(moment.second), 2: f"{moment.second:02d}"},
        ),
        "Z": (
            'timezone must be "Z", "ZZZ", "ZZZZ", or "ZZZZZ"',
            {
                1: _offset_text(moment, ":", "Z"),
                3: _offset_text(moment, "", "UTC"),
                4: _offset_text(moment, "", ""),
                5: _offset_text(moment, ":", ""),
            },
        ),
    }
    if letter not in forms:
        raise BadArgument(0, f'invalid date format verb "{verb}"')
    rule, results = forms[letter]
    if count not in results:
        raise BadArgument(0, f'invalid date format verb "{verb}": {rule}')
    return results[count]


FUNCTIONS = {
    "formatdate": function(_formatdate, text("format"), text("time")),
    "timeadd": function(_timeadd, text("timestamp"), text("duration")),
}
