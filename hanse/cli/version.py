"""`hanse version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse import __version__

if TYPE_CHECKING:
    from hanse.cli.command import Context


def text() -> str:
    """What the command prints."""
    return f"Hanse v{__version__}"


def run(context: Context) -> int:
    """Show the version."""
    context.out(text())
    return 0
