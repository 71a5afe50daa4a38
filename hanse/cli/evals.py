"""`hanse eval …`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.lookup import find_eval
from hanse.cli.node_status import more
from hanse.cli.output import show_structured, wants_structured
from hanse.cli.tables import alloc_table, eval_failures, eval_table, failed_groups
from hanse.cli.text import ago, bold, moment, pairs, plural, short_id, table
from hanse.structs.evaluation import Evaluation, PlanAnnotations
from hanse.structs.times import parse_rfc3339


def listing(context: Context) -> int:
    """List evaluations."""
    flags = context.flags
    answer = context.client.evaluations.list(
        job=flags.text("job"),
        status=flags.text("status"),
        filter=flags.text("filter"),
        per_page=flags.number("per-page"),
        next_token=flags.text("page-token"),
    )
    if wants_structured(context):
        return show_structured(context, answer.body)
    if answer.value:
        context.out(eval_table(answer.value, verbose=context.verbose, width=context.terminal.width))
    else:
        context.out("No evals found")
    more(context, answer.next_token)
    return 0


def status(context: Context) -> int:
    """Show an evaluation, or follow it."""
    found = find_eval(context, context.arguments[0])
    if context.flags.on("monitor"):
        from hanse.cli.monitor_eval import follow

        return follow(context, found.id)
    return show(context, found.id)


def show(context: Context, eval_id: str) -> int:
    """One evaluation."""
    answer = context.client.evaluations.get(eval_id, related=True)
    if context.flags.given("t") or context.flags.given("json"):
        return show_structured(context, answer.body)
    evaluation, width = answer.value, context.terminal.width
    context.out(pairs(_basics(context, evaluation)))
    if evaluation.failed_tg_allocs:
        lines = "\n".join(failed_groups(evaluation.failed_tg_allocs))
        context.out(f"\n{bold('Failed Placements')}\n{lines}")
        if evaluation.blocked_eval:
            blocked = short_id(evaluation.blocked_eval, verbose=context.verbose)
            context.out(
                f'\nEvaluation "{blocked}" waiting for additional capacity to place remainder'
            )
    if evaluation.related_evals:
        rows = [
            [
                short_id(stub.id, verbose=context.verbose),
                str(stub.priority),
                stub.triggered_by,
                short_id(stub.node_id, verbose=context.verbose),
                stub.status,
                stub.status_description,
            ]
            for stub in evaluation.related_evals
        ]
        header = "ID,Priority,Triggered By,Node ID,Status,Description".split(",")
        context.out(f"\n{bold('Related Evaluations')}\n{table(header, rows, width=width)}")
    allocs = context.client.evaluations.allocations(eval_id).value
    shown = (
        alloc_table(allocs, now_ns=context.now_ns(), verbose=context.verbose, width=width)
        if allocs
        else "No allocations placed"
    )
    context.out(f"\n{bold('Placed Allocations')}\n{shown}")
    if evaluation.plan_annotations is not None and context.verbose:
        context.out(f"\n{bold('Plan Annotations')}\n{plan_table(evaluation.plan_annotations)}")
    return 0


def _basics(context: Context, evaluation: Evaluation) -> list[tuple[str, str]]:
    verbose, now_ns = context.verbose, context.now_ns()

    def when(at_ns: int) -> str:
        return moment(at_ns) if verbose else ago(at_ns, now_ns)

    rows = [
        ("ID", short_id(evaluation.id, verbose=verbose)),
        ("Create Time", when(evaluation.create_time)),
        ("Modify Time", when(evaluation.modify_time)),
        ("Status", evaluation.status),
        ("Status Description", evaluation.status_description or evaluation.status),
        ("Type", evaluation.type),
        ("TriggeredBy", evaluation.triggered_by),
        ("Job ID", evaluation.job_id),
        ("Namespace", evaluation.namespace),
    ]
    if evaluation.node_id:
        rows.append(("Node ID", short_id(evaluation.node_id, verbose=verbose)))
    rows += [
        ("Priority", str(evaluation.priority)),
        ("Placement Failures", eval_failures(evaluation)),
    ]
    if at_ns := parse_rfc3339(evaluation.wait_until):
        rows.append(("Wait Until", f"{moment(at_ns)} ({ago(at_ns, now_ns)})"))
    if evaluation.quota_limit_reached:
        rows.append(("Quota Limit Reached", evaluation.quota_limit_reached))
    if verbose:
        rows += [
            ("Previous Eval", evaluation.previous_eval),
            ("Next Eval", evaluation.next_eval),
            ("Blocked Eval", evaluation.blocked_eval),
        ]
    return rows


def plan_table(plan: PlanAnnotations) -> str:
    """What a plan does to each group. Pure."""
    rows = [
        [
            name,
            str(wanted.ignore),
            str(wanted.place),
            str(wanted.stop),
            str(wanted.in_place_update),
            str(wanted.destructive_update),
        ]
        for name, wanted in sorted(plan.desired_tg_updates.items())
    ]
    return table("Task Group,Ignore,Place,Stop,InPlace,Destructive".split(","), rows)


def delete(context: Context) -> int:
    """Delete one evaluation, or those that a filter holds for."""
    flags = context.flags
    expression = flags.text("filter")
    if bool(expression) == bool(context.arguments):
        raise UsageError("This command takes either an evaluation or -filter")
    if context.arguments:
        count = context.client.evaluations.delete(
            [find_eval(context, context.arguments[0]).id]
        ).value.count
    else:
        matching = context.client.evaluations.count(expression).value.count
        if not matching:
            raise Failed("No evaluations match the filter")
        question = f"Are you sure you want to delete {plural(matching, 'evaluation')}? [y/N]"
        if not flags.on("yes") and context.terminal.ask(question) != "y":
            context.out("Cancelling eval deletion")
            return 0
        count = context.client.evaluations.delete_matching(expression).value.count
    context.out(f"Successfully deleted {plural(count, 'evaluation')}")
    return 0
