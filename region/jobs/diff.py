"""What changes between two versions of a job, in the shape `job plan` and `job history` show.

Structures are compared field by field from their definitions, so a new field appears in diffs
without anyone thinking of it. Named lists (groups, tasks, services, ports) are matched by name;
lists without names (constraints, spreads) by content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal, TypeVar

import msgspec

from hanse.structs.api import FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff
from hanse.structs.evaluation import DesiredUpdates
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Task

Type = Literal["None", "Added", "Deleted", "Edited"]

_JOB_SKIPPED = frozenset(
    "ID Name Namespace Status StatusDescription Version SubmitTime CreateIndex ModifyIndex "
    "JobModifyIndex Stable Stop VersionTag TaskGroups NomadTokenID Dispatched ParentID "
    "DispatchIdempotencyToken Payload".split()
)
_GROUP_SKIPPED = frozenset(("Name", "Tasks"))
_TASK_SKIPPED = frozenset(("Name",))

#: How a list's members are called, one by one.
_SINGULAR = {
    "Constraints": "Constraint",
    "Affinities": "Affinity",
    "Spreads": "Spread",
    "SpreadTarget": "SpreadTarget",
    "Services": "Service",
    "Checks": "Check",
    "Networks": "Network",
    "ReservedPorts": "Static Port",
    "DynamicPorts": "Dynamic Port",
    "Templates": "Template",
    "Artifacts": "Artifact",
    "VolumeMounts": "VolumeMount",
    "Volumes": "Volume",
    "Devices": "Device",
    "Links": "Link",
}

#: Parts of a task that can change while it runs.
_IN_PLACE_OBJECTS = frozenset(("Service", "Constraint", "Affinity", "Spread"))
_IN_PLACE_FIELDS = frozenset(("KillTimeout", "ShutdownDelay", "Leader"))

T = TypeVar("T", bound=msgspec.Struct)


def diff_jobs(old: Job | None, new: Job | None) -> JobDiff:
    """Compare two versions; None means that there is none."""
    some = new or old
    assert some is not None, "nothing to compare"
    fields, objects = _struct(old, new, _JOB_SKIPPED)
    groups = _pairs(
        old.task_groups if old is not None else (),
        new.task_groups if new is not None else (),
        lambda group: group.name,
    )
    group_diffs = tuple(d for a, b in groups if (d := _group(a, b)).type != "None")
    kind = _kind(old, new, changed=bool(fields or objects or group_diffs))
    return JobDiff(type=kind, id=some.id, fields=fields, objects=objects, task_groups=group_diffs)


def annotate(diff: JobDiff, desired: Mapping[str, DesiredUpdates]) -> JobDiff:
    """Add what the scheduler would do about each change."""
    groups = tuple(_annotated_group(group, desired.get(group.name)) for group in diff.task_groups)
    return msgspec.structs.replace(diff, task_groups=groups)


def _annotated_group(group: TaskGroupDiff, desired: DesiredUpdates | None) -> TaskGroupDiff:
    fields = tuple(
        msgspec.structs.replace(field, annotations=_count_annotation(field))
        if field.name == "Count"
        else field
        for field in group.fields
    )
    tasks = tuple(
        msgspec.structs.replace(task, annotations=_task_annotation(task)) for task in group.tasks
    )
    return msgspec.structs.replace(
        group, fields=fields, tasks=tasks, updates=_updates(desired) if desired else {}
    )


def _updates(desired: DesiredUpdates) -> dict[str, int]:
    counts = {
        "ignore": desired.ignore,
        "create": desired.place,
        "destroy": desired.stop,
        "migrate": desired.migrate,
        "canary": desired.canary,
        "in-place update": desired.in_place_update,
        "create/destroy update": desired.destructive_update,
    }
    return {name: count for name, count in counts.items() if count}


def _count_annotation(field: FieldDiff) -> tuple[str, ...]:
    old, new = int(field.old or 0), int(field.new or 0)
    if new > old:
        return ("forces create",)
    return ("forces destroy",) if new < old else ()


def _task_annotation(task: TaskDiff) -> tuple[str, ...]:
    if task.type == "Added":
        return ("forces create",)
    if task.type == "Deleted":
        return ("forces destroy",)
    in_place = all(field.name in _IN_PLACE_FIELDS for field in task.fields) and all(
        item.name in _IN_PLACE_OBJECTS for item in task.objects
    )
    return ("forces in-place update",) if in_place else ("forces create/destroy update",)


def _group(old: TaskGroup | None, new: TaskGroup | None) -> TaskGroupDiff:
    some = new or old
    assert some is not None
    fields, objects = _struct(old, new, _GROUP_SKIPPED)
    tasks = _pairs(
        old.tasks if old is not None else (),
        new.tasks if new is not None else (),
        lambda task: task.name,
    )
    task_diffs = tuple(d for a, b in tasks if (d := _task(a, b)).type != "None")
    kind = _kind(old, new, changed=bool(fields or objects or task_diffs))
    return TaskGroupDiff(
        type=kind, name=some.name, fields=fields, objects=objects, tasks=task_diffs
    )


def _task(old: Task | None, new: Task | None) -> TaskDiff:
    some = new or old
    assert some is not None
    fields, objects = _struct(old, new, _TASK_SKIPPED)
    kind = _kind(old, new, changed=bool(fields or objects))
    return TaskDiff(type=kind, name=some.name, fields=fields, objects=objects)


def _kind(old: object, new: object, *, changed: bool) -> Type:
    if old is None:
        return "Added"
    if new is None:
        return "Deleted"
    return "Edited" if changed else "None"


def _struct(
    old: msgspec.Struct | None, new: msgspec.Struct | None, skipped: frozenset[str] = frozenset()
) -> tuple[tuple[FieldDiff, ...], tuple[ObjectDiff, ...]]:
    """Changed plain fields and changed structures of two structs of one type."""
    some = new if new is not None else old
    fields: list[FieldDiff] = []
    objects: list[ObjectDiff] = []
    for name, encoded in _names(type(some)) if some is not None else ():
        if encoded in skipped:
            continue
        before = getattr(old, name) if old is not None else None
        after = getattr(new, name) if new is not None else None
        if before != after:
            _compare(encoded, before, after, fields, objects)
    return (
        tuple(sorted(fields, key=lambda f: f.name)),
        tuple(sorted(objects, key=lambda o: o.name)),
    )


@cache
def _names(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """A struct's fields by their names here and in JSON; finding out takes a while."""
    return tuple((field.name, field.encode_name) for field in msgspec.structs.fields(kind))


