"""The defaults that a client of the API fills in before it registers or plans a job.

Works on the API's JSON, also on what other clients send: absent keys count as null, keys that the
table does not know are left alone, values of a wrong type are left for the validation to refuse.
"""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from hanse.jobspec.schema import structures

_Json = dict[str, Any]

_S = 10**9
_M = 60 * _S
_H = 60 * _M

_JOB: _Json = {
    "ID": "",
    "Type": "service",
    "ParentID": "",
    "Namespace": "default",
    "Priority": 50,
    "Region": "global",
    "NodePool": "",
    "AllAtOnce": False,
    "Stop": False,
    "Stable": False,
    "ConsulNamespace": "",
    "VaultNamespace": "",
    "NomadTokenID": "",
    "Status": "",
    "StatusDescription": "",
    "Version": 0,
    "CreateIndex": 0,
    "ModifyIndex": 0,
    "JobModifyIndex": 0,
}
_UPDATE: _Json = {
    "Stagger": 30 * _S,
    "MaxParallel": 1,
    "HealthCheck": "checks",
    "MinHealthyTime": 10 * _S,
    "HealthyDeadline": 5 * _M,
    "ProgressDeadline": 10 * _M,
    "Canary": 0,
    "AutoRevert": False,
    "AutoPromote": False,
}
_MIGRATE: _Json = {
    "MaxParallel": 1,
    "HealthCheck": "checks",
    "MinHealthyTime": 10 * _S,
    "HealthyDeadline": 5 * _M,
}
_RESTART_LONG: _Json = {
    "Attempts": 2,
    "Interval": 30 * _M,
    "Delay": 15 * _S,
    "Mode": "fail",
    "RenderTemplates": False,
}
_RESTART_BATCH: _Json = {**_RESTART_LONG, "Attempts": 3, "Interval": 24 * _H}
_RESCHEDULE: dict[str, _Json] = {
    "service": {
        "Attempts": 0,
        "Interval": 0,
        "Delay": 30 * _S,
        "DelayFunction": "exponential",
        "MaxDelay": 1 * _H,
        "Unlimited": True,
    },
    "batch": {
        "Attempts": 1,
        "Interval": 24 * _H,
        "Delay": 5 * _S,
        "DelayFunction": "constant",
        "MaxDelay": 0,
        "Unlimited": False,
    },
}
_PERIODIC: _Json = {
    "Enabled": True,
    "Spec": "",
    "Specs": [],
    "SpecType": "cron",
    "ProhibitOverlap": False,
    "TimeZone": "UTC",
}
_TEMPLATE: _Json = {
    "SourcePath": "",
    "DestPath": "",
    "EmbeddedTmpl": "",
    "ChangeMode": "restart",
    "ChangeSignal": "",
    "Once": False,
    "Splay": 5 * _S,
    "Perms": "0644",
    "LeftDelim": "{{",
    "RightDelim": "}}",
    "Envvars": False,
    "VaultGrace": 0,
    "ErrMissingKey": False,
}
_CHANGE_SCRIPT: _Json = {
    "Command": "",
    "Args": [],
    "Timeout": 5 * _S,
    "FailOnError": False,
    "RunOnFirstRender": False,
}
_VAULT: _Json = {
    "Namespace": "",
    "Cluster": "default",
    "Env": True,
    "DisableFile": False,
    "ChangeMode": "restart",
    "ChangeSignal": "SIGHUP",
    "AllowTokenExpiration": False,
}
_CSI_PLUGIN: _Json = {
    "MountDir": "/csi",
    "StagePublishBaseDir": "/local/csi",
    "HealthTimeout": 30 * _S,
}


def canonical_job(job: Mapping[str, object]) -> dict[str, object]:
    """A filled-in copy."""
    result: _Json = _complete("Job", {key: _copied(value) for key, value in job.items()})
    _fill(result, _JOB, zero=("Type", "Namespace", "Region", "Priority"))
    _fill(result, {"Name": result["ID"]}, zero=("Name",))
    kind = result["Type"]
    update = result["Update"]
    if kind in ("batch", "sysbatch") and _is(update) and not any(update.values()):
        # A stored batch job is read back with an `update` of zeros, which means none.
        result["Update"] = None
    if _is(result["Update"]) or kind in ("service", "system"):
        result["Update"] = _merged(_UPDATE, result["Update"])
    if _is(result["Periodic"]):
        _fill(result["Periodic"], _PERIODIC)
    if _is(result["ParameterizedJob"]):
        _fill(result["ParameterizedJob"], {"Payload": "optional"}, zero=("Payload",))
    if _is(result["Multiregion"]):
        result["Multiregion"]["Strategy"] = _merged(
            {"MaxParallel": 0, "OnFailure": ""}, result["Multiregion"]["Strategy"]
        )
    _placement(result)
    for group in _all(result["TaskGroups"]):
        _group(group, result)
    return result


