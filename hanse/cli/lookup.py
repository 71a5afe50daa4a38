"""From what a person types, often the beginning of an id, to the one thing meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from hanse.cli.command import Context, Failed
from hanse.cli.tables import alloc_table, deployment_table, eval_table, job_table, node_table

if TYPE_CHECKING:
    from hanse.sdk.client import Answer
    from hanse.structs.api import AllocListStub, JobListStub
    from hanse.structs.deployment import Deployment
    from hanse.structs.evaluation import Evaluation
    from hanse.structs.node import NodeListStub


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T")
H = TypeVar("H", bound=_HasId)

_PREFIX_MIN = 2


def list_namespace(context: Context) -> str | None:
    """The namespace of a search: all of them unless one was named."""
    return None if context.client.settings.namespace else "*"


def find_job(context: Context, said: str) -> JobListStub:
    """The job of this id, or the only one that begins so. Raises Failed."""
    found = context.client.jobs.list(prefix=said).value
    return _only(
        context,
        said,
        [(stub.id, stub) for stub in found],
        none=f'No job(s) with prefix or ID "{said}" found',
        many="jobs",
        show=lambda rows: job_table(rows, namespaces=_several(rows)),
    )


def _several(rows: Sequence[JobListStub]) -> bool:
    return len({row.namespace for row in rows}) > 1


def find_alloc(context: Context, said: str) -> AllocListStub:
    """The allocation that begins so. Raises Failed."""
    found = _beginning(context, said, context.client.allocations.list)
    return _only(
        context,
        said,
        [(stub.id, stub) for stub in found],
        none=f'No allocation(s) with prefix or id "{said}" found',
        many="allocations",
        show=lambda rows: alloc_table(rows, now_ns=context.now_ns(), verbose=True),
    )


def find_node(context: Context, said: str) -> NodeListStub:
    """The node that begins so, or the one of this name. Raises Failed."""
    _long_enough(said)
    found = context.client.nodes.list(prefix=said.lower()).value if _is_hex(said) else ()
    found = tuple(stub for stub in found if stub.id.startswith(said))
    if not found:
        found = tuple(stub for stub in context.client.nodes.list().value if stub.name == said)
        said = found[0].id if len(found) == 1 else said
    return _only(
        context,
        said,
        [(stub.id, stub) for stub in found],
        none=f'No node(s) with prefix or id "{said}" found',
        many="nodes",
        show=lambda rows: node_table(rows, verbose=True),
    )


def find_eval(context: Context, said: str) -> Evaluation:
    """The evaluation that begins so. Raises Failed."""
    found = _beginning(context, said, context.client.evaluations.list)
    return _only(
        context,
        said,
        [(evaluation.id, evaluation) for evaluation in found],
        none=f'No evaluation(s) with prefix or id "{said}" found',
        many="evaluations",
        show=lambda rows: eval_table(rows, verbose=True),
    )


def find_deployment(context: Context, said: str) -> Deployment:
    """The deployment that begins so. Raises Failed."""
    found = _beginning(context, said, context.client.deployments.list)
    return _only(
        context,
        said,
        [(deployment.id, deployment) for deployment in found],
        none=f'No deployment(s) with prefix or id "{said}" found',
        many="deployments",
        show=lambda rows: deployment_table(rows, verbose=True),
    )


def _beginning(
    context: Context, said: str, listing: Callable[..., Answer[tuple[H, ...]]]
) -> list[H]:
    _long_enough(said)
    if not _is_hex(said):
        return []
    found = listing(prefix=said.lower(), namespace=list_namespace(context)).value
    return [thing for thing in found if thing.id.startswith(said.lower())]


def _long_enough(said: str) -> None:
    if len(said) < _PREFIX_MIN:
        raise Failed("Identifier must contain at least two characters.")


def _is_hex(said: str) -> bool:
    return all(c in "0123456789abcdef-" for c in said.lower())


def _only(
    context: Context,
    said: str,
    found: Sequence[tuple[str, T]],
    *,
    none: str,
    many: str,
    show: Callable[[Sequence[T]], str],
) -> T:
    exact = [thing for identifier, thing in found if identifier == said]
    if len(exact) == 1:
        return exact[0]
    things = exact or [thing for _, thing in found]
    if not things:
        raise Failed(none)
    if len(things) > 1:
        raise Failed(f"Prefix matched multiple {many}\n\n{show(things)}")
    return things[0]
