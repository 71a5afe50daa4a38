"""Settings of the region's servers."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hanse.errors import Invalid
from hanse.structs.api import SchedulerConfiguration
from hanse.structs.wire import Wire
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Param, Routes, encode, written
from region.api.jobs import with_query_meta

routes = Routes("Operator")

_TOPIC = ("scheduler-config",)
_READ: dict[str, Any] = {
    "topics": lambda call: (_TOPIC,),
}


class SchedulerConfigResponse(Wire, frozen=True, kw_only=True):
    """How the scheduler is set."""

    scheduler_config: SchedulerConfiguration


@routes.read(
    "/v1/operator/scheduler/configuration",
    response=SchedulerConfigResponse,
    meta="query",
    **_READ,
)
async def read_scheduler_config(call: Call) -> Answer:
    """Read how the scheduler is set."""
    answer = SchedulerConfigResponse(scheduler_config=call.state.scheduler_config)
    index = max(1, call.state.index(_TOPIC))
    return Answer(body=with_query_meta(call, encode(answer), index))


class SchedulerSetResponse(Wire, frozen=True, kw_only=True):
    """Whether it was changed."""

    updated: bool = False


@routes.write(
    "/v1/operator/scheduler/configuration",
    body=SchedulerConfiguration,
    response=SchedulerSetResponse,
    meta="write",
    params=(Param("cas", "integer", "Only at this index.", minimum=0, maximum=2**63 - 1),),
)
async def set_scheduler_config(call: Call) -> Answer:
    """Set how the scheduler decides."""
    config = await decode(call, SchedulerConfiguration)
    if config.scheduler_algorithm not in ("", "binpack", "spread"):
        raise Invalid("", f"invalid scheduler algorithm {config.scheduler_algorithm[:100]!r}")
    if not config.scheduler_algorithm:
        config = replace(config, scheduler_algorithm="binpack")
    if config.node_limit_for_feasibility_checks < 0:
        raise Invalid("NodeLimitForFeasibilityChecks", "must not be negative")
    cas = call.query.integer("cas", low=0, high=2**63 - 1)
    updated, index = await call.region.set_scheduler_config(config, cas)
    return written(SchedulerSetResponse(updated=updated), index)