def _compare(
    name: str, old: object, new: object, fields: list[FieldDiff], objects: list[ObjectDiff]
) -> None:
    some = new if new is not None else old
    if isinstance(some, msgspec.Struct):
        found = _object(name, _as_struct(old), _as_struct(new))
        if found.type != "None":
            objects.append(found)
    elif isinstance(some, dict):
        found_fields = _map_fields(name, _flat(old), _flat(new))
        if name == "Config":
            kind = _kind(old or None, new or None, changed=True)
            if found_fields:
                objects.append(ObjectDiff(type=kind, name=name, fields=found_fields))
        else:
            fields.extend(found_fields)
    elif isinstance(some, tuple):
        _list(name, _as_tuple(old), _as_tuple(new), objects)
    else:
        before, after = _text(old), _text(new)
        if before != after:
            fields.append(_field(name, before, after))


def _as_struct(value: object) -> msgspec.Struct | None:
    return value if isinstance(value, msgspec.Struct) else None


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _object(name: str, old: msgspec.Struct | None, new: msgspec.Struct | None) -> ObjectDiff:
    fields, objects = _struct(old, new)
    kind = _kind(old, new, changed=bool(fields or objects))
    return ObjectDiff(type=kind, name=name, fields=fields, objects=objects)


def _list(
    name: str, old: tuple[object, ...], new: tuple[object, ...], objects: list[ObjectDiff]
) -> None:
    singular = _SINGULAR.get(name, name)
    if all(isinstance(item, str) for item in (*old, *new)):
        gone, come = set(old), set(new)
        fields = [_field(name, str(item), "") for item in old if item not in come]
        fields += [_field(name, "", str(item)) for item in new if item not in gone]
        if fields:
            kind = _kind(old or None, new or None, changed=True)
            objects.append(ObjectDiff(type=kind, name=name, fields=tuple(fields)))
        return
    before = [item for item in old if isinstance(item, msgspec.Struct)]
    after = [item for item in new if isinstance(item, msgspec.Struct)]
    for a, b in _pairs(before, after, _identity):
        found = _object(singular, a, b)
        if found.type != "None":
            objects.append(found)


def _identity(item: msgspec.Struct) -> str:
    """By what an item of a list is the same one as before: its name, or else its content."""
    for attribute in ("label", "name", "volume", "dest_path", "getter_source"):
        name = getattr(item, attribute, "")
        if name:
            return str(name)
    return "" if hasattr(item, "dynamic_ports") else msgspec.json.encode(item).decode()


def _pairs(
    old: Sequence[T], new: Sequence[T], key: Callable[[T], str]
) -> list[tuple[T | None, T | None]]:
    before = {key(item): item for item in old}
    after = {key(item): item for item in new}
    return [(before.get(name), after.get(name)) for name in sorted({*before, *after})]


def _map_fields(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> tuple[FieldDiff, ...]:
    return tuple(
        _field(key if name == "Config" else f"{name}[{key}]", old.get(key, ""), new.get(key, ""))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    )


def _field(name: str, old: str, new: str) -> FieldDiff:
    kind: Type = "Added" if old == "" else "Deleted" if new == "" else "Edited"
    return FieldDiff(type=kind, name=name, old=old, new=new)


def _flat(value: object, path: str = "") -> dict[str, str]:
    """Nested maps and lists as one map: `args[0]`, `labels[0][team]`."""
    if isinstance(value, dict):
        return {
            name: text
            for key, item in value.items()
            for name, text in _flat(item, f"{path}[{key}]" if path else str(key)).items()
        }
    if isinstance(value, list | tuple):
        return {
            name: text
            for i, item in enumerate(value)
            for name, text in _flat(item, f"{path}[{i}]").items()
        }
    return {path: _text(value)} if path else {}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
