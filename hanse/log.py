"""Structured logs: set up once at start, followed by `hanse monitor`.

A line reads `2026-01-02T15:04:05.000Z [INFO]  store: member ready: port=4649 took_ms=412`; with
`log_json` it is one JSON object. Every line also goes to the `LogHub`, from which any number of
listeners follow it at a level of their own.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}
#: Lines kept for those who begin to listen.
RECENT_LINES_MAX = 512
#: Lines that one slow listener may fall behind before it loses some.
LISTENER_LINES_MAX = 4096

_EventDict = MutableMapping[str, Any]


def level_number(name: str) -> int:
    """The number of a level's name, in any case. Raises ValueError with the names known."""
    number = LEVELS.get(name.upper().replace("WARNING", "WARN"))
    if number is None:
        raise ValueError(f"unknown log level {name!r}; it must be one of {', '.join(LEVELS)}")
    return number


class LogLine(msgspec.Struct, frozen=True):
    """One line, ready to show."""

    level: int
    text: str
    json: str


class LogListener:
    """One reader of the log. `lost` counts what it was too slow for."""

    def __init__(self, level: int, wake: Callable[[], None]) -> None:
        """Lines below `level` are left out; `wake` is called when there is something new."""
        self.level = level
        self.lost = 0
        self._wake = wake
        self._lines: deque[LogLine] = deque()

    def offer(self, line: LogLine) -> None:
        """Add a line; the oldest goes when there are too many."""
        if line.level < self.level:
            return
        if len(self._lines) >= LISTENER_LINES_MAX:
            self._lines.popleft()
            self.lost += 1
        self._lines.append(line)
        self._wake()

    def take(self) -> list[LogLine]:
        """All lines not taken yet."""
        lines = list(self._lines)
        self._lines.clear()
        return lines


class LogHub:
    """Where every line passes through."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._recent: deque[LogLine] = deque(maxlen=RECENT_LINES_MAX)
        self._listeners: list[LogListener] = []

    def publish(self, line: LogLine) -> None:
        """Hand a line to all listeners."""
        self._recent.append(line)
        for listener in self._listeners:
            listener.offer(line)

    def listen(self, level: int, wake: Callable[[], None]) -> LogListener:
        """Begin to listen, with the recent lines first."""
        listener = LogListener(level, wake)
        for line in self._recent:
            listener.offer(line)
        self._listeners.append(listener)
        return listener

    def leave(self, listener: LogListener) -> None:
        """Stop listening."""
        self._listeners.remove(listener)


class LogSettings:
    """The parts of logging that a reload may change while the process runs."""

    def __init__(self, *, level: str, json: bool, stream: TextIO | None = None) -> None:
        """Lines go to `stream` (standard output by default) and to the hub."""
        self.level = level_number(level)
        self.json = json
        self.stream = stream or sys.stdout
        self.hub = LogHub()

    def write(self, line: LogLine) -> None:
        """Put a line where it belongs."""
        self.hub.publish(line)
        if line.level >= self.level:
            self.stream.write((line.json if self.json else line.text) + "\n")
            self.stream.flush()


def set_up(settings: LogSettings) -> None:
    """Route structlog, and the standard library's logging from warnings up, to `settings`."""

    def render(logger: object, method: str, event: _EventDict) -> str:
        name = logger.name if isinstance(logger, _Named) else ""
        settings.write(_line(name, method, event))
        raise structlog.DropEvent

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *names: _Named(str(names[0]) if names else ""),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(logging.WARNING)


class _Named:
    """Knows which module speaks; the rendering processor does everything else."""

    def __init__(self, name: str) -> None:
        self.name = name.removeprefix("hanse.")


class _Bridge(logging.Handler):
    """Lines of libraries that use the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        method = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(log, method)(record.getMessage(), exc_info=record.exc_info or None)


def _line(name: str, method: str, event: _EventDict) -> LogLine:
    level = {"debug": "DEBUG", "info": "INFO", "warning": "WARN"}.get(method, "ERROR")
    at = str(event.pop("@timestamp"))[:23] + "Z"
    message = str(event.pop("event"))
    module = name or "agent"
    trace = event.pop("exception", None)
    fields = " ".join(f"{key}={_value(value)}" for key, value in event.items())
    text = f"{at} [{level}]{' ' * (6 - len(level))}{module}: {message}"
    if fields:
        text += f": {fields}"
    if trace:
        text += f"\n{trace}"
    record: dict[str, object] = {
        "@timestamp": at,
        "@level": level.lower(),
        "@module": module,
        "@message": message,
        **{
            key: value if isinstance(value, int | float) else str(value)
            for key, value in event.items()
        },
    }
    if trace:
        record["exception"] = trace
    return LogLine(LEVELS[level], text, msgspec.json.encode(record).decode())


def _value(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(c in text for c in ' "='):
        return text
    return msgspec.json.encode(text).decode()


def get_logger(module: str) -> Any:
    """A logger whose lines carry the name of the part that speaks."""
    return structlog.get_logger(module)
