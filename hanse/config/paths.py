"""Folders outside the data directory."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Where the installer and `make dev` put fetched programs such as etcd.

    `HANSE_CACHE`, else `hanse` in the user's cache folder (XDG Base Directory Specification).
    """
    configured = os.environ.get("HANSE_CACHE")  # noqa: TID251  (this package reads it for all)
    if configured:
        return Path(configured)
    home = os.environ.get("XDG_CACHE_HOME")  # noqa: TID251
    return (Path(home) if home else Path.home() / ".cache") / "hanse"
