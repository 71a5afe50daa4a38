"""What a node does with its allocations, and what it says of itself."""

from __future__ import annotations

import re
from typing import Any

from hanse.errors import Invalid, Unsupported
from hanse.rpc.messages import AllocRequest, MetaRequest
from hanse.structs.service import CheckQueryResult
from hanse.structs.stats import AllocResourceUsage, HostStats
from hanse.structs.wire import Wire
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Param, Routes, written
from region.api.errors import ENTERPRISE_ONLY, HTTPFailure
from region.api.job_writes import Written
from region.api.node_calls import (
    NO_ALLOC,
    NO_NODE,
    NODE_ID,
    alloc_of,
    document,
    json_of,
    node_of,
)
from region.api.ports import Topic
from region.api.views import group_of, job_of

routes = Routes("Client")

META_CHARS_MAX = 16 * 1024
_META_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")


@routes.add(
    "GET",
    "/v1/client/stats",
    response=HostStats,
    params=(NODE_ID,),
    statuses=NO_NODE,
    cors=True,
)
async def host_stats(call: Call) -> Answer:
    """Measure a node."""
    return await json_of(call, node_of(call), "NodeStats", AllocRequest())


async def _collect_all(call: Call) -> Answer:
    await document(call, node_of(call), "CollectAll", AllocRequest())
    return Answer()


_COLLECT: dict[str, Any] = {"params": (NODE_ID,), "statuses": NO_NODE}


@routes.add("GET", "/v1/client/gc", **_COLLECT)
async def collect_all(call: Call) -> Answer:
    """Remove what is left of finished allocations on a node."""
    return await _collect_all(call)


@routes.write("/v1/client/gc", **_COLLECT)
async def put_collect_all(call: Call) -> Answer:
    """Remove what is left of finished allocations on a node."""
    return await _collect_all(call)


class NodeMeta(Wire, frozen=True, kw_only=True):
    """A node's metadata: as it is, and where it comes from."""

    meta: dict[str, str] = {}
    dynamic: dict[str, str | None] = {}
    static: dict[str, str] = {}


class NodeMetaRequest(Wire, frozen=True, kw_only=True):
    """What to change; a value of null removes its key."""

    node_id: str = ""
    meta: dict[str, object] = {}


@routes.add(
    "GET",
    "/v1/client/metadata",
    response=NodeMeta,
    params=(NODE_ID,),
    statuses=NO_NODE,
    cors=True,
)
async def node_meta(call: Call) -> Answer:
    """Read a node's metadata, and where it comes from."""
    return await json_of(call, node_of(call), "NodeMeta", MetaRequest())


@routes.write(
    "/v1/client/metadata",
    body=NodeMetaRequest,
    response=NodeMeta,
    params=(NODE_ID,),
    statuses=NO_NODE,
)
async def put_node_meta(call: Call) -> Answer:
    """Change a node's metadata while it runs."""
    request = await decode(call, NodeMetaRequest)
    changes = meta_changes(request.meta)
    node_id = node_of(call, request.node_id)
    return await json_of(call, node_id, "NodeMeta", MetaRequest(changes=changes))


def meta_changes(meta: dict[str, object]) -> dict[str, str | None]:
    """The changes a body asks for. Raises Invalid."""
    if not meta:
        raise Invalid("", "missing required Meta object")
    changes: dict[str, str | None] = {}
    for key, value in meta.items():
        if not _META_KEY.fullmatch(key):
            raise Invalid("Meta", f"invalid key {key[:128]!r}")
        if not (value is None or isinstance(value, str)):
            raise Invalid(f"Meta.{key}", "must be text or null")
        if value is not None and len(value) > META_CHARS_MAX:
            raise Invalid(f"Meta.{key}", f"longer than {META_CHARS_MAX} characters")
        changes[key] = value
    return changes


@routes.add(
    "GET",
    "/v1/client/allocation/{alloc_id}/stats",
    response=AllocResourceUsage,
    params=(Param("task", doc="Only this task."),),
    statuses=NO_ALLOC,
    cors=True,
)
async def alloc_stats(call: Call) -> Answer:
    """Measure an allocation."""
    alloc = alloc_of(call)
    request = AllocRequest(alloc_id=alloc.id, task=call.query.text("task"))
    return await json_of(call, alloc.node_id, "AllocStats", request)


class AllocRestartRequest(Wire, frozen=True, kw_only=True):
    """Which tasks; none named: those that run."""

    task_name: str = ""
    all_tasks: bool = False