def _copied(value: Any) -> Any:
    """A copy of JSON; several times as fast as `copy.deepcopy`, which looks for cycles."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _is(value: object) -> bool:
    return isinstance(value, dict)


def _all(value: object) -> Iterable[_Json]:
    """The structures of a list; anything else is somebody else's problem."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@cache
def _shape(name: str) -> tuple[_Json, tuple[tuple[str, str, str], ...]]:
    """What a structure has where nothing is said, and its structures: key, name and shape."""
    known = structures()
    fields = [field for field in known[name].fields if field.api[0] != "."]
    absent = {field.api: field.absent for field in fields if not field.omit_empty}
    inner = tuple((f.api, f.kind, f.shape) for f in fields if f.kind in known)
    return absent, inner


def _complete(name: str, value: _Json) -> _Json:
    """All the keys of a structure, those of the structures in it too."""
    absent, structs = _shape(name)
    for key, nothing in absent.items():
        if value.get(key) is None:
            value[key] = nothing
    for key, kind, shape in structs:
        inner = value.get(key)
        if inner is None:
            continue
        if shape == "one" and isinstance(inner, dict):
            _complete(kind, inner)
        elif shape == "list":
            for item in _all(inner):
                _complete(kind, item)
        elif shape == "map" and isinstance(inner, dict):
            for item in _all(list(inner.values())):
                _complete(kind, item)
    return value


def _own(value: object) -> object:
    """The value, or a copy if it could be changed."""
    return copy.copy(value) if isinstance(value, dict | list) else value


def _fill(target: _Json, defaults: Mapping[str, object], *, zero: Iterable[str] = ()) -> None:
    """Set what is null; of the names in `zero`, also what is empty or 0."""
    for key, default in defaults.items():
        value = target.get(key)
        if value is None or (key in zero and value in ("", 0)):
            target[key] = _own(default)


def _merged(*layers: object) -> _Json:
    """The last value of each key that is not null."""
    result: _Json = {}
    for layer in layers:
        if isinstance(layer, dict):
            for key, value in layer.items():
                if value is not None or key not in result:
                    result[key] = _own(value)
    return result


def _placement(target: _Json) -> None:
    """Weights of affinities and spreads."""
    for affinity in _all(target.get("Affinities")):
        _fill(affinity, {"Weight": 50})
    for spread in _all(target.get("Spreads")):
        _fill(spread, {"Weight": 50})


def _group(group: _Json, job: _Json) -> None:
    kind = job["Type"]
    scaling = group["Scaling"]
    _fill(group, {"Name": ""})
    if group["Count"] is None:
        least = scaling.get("Min") if isinstance(scaling, dict) else None
        group["Count"] = least if least is not None else 1
    if isinstance(scaling, dict):
        defaults = {"Min": group["Count"], "Enabled": True, "Type": "horizontal"}
        _fill(scaling, defaults, zero=("Type",))
    group["EphemeralDisk"] = _merged(
        {"Sticky": False, "Migrate": False, "SizeMB": 300}, group["EphemeralDisk"]
    )
    if _is(job["Update"]) or _is(group["Update"]):
        group["Update"] = _merged(_UPDATE, job["Update"], group["Update"])
    _reschedule(group, job, kind)
    if kind == "service" or _is(group["Migrate"]):
        group["Migrate"] = _merged(_MIGRATE, job["Migrate"], group["Migrate"])
    restart = _RESTART_BATCH if kind in ("batch", "sysbatch") else _RESTART_LONG
    group["RestartPolicy"] = _merged(restart, group["RestartPolicy"])
    if _is(group["Disconnect"]):
        _fill(group["Disconnect"], {"Replace": True, "Reconcile": "best_score"})
    if _is(group["Consul"]):
        _fill(group["Consul"], {"Cluster": "default"}, zero=("Cluster",))
    _placement(group)
    for service in _all(group["Services"]):
        _service(service, f"{job['Name']}-{group['Name']}")
    for task in _all(group["Tasks"]):
        _task(task, group, job)


