"""What job files say in short, turned into what the API says at length; and parse-time defaults.

Each finisher gets a structure that was just read, changes it in place and returns what is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hanse.jobspec.diagnostics import Fault, Span
from hanse.jobspec.hcljson import JsonBody
from hanse.jobspec.schema import empty
from hanse.jobspec.syntax import Block, Body

_Json = dict[str, Any]
_Body = Body | JsonBody
Finisher = Callable[[_Json, _Body, "Block | None"], Iterable[Fault]]

_SECOND_NS = 10**9
_OPERATORS = (
    (".Version", "version"),
    (".Semver", "semver"),
    (".Regexp", "regexp"),
    (".SetContains", "set_contains"),
    (".SetContainsAny", "set_contains_any"),
    (".SetContainsAll", "set_contains_all"),
)
_VERTICAL = {"cpu": "vertical_cpu", "mem": "vertical_mem"}


def _fill(target: _Json, defaults: Mapping[str, object]) -> None:
    for key, value in defaults.items():
        if target.get(key) is None:
            target[key] = copy.copy(value)


def _operator_sugar(target: _Json) -> None:
    for key, operator in _OPERATORS:
        value = target.pop(key, None)
        if value is not None:
            target["Operand"], target["RTarget"] = operator, value


def _constraint(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    _operator_sugar(target)
    target.pop(".Ignored", None)
    distinct = target.pop(".DistinctHosts", None)
    if distinct is not None:
        target["Operand"] = "distinct_hosts"
        target["RTarget"] = "true" if distinct else "false"
    unique = target.pop(".DistinctProperty", None)
    if unique is not None:
        target["Operand"], target["LTarget"] = "distinct_property", unique
    target["Operand"] = target["Operand"] or "="
    return ()


def _affinity(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    _operator_sugar(target)
    target["Operand"] = target["Operand"] or "="
    return ()


def _network(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    """Ports with a number of their own are reserved ones."""
    dynamic: list[_Json] = []
    reserved: list[_Json] = list(target["ReservedPorts"] or ())
    for port in target["DynamicPorts"] or ():
        (reserved if port["Value"] > 0 else dynamic).append(port)
    target["DynamicPorts"], target["ReservedPorts"] = dynamic or None, reserved or None
    return ()


def _template(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    defaults = {
        "ChangeMode": "restart",
        "Perms": "0644",
        "Splay": 5 * _SECOND_NS,
        "ErrMissingKey": False,
    }
    _fill(target, defaults)
    return ()


def _change_script(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    _fill(
        target,
        {"Args": [], "Timeout": 5 * _SECOND_NS, "FailOnError": False, "RunOnFirstRender": False},
    )
    return ()


def _vault(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    _fill(target, {"Env": True, "DisableFile": False, "ChangeMode": "restart"})
    return ()


def _periodic(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    target["SpecType"] = "cron"
    return ()


def _scaling(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    label = block.labels[0] if block is not None and block.labels else None
    if label is not None and block is not None:
        return _task_scaling(target, label, block.label_spans[0])
    faults: list[Fault] = []
    if target["Max"] is None:
        faults.append(
            Fault(
                "Missing required argument",
                'The argument "max" is required, but no definition was found.',
                body.span,
            )
        )
    if target["Type"] not in ("", "horizontal"):
        faults.append(
            Fault(
                "Invalid scaling type",
                'The scaling of a group is of type "horizontal".',
                _place_of(body, "type"),
            )
        )
    target["Type"] = "horizontal"
    return faults


def _task_scaling(target: _Json, label: str, span: Span) -> Iterable[Fault]:
    kind = _VERTICAL.get(label.lower())
    if kind is None:
        detail = 'The scaling of a task is labelled "cpu" or "mem".'
        return [Fault("Invalid scaling policy name", detail, span)]
    if target["Type"] not in ("", kind):
        return [Fault("Invalid scaling type", f'With this label, the type is "{kind}".', span)]
    target["Type"] = kind
    return ()


def _place_of(body: _Body, name: str) -> Span:
    if isinstance(body, Body) and name in body.attributes:
        return body.attributes[name].value.span
    return body.span


def _task(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    """The default identity has a field of its own; at most one scaling policy per resource."""
    identities = target["Identities"]
    for position, identity in enumerate(identities or ()):
        if identity["Name"] in ("", "default"):
            target["Identity"] = identity
            target["Identities"] = identities[:position] + identities[position + 1 :]
            break
    kinds = [policy["Type"] for policy in target["ScalingPolicies"] or ()]
    if len(set(kinds)) < len(kinds):
        detail = "A task has one scaling block for each of cpu and mem."
        return [Fault("Duplicate scaling block", detail, body.span)]
    return ()


def _group(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    vault, secrets = target.pop(".Vault", None), target.pop(".Secrets", None)
    for task in target["Tasks"] or ():
        if task["Vault"] is None:
            task["Vault"] = copy.deepcopy(vault)
        if not task["Secrets"]:
            task["Secrets"] = copy.deepcopy(secrets)
    return ()


def _job(target: _Json, body: _Body, block: Block | None) -> Iterable[Fault]:
    label = block.labels[0] if block is not None and block.labels else None
    _fill(target, {"ID": label, "Name": label})
    tasks: list[_Json] = target.pop(".Tasks", None) or []
    alone = [{**empty("TaskGroup"), "Name": task["Name"], "Tasks": [task]} for task in tasks]
    groups: list[_Json] = target["TaskGroups"] or []
    if alone:
        target["TaskGroups"] = alone + groups
    vault, secrets = target.pop(".Vault", None), target.pop(".Secrets", None)
    for group in alone + groups:
        for task in group["Tasks"] or ():
            if task["Vault"] is None:
                task["Vault"] = copy.deepcopy(vault)
            if secrets:
                task["Secrets"] = [*(task["Secrets"] or ()), *copy.deepcopy(secrets)]
    return ()


FINISHERS: dict[str, Finisher] = {
    "Affinity": _affinity,
    "ChangeScript": _change_script,
    "Constraint": _constraint,
    "Job": _job,
    "NetworkResource": _network,
    "PeriodicConfig": _periodic,
    "ScalingPolicy": _scaling,
    "Task": _task,
    "TaskGroup": _group,
    "Template": _template,
    "Vault": _vault,
}
