"""What a handler says about itself, and what it is given.

A handler is a coroutine that takes a `Call` and gives an `Answer` (or a response that it has
sent already, for streams). Everything about it that a reader of the API may want to know is
declared beside it, and `region.api.openapi` writes the document from these declarations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from hanse.errors import Invalid
from region.api.agent import AgentInfo
from region.api.ports import RegionPort, StatePort, Topic
from region.api.query import Query, ReadOptions

Method = Literal["GET", "PUT", "DELETE"]
#: `read` waits for a consistent state and blocks when asked to; `list` also takes a prefix,
#: a filter and pages; `action` does neither; `stream` sends its response itself.
Kind = Literal["read", "list", "action", "stream"]
ParamType = Literal["string", "integer", "boolean", "array"]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter."""

    name: str
    type: ParamType = "string"
    doc: str = ""
    required: bool = False
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers."""

    #: Encoded JSON, text or other bytes; pieces are sent one after another.
    body: bytes | list[bytes] = b""
    content_type: str = "application/json"
    status: int = 200
    #: X-Nomad-Index; None where the answer has none.
    index: int | None = None
    next_token: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    #: The compressed body, once somebody wanted it.
    packed: dict[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(slots=True)
class Context:
    """What all requests share."""

    region: RegionPort
    agent: AgentInfo
    rng: Random
    #: Parts that belong to one module each; see `region.api.app`.
    parts: dict[str, Any]
    #: Headers that the agent's configuration adds to every response.
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def part(self, kind: type[Any]) -> Any:
        """The one instance of a part."""
        return self.parts[kind.__name__]


@dataclass(slots=True)
class Call:
    """One request, as its handler sees it."""

    context: Context
    endpoint: Endpoint
    request: web.Request
    query: Query
    args: dict[str, str]
    read: ReadOptions
    body: bytes = b""

    @property
    def region(self) -> RegionPort:
        """The region."""
        return self.context.region

    @property
    def state(self) -> StatePort:
        """Its state."""
        return self.context.region.state

    @property
    def agent(self) -> AgentInfo:
        """The agent."""
        return self.context.agent

    @property
    def namespace(self) -> str:
        """The namespace asked for; `*` is all."""
        return self.query.text("namespace", "default")

    def write_namespace(self) -> str:
        """The namespace of a write. Raises Invalid for `*`."""
        if self.namespace == "*":
            raise Invalid("namespace", "a write needs one namespace, not all of them")
        return self.namespace

    async def pause(self) -> None:
        """Let others run; for loops over many objects."""
        await self.region.clock.sleep(0)


Handler = Callable[[Call], Awaitable[Answer | web.StreamResponse]]
Topics = Callable[[Call], Sequence[Topic]]


def no_topics(call: Call) -> Sequence[Topic]:
    """The answer depends on nothing that can be waited for."""
    del call
    return ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler with its declarations."""

    method: Method
    path: str
    handler: Handler
    kind: Kind
    tag: str
    name: str
    doc: str
    params: tuple[Param, ...] = ()
    #: What the request body is read as; None: no body.
    body: Any = None
    #: A body that is not JSON, such as a payload.
    body_required: bool = True
    #: The type of the answer; None: an empty body.
    response: Any = None
    content_type: str = "application/json"
    #: Fields of QueryMeta or WriteMeta are spliced into the answer.
    meta: Literal["", "query", "write"] = ""
    #: Error codes that the handler may answer beside 400 and 500, and why.
    statuses: dict[int, str] = field(default_factory=dict[int, str])
    topics: Topics = no_topics
    #: The response is an upgrade to a WebSocket.
    websocket: bool = False
    #: Left out of the OpenAPI document.
    hidden: bool = False
    #: Browsers may call it from a page of another node.
    cors: bool = False


class Routes:
    """Collects the endpoints of one module."""

    def __init__(self, tag: str) -> None:
        """The tag groups them in the OpenAPI document."""
        self.tag = tag
        self.endpoints: list[Endpoint] = []

    def add(
        self, method: Method, path: str, *, kind: Kind = "action", **declared: Any
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated coroutine as a handler."""

        def register(handler: Handler) -> Handler:
            name = getattr(handler, "__name__", "handler")
            self.endpoints.append(
                Endpoint(
                    method=method,
                    path=path,
                    handler=handler,
                    kind=kind,
                    tag=self.tag,
                    name=name,
                    doc=(handler.__doc__ or "").strip(),
                    **declared,
                )
            )
            return handler

        return register

    def read(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """GET of an object or a short list."""
        return self.add("GET", path, kind="read", **declared)

    def list(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """GET of a list with prefix, filter and pages."""
        return self.add("GET", path, kind="list", **declared)

    def write(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """PUT, which is also POST."""
        return self.add("PUT", path, **declared)


def same_origin(request: web.Request) -> bool:
    """Whether no page of another site makes this request."""
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


_encoder = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """JSON of any of our structs."""
    return _encoder.encode(value)


def json_answer(value: object, **more: Any) -> Answer:
    """An answer of one JSON value."""
    return Answer(body=_encoder.encode(value), **more)


def written(value: object, index: int, **extra: object) -> Answer:
    """The answer to a write: the value with its index among its fields, and the header."""
    return Answer(body=splice(_encoder.encode(value), {**extra, "Index": index}), index=index)


def splice(document: bytes, extra: dict[str, object]) -> bytes:
    """Add fields at the end of an encoded JSON object."""
    if not extra:
        return document
    more = _encoder.encode(extra)
    return more if document == b"{}" else document[:-1] + b"," + more[1:]


async def off_loop(work: Callable[..., Any], *args: Any) -> Any:
    """Run something slow that lets go of the interpreter, such as compression, in a thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *args)
