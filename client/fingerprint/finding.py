"""What one fingerprint found."""

from __future__ import annotations

import msgspec

from hanse.structs.node import NodeNetworkResource
from hanse.structs.task import NetworkResource


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes, and the parts of the resources that this fingerprint knows of."""

    attributes: dict[str, str] = {}
    cores: int = 0
    total_mhz: int = 0
    topology: dict[str, object] | None = None
    memory_mb: int = 0
    disk_mb: int = 0
    node_networks: tuple[NodeNetworkResource, ...] = ()
    networks: tuple[NetworkResource, ...] = ()


def read_text(path: str) -> str:
    """The file's text, "" if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
