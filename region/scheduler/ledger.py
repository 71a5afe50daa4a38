"""Collects what a plan says about existing allocations: one change for each."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hanse.structs.allocation import AllocChange


class Ledger:
    """Changes by allocation, in the order they were first noted."""

    def __init__(self) -> None:
        """Empty."""
        self._changes: dict[str, AllocChange] = {}

    def note(self, alloc_id: str, **fields: Any) -> None:
        """Add fields of `AllocChange` to what is noted of the allocation."""
        kept = self._changes.get(alloc_id)
        if kept is None:
            kept = AllocChange(alloc_id=alloc_id)
        self._changes[alloc_id] = replace(kept, **fields)

    def changes(self) -> tuple[AllocChange, ...]:
        """All that was noted."""
        return tuple(self._changes.values())
