"""Evaluations."""

from __future__ import annotations

import msgspec

from hanse.errors import Invalid, NotFound, Unsupported
from hanse.structs.api import AllocListStub
from hanse.structs.evaluation import Evaluation, EvaluationStub
from hanse.structs.wire import Wire
from region.api import bexpr, params
from region.api.allocstubs import stubs
from region.api.endpoint import Answer, Call, Param, Routes, encode, json_answer
from region.api.jobs import with_query_meta
from region.api.lists import Listing, Pacer, answer_list, encoded, read_index_token
from region.api.query import list_options

routes = Routes("Evaluations")

LISTING: Listing[Evaluation] = Listing(
    key=lambda item: (item.create_index, item.id),
    token=lambda item: f"{item.create_index}.{item.id}",
    read_token=read_index_token,
    view=encoded(lambda item: item),
    full=lambda item: item,
    name=lambda item: item.id,
)

STUB_FIELDS = tuple(field.name for field in msgspec.structs.fields(EvaluationStub))


@routes.list(
    "/v1/evaluations",
    response=list[Evaluation],
    params=(
        params.NAMESPACES,
        params.PREFIX,
        Param("status", doc="Only those of this status."),
        Param("job", doc="Only those of this job."),
    ),
    topics=lambda call: (("evals",),),
)
async def list_evaluations(call: Call) -> Answer:
    """List evaluations in the order of their making."""
    options = list_options(call.query)
    status, job_id = call.query.text("status"), call.query.text("job")
    if options.filter and (status or job_id):
        raise Invalid("", "Filter expression cannot be used with other filter parameters")
    if job_id and call.namespace != "*":
        found = call.state.evaluations_of_job(call.namespace, job_id)
    else:
        found = call.state.evaluations(call.namespace)
    items = [
        item
        for item in found
        if (not status or item.status == status) and (not job_id or item.job_id == job_id)
    ]
    return await answer_list(call, items, LISTING, ordered=False, options=options)


class EvalCount(Wire, frozen=True, kw_only=True):
    """How many."""

    count: int = 0


@routes.read(
    "/v1/evaluations/count",
    response=EvalCount,
    meta="query",
    params=(params.NAMESPACES, params.LIST[2]),
    topics=lambda call: (("evals",),),
)
async def count_evaluations(call: Call) -> Answer:
    """Count evaluations that a filter keeps."""
    expression = list_options(call.query).filter
    wanted = bexpr.compiled(expression) if expression else None
    count = 0
    pacer = Pacer(call)
    for item in list(call.state.evaluations(call.namespace)):
        if pacer.due():
            await pacer.pause()
        count += wanted is None or wanted(item)
    index = max(1, call.state.index(("evals",)))
    return Answer(body=with_query_meta(call, encode(EvalCount(count=count)), index))


class EvalDeleteRequest(Wire, frozen=True, kw_only=True):
    """Which evaluations to forget."""

    eval_i_ds: tuple[str, ...] = msgspec.field(default=(), name="EvalIDs")
    filter: str = ""


@routes.add(
    "DELETE",
    "/v1/evaluations",
    body=EvalDeleteRequest,
)
async def delete_evaluations(call: Call) -> Answer:
    """Forget evaluations: refused unless the broker is paused, which this version cannot do."""
    if not call.state.scheduler_config.pause_eval_broker:
        raise Invalid("", "eval broker is enabled; eval broker must be paused to delete evals")
    raise Unsupported(["deleting evaluations (`system gc` forgets old ones)"])


@routes.read(
    "/v1/evaluation/{eval_id}",
    response=Evaluation,
    params=(Param("related", "boolean", "Fill in RelatedEvals."),),
    topics=lambda call: (("eval", call.args["eval_id"]),),
    statuses={404: "There is no such evaluation."},
)
async def read_evaluation(call: Call) -> Answer:
    """Read an evaluation."""
    found = call.state.evaluation(call.args["eval_id"])
    if found is None:
        raise NotFound("eval", text="eval not found")
    if call.query.flag("related"):
        found = msgspec.structs.replace(found, related_evals=_related(call, found))
    return json_answer(found)


def _related(call: Call, start: Evaluation) -> tuple[EvaluationStub, ...]:
    """All evaluations that lead to this one or follow from it."""
    known = {item.id: item for item in call.state.evaluations_of_job(start.namespace, start.job_id)}
    links: dict[str, set[str]] = {}
    for item in known.values():
        for other in (item.next_eval, item.previous_eval, item.blocked_eval):
            if other:
                links.setdefault(item.id, set()).add(other)
                links.setdefault(other, set()).add(item.id)
    reached = {start.id}
    waiting = [start.id]
    while waiting:
        for other in links.get(waiting.pop(), ()):
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    found = [known[eval_id] for eval_id in reached - {start.id} if eval_id in known]
    found.sort(key=lambda item: (item.create_index, item.id))
    return tuple(
        EvaluationStub(**{name: getattr(item, name) for name in STUB_FIELDS}) for item in found
    )


@routes.read(
    "/v1/evaluation/{eval_id}/allocations",
    response=list[AllocListStub],
    topics=lambda call: (("eval-allocs", call.args["eval_id"]),),
)
async def eval_allocations(call: Call) -> Answer:
    """List the allocations that an evaluation placed."""
    return await stubs(call, call.state.allocations_of_eval(call.args["eval_id"]))
