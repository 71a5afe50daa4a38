"""What changes between two versions of a job, as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.cli.text import bold, dim, green, red, width_of, yellow
from hanse.structs.api import FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff

_MARKS = {"Added": "+ ", "Deleted": "- ", "Edited": "+/- ", "None": ""}
_INDENT = "  "
#: In which order a group's updates are told.
_UPDATES = (
    "create",
    "destroy",
    "migrate",
    "canary",
    "create/destroy update",
    "in-place update",
    "ignore",
)
_TINTS = {"create": green, "destroy": red}


def job_diff(diff: JobDiff, *, verbose: bool = False) -> str:
    """The differences; of what is new or gone as a whole only the name, unless `verbose`."""
    title = f'Job: "{diff.id}"'
    lines = [_mark(diff.type) + bold(title)]
    if verbose or diff.type == "Edited":
        lines += _contents(diff.fields, diff.objects, "")
    for group in diff.task_groups:
        lines += _group(group, verbose=verbose)
    return "\n".join(lines)


def _mark(kind: str, room: int = 0) -> str:
    text = _MARKS.get(kind, "")
    padded = text.ljust(room)
    tint = {"Added": green, "Deleted": red, "Edited": yellow}.get(kind)
    return tint(padded) if tint is not None and text else padded


def _group(group: TaskGroupDiff, *, verbose: bool) -> list[str]:
    title = f'Task Group: "{group.name}"'
    line = _mark(group.type) + bold(title)
    told = [
        _TINTS.get(name, yellow if "update" in name else str)(
            f"{group.updates[name]} {name}" if name != "ignore" else f"{group.updates[name]} ignore"
        )
        for name in _UPDATES
        if group.updates.get(name)
    ]
    lines = [f"{line} ({', '.join(told)})" if told else line]
    if verbose or group.type == "Edited":
        lines += _contents(group.fields, group.objects, _INDENT)
    for task in group.tasks:
        lines += _task(task, verbose=verbose)
    return lines


def _task(task: TaskDiff, *, verbose: bool) -> list[str]:
    if task.type == "None" and not verbose:
        return []
    title = f'Task: "{task.name}"'
    line = _INDENT + _mark(task.type) + bold(title)
    lines = [line + _annotations(task.annotations)]
    if verbose or task.type == "Edited":
        lines += _contents(task.fields, task.objects, _INDENT * 2)
    return lines


def _annotations(annotations: Sequence[str]) -> str:
    if not annotations:
        return ""
    told = [
        green(text) if text == "forces create" else red(text) if "destroy" in text else yellow(text)
        for text in annotations
    ]
    return f" ({', '.join(told)})"


def _contents(fields: Sequence[FieldDiff], objects: Sequence[ObjectDiff], indent: str) -> list[str]:
    kinds = [field.type for field in fields] + [block.type for block in objects]
    room = max((len(_MARKS.get(kind, "")) for kind in kinds), default=0)
    longest = max((width_of(field.name) for field in fields), default=0)
    lines = [indent + _field(field, room, longest) for field in fields]
    for block in objects:
        lines.append(f"{indent}{_mark(block.type, room)}{block.name} {{")
        lines += _contents(block.fields, block.objects, indent + " " * max(room, 2))
        lines.append(f"{indent}{' ' * room}}}")
    return lines


def _field(field: FieldDiff, room: int, longest: int) -> str:
    name = f"{field.name}:{' ' * (longest - width_of(field.name))} "
    match field.type:
        case "Added":
            value = f'"{field.new}"'
        case "Deleted":
            value = f'"{field.old}"'
        case "Edited":
            value = f'"{field.old}" => "{field.new}"'
        case _:
            value = dim(f'"{field.new}"')
    return _mark(field.type, room) + name + value + _annotations(field.annotations)
