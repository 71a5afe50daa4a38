"""The OpenAPI 3.1 document, made from what the handlers declare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from region.api import params
from region.api.endpoint import Answer, Call, Endpoint, Param, Routes, encode

routes = Routes("Agent")

Json = dict[str, Any]

_DESCRIPTION = """Hanse's HTTP API: Nomad's `/v1`.

* `PUT` and `POST` are the same everywhere.
* Every operation takes `region` (this agent's own, or `global`; any other is answered with 500
  `No path to region`) and `pretty`.
* Every read that answers with `X-Nomad-Index` blocks when it is given `index`: it answers once the
  object's index is over that one, or after `wait` (at most 5 minutes) in any case.
  `stale` answers from the state that this server has. See `components.parameters`.
* Keys of request bodies match without regard to case, `null` means "not given", and keys that are
  not known are ignored with a warning.
* Errors are plain text.
* Paths whose answer never ends are under `x-endless-paths`, in the same form as `paths`.
"""

_COMMON = (
    *params.READ,
    Param("region", doc="The region that is to answer."),
)
_ERROR: Json = {"text/plain": {"schema": {"type": "string"}}}
_INDEX: Json = {"Index": {"type": "integer", "format": "int64"}}
_QUERY_META: Json = {
    **_INDEX,
    "LastContact": {"type": "integer"},
    "KnownLeader": {"type": "boolean"},
    "NextToken": {"type": "string"},
}
#: Paths that a reader must close: they go on for ever.
_ENDLESS = frozenset({"/v1/event/stream", "/v1/agent/monitor"})


def document(endpoints: Iterable[Endpoint], version: str) -> Json:
    """The whole document."""
    shown = [endpoint for endpoint in endpoints if not endpoint.hidden]
    types = list(dict.fromkeys(_types(shown)))
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_anything, ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Json] = {}
    endless: dict[str, Json] = {}
    for endpoint in sorted(shown, key=lambda item: (item.path, item.method)):
        target = endless if endpoint.path in _ENDLESS else paths
        path = endpoint.path.replace("+}", "}")
        operation = _operation(endpoint, by_type)
        target.setdefault(path, {})[endpoint.method.lower()] = operation
        if endpoint.method == "PUT":
            twin = {**operation, "operationId": f"{endpoint.name}_post"}
            target[path]["post"] = twin
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hanse",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MPL-2.0", "identifier": "MPL-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "x-endless-paths": endless,
        "components": {
            "schemas": {name: _sized(schema) for name, schema in components.items()},
            "parameters": {param.name: _parameter(param) for param in _COMMON},
        },
    }


def _anything(kind: type) -> Json:
    """The schema of `object`, whose values may be any JSON."""
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(f"no schema for {kind}")


def _types(endpoints: Sequence[Endpoint]) -> Iterable[Any]:
    for endpoint in endpoints:
        for kind in (endpoint.body, endpoint.response):
            if kind not in (None, bytes):
                yield kind


def _sized(schema: Any) -> Any:
    """The same schema, its whole numbers marked as what fits into 64 bits."""
    if isinstance(schema, dict):
        sized = {key: _sized(value) for key, value in schema.items()}
        if sized.get("type") == "integer":
            sized.setdefault("format", "int64")
            sized.setdefault("minimum", -(2**63))
            sized.setdefault("maximum", 2**63 - 1)
        return sized
    if isinstance(schema, list):
        return [_sized(item) for item in schema]
    return schema


def _parameter(param: Param, where: str = "query") -> Json:
    schema: Json = {"type": param.type}
    if param.type == "array":
        schema["items"] = {"type": "string"}
    if param.required and param.type == "string" and where == "query":
        schema["minLength"] = 1
    if where == "path":
        schema["pattern"] = r"^[^\u0000-\u001f\u007f]+$"
    if param.enum:
        schema["enum"] = list(param.enum)
    if param.minimum is not None:
        schema["minimum"] = param.minimum
    if param.maximum is not None:
        schema["maximum"] = param.maximum
    made: Json = {"name": param.name, "in": where, "schema": schema}
    if param.doc:
        made["description"] = param.doc
    if param.required or where == "path":
        made["required"] = True
    return made


def _holes(path: str) -> list[str]:
    parts = (part for part in path.split("/") if part.startswith("{"))
    return [part.strip("{}").rstrip("+") for part in parts]


def _operation(endpoint: Endpoint, schemas: dict[Any, Json]) -> Json:
    found = [*endpoint.params, *(params.LIST if endpoint.kind == "list" else ())]
    by_name = {param.name: param for param in found}
    made: Json = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.doc.splitlines()[0] if endpoint.doc else endpoint.name,
        "parameters": [
            *(_parameter(Param(name, minimum=None), "path") for name in _holes(endpoint.path)),
            *map(_parameter, by_name.values()),
        ],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        made["requestBody"] = {
            "required": endpoint.body_required,
            "content": {"application/json": {"schema": schemas[endpoint.body]}},
        }
    return made


def _responses(endpoint: Endpoint, schemas: dict[Any, Json]) -> Json:
    good: Json = {"description": "Done." if endpoint.response is None else "The answer."}
    if endpoint.response is bytes:
        schema: Json = {"type": "string", "format": "binary"}
        good["content"] = {endpoint.content_type: {"schema": schema}}
    elif endpoint.response is not None:
        schema = _with_meta(_sized(schemas[endpoint.response]), endpoint.meta)
        good["content"] = {endpoint.content_type: {"schema": schema}}
        if endpoint.path == "/v1/metrics":
            good["content"]["text/plain"] = {"schema": {"type": "string"}}
    if endpoint.kind in ("read", "list"):
        good["headers"] = _headers(listed=endpoint.kind == "list")
    responses: Json = {"101" if endpoint.websocket else "200": good}
    responses["400"] = {"description": "The request is wrong.", "content": _ERROR}
    if endpoint.method != "GET":
        responses["403"] = {"description": "It is not allowed, or not now.", "content": _ERROR}
    if endpoint.body is not None:
        responses["413"] = {"description": "The body is too large.", "content": _ERROR}
        responses["429"] = {"description": "Too many large bodies at once.", "content": _ERROR}
    for status, why in sorted(endpoint.statuses.items()):
        responses[str(status)] = {"description": why, "content": _ERROR}
    responses["500"] = {
        "description": "The region has no leader, or does not answer.",
        "content": _ERROR,
    }
    if endpoint.path == "/v1/agent/health":
        responses["500"]["content"] = good["content"]
    return responses


def _with_meta(schema: Json, meta: str) -> Json:
    if not meta:
        return schema
    extra = _INDEX if meta == "write" else _QUERY_META
    return {"allOf": [schema, {"type": "object", "properties": extra, "required": ["Index"]}]}


def _headers(*, listed: bool) -> Json:
    def header(kind: str, doc: str) -> Json:
        return {"description": doc, "schema": {"type": kind}}

    found = {
        "X-Nomad-Index": header("integer", "Give it as `index` to wait for the next change."),
        "X-Nomad-KnownLeader": header("boolean", "Whether the region has a leader."),
        "X-Nomad-LastContact": header("integer", "How old the answer may be, milliseconds."),
    }
    if listed:
        found["X-Nomad-NextToken"] = header("string", "Give it as `next_token`.")
    return found


class OpenApi:
    """The document, made when it is first asked for."""

    def __init__(self, endpoints: Sequence[Endpoint], version: str) -> None:
        """Take what it is made of."""
        self._endpoints = endpoints
        self._version = version
        self._encoded = b""

    def encoded(self) -> bytes:
        """The document as JSON."""
        if not self._encoded:
            self._encoded = encode(document(self._endpoints, self._version))
        return self._encoded


@routes.add("GET", "/v1/openapi.json", response=dict[str, object])
async def openapi(call: Call) -> Answer:
    """Read this document."""
    made: OpenApi = call.context.part(OpenApi)
    return Answer(body=made.encoded())
