"""Deployments."""

from __future__ import annotations

import msgspec

from hanse.errors import Invalid, NotFound
from hanse.structs.api import AllocListStub
from hanse.structs.deployment import Deployment, DeploymentUpdateResponse
from hanse.structs.wire import Wire
from region.api import params
from region.api.allocstubs import stubs
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Routes, json_answer, written
from region.api.errors import ENTERPRISE_ONLY, HTTPFailure
from region.api.lists import Listing, answer_list, encoded, read_index_token

routes = Routes("Deployments")

NO_DEPLOYMENT = {404: "There is no such deployment."}

LISTING: Listing[Deployment] = Listing(
    key=lambda item: (item.create_index, item.id),
    token=lambda item: f"{item.create_index}.{item.id}",
    read_token=read_index_token,
    view=encoded(lambda item: item),
    full=lambda item: item,
    name=lambda item: item.id,
)


def found_deployment(call: Call) -> Deployment:
    """The deployment of the path. Raises NotFound."""
    found = call.state.deployment(call.args["deployment_id"])
    if found is None:
        raise NotFound("deployment", text="deployment not found")
    return found


@routes.list(
    "/v1/deployments",
    response=list[Deployment],
    params=(params.NAMESPACES, params.PREFIX),
    topics=lambda call: (("deployments",),),
)
async def list_deployments(call: Call) -> Answer:
    """List deployments in the order of their making."""
    items = call.state.deployments(call.namespace)
    return await answer_list(call, items, LISTING, ordered=False)


@routes.read(
    "/v1/deployment/{deployment_id}",
    response=Deployment,
    topics=lambda call: (("deployment", call.args["deployment_id"]),),
    statuses=NO_DEPLOYMENT,
)
async def read_deployment(call: Call) -> Answer:
    """Read a deployment."""
    return json_answer(found_deployment(call))


@routes.read(
    "/v1/deployment/allocations/{deployment_id}",
    response=list[AllocListStub],
    topics=lambda call: (("deployment", call.args["deployment_id"]), ("allocs",)),
)
async def deployment_allocations(call: Call) -> Answer:
    """List the allocations of a deployment."""
    return await stubs(call, call.state.allocations_of_deployment(call.args["deployment_id"]))


class DeploymentPauseRequest(Wire, frozen=True, kw_only=True):
    """Whether to hold."""

    deployment_id: str = ""
    pause: bool = False


class DeploymentPromoteRequest(Wire, frozen=True, kw_only=True):
    """Which groups' canaries take over."""

    deployment_id: str = ""
    all: bool = False
    groups: tuple[str, ...] = ()


class DeploymentAllocHealthRequest(Wire, frozen=True, kw_only=True):
    """Which allocations are well, and which are not."""

    deployment_id: str = ""
    healthy_allocation_i_ds: tuple[str, ...] = msgspec.field(
        default=(), name="HealthyAllocationIDs"
    )
    unhealthy_allocation_i_ds: tuple[str, ...] = msgspec.field(
        default=(), name="UnhealthyAllocationIDs"
    )


def _same(call: Call, deployment_id: str) -> Deployment:
    """The deployment of the path, which the body must name too. Raises Invalid, NotFound."""
    if not deployment_id:
        raise Invalid("", "DeploymentID must be specified")
    if deployment_id != call.args["deployment_id"]:
        raise Invalid("", "Deployment ID does not match")
    return found_deployment(call)


def _updated(response: DeploymentUpdateResponse) -> Answer:
    return written(response, response.deployment_modify_index)


@routes.write(
    "/v1/deployment/fail/{deployment_id}",
    response=DeploymentUpdateResponse,
    meta="write",
    statuses=NO_DEPLOYMENT,
)
async def fail_deployment(call: Call) -> Answer:
    """Give a deployment up."""
    return _updated(await call.region.fail_deployment(found_deployment(call).id))


@routes.write(
    "/v1/deployment/pause/{deployment_id}",
    body=DeploymentPauseRequest,
    response=DeploymentUpdateResponse,
    meta="write",
    statuses=NO_DEPLOYMENT,
)
async def pause_deployment(call: Call) -> Answer:
    """Hold a deployment, or go on with it."""
    request = await decode(call, DeploymentPauseRequest)
    found = _same(call, request.deployment_id)
    return _updated(await call.region.pause_deployment(found.id, request.pause))


@routes.write(
    "/v1/deployment/promote/{deployment_id}",
    body=DeploymentPromoteRequest,
    response=DeploymentUpdateResponse,
    meta="write",
    statuses=NO_DEPLOYMENT,
)
async def promote_deployment(call: Call) -> Answer:
    """Let canaries take over."""
    request = await decode(call, DeploymentPromoteRequest)
    found = _same(call, request.deployment_id)
    if request.all == bool(request.groups):
        raise Invalid("", "either All or Groups must be set, and not both")
    groups = None if request.all else request.groups
    return _updated(await call.region.promote_deployment(found.id, groups))


@routes.write(
    "/v1/deployment/allocation-health/{deployment_id}",
    body=DeploymentAllocHealthRequest,
    response=DeploymentUpdateResponse,
    meta="write",
    statuses=NO_DEPLOYMENT,
)
async def set_allocation_health(call: Call) -> Answer:
    """Say which allocations of a deployment are well."""
    request = await decode(call, DeploymentAllocHealthRequest)
    found = _same(call, request.deployment_id)
    healthy, unhealthy = request.healthy_allocation_i_ds, request.unhealthy_allocation_i_ds
    if not healthy and not unhealthy:
        raise Invalid("", "must specify at least one healthy/unhealthy allocation ID")
    if both := set(healthy) & set(unhealthy):
        raise Invalid("", f"allocation {min(both)!r} cannot be healthy and unhealthy")
    return _updated(await call.region.set_allocation_health(found.id, healthy, unhealthy))


@routes.write(
    "/v1/deployment/unblock/{deployment_id}",
    hidden=True,
)
async def unblock_deployment(call: Call) -> Answer:
    """Let a deployment of several regions go on: not done here."""
    raise HTTPFailure(*ENTERPRISE_ONLY)
