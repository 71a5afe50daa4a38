"""`hanse ui`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.errors import Unsupported

_PAGES = {"jobs": "jobs/", "allocs": "allocations/", "nodes": "clients/"}


def page(context: Context, path: str = "") -> str:
    """The address of a page of the web UI."""
    from urllib.parse import quote

    address = context.client.settings.address.rstrip("/")
    if address.startswith("unix://"):
        address = "http://127.0.0.1:4646"
    elif "://" not in address:
        address = f"http://{address}"
    return f"{address}/ui/{quote(path, safe='/@')}"


def run(context: Context) -> int:
    """Open a page of the web UI, or print its address."""
    if context.flags.on("authenticate"):
        raise Unsupported(["-authenticate"])
    address = page(context, _path(context))
    if context.flags.on("show-url") or not context.terminal.interactive:
        context.out(f"URL for web UI: {address}")
        return 0
    import webbrowser

    context.out(f'Opening URL "{address}"')
    if not webbrowser.open(address):
        context.err("No browser could be opened.")
        return 1
    return 0


def _path(context: Context) -> str:
    if not context.arguments:
        return ""
    from hanse.cli.status import find

    kind, identifier, namespace = find(context, context.arguments[0])
    if kind not in _PAGES:
        return ""
    return _PAGES[kind] + identifier + (f"@{namespace}" if kind == "jobs" else "")
