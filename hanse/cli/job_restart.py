"""`hanse job restart`: a job's allocations, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.lookup import find_job
from hanse.cli.monitor_eval import Lines
from hanse.cli.text import plural, short_id, span
from hanse.durations import SECOND_NS, parse_duration
from hanse.errors import HanseError
from hanse.structs.api import AllocListStub

#: How long a replacement may take until it runs.
_REPLACED_S = 600.0
_LOOK_S = 1.0


class Cancelled(Exception):
    """The person does not want to go on."""


def run(context: Context) -> int:
    """Restart or replace a job's allocations."""
    flags = context.flags
    if flags.on("reschedule") and (flags.on("all-tasks") or flags.texts("task")):
        raise UsageError("-reschedule replaces whole allocations: no -task, no -all-tasks")
    if flags.on("all-tasks") and flags.texts("task"):
        raise UsageError("-all-tasks and -task exclude each other")
    if flags.text("on-error", "ask") not in ("ask", "fail"):
        raise UsageError("-on-error takes ask or fail")
    wait = flags.text("batch-wait", "0s")
    wait_ns = 0 if wait == "ask" else _duration(wait)
    stub = find_job(context, context.arguments[0])
    allocs = context.client.jobs.allocations(stub.id, namespace=stub.namespace).value
    chosen = choose(allocs, flags.texts("group"), flags.texts("task"))
    size = batch_size(flags.text("batch-size", "1"), len(chosen))
    lines = Lines(context)
    if not chosen:
        context.out("No allocations to restart")
        return 0
    if stub.id != context.arguments[0] and not _confirmed(context, stub.id):
        context.out("Cancelling job restart")
        return 0
    lines.info(f"Restarting {plural(len(chosen), 'allocation')}")
    try:
        for start in range(0, len(chosen), size):
            if start:
                _between(context, lines, wait, wait_ns)
            _batch(context, lines, chosen[start : start + size])
    except Cancelled:
        lines.bad("Job restart cancelled")
        return 1
    lines.info("Job restarted successfully!")
    return 0


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"-batch-wait: {error}; it takes a duration, or ask") from error


def choose(
    allocs: Sequence[AllocListStub], groups: Sequence[str], tasks: Sequence[str]
) -> list[AllocListStub]:
    """The running allocations of these groups that have one of these tasks. Pure."""
    return sorted(
        (
            alloc
            for alloc in allocs
            if alloc.client_status == "running"
            and alloc.desired_status == "run"
            and (not groups or alloc.task_group in groups)
            and (not tasks or any(task in alloc.task_states for task in tasks))
        ),
        key=lambda alloc: (alloc.task_group, alloc.name, alloc.id),
    )


def batch_size(text: str, total: int) -> int:
    """How many at a time: a number, or per cent of all, rounded up. Raises UsageError. Pure."""
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise UsageError(f"-batch-size takes a number from 1 up, or per cent, not {text!r}")
    if text.endswith("%"):
        return max(1, -(-total * int(digits) // 100))
    return int(digits)


def _confirmed(context: Context, job_id: str) -> bool:
    question = f'Are you sure you want to restart job "{job_id}"? [y/N]'
    return context.flags.on("yes") or context.terminal.ask(question) == "y"


def _between(context: Context, lines: Lines, wait: str, wait_ns: int) -> None:
    while wait == "ask" and not context.flags.on("yes"):
        answer = context.terminal.ask("Proceed with next batch? [Y/n/<wait duration>]")
        if answer in ("", "y", "Y"):
            return
        if answer.lower() == "n":
            raise Cancelled
        try:
            wait_ns = parse_duration(answer)
            break
        except ValueError:
            context.out(f"{answer!r} is neither y nor n nor a duration")
    if wait_ns > 0:
        lines.plain(f"Waiting {span(wait_ns)} before the next batch")
        context.sleep(wait_ns / SECOND_NS)


def _batch(context: Context, lines: Lines, allocs: Sequence[AllocListStub]) -> None:
    for alloc in allocs:
        try:
            if context.flags.on("reschedule"):
                _replace(context, lines, alloc)
            else:
                _restart(context, lines, alloc)
        except HanseError as error:
            shown = short_id(alloc.id, verbose=context.verbose)
            lines.bad(f'Error restarting allocation "{shown}": {error}')
            _on_error(context)


def _on_error(context: Context) -> None:
    if context.flags.text("on-error", "ask") == "fail" or not context.terminal.in_stream.isatty():
        raise Failed("Job restart stopped by an error")
    if context.terminal.ask("Ignore the error and go on? [y/N]") != "y":
        raise Cancelled


def _restart(context: Context, lines: Lines, alloc: AllocListStub) -> None:
    shown = short_id(alloc.id, verbose=context.verbose)
    tasks = [task for task in context.flags.texts("task") if task in alloc.task_states]
    every = context.flags.on("all-tasks")
    for task in tasks or [""]:
        what = f'task "{task}" of allocation "{shown}"' if task else f'allocation "{shown}"'
        lines.plain(f"Restarting {what}")
        context.client.allocations.restart(
            alloc.id, task, all_tasks=every, namespace=alloc.namespace
        )


def _replace(context: Context, lines: Lines, alloc: AllocListStub) -> None:
    shown = short_id(alloc.id, verbose=context.verbose)
    lines.plain(f'Rescheduling allocation "{shown}"')
    client, where = context.client, {"namespace": alloc.namespace}
    client.allocations.stop(
        alloc.id,
        reschedule=True,
        no_shutdown_delay=context.flags.on("no-shutdown-delay"),
        **where,
    )
    waited_s = 0.0
    while waited_s < _REPLACED_S:
        next_id = client.allocations.get(alloc.id, **where).value.next_allocation
        if next_id:
            replacement = client.allocations.get(next_id, **where).value
            if replacement.client_status == "running":
                new = short_id(next_id, verbose=context.verbose)
                lines.plain(f'Allocation "{shown}" replaced by "{new}"')
                return
            if replacement.client_status == "failed":
                raise Failed(f'The replacement "{next_id}" failed')
        context.sleep(_LOOK_S)
        waited_s += _LOOK_S
    raise Failed(f'Allocation "{shown}" was not replaced within {_REPLACED_S:g} s')
