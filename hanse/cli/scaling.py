"""`hanse scaling policy list`."""

from __future__ import annotations

from hanse.cli.command import Context
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import yes
from hanse.cli.text import short_id, table


def listing(context: Context) -> int:
    """List scaling policies."""
    flags = context.flags
    answer = context.client.scaling_policies(job=flags.text("job"), type=flags.text("type"))
    if wants_structured(context):
        return show_structured(context, answer.body)
    if not answer.value:
        context.out("No policies found")
        return 0
    rows = [
        [
            short_id(policy.id, verbose=context.verbose),
            yes(policy.enabled),
            policy.type,
            ",".join(f"{key}:{value}" for key, value in sorted(policy.target.items())),
        ]
        for policy in sorted(answer.value, key=lambda policy: policy.id)
    ]
    header = ["ID", "Enabled", "Type", "Target"]
    context.out(table(header, rows, width=context.terminal.width))
    return 0
