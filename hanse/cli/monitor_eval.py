"""Follow an evaluation to its end, and the deployment that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hanse.cli.command import Context
from hanse.cli.tables import failed_groups
from hanse.cli.text import bold, moment, plural, red, short_id, span
from hanse.structs.api import AllocListStub
from hanse.structs.evaluation import Evaluation
from hanse.structs.times import parse_rfc3339

if TYPE_CHECKING:
    from hanse.sdk.client import Client

_OVER = frozenset({"complete", "failed", "canceled"})
_WAIT = "2s"
#: Nobody reads more lines than this about one look; -verbose has them all.
_ALLOC_LINES_MAX = 250
#: Evaluations that follow from one another, at most.
_CHAIN_MAX = 1000

PLACEMENT_FAILED = 2


class Lines:
    """Lines with the time before them."""

    def __init__(self, context: Context) -> None:
        """Written to standard output."""
        self._context = context

    def info(self, text: str) -> None:
        """A line that begins something."""
        self._context.out(bold("==> ") + f"{moment(self._context.now_ns())}: {bold(text)}")

    def plain(self, text: str) -> None:
        """A line of detail."""
        self._context.out(f"    {moment(self._context.now_ns())}: {text}")

    def bad(self, text: str) -> None:
        """A line that ends something badly."""
        self._context.out(red("==> ") + f"{moment(self._context.now_ns())}: {red(text)}")


def name_or_follow(context: Context, eval_id: str) -> int:
    """With -detach print the evaluation's id, if there is one; otherwise follow it."""
    if not eval_id:
        return 0
    if context.flags.on("detach"):
        context.out(f"Evaluation ID: {eval_id}")
        return 0
    return follow(context, eval_id)


def follow(context: Context, eval_id: str, client: Client | None = None) -> int:
    """Show what becomes of an evaluation. Returns the exit code.

    0: all is placed, and a deployment that began is successful; 2: something could not be placed;
    1: the evaluation or the deployment failed.
    """
    client = client or context.client
    lines = Lines(context)
    unplaced = False
    deployment_id = ""
    for _ in range(_CHAIN_MAX):
        evaluation = _one(context, client, eval_id, lines)
        deployment_id = evaluation.deployment_id or deployment_id
        unplaced = bool(evaluation.failed_tg_allocs)
        if evaluation.status != "complete":
            return 1
        if not evaluation.next_eval:
            break
        eval_id = evaluation.next_eval
        _wait_for_next(context, evaluation, lines)
    if deployment_id:
        from hanse.cli.monitor_deployment import follow_deployment

        return follow_deployment(context, deployment_id, client, unplaced=unplaced)
    return PLACEMENT_FAILED if unplaced else 0


def _wait_for_next(context: Context, evaluation: Evaluation, lines: Lines) -> None:
    wait_ns = max(0, parse_rfc3339(evaluation.wait_until) - context.now_ns())
    wait_ns = wait_ns or evaluation.wait_ns
    where = f" in {span(wait_ns)}" if wait_ns else ""
    shown = short_id(evaluation.next_eval, verbose=context.verbose)
    lines.info(f'Monitoring next evaluation "{shown}"{where}')


def _one(context: Context, client: Client, eval_id: str, lines: Lines) -> Evaluation:
    verbose = context.verbose
    shown = short_id(eval_id, verbose=verbose)
    lines.info(f'Monitoring evaluation "{shown}"')
    before = Evaluation()
    known: dict[str, AllocListStub] = {}
    index = 0
    while True:
        answer = client.evaluations.get(eval_id, index=index, wait=_WAIT)
        evaluation, index = answer.value, max(answer.index, 1)
        allocs = client.evaluations.allocations(eval_id).value
        for line in changes(before, evaluation, known, allocs, verbose=verbose):
            lines.plain(line)
        before = evaluation
        known = {alloc.id: alloc for alloc in allocs}
        if evaluation.status in _OVER:
            _finish(evaluation, shown, lines, verbose=verbose)
            return evaluation


def changes(
    before: Evaluation,
    after: Evaluation,
    known: Mapping[str, AllocListStub],
    allocs: Sequence[AllocListStub],
    *,
    verbose: bool,
) -> list[str]:
    """What to tell about an evaluation since the last look. Pure."""
    lines: list[str] = []
    if not before.id:
        if after.triggered_by in ("node-update", "node-drain"):
            node = short_id(after.node_id, verbose=verbose)
            lines.append(f'Evaluation triggered by node "{node}"')
        else:
            lines.append(f'Evaluation triggered by job "{after.job_id}"')
    if after.deployment_id != before.deployment_id and after.deployment_id:
        deployment = short_id(after.deployment_id, verbose=verbose)
        lines.append(f'Evaluation within deployment: "{deployment}"')
    about_allocs = [
        line
        for alloc in sorted(allocs, key=lambda alloc: (alloc.create_index, alloc.name, alloc.id))
        for line in _alloc_changes(known.get(alloc.id), alloc, after, verbose=verbose)
    ]
    if len(about_allocs) > _ALLOC_LINES_MAX and not verbose:
        more = len(about_allocs) - _ALLOC_LINES_MAX
        about_allocs[_ALLOC_LINES_MAX:] = [f"… and so with {plural(more, 'allocation')} more"]
    lines += about_allocs
    if before.id and before.status != after.status:
        lines.append(f'Evaluation status changed: "{before.status}" -> "{after.status}"')
    elif not before.id and after.status in _OVER:
        lines.append(f'Evaluation status changed: "pending" -> "{after.status}"')
    return lines


def _alloc_changes(
    old: AllocListStub | None, new: AllocListStub, evaluation: Evaluation, *, verbose: bool
) -> list[str]:
    alloc = short_id(new.id, verbose=verbose)
    node = short_id(new.node_id, verbose=verbose)
    where = f'node "{node}", group "{new.task_group}"'
    if old is None:
        # Created by another evaluation and only touched by this one: an update in place.
        verb = "created" if new.create_index >= evaluation.create_index else "modified"
        return [f'Allocation "{alloc}" {verb}: {where}']
    if old.client_status == new.client_status:
        return []
    detail = f" ({new.client_description})" if new.client_description else ""
    change = f'"{old.client_status}" -> "{new.client_status}"'
    return [f'Allocation "{alloc}" status changed: {change}{detail}']


def _finish(evaluation: Evaluation, shown: str, lines: Lines, *, verbose: bool) -> None:
    text = f'Evaluation "{shown}" finished with status "{evaluation.status}"'
    if evaluation.status != "complete":
        detail = f": {evaluation.status_description}" if evaluation.status_description else ""
        lines.bad(text + detail)
        return
    if not evaluation.failed_tg_allocs:
        lines.info(text)
        return
    lines.info(f"{text} but failed to place all allocations:")
    for line in failed_groups(evaluation.failed_tg_allocs):
        lines.plain(line)
    if evaluation.blocked_eval:
        blocked = short_id(evaluation.blocked_eval, verbose=verbose)
        lines.plain(f'Evaluation "{blocked}" waiting for additional capacity to place remainder')
