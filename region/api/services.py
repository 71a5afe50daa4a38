"""Services that running allocations offer."""

from __future__ import annotations

from hashlib import blake2b

from hanse.errors import Invalid, NotFound
from hanse.structs.service import (
    ServiceRegistration,
    ServiceRegistrationListStub,
    ServiceRegistrationStub,
)
from region.api import params
from region.api.endpoint import Answer, Call, Param, Routes
from region.api.lists import Listing, answer_list, encoded, read_id_token, read_name_token
from region.api.query import whole_number

routes = Routes("Services")

CHOICES_MAX = 100

_NAMESPACES: Listing[ServiceRegistrationListStub] = Listing(
    key=lambda item: (item.namespace,),
    token=lambda item: item.namespace,
    read_token=read_id_token,
    view=encoded(lambda item: item),
    full=lambda item: item,
    name=lambda item: item.namespace,
)
_REGISTRATIONS: Listing[ServiceRegistration] = Listing(
    key=lambda item: (item.namespace, item.id),
    token=lambda item: f"{item.namespace}.{item.id}",
    read_token=read_name_token,
    view=encoded(lambda item: item),
    full=lambda item: item,
    name=lambda item: item.service_name,
)


@routes.list(
    "/v1/services",
    response=list[ServiceRegistrationListStub],
    params=(params.NAMESPACES,),
    topics=lambda call: (("services",),),
)
async def list_services(call: Call) -> Answer:
    """List the names of services with their tags, by namespace."""
    tags: dict[str, dict[str, dict[str, None]]] = {}
    for item in call.state.services(call.namespace):
        names = tags.setdefault(item.namespace, {})
        names.setdefault(item.service_name, {}).update(dict.fromkeys(item.tags))
    found = [
        ServiceRegistrationListStub(
            namespace=namespace,
            services=tuple(
                ServiceRegistrationStub(service_name=name, tags=tuple(sorted(names[name])))
                for name in sorted(names)
            ),
        )
        for namespace, names in sorted(tags.items())
    ]
    return await answer_list(call, found, _NAMESPACES)


@routes.list(
    "/v1/service/{service}",
    response=list[ServiceRegistration],
    params=(
        params.NAMESPACE,
        Param("choose", doc="`<n>|<key>`: the n instances that this key is always given."),
    ),
    topics=lambda call: (("service", call.namespace, call.args["service"]), ("services",))[
        : 2 if call.namespace == "*" else 1
    ],
)
async def read_service(call: Call) -> Answer:
    """List the instances of a service."""
    name = call.args["service"]
    found = [item for item in call.state.services(call.namespace) if item.service_name == name]
    choose = call.query.text("choose")
    if choose:
        found = chosen(found, choose)
    return await answer_list(call, found, _REGISTRATIONS, ordered=False)


def chosen(found: list[ServiceRegistration], choose: str) -> list[ServiceRegistration]:
    """The n instances with the highest score for a key: most stay when instances come and go.

    Raises Invalid for anything but `<n>|<key>`.
    """
    number, bar, key = choose.partition("|")
    count = whole_number(number)
    if not bar or not key or count is None or not 1 <= count <= CHOICES_MAX:
        raise Invalid("", "choose must be a number and a key, such as 1|key")

    def score(item: ServiceRegistration) -> bytes:
        return blake2b(f"{key}\0{item.id}".encode(), digest_size=8).digest()

    return sorted(found, key=score, reverse=True)[:count]


@routes.add(
    "DELETE",
    "/v1/service/{service}/{service_id}",
    params=(params.NAMESPACE,),
    statuses={404: "There is no such registration."},
)
async def delete_service(call: Call) -> Answer:
    """Take a registration away: refused, since it goes when its allocation does."""
    for item in call.state.services(call.write_namespace()):
        if item.id == call.args["service_id"] and item.service_name == call.args["service"]:
            raise Invalid(
                "",
                "a registration follows its allocation and cannot be deleted; "
                f"stop allocation {item.alloc_id} instead",
            )
    raise NotFound("service", text="service registration not found")
