"""Namespaces and scaling policies: what there is of them so far."""

from __future__ import annotations

from hanse.errors import Invalid, NotFound, Unsupported
from hanse.structs.wire import Wire
from region.api import params
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Param, Routes, json_answer
from region.api.lists import Listing, answer_list, encoded, read_id_token
from region.api.query import list_options

routes = Routes("Namespaces")


class NamespaceCapabilities(Wire, frozen=True, kw_only=True):
    """What jobs of a namespace may use."""

    enabled_task_drivers: tuple[str, ...] = ()
    disabled_task_drivers: tuple[str, ...] = ()
    enabled_network_modes: tuple[str, ...] = ()
    disabled_network_modes: tuple[str, ...] = ()


class Namespace(Wire, frozen=True, kw_only=True):
    """A space of job names."""

    name: str = ""
    description: str = ""
    quota: str = ""
    capabilities: NamespaceCapabilities | None = None
    node_pool_configuration: dict[str, object] | None = None
    vault_configuration: dict[str, object] | None = None
    consul_configuration: dict[str, object] | None = None
    meta: dict[str, str] = {}
    hash: str = ""
    create_index: int = 1
    modify_index: int = 1


DEFAULT = Namespace(name="default", description="Default shared namespace")
_LISTING: Listing[Namespace] = Listing(
    key=lambda item: (item.name,),
    token=lambda item: item.name,
    read_token=read_id_token,
    view=encoded(lambda item: item),
    full=lambda item: item,
    name=lambda item: item.name,
)
NO_NAMESPACE = {404: "There is no such namespace."}


@routes.list("/v1/namespaces", response=list[Namespace], params=(params.PREFIX,))
async def list_namespaces(call: Call) -> Answer:
    """List namespaces by name."""
    return await answer_list(call, (DEFAULT,), _LISTING)


def _found(name: str) -> Namespace:
    if name != DEFAULT.name:
        raise NotFound("namespace", name)
    return DEFAULT


@routes.read("/v1/namespace/{namespace}", response=Namespace, statuses=NO_NAMESPACE)
async def read_namespace(call: Call) -> Answer:
    """Read a namespace."""
    return json_answer(_found(call.args["namespace"]))


def _refuse(name: str) -> Answer:
    if not name:
        raise Invalid("", "missing namespace name")
    if name == DEFAULT.name:
        raise Unsupported(["changes of the default namespace"])
    raise Unsupported([f'namespace "{name[:128]}" (only the default one exists)'])


@routes.write("/v1/namespace", body=Namespace)
async def put_namespace(call: Call) -> Answer:
    """Make or change a namespace: only the default one exists so far."""
    body = await decode(call, Namespace)
    return _refuse(body.name)


@routes.write("/v1/namespace/{namespace}", body=Namespace)
async def put_named_namespace(call: Call) -> Answer:
    """Make or change a namespace: only the default one exists so far."""
    body = await decode(call, Namespace)
    if body.name not in ("", call.args["namespace"]):
        raise Invalid("", "namespace name does not match that of the path")
    return _refuse(call.args["namespace"])


@routes.add("DELETE", "/v1/namespace/{namespace}", statuses=NO_NAMESPACE)
async def delete_namespace(call: Call) -> Answer:
    """Delete a namespace: the default one stays."""
    _found(call.args["namespace"])
    raise Invalid("", "can not delete default namespace")


class ScalingPolicyListStub(Wire, frozen=True, kw_only=True):
    """A scaling policy in a list."""

    id: str = ""
    enabled: bool = False
    type: str = ""
    target: dict[str, str] = {}
    create_index: int = 0
    modify_index: int = 0


@routes.list(
    "/v1/scaling/policies",
    response=list[ScalingPolicyListStub],
    params=(
        params.NAMESPACES,
        params.PREFIX,
        Param("job", doc="Only those of this job."),
        Param("type", doc="Only those of this type."),
    ),
    topics=lambda call: (("jobs",),),
)
async def list_policies(call: Call) -> Answer:
    """List scaling policies: none, since jobs with a `scaling` block are refused so far."""
    list_options(call.query)
    return json_answer([])


@routes.read(
    "/v1/scaling/policy/{policy_id}",
    response=dict[str, object],
    statuses={404: "There is no such policy."},
)
async def read_policy(call: Call) -> Answer:
    """Read a scaling policy: there is none so far."""
    raise NotFound("scaling policy", text="policy not found")
