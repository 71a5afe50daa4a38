"""Nodes and node pools."""

from __future__ import annotations

import msgspec

from hanse.errors import Invalid, NotFound, Unsupported
from hanse.structs.api import JobListStub
from hanse.structs.node import DrainSpec, Node, NodeListStub
from hanse.structs.wire import Wire
from region.api import params
from region.api.allocstubs import maker
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Param, Routes, encode, json_answer, written
from region.api.jobs import META, job_listing
from region.api.lists import (
    Listing,
    Pacer,
    Pieces,
    answer_list,
    encoded,
    read_id_token,
)
from region.api.query import list_options
from region.api.views import ApiAllocation, ApiNode, alloc_view, node_stub, node_view

routes = Routes("Nodes")

NO_NODE = {404: "There is no such node."}
RESOURCES = Param("resources", "boolean", "Show the nodes' resources.")
OS = Param("os", "boolean", "Show the nodes' operating system.")


def found_node(call: Call) -> Node:
    """The node of the path. Raises NotFound."""
    node = call.state.node(call.args["node_id"])
    if node is None:
        raise NotFound("node", text="node not found")
    return node


def node_listing(call: Call) -> Listing[Node]:
    """How nodes are listed."""
    resources, os = call.query.flag("resources"), call.query.flag("os")
    return Listing(
        key=lambda node: (node.id,),
        token=lambda node: node.id,
        read_token=read_id_token,
        view=encoded(lambda node: node_stub(node, resources=resources, os=os)),
        full=lambda node: node,
        name=lambda node: node.id,
    )


@routes.list(
    "/v1/nodes",
    response=list[NodeListStub],
    params=(params.PREFIX, RESOURCES, OS),
    topics=lambda call: (("nodes",),),
)
async def list_nodes(call: Call) -> Answer:
    """List nodes by ID."""
    return await answer_list(call, call.state.nodes(), node_listing(call), ordered=False)


@routes.read(
    "/v1/node/{node_id}",
    response=ApiNode,
    topics=lambda call: (("node", call.args["node_id"]),),
    statuses=NO_NODE,
)
async def read_node(call: Call) -> Answer:
    """Read a node."""
    return json_answer(node_view(found_node(call)))


@routes.read(
    "/v1/node/{node_id}/allocations",
    response=list[ApiAllocation],
    topics=lambda call: (("node-allocs", call.args["node_id"]),),
)
async def node_allocations(call: Call) -> Answer:
    """List a node's allocations in full."""
    make = maker(call)
    pacer = Pacer(call)
    pieces = Pieces()
    allocs = call.state.allocations_of_node(call.args["node_id"])
    for alloc in sorted(allocs, key=lambda alloc: (alloc.create_index, alloc.id)):
        if pacer.due():
            await pacer.pause()
        node_name = make.node_name(alloc.node_id)
        pieces.add(encode(alloc_view(alloc, make.job(alloc), node_name)))
    return Answer(body=pieces.body())


class NodeUpdateResponse(Wire, frozen=True, kw_only=True):
    """Answer to a change of a node."""

    eval_i_ds: tuple[str, ...] = msgspec.field(default=(), name="EvalIDs")
    eval_create_index: int = 0
    node_modify_index: int = 0
    heartbeat_ttl_ns: int = msgspec.field(default=0, name="HeartbeatTTL")


class NodeUpdateDrainRequest(Wire, frozen=True, kw_only=True):
    """How to drain a node; without a spec: stop draining."""

    node_id: str = ""
    drain_spec: DrainSpec | None = None
    mark_eligible: bool = False
    meta: dict[str, str] = {}


class NodeEligibilityRequest(Wire, frozen=True, kw_only=True):
    """Whether a node takes new allocations."""

    node_id: str = ""
    eligibility: str = ""


def _updated(evals: list[str], index: int) -> Answer:
    response = NodeUpdateResponse(
        eval_i_ds=tuple(evals),
        eval_create_index=index if evals else 0,
        node_modify_index=index,
    )
    return written(response, index)


def _same_node(call: Call, node_id: str) -> Node:
    node = found_node(call)
    if node_id and node_id != node.id:
        raise Invalid("NodeID", "is not the node of the path")
    return node


@routes.write(
    "/v1/node/{node_id}/drain",
    body=NodeUpdateDrainRequest,
    response=NodeUpdateResponse,
    meta="write",
    statuses=NO_NODE,
)
async def drain_node(call: Call) -> Answer:
    """Drain a node, or stop draining it."""
    request = await decode(call, NodeUpdateDrainRequest)
    node = _same_node(call, request.node_id)
    evals, index = await call.region.drain_node(
        node.id, request.drain_spec, request.mark_eligible, request.meta
    )
    return _updated(evals, index)


@routes.write(
    "/v1/node/{node_id}/eligibility",
    body=NodeEligibilityRequest,
    response=NodeUpdateResponse,
    meta="write",
    statuses=NO_NODE,
)
async def set_eligibility(call: Call) -> Answer:
    """Allow or forbid new allocations on a node."""
    request = await decode(call, NodeEligibilityRequest)
    node = _same_node(call, request.node_id)
    if request.eligibility not in ("eligible", "ineligible"):
        raise Invalid("", f"invalid scheduling eligibility {request.eligibility[:100]!r}")
    if request.eligibility == "eligible" and node.drain_strategy is not None:
        raise Invalid("", "can not set node's scheduling eligibility to eligible while draining")
    evals, index = await call.region.set_eligibility(node.id, request.eligibility == "eligible")
    return _updated(evals, index)