class AllocSignalRequest(Wire, frozen=True, kw_only=True):
    """Which signal to which task; no task: to all."""

    task: str = ""
    signal: str = ""


def _index(call: Call) -> int:
    topic: Topic = ("alloc", call.args["alloc_id"])
    return max(1, call.state.index(topic))


def _check_task(call: Call, task: str) -> None:
    """Refuse a task that the allocation's group does not have."""
    alloc = alloc_of(call)
    group = group_of(job_of(call.state, alloc), alloc.group)
    if task and group is not None and task not in {item.name for item in group.tasks}:
        raise Invalid("", f"Could not find task {task[:128]!r} in this allocation")


@routes.write(
    "/v1/client/allocation/{alloc_id}/restart",
    body=AllocRestartRequest,
    body_required=False,
    response=Written,
    meta="write",
    statuses=NO_ALLOC,
)
async def restart_alloc(call: Call) -> Answer:
    """Restart tasks where they are."""
    request = AllocRestartRequest()
    if call.body.strip():
        request = await decode(call, AllocRestartRequest)
    if request.all_tasks and request.task_name:
        raise Invalid("", "AllTasks and TaskName cannot be given together")
    _check_task(call, request.task_name)
    asked = AllocRequest(
        alloc_id=call.args["alloc_id"], task=request.task_name, all_tasks=request.all_tasks
    )
    await document(call, alloc_of(call).node_id, "RestartAlloc", asked)
    return written(Written(), _index(call))


@routes.write(
    "/v1/client/allocation/{alloc_id}/signal",
    body=AllocSignalRequest,
    response=Written,
    meta="write",
    statuses=NO_ALLOC,
)
async def signal_alloc(call: Call) -> Answer:
    """Send a signal to tasks."""
    request = await decode(call, AllocSignalRequest)
    if not request.signal:
        raise Invalid("", "must provide a signal")
    _check_task(call, request.task)
    asked = AllocRequest(alloc_id=call.args["alloc_id"], task=request.task, signal=request.signal)
    await document(call, alloc_of(call).node_id, "SignalAlloc", asked)
    return written(Written(), _index(call))


async def _collect(call: Call) -> Answer:
    alloc = alloc_of(call)
    await document(call, alloc.node_id, "CollectAlloc", AllocRequest(alloc_id=alloc.id))
    # An object, though an empty one: Nomad's Go client refuses an empty body here.
    return Answer(body=b"{}")


@routes.add("GET", "/v1/client/allocation/{alloc_id}/gc", statuses=NO_ALLOC)
async def collect_alloc(call: Call) -> Answer:
    """Remove what is left of a finished allocation."""
    return await _collect(call)


@routes.write("/v1/client/allocation/{alloc_id}/gc", statuses=NO_ALLOC)
async def put_collect_alloc(call: Call) -> Answer:
    """Remove what is left of a finished allocation."""
    return await _collect(call)


async def _checks(call: Call) -> Answer:
    alloc = alloc_of(call)
    return await json_of(call, alloc.node_id, "AllocChecks", AllocRequest(alloc_id=alloc.id))


_CHECKS: dict[str, Any] = {
    "response": dict[str, CheckQueryResult],
    "statuses": NO_ALLOC,
}


@routes.add("GET", "/v1/client/allocation/{alloc_id}/checks", cors=True, **_CHECKS)
async def client_checks(call: Call) -> Answer:
    """Read the last results of an allocation's checks."""
    return await _checks(call)


@routes.add("GET", "/v1/allocation/{alloc_id}/checks", **_CHECKS)
async def alloc_checks(call: Call) -> Answer:
    """Read the last results of an allocation's checks."""
    return await _checks(call)


async def _pause(call: Call) -> Answer:
    raise HTTPFailure(*ENTERPRISE_ONLY)


@routes.add("GET", "/v1/client/allocation/{alloc_id}/pause", hidden=True)
async def read_pause(call: Call) -> Answer:
    """Only Nomad Enterprise does this."""
    return await _pause(call)


@routes.write("/v1/client/allocation/{alloc_id}/pause", hidden=True)
async def put_pause(call: Call) -> Answer:
    """Only Nomad Enterprise does this."""
    return await _pause(call)


@routes.add("GET", "/v1/client/allocation/{alloc_id}/snapshot", hidden=True)
async def alloc_snapshot(call: Call) -> Answer:
    """Not done by this version."""
    raise Unsupported(["allocation snapshots"])