def _reschedule(group: _Json, job: _Json, kind: str) -> None:
    given = _is(job["Reschedule"]) or _is(group["ReschedulePolicy"])
    if kind in _RESCHEDULE or given:
        defaults = _RESCHEDULE.get(kind, dict.fromkeys(_RESCHEDULE["batch"], 0))
        if kind not in _RESCHEDULE:
            defaults = {**defaults, "DelayFunction": "", "Unlimited": False}
        group["ReschedulePolicy"] = _merged(defaults, job["Reschedule"], group["ReschedulePolicy"])


def _task(task: _Json, group: _Json, job: _Json) -> None:
    _resources(task)
    _fill(task, {"KillTimeout": 5 * _S})
    task["LogConfig"] = _merged(
        {"MaxFiles": 10, "MaxFileSizeMB": 10, "Disabled": False}, task["LogConfig"]
    )
    _complete("LogConfig", task["LogConfig"])
    task["RestartPolicy"] = _merged(group["RestartPolicy"], task["RestartPolicy"])
    _placement(task)
    for service in _all(task["Services"]):
        _service(service, f"{job['Name']}-{group['Name']}-{task['Name']}")
    for artifact in _all(task["Artifacts"]):
        _artifact(artifact)
    for template in _all(task["Templates"]):
        _fill(template, _TEMPLATE)
        if _is(template["ChangeScript"]):
            _fill(template["ChangeScript"], _CHANGE_SCRIPT)
    for mount in _all(task["VolumeMounts"]):
        defaults = {"ReadOnly": False, "PropagationMode": "private", "SELinuxLabel": ""}
        _fill(mount, defaults, zero=("PropagationMode",))
    if _is(task["Vault"]):
        _fill(task["Vault"], _VAULT, zero=("Cluster",))
    if _is(task["Consul"]):
        _fill(task["Consul"], {"Cluster": "default"}, zero=("Cluster",))
    if _is(task.get("CSIPluginConfig")):
        _fill(task["CSIPluginConfig"], _CSI_PLUGIN, zero=tuple(_CSI_PLUGIN))
    for policy in _all(task["ScalingPolicies"]):
        _fill(policy, {"Enabled": True})


def _resources(task: _Json) -> None:
    resources = task["Resources"] if _is(task["Resources"]) else {}
    task["Resources"] = _complete("Resources", resources)
    _fill(resources, {"Cores": 0, "MemoryMB": 300})
    _fill(resources, {"CPU": 0 if resources["Cores"] else 100})
    for device in _all(resources["Devices"]):
        _fill(device, {"Count": 1})
        _placement(device)


def _artifact(artifact: _Json) -> None:
    _fill(
        artifact,
        {"GetterMode": "any", "GetterInsecure": False},
        zero=("GetterMode",),
    )
    if artifact["RelativeDest"] is None:
        destination = "local/"
        if artifact["GetterMode"] == "file":
            source = str(artifact["GetterSource"] or "").partition("?")[0]
            destination = posixpath.join("local", posixpath.basename(source))
        artifact["RelativeDest"] = destination


def _service(service: _Json, name: str) -> None:
    defaults = {
        "Name": name,
        "Provider": "consul",
        "AddressMode": "auto",
        "OnUpdate": "require_healthy",
    }
    _fill(service, defaults, zero=tuple(defaults))
    if service["Provider"] == "consul":
        _fill(service, {"Cluster": "default"}, zero=("Cluster",))
    if _is(service["CheckRestart"]):
        _fill(service["CheckRestart"], {"Grace": 1 * _S})
    for check in _all(service["Checks"]):
        own = check["CheckRestart"]
        if _is(service["CheckRestart"]) or _is(own):
            check["CheckRestart"] = _merged({"Grace": 1 * _S}, service["CheckRestart"], own)
        check_defaults = {
            "Name": f'service: "{service["Name"]}" check',
            "OnUpdate": service["OnUpdate"],
        }
        _fill(check, check_defaults, zero=("Name", "OnUpdate"))
    connect = service["Connect"]
    sidecar = connect.get("SidecarTask") if isinstance(connect, dict) else None
    if isinstance(sidecar, dict):
        _fill(sidecar, {"KillTimeout": 5 * _S})
