"""`hanse service …`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.node_pool import page
from hanse.cli.node_status import more
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.text import pairs, short_id, table


def listing(context: Context) -> int:
    """List services and their tags."""
    answer = context.client.services.list(**page(context))
    if wants_structured(context):
        return show_structured(context, answer.body)
    several = context.client.settings.namespace == "*"
    rows = [
        [
            service.service_name,
            *([of_namespace.namespace] if several else []),
            _tags(service.tags),
        ]
        for of_namespace in answer.value
        for service in of_namespace.services
    ]
    if not rows:
        context.out("No service registrations found")
        return 0
    header = ["Service Name", *(["Namespace"] if several else []), "Tags"]
    context.out(table(header, sorted(rows), width=context.terminal.width))
    more(context, answer.next_token)
    return 0


def _tags(tags: tuple[str, ...]) -> str:
    return f"[{','.join(sorted(tags))}]"


def info(context: Context) -> int:
    """Show the instances of a service."""
    name = context.arguments[0]
    answer = context.client.services.get(name, **page(context))
    if wants_structured(context):
        return show_structured(context, answer.body)
    found = sorted(
        answer.value, key=lambda service: (service.job_id, service.address, service.port)
    )
    if not found:
        raise Failed("No service registrations found")
    if context.verbose:
        parts = [
            pairs(
                [
                    ("ID", service.id),
                    ("Service Name", service.service_name),
                    ("Namespace", service.namespace),
                    ("Job ID", service.job_id),
                    ("Alloc ID", service.alloc_id),
                    ("Node ID", service.node_id),
                    ("Datacenter", service.datacenter),
                    ("Address", f"{service.address}:{service.port}"),
                    ("Tags", _tags(service.tags)),
                ]
            )
            for service in found
        ]
        context.out("\n\n".join(parts))
        return 0
    rows = [
        [
            service.job_id,
            f"{service.address}:{service.port}",
            _tags(service.tags),
            short_id(service.node_id),
            short_id(service.alloc_id),
        ]
        for service in found
    ]
    header = ["Job ID", "Address", "Tags", "Node ID", "Alloc ID"]
    context.out(table(header, rows, width=context.terminal.width))
    more(context, answer.next_token)
    return 0


def delete(context: Context) -> int:
    """Take an instance of a service away."""
    name, registration = context.arguments
    context.client.services.delete(name, registration)
    context.out("Successfully deleted service registration")
    return 0
