"""`hanse agent-info`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.text import bold


def run(context: Context) -> int:
    """Show what an agent says of itself."""
    answer = context.client.agent.self()
    if wants_structured(context):
        return show_structured(context, answer.body)
    stats = answer.value.get("stats")
    for section, values in sorted((stats if isinstance(stats, dict) else {}).items()):
        context.out(bold(str(section)))
        for key, value in sorted((values if isinstance(values, dict) else {}).items()):
            shown = str(value).lower() if isinstance(value, bool) else value
            context.out(f"  {key} = {shown}")
    return 0
