"""Lines of the log, and those who follow them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from hanse.log import LISTENER_LINES_MAX, LogHub, LogLine, LogSettings, get_logger, set_up


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def test_a_line_has_time_level_module_text_and_fields(out: io.StringIO) -> None:
    set_up(LogSettings(level="INFO", json=False, stream=out))
    get_logger("hanse.thing").info("it is ready", port=4649, text="a b", raw="\x1b[31m")
    line = out.getvalue()
    assert line[24:] == (' [INFO]  thing: it is ready: port=4649 text="a b" raw="\\u001b[31m"\n')
    assert line[10] == "T"


def test_json_has_the_same_as_one_object(out: io.StringIO) -> None:
    set_up(LogSettings(level="INFO", json=True, stream=out))
    get_logger("region.store").warning("slow", took_ms=12)
    record = json.loads(out.getvalue())
    assert (record["@level"], record["@module"], record["@message"]) == (
        "warn",
        "region.store",
        "slow",
    )
    assert record["took_ms"] == 12


def test_lower_levels_reach_only_those_who_asked(out: io.StringIO) -> None:
    settings = LogSettings(level="WARN", json=False, stream=out)
    set_up(settings)
    woken: list[int] = []
    listener = settings.hub.listen(10, lambda: woken.append(1))
    get_logger("x").debug("quiet")
    assert out.getvalue() == ""
    assert [line.level for line in listener.take()] == [10]
    assert (len(woken), listener.take()) == (1, [])


def test_libraries_that_use_logging_are_heard(out: io.StringIO) -> None:
    set_up(LogSettings(level="INFO", json=False, stream=out))
    logging.getLogger("lib").warning("careful %s", "now")
    assert "[WARN]  lib: careful now" in out.getvalue()


def test_a_slow_listener_loses_the_oldest_and_knows_how_many() -> None:
    hub = LogHub()
    listener = hub.listen(0, lambda: None)
    for number in range(LISTENER_LINES_MAX + 5):
        hub.publish(LogLine(20, str(number), ""))
    assert listener.lost == 5
    assert listener.take()[0].text == "5"
    hub.leave(listener)
    hub.publish(LogLine(20, "later", ""))
    assert listener.take() == []


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="TRACE, DEBUG, INFO, WARN, ERROR"):
        LogSettings(level="LOUD", json=False)
