"""Search by prefix, and fuzzy search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from hanse.errors import Invalid
from hanse.structs.wire import Wire
from region.api import params
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Routes, encode
from region.api.jobs import with_query_meta
from region.api.lists import Pacer

routes = Routes("Search")

#: Matches of one context.
PREFIX_MATCHES_MAX = 20
FUZZY_MATCHES_MAX = 100
#: Objects of one context that a fuzzy search looks at.
FUZZY_LOOKED_AT_MAX = 100_000
TERM_CHARS_MIN = 2
TERM_CHARS_MAX = 256

_PREFIX_CONTEXTS = ("allocs", "deployment", "evals", "jobs", "namespaces", "node_pools", "nodes")
_EMPTY_CONTEXTS = (
    "quotas",
    "recommendations",
    "scaling_policy",
    "plugins",
    "vars",
    "volumes",
    "host_volumes",
)
_FUZZY_CONTEXTS = ("groups", "services", "tasks", "images", "commands", "classes")


class SearchRequest(Wire, frozen=True, kw_only=True):
    """What to look for."""

    prefix: str = ""
    context: str = ""
    namespace: str = ""
    region: str = ""


class SearchResponse(Wire, frozen=True, kw_only=True):
    """IDs by context, and where there were more."""

    matches: dict[str, list[str]] = {}
    truncations: dict[str, bool] = {}


class FuzzySearchRequest(Wire, frozen=True, kw_only=True):
    """What to look for."""

    text: str = ""
    context: str = ""
    namespace: str = ""
    region: str = ""
    allow_stale: bool = False


class FuzzyMatch(Wire, frozen=True, kw_only=True):
    """Something found, and the way to it."""

    id: str
    scope: list[str] = []


class FuzzySearchResponse(Wire, frozen=True, kw_only=True):
    """Matches by context, and where there were more."""

    matches: dict[str, list[FuzzyMatch]] = {}
    truncations: dict[str, bool] = {}


def _contexts(context: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if context in ("", "all"):
        return tuple(name for name in known if name not in _EMPTY_CONTEXTS)
    if context not in known:
        raise Invalid("Context", f"there is no context {context[:100]!r}")
    return (context,)


def _namespace(call: Call, body: str) -> str:
    return call.query.text("namespace") or body or "default"


def _ids(call: Call, context: str, namespace: str) -> Iterable[str]:
    state = call.state
    match context:
        case "allocs":
            return (item.id for item in state.allocations(namespace))
        case "deployment":
            return (item.id for item in state.deployments(namespace))
        case "evals":
            return (item.id for item in state.evaluations(namespace))
        case "jobs":
            return (item.id for item in state.jobs(namespace))
        case "nodes":
            return (item.id for item in state.nodes())
        case "namespaces":
            return ("default",)
        case "node_pools":
            return ("all", "default")
        case _:
            return ()


async def _matching(
    call: Call, ids: Iterable[str], wanted: Callable[[str], bool], limit: int
) -> tuple[list[str], bool]:
    """Sorted matches, and whether there were more than `limit`."""
    pacer = Pacer(call)
    found: list[str] = []
    for name in list(ids):
        if pacer.due():
            await pacer.pause()
        if wanted(name):
            found.append(name)
    found.sort()
    return found[:limit], len(found) > limit


@routes.write(
    "/v1/search",
    kind="read",
    body=SearchRequest,
    response=SearchResponse,
    meta="query",
    params=(params.NAMESPACES,),
)
async def search(call: Call) -> Answer:
    """Find IDs that begin with a prefix."""
    request = await decode(call, SearchRequest)
    namespace = _namespace(call, request.namespace)
    matches: dict[str, list[str]] = {}
    truncations: dict[str, bool] = {}
    for context in _contexts(request.context, _PREFIX_CONTEXTS + _EMPTY_CONTEXTS):
        prefix = request.prefix
        if context not in ("jobs", "namespaces", "node_pools"):
            prefix = prefix.lower()
        ids = _ids(call, context, namespace)

        def begins(name: str, prefix: str = prefix) -> bool:
            return name.startswith(prefix)

        found, more = await _matching(call, ids, begins, PREFIX_MATCHES_MAX)
        matches[context] = found
        truncations[context] = more
    index = max(1, call.state.revision)
    answer = SearchResponse(matches=matches, truncations=truncations)
    return Answer(body=with_query_meta(call, encode(answer), index), index=index)


def _fuzzy(call: Call, context: str, namespace: str) -> Iterator[FuzzyMatch]:
    """Everything of a context, by the name that is searched."""
    state = call.state
    match context:
        case "jobs":
            for job in state.jobs(namespace):
                yield FuzzyMatch(id=job.name, scope=[job.namespace, job.id])
        case "nodes":
            for node in state.nodes():
                yield FuzzyMatch(id=node.name, scope=[node.id])
        case "allocs":
            for alloc in state.allocations(namespace):
                yield FuzzyMatch(id=alloc.name, scope=[alloc.namespace, alloc.id])
        case "namespaces" | "node_pools":
            for name in _ids(call, context, namespace):
                yield FuzzyMatch(id=name)
        case "classes":
            for name in sorted({node.node_class for node in state.nodes()} - {""}):
                yield FuzzyMatch(id=name)
        case _:
            yield from _inside_jobs(call, context, namespace)


def _inside_jobs(call: Call, context: str, namespace: str) -> Iterator[FuzzyMatch]:
    for job in call.state.jobs(namespace):
        for group in job.task_groups:
            scope = [job.namespace, job.id]
            if context == "groups":
                yield FuzzyMatch(id=group.name, scope=scope)
            if context == "services":
                for service in group.services:
                    yield FuzzyMatch(id=service.name, scope=[*scope, group.name])
            for task in group.tasks:
                inner = [*scope, group.name]
                if context == "tasks":
                    yield FuzzyMatch(id=task.name, scope=inner)
                if context == "services":
                    for service in task.services:
                        yield FuzzyMatch(id=service.name, scope=[*inner, task.name])
                key = {"images": "image", "commands": "command"}.get(context, "")
                value = task.config.get(key) if key else None
                if isinstance(value, str):
                    yield FuzzyMatch(id=value, scope=[*inner, task.name])


@routes.write(
    "/v1/search/fuzzy",
    kind="read",
    body=FuzzySearchRequest,
    response=FuzzySearchResponse,
    meta="query",
    params=(params.NAMESPACES,),
)
async def fuzzy_search(call: Call) -> Answer:
    """Find names that contain a text; ID-only contexts are searched by prefix."""
    request = await decode(call, FuzzySearchRequest)
    if not TERM_CHARS_MIN <= len(request.text) <= TERM_CHARS_MAX:
        raise Invalid(
            "",
            f"fuzzy search query must be at least {TERM_CHARS_MIN} and at most "
            f"{TERM_CHARS_MAX} characters, got {len(request.text)}",
        )
    namespace = _namespace(call, request.namespace)
    term = request.text.lower()
    matches: dict[str, list[FuzzyMatch]] = {}
    truncations: dict[str, bool] = {}
    pacer = Pacer(call)
    known = _PREFIX_CONTEXTS + _FUZZY_CONTEXTS + _EMPTY_CONTEXTS
    for context in _contexts(request.context, known):
        if context in ("evals", "deployment"):
            continue
        found: list[tuple[int, str, FuzzyMatch]] = []
        items = list(islice(_fuzzy(call, context, namespace), FUZZY_LOOKED_AT_MAX))
        for item in items:
            if pacer.due():
                await pacer.pause()
            at = item.id.lower().find(term)
            if at >= 0:
                found.append((at, item.id, item))
        found.sort(key=lambda entry: entry[:2])
        matches[context] = [item for _, _, item in found[:FUZZY_MATCHES_MAX]]
        truncations[context] = len(found) > FUZZY_MATCHES_MAX
    index = max(1, call.state.revision)
    answer = FuzzySearchResponse(matches=matches, truncations=truncations)
    return Answer(body=with_query_meta(call, encode(answer), index), index=index)
