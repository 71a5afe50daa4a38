"""Which address others are told."""

from __future__ import annotations


def advertised(configured: str, bind_addr: str) -> str:
    """The address others are told: the configured one, or the one we listen on."""
    if configured:
        return configured.rsplit(":", 1)[0] if configured.count(":") == 1 else configured
    return "127.0.0.1" if bind_addr in ("0.0.0.0", "::") else bind_addr
