"""Allocations."""

from __future__ import annotations

from hanse.errors import NotFound
from hanse.structs.allocation import Allocation
from hanse.structs.api import AllocListStub
from hanse.structs.service import ServiceRegistration
from hanse.structs.wire import Wire
from region.api import params
from region.api.allocchunks import whole_list
from region.api.allocorder import AllocOrder
from region.api.allocstubs import StubMaker, maker
from region.api.endpoint import Answer, Call, Param, Routes, json_answer, written
from region.api.lists import Listing, answer_list, read_index_token
from region.api.query import ListOptions, list_options
from region.api.views import ApiAllocation, alloc_view

routes = Routes("Allocations")

NO_ALLOC = {404: "There is no such allocation."}


def found_alloc(call: Call, name: str = "alloc_id", *, text: str = "alloc not found") -> Allocation:
    """The allocation of the path. Raises NotFound."""
    alloc = call.state.allocation(call.args[name])
    if alloc is None:
        raise NotFound("alloc", text=text)
    return alloc


def alloc_listing(make: StubMaker) -> Listing[Allocation]:
    """How allocations are listed."""
    return Listing(
        key=lambda alloc: (alloc.create_index, alloc.id),
        token=lambda alloc: f"{alloc.create_index}.{alloc.id}",
        read_token=read_index_token,
        view=make.encode,
        full=lambda alloc: alloc_view(alloc, make.job(alloc), make.node_name(alloc.node_id)),
        name=lambda alloc: alloc.id,
    )


@routes.list(
    "/v1/allocations",
    response=list[AllocListStub],
    params=(
        params.NAMESPACES,
        params.PREFIX,
        Param("resources", "boolean", "Show what each allocation was given."),
        Param("task_states", "boolean", "Show the tasks' states (default true)."),
    ),
    topics=lambda call: (("allocs",),),
)
async def list_allocations(call: Call) -> Answer:
    """List allocations in the order of their making."""
    make = maker(call)
    options = list_options(call.query)
    order: AllocOrder = call.context.part(AllocOrder)
    start = read_index_token(options.next_token) if options.next_token else None
    if options == ListOptions():
        return await whole_list(call, order, make)
    items = order.allocations(call.state, call.namespace, start=start, reverse=options.reverse)
    return await answer_list(call, items, alloc_listing(make), options=options, positioned=True)


@routes.read(
    "/v1/allocation/{alloc_id}",
    response=ApiAllocation,
    topics=lambda call: (("alloc", call.args["alloc_id"]),),
    statuses=NO_ALLOC,
)
async def read_allocation(call: Call) -> Answer:
    """Read an allocation with the job version it runs."""
    alloc = found_alloc(call)
    make = maker(call)
    return json_answer(alloc_view(alloc, make.job(alloc), make.node_name(alloc.node_id)))


class AllocStopResponse(Wire, frozen=True, kw_only=True):
    """Answer to a stop."""

    eval_id: str = ""


@routes.write(
    "/v1/allocation/{alloc_id}/stop",
    response=AllocStopResponse,
    meta="write",
    params=(
        Param("no_shutdown_delay", "boolean", "Do not wait for the shutdown delay."),
        Param("reschedule", "boolean", "Count it as a failure to reschedule."),
    ),
    statuses=NO_ALLOC,
)
async def stop_allocation(call: Call) -> Answer:
    """Stop an allocation; the scheduler replaces it."""
    alloc = found_alloc(call, text="allocation not found")
    eval_id, index = await call.region.stop_allocation(
        alloc.id,
        no_shutdown_delay=call.query.flag("no_shutdown_delay"),
        reschedule=call.query.flag("reschedule"),
    )
    return written(AllocStopResponse(eval_id=eval_id), index)


@routes.read(
    "/v1/allocation/{alloc_id}/services",
    response=list[ServiceRegistration],
    topics=lambda call: (("alloc", call.args["alloc_id"]),),
    statuses=NO_ALLOC,
)
async def alloc_services(call: Call) -> Answer:
    """List the services that an allocation offers."""
    alloc = found_alloc(call)
    found = [item for item in call.state.services(alloc.namespace) if item.alloc_id == alloc.id]
    return json_answer(sorted(found, key=lambda item: (item.service_name, item.id)))
