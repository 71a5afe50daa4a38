"""From request to response: routing, query options, blocking, errors.

Every request goes through `Api.handle`, the only place that knows HTTP's order of things;
handlers see a `Call` and give an `Answer`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import structlog
from aiohttp import web
from multidict import CIMultiDict

from hanse.clock import Clock
from hanse.config.model import AgentConfig
from hanse.errors import HanseError, Invalid, TooLarge
from region.api import errors, respond
from region.api.agent import AgentInfo
from region.api.bodies import BODY_BYTES_MAX
from region.api.cache import AnswerCache
from region.api.endpoint import Answer, Call, Context, same_origin
from region.api.errors import HTTPFailure
from region.api.ports import RegionPort
from region.api.query import Query, ReadOptions, read_options, wants_pretty
from region.api.router import Router
from region.api.routes import endpoints, parts

log = structlog.get_logger(__name__)

#: How long a read waits for the store, and a write for its body, seconds.
BARRIER_S_MAX = 10.0
BODY_S_MAX = 60.0

_NO_OPTIONS = ReadOptions()
_ERROR_TYPE = "text/plain; charset=utf-8"
#: What a terminal would obey, if a text that names somebody's input were printed on it.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_METHODS = {"GET": "GET", "HEAD": "GET", "PUT": "PUT", "POST": "PUT", "DELETE": "DELETE"}


class Api:
    """The HTTP API of one agent."""

    def __init__(self, region: RegionPort, agent: AgentInfo, config: AgentConfig) -> None:
        """Build the routes and the parts that requests share."""
        self.context = Context(
            region=region,
            agent=agent,
            rng=Random(),
            parts={},
            headers=config.http_api_response_headers,
        )
        self.context.parts.update(parts(region, agent, config))
        self._clock: Clock = region.clock
        self._config = config
        self._router = Router((e.method, e.path, e) for e in endpoints())
        self._cache = AnswerCache()
        self._regions = frozenset({region.name, "global"})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request. Raises nothing but cancellation and broken connections."""
        headers = respond.base_headers(self._config.http_api_response_headers)
        try:
            response = await self._answer(request, headers)
        except HTTPFailure as failure:
            headers.update(failure.headers)
            response = self._failed(headers, failure.status, failure.text)
        except HanseError as error:
            response = self._failed(headers, errors.status_of(error), str(error))
        except web.HTTPException as failure:
            response = self._failed(headers, failure.status, failure.reason)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("request failed", method=request.method, path=request.path[:200])
            response = self._failed(headers, *errors.INTERNAL)
        self.context.agent.metrics.count(
            "nomad.agent.http.response", status=f"{response.status // 100}xx"
        )
        return response

    @staticmethod
    def _failed(headers: CIMultiDict[str], status: int, text: str) -> web.Response:
        text = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        headers.pop("Content-Encoding", None)
        headers["Content-Type"] = _ERROR_TYPE
        return web.Response(status=status, headers=headers, body=text.encode("utf-8", "replace"))

    async def _answer(self, request: web.Request, headers: CIMultiDict[str]) -> web.StreamResponse:
        url = request.rel_url
        match = self._router.match(url.raw_path)
        if match is None:
            raise HTTPFailure(404, "404 page not found")
        method = _METHODS.get(request.method)
        if request.method == "OPTIONS" and any(e.cors for e in match.handlers.values()):
            headers.update(respond.cors_headers())
            return web.Response(status=204, headers=headers)
        endpoint = match.handlers.get(method) if method is not None else None
        if endpoint is None or (request.method == "HEAD" and endpoint.kind == "stream"):
            allowed = ("POST" if m == "PUT" else "HEAD" for m in match.handlers if m != "DELETE")
            raise HTTPFailure(*errors.INVALID_METHOD, Allow=", ".join((*match.handlers, *allowed)))
        if endpoint.cors:
            headers.update(respond.cors_headers())
        query = _query(url.query)
        if method != "GET" and not same_origin(request):
            raise HTTPFailure(403, "a page of another site may not change anything here")
        if query.text("region", self.context.region.name) not in self._regions:
            raise errors.no_path_to_region()
        for param in endpoint.params:
            if param.type == "boolean":
                query.flag(param.name)
        began = self._clock.now()
        call = Call(self.context, endpoint, request, query, match.arguments, _NO_OPTIONS)
        if endpoint.body is not None:
            call.body = await self._body(request)
        if endpoint.kind in ("read", "list"):
            call.read = read_options(query)
            answer = await self._read(call)
            self._read_headers(headers, answer)
        else:
            made = await endpoint.handler(call)
            if isinstance(made, web.StreamResponse):
                return made
            answer = made
            if answer.index is not None:
                headers["X-Nomad-Index"] = str(answer.index)
        if not call.read.after:
            took_ms = (self._clock.now() - began) * 1000
            self.context.agent.metrics.sample(
                "nomad.agent.http.request", took_ms, operation=endpoint.name
            )
        return await respond.send(request, answer, headers, indent=wants_pretty(query))

    def _read_headers(self, headers: CIMultiDict[str], answer: Answer) -> None:
        headers["X-Nomad-Index"] = str(answer.index or 1)
        known = self.context.region.known_leader
        headers["X-Nomad-KnownLeader"] = "true" if known else "false"
        headers["X-Nomad-LastContact"] = "0"
        if answer.next_token:
            headers["X-Nomad-NextToken"] = answer.next_token

    async def _body(self, request: web.Request) -> bytes:
        limit = body_bytes_max(self._config)
        if request.content_length is not None and request.content_length > limit:
            raise TooLarge("request body", size=request.content_length, size_max=limit)
        try:
            async with asyncio.timeout(BODY_S_MAX):
                return await request.read()
        except web.RequestPayloadError as error:
            raise Invalid("request body", "cannot be read") from error
        except web.HTTPRequestEntityTooLarge as error:
            raise TooLarge("request body", size=limit + 1, size_max=limit) from error
        except TimeoutError:
            raise HTTPFailure(408, "the request body did not arrive in time") from None

    async def _read(self, call: Call) -> Answer:
        """Wait for a state that is new enough, and changed enough, then answer from it."""
        read = call.read
        region = self.context.region
        topics = call.endpoint.topics(call)
        if not read.stale:
            await region.barrier(self._clock.now() + BARRIER_S_MAX)
        index = max(map(region.state.index, topics), default=0)
        if read.after and topics and index <= read.after:
            jitter = self.context.rng.uniform(0, read.wait_s / 16)
            deadline = self._clock.now() + read.wait_s + jitter
            while index <= read.after and self._clock.now() < deadline:
                await region.state.wait_changed(topics, read.after, deadline)
                index = max(map(region.state.index, topics), default=0)
        if not topics or call.endpoint.body is not None:
            return await self._run(call, index)
        key = self._cache.key(call)
        answer = self._cache.get(key, region.state.revision)
        if answer is None:
            revision = region.state.revision
            answer = await self._run(call, index)
            self._cache.put(key, revision, answer)
        return answer

    async def _run(self, call: Call, index: int) -> Answer:
        answer = await call.endpoint.handler(call)
        if isinstance(answer, web.StreamResponse):
            raise TypeError(f"{call.endpoint.path} sends its response itself")
        return answer if answer.index is not None else replace(answer, index=max(1, index))


def _query(values: object) -> Query:
    return Query(_by_name(values)) if values else Query({})


def _by_name(values: object) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name, value in values.items():  # type: ignore[attr-defined]
        if "\x00" in value or "\x00" in name:
            raise Invalid("query", "NUL characters are not allowed")
        found.setdefault(name, []).append(value)
    return found


def body_bytes_max(config: AgentConfig) -> int:
    """How large a request's body may be."""
    return min(config.limits.http_body_bytes_max, BODY_BYTES_MAX)


def build_app(region: RegionPort, agent: AgentInfo, *, config: AgentConfig) -> web.Application:
    """The HTTP API as an application of aiohttp's server."""
    api = Api(region, agent, config)
    app = web.Application(client_max_size=body_bytes_max(config))
    app[API] = api
    app.router.add_route("*", r"/{path:[\s\S]*}", api.handle)
    return app


API: web.AppKey[Api] = web.AppKey("api", Api)
