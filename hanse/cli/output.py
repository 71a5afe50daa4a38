"""Answers of the API as they are: `-json` and `-t`."""

from __future__ import annotations

import re

import msgspec

from hanse.cli.command import Context, Failed

# JSON escapes the control characters below 0x20 itself; these it leaves alone.
_RISKY = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def wants_structured(context: Context) -> bool:
    """Whether the person asked for data rather than for a page to read."""
    flags = context.flags
    if flags.on("json") and flags.text("t"):
        raise Failed("-json and -t exclude each other")
    return flags.on("json") or bool(flags.text("t"))


def show_structured(context: Context, body: bytes) -> int:
    """Print the API's JSON, indented or through the template."""
    template = context.flags.text("t")
    if not template:
        context.out(pretty(body))
        return 0
    from hanse.cli.gotemplate import TemplateError, render

    try:
        shown = render(template, msgspec.json.decode(body or b"null"))
    except TemplateError as error:
        raise Failed(f"Error in the template: {error}") from error
    context.out(shown)
    return 0


def pretty(body: bytes) -> str:
    """JSON, indented."""
    text = msgspec.json.format(body or b"null", indent=4).decode()
    return _RISKY.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
