"""Signals by the names job files use."""

from __future__ import annotations

import signal

from hanse.errors import DriverFailed


def signal_number(driver: str, name: str, default: str) -> int:
    """The number of `SIGTERM`, `TERM`, `term` or `15`. Raises DriverFailed for any other text."""
    text = (name or default).upper()
    if text.isdigit() and 0 < int(text) < signal.NSIG:
        return int(text)
    full = text if text.startswith("SIG") else f"SIG{text}"
    try:
        return int(signal.Signals[full])
    except KeyError:
        raise DriverFailed(driver, f'unknown signal "{name}"') from None
