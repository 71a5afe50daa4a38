"""`hanse status`: an id, and whatever it belongs to."""

from __future__ import annotations

from hanse.cli import (
    alloc_status,
    deployments,
    evals,
    job_status,
    node_status,
)
from hanse.cli.command import Context, Failed
from hanse.cli.lookup import find_job

_NOUNS = {
    "jobs": "job",
    "allocs": "allocation",
    "nodes": "node",
    "evals": "evaluation",
    "deployment": "deployment",
}


def run(context: Context) -> int:
    """Show what the id belongs to; without one, list jobs."""
    if not context.arguments:
        return job_status.listing(context)
    kind, identifier, _ = find(context, context.arguments[0])
    match kind:
        case "jobs":
            return job_status.show(context, find_job(context, identifier))
        case "allocs":
            return alloc_status.show(context, identifier)
        case "nodes":
            return node_status.show(context, identifier)
        case "evals":
            return evals.show(context, identifier)
        case _:
            return deployments.show(context, identifier)


def find(context: Context, said: str) -> tuple[str, str, str]:
    """The kind of thing, its id and (of a job) its namespace. Raises Failed."""
    matches = context.client.search(said).value.matches
    found = [(kind, identifier) for kind in _NOUNS for identifier in matches.get(kind, ())]
    exact = [(kind, identifier) for kind, identifier in found if identifier == said]
    chosen = exact or found
    if not chosen:
        raise Failed(f'Nothing with prefix or id "{said}" found')
    if len(chosen) > 1:
        lines = "\n".join(f"  {_NOUNS[kind]} {identifier}" for kind, identifier in chosen)
        raise Failed(f'Several things match "{said}":\n\n{lines}')
    kind, identifier = chosen[0]
    namespace = find_job(context, identifier).namespace if kind == "jobs" else ""
    return kind, identifier, namespace
