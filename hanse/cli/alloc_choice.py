"""Which allocation and which task a command means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.lookup import find_alloc, find_job

if TYPE_CHECKING:
    from hanse.sdk.types import AllocationDetail


def choose_alloc(context: Context) -> AllocationDetail:
    """The allocation of the first argument; with -job, the newest running one of that job."""
    said = context.arguments[0]
    if not context.flags.on("job"):
        return context.client.allocations.get(find_alloc(context, said).id).value
    job = find_job(context, said)
    group = context.flags.text("group")
    stubs = context.client.jobs.allocations(job.id, namespace=job.namespace).value
    running = [
        stub for stub in stubs if stub.client_status == "running" and group in ("", stub.task_group)
    ]
    if not running:
        where = f' in group "{group}"' if group else ""
        raise Failed(f'No running allocation of job "{job.id}"{where} found')
    newest = max(running, key=lambda stub: (stub.create_index, stub.id))
    return context.client.allocations.get(newest.id).value


def task_names(alloc: AllocationDetail) -> list[str]:
    """The tasks of an allocation, in the job's order."""
    groups = alloc.job.task_groups if alloc.job is not None else ()
    names = [task.name for g in groups if g.name == alloc.task_group for task in g.tasks]
    return names or sorted(alloc.task_states)


def choose_task(context: Context, alloc: AllocationDetail, said: str) -> str:
    """The task that was named, or the only one. Raises Failed with the names there are."""
    flag = context.flags.text("task")
    if flag and said and flag != said:
        raise UsageError(f'-task says "{flag}" and the argument "{said}"')
    wanted = flag or said
    names = task_names(alloc)
    if wanted:
        if wanted not in names:
            raise Failed(f'There is no task "{wanted}" in the allocation; {_which(names)}')
        return wanted
    if len(names) != 1:
        raise Failed(f"The allocation has several tasks; name one with -task; {_which(names)}")
    return names[0]


def _which(names: list[str]) -> str:
    return "its tasks are: " + ", ".join(names)