@routes.write(
    "/v1/node/{node_id}/evaluate",
    response=NodeUpdateResponse,
    meta="write",
    statuses=NO_NODE,
)
async def evaluate_node(call: Call) -> Answer:
    """Evaluate the jobs that a node runs."""
    return _updated(*await call.region.evaluate_node(found_node(call).id))


@routes.write(
    "/v1/node/{node_id}/purge",
    response=NodeUpdateResponse,
    meta="write",
    statuses=NO_NODE,
)
async def purge_node(call: Call) -> Answer:
    """Forget a node."""
    return _updated(*await call.region.purge_node(found_node(call).id))


class NodePool(Wire, frozen=True, kw_only=True):
    """A set of nodes."""

    name: str = ""
    description: str = ""
    meta: dict[str, str] = {}
    scheduler_configuration: dict[str, object] | None = None
    node_identity_ttl_ns: int = msgspec.field(default=86_400 * 10**9, name="NodeIdentityTTL")
    hash: str = ""
    create_index: int = 1
    modify_index: int = 1


class NodePoolRequest(NodePool, frozen=True, kw_only=True):
    """A node pool as clients send it: with the time as a number or as text such as `24h`."""

    node_identity_ttl_ns: int | str = msgspec.field(  # type: ignore[assignment]
        default=0, name="NodeIdentityTTL"
    )


BUILT_IN = (
    NodePool(name="all", description="Node pool with all nodes in the cluster."),
    NodePool(name="default", description="Default node pool."),
)
_POOLS: Listing[NodePool] = Listing(
    key=lambda pool: (pool.name,),
    token=lambda pool: pool.name,
    read_token=read_id_token,
    view=encoded(lambda pool: pool),
    full=lambda pool: pool,
    name=lambda pool: pool.name,
)


@routes.list("/v1/node/pools", response=list[NodePool], params=(params.PREFIX,))
async def list_pools(call: Call) -> Answer:
    """List node pools by name."""
    return await answer_list(call, BUILT_IN, _POOLS)


def _found_pool(call: Call) -> NodePool:
    for pool in BUILT_IN:
        if pool.name == call.args["pool"]:
            return pool
    raise NotFound("node pool", text="node pool not found")


NO_POOL = {404: "There is no such node pool."}


@routes.read("/v1/node/pool/{pool}", response=NodePool, statuses=NO_POOL)
async def read_pool(call: Call) -> Answer:
    """Read a node pool."""
    return json_answer(_found_pool(call))


@routes.write("/v1/node/pools", body=NodePoolRequest)
async def put_pool(call: Call) -> Answer:
    """Make or change a node pool: only the built-in ones exist so far."""
    pool = await decode(call, NodePoolRequest)
    return _refuse_pool(pool.name, "modified")


@routes.write("/v1/node/pool/{pool}", body=NodePoolRequest)
async def put_named_pool(call: Call) -> Answer:
    """Make or change a node pool: only the built-in ones exist so far."""
    await decode(call, NodePoolRequest)
    return _refuse_pool(call.args["pool"], "modified")


@routes.add("DELETE", "/v1/node/pool/{pool}", statuses=NO_POOL)
async def delete_pool(call: Call) -> Answer:
    """Delete a node pool: the built-in ones stay."""
    return _refuse_pool(_found_pool(call).name, "deleted")


def _refuse_pool(name: str, verb: str) -> Answer:
    if not name:
        raise Invalid("", "missing node pool name")
    if any(pool.name == name for pool in BUILT_IN):
        raise Invalid("", f"node pool {name!r} is built-in and cannot be {verb}")
    raise Unsupported([f"node pool {name[:100]!r} (only the built-in ones exist)"])


@routes.list(
    "/v1/node/pool/{pool}/nodes",
    response=list[NodeListStub],
    params=(params.PREFIX, RESOURCES, OS),
    topics=lambda call: (("nodes",),),
    statuses=NO_POOL,
)
async def pool_nodes(call: Call) -> Answer:
    """List the nodes of a pool by ID."""
    name = _found_pool(call).name
    nodes = [node for node in call.state.nodes() if name in ("all", node.node_pool)]
    return await answer_list(call, nodes, node_listing(call), ordered=False)


@routes.list(
    "/v1/node/pool/{pool}/jobs",
    response=list[JobListStub],
    params=(params.NAMESPACES, META),
    topics=lambda call: (("jobs",), ("allocs",)),
    statuses=NO_POOL,
)
async def pool_jobs(call: Call) -> Answer:
    """List the jobs that ask for a pool."""
    if list_options(call.query).prefix:
        raise Invalid("", "prefix is not supported for listing the jobs of a node pool")
    name = _found_pool(call).name
    jobs = [job for job in call.state.jobs(call.namespace) if name in ("all", job.node_pool)]
    return await answer_list(call, jobs, job_listing(call.state, meta=call.query.flag("meta")))
