"""Routes that Nomad has and this version does not: each says so in Nomad's words."""

from __future__ import annotations

from hanse.errors import Invalid, Unsupported
from region.api.endpoint import Answer, Call, Endpoint, Handler, Kind, Method
from region.api.errors import ACL_DISABLED, ENTERPRISE_ONLY, HTTPFailure
from region.api.jobs import found_job

_METHODS: tuple[Method, ...] = ("GET", "PUT", "DELETE")

_ENTERPRISE = (
    "/v1/quotas",
    "/v1/quota-usages",
    "/v1/quota",
    "/v1/quota/{name+}",
    "/v1/sentinel/policies",
    "/v1/sentinel/policy/{name}",
    "/v1/recommendations",
    "/v1/recommendations/apply",
    "/v1/recommendation",
    "/v1/recommendation/{name}",
    "/v1/operator/utilization",
)
_ACL = ("/v1/acl/{rest+}",)
_WELL_KNOWN = ("/.well-known/openid-configuration",)
_NOT_YET = {
    "/v1/vars": "variables",
    "/v1/var/{path+}": "variables",
    "/v1/volumes/external": "volumes",
    "/v1/volumes/snapshot": "volumes",
    "/v1/volume/{rest+}": "volumes",
    "/v1/volumes/claim/{claim}": "volumes",
    "/v1/plugin/csi/{plugin}": "CSI plugins",
    "/v1/operator/upgrade-check/{rest+}": "operator upgrade-check",
    "/v1/operator/snapshot": "operator snapshot",
    "/v1/operator/keyring/{rest+}": "operator keyring",
    "/v1/agent/keyring/{rest+}": "gossip keyring",
    "/v1/agent/pprof/{rest+}": "pprof",
    "/v1/agent/host": "host data",
    "/v1/agent/schedulers": "scheduler workers",
    "/v1/agent/schedulers/config": "scheduler workers",
    "/v1/agent/monitor/export": "export of old logs",
    "/v1/client/identity": "node identities",
    "/v1/client/identity/renew": "node identities",
    "/v1/job/{job_id+}/dispatch": "dispatch of parameterized jobs",
    "/v1/job/{job_id+}/dispatch/payload": "dispatch of parameterized jobs",
    "/v1/job/{job_id+}/action": "job actions",
}


def _failing(failure: HTTPFailure) -> Handler:
    async def refuse(call: Call) -> Answer:
        del call
        raise failure

    return refuse


def _unsupported(what: str) -> Handler:
    async def refuse(call: Call) -> Answer:
        del call
        raise Unsupported([what])

    return refuse


async def _force_periodic(call: Call) -> Answer:
    """No job is periodic: such jobs are refused at registration."""
    call.write_namespace()
    found_job(call)
    raise Invalid("", "can't force launch non-periodic job")


async def _license(call: Call) -> Answer:
    if call.request.method == "GET":
        return Answer(status=204)
    raise HTTPFailure(*ENTERPRISE_ONLY)


async def _no_volumes(call: Call) -> Answer:
    del call
    return Answer(body=b"[]", index=1)


def _endpoint(method: Method, path: str, handler: Handler, kind: Kind = "action") -> Endpoint:
    return Endpoint(
        method=method,
        path=path,
        handler=handler,
        kind=kind,
        tag="Refused",
        name="refuse",
        doc="",
        hidden=True,
    )


def endpoints() -> list[Endpoint]:
    """All of them; they are not in the OpenAPI document."""
    made: list[Endpoint] = []
    for method in _METHODS:
        made += [
            _endpoint(method, path, _failing(HTTPFailure(*ENTERPRISE_ONLY))) for path in _ENTERPRISE
        ]
        made += [_endpoint(method, path, _failing(HTTPFailure(*ACL_DISABLED))) for path in _ACL]
        made += [_endpoint(method, path, _unsupported(what)) for path, what in _NOT_YET.items()]
    made += [
        _endpoint("GET", path, _failing(HTTPFailure(404, "OIDC Discovery endpoint disabled")))
        for path in _WELL_KNOWN
    ]
    made += [
        _endpoint("PUT", "/v1/job/{job_id+}/periodic/force", _force_periodic),
        _endpoint("GET", "/v1/operator/license", _license),
        _endpoint("PUT", "/v1/operator/license", _license),
        _endpoint("GET", "/v1/volumes", _no_volumes, "read"),
        _endpoint("PUT", "/v1/volumes", _unsupported("volumes")),
        _endpoint("GET", "/v1/volumes/claims", _no_volumes, "read"),
        _endpoint("GET", "/v1/plugins", _no_volumes, "read"),
        _endpoint("GET", "/.well-known/jwks.json", _failing(HTTPFailure(404, "no keys yet"))),
    ]
    return made
