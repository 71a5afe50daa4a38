"""Jobs, changed."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from hanse.errors import HanseError, Invalid, InvalidMany, NotFound
from hanse.structs import api
from hanse.structs.api import (
    JobDeregisterResponse,
    JobEvaluateRequest,
    JobPlanResponse,
    JobRegisterResponse,
    JobRevertRequest,
    JobScaleRequest,
    JobStabilityRequest,
    JobSubmission,
    JobValidateResponse,
)
from hanse.structs.job import Job
from hanse.structs.wire import Wire
from region.api import params
from region.api.admitting import Admitting
from region.api.bodies import decode, decode_job
from region.api.endpoint import Answer, Call, Param, Routes, written
from region.api.errors import no_path_to_region
from region.api.jobs import NO_JOB, found_job, replaced

routes = Routes("Jobs")

T = TypeVar("T", bound=msgspec.Struct)

_HAS_WARNINGS = (JobRegisterResponse, JobPlanResponse, JobValidateResponse)


class JobRegisterRequest(api.JobRegisterRequest, frozen=True, kw_only=True):
    """Body of a registration."""

    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class JobPlanRequest(api.JobPlanRequest, frozen=True, kw_only=True):
    """Body of a dry run."""

    region: str = ""
    namespace: str = ""
    secret_id: str = ""


class JobValidateRequest(Wire, frozen=True, kw_only=True):
    """Body of a validation."""

    job: Job | None = None
    region: str = ""
    namespace: str = ""
    secret_id: str = ""


def with_warnings(document: T, warnings: list[str]) -> T:
    """Add the warnings of decoding to an answer that has room for them."""
    if not warnings:
        return document
    known: str = getattr(document, "warnings", "")
    lines = [f"* {warning}" for warning in warnings]
    if known:
        lines.insert(0, known)
    else:
        count = len(warnings)
        lines.insert(0, f"{count} warning{'s' if count > 1 else ''}:\n")
    return msgspec.structs.replace(document, warnings="\n".join(lines))


def placed(
    call: Call, body: JobRegisterRequest | JobPlanRequest | JobValidateRequest
) -> tuple[Job, str]:
    """The job of a body in its namespace, and the region that the request is for.

    Namespace: query, then body, then job. Region: body, then query, then job. Raises Invalid.
    """
    job = body.job
    if job is None:
        raise Invalid("", "Job must be specified")
    if not job.id:
        raise Invalid("", "Job ID hasn't been provided")
    job_id = call.args.get("job_id")
    if job_id is not None and job_id != job.id:
        raise Invalid("", "Job ID does not match name")
    asked = call.query.text("namespace")
    if asked == "*":
        call.write_namespace()
    if asked and body.namespace not in ("", asked):
        raise Invalid("Namespace", f'"{body.namespace}" is not that of the query, "{asked}"')
    namespace = asked or body.namespace or job.namespace or "default"
    region = body.region or call.query.text("region")
    own = call.region.name
    return replaced(job, namespace=namespace, region=job.region or own), region or own


def check_region(call: Call, job: Job, region: str) -> None:
    """Refuse a request for another region; one whose job is wrong anywhere is told that first."""
    if region not in (call.region.name, "global"):
        admitting: Admitting = call.context.part(Admitting)
        admitting.admit(job)
        raise no_path_to_region()


def _eval_priority(call: Call, body: int = 0) -> int:
    asked = call.query.integer("eval_priority", low=0, high=100)
    priority = body if asked is None else asked
    if priority and not 1 <= priority <= 100:
        raise Invalid("", "eval priority must be between 1 and 100 inclusively")
    return priority


async def _register(call: Call) -> Answer:
    body, warnings = await decode_job(call, JobRegisterRequest)
    job, region = placed(call, body)
    check_region(call, job, region)
    response = await call.region.register_job(
        job,
        enforce_index=body.enforce_index,
        job_modify_index=body.job_modify_index,
        submission=_submission(body.submission, job),
        eval_priority=_eval_priority(call, body.eval_priority),
        preserve_counts=body.preserve_counts,
        preserve_resources=body.preserve_resources,
    )
    index = response.eval_create_index or response.job_modify_index
    return written(with_warnings(response, warnings), index)


def _submission(submission: JobSubmission | None, job: Job) -> JobSubmission | None:
    if submission is None or not submission.source:
        return None
    return msgspec.structs.replace(submission, namespace=job.namespace, job_id=job.id)


_REGISTER: dict[str, Any] = {
    "body": JobRegisterRequest,
    "response": JobRegisterResponse,
    "meta": "write",
    "params": (params.NAMESPACE,),
    "statuses": {403: "The scheduler's configuration forbids registrations."},
}


@routes.write("/v1/jobs", **_REGISTER)
async def register_job(call: Call) -> Answer:
    """Register a job: make it, or change it to this."""
    return await _register(call)


@routes.write("/v1/job/{job_id+}", **_REGISTER)
async def register_named_job(call: Call) -> Answer:
    """Register the job of the path: make it, or change it to this."""
    return await _register(call)


@routes.write(
    "/v1/job/{job_id+}/plan",
    body=JobPlanRequest,
    response=JobPlanResponse,
    meta="write",
    params=(params.NAMESPACE,),
)
async def plan_job(call: Call) -> Answer:
    """Say what registering this job would do; nothing is changed."""
    body, warnings = await decode_job(call, JobPlanRequest)
    job, region = placed(call, body)
    check_region(call, job, region)
    response = await call.region.plan_job(job, diff=body.diff)
    return written(with_warnings(response, warnings), max(1, call.state.revision))


@routes.write(
    "/v1/validate/job",
    body=JobValidateRequest,
    response=JobValidateResponse,
    params=(params.NAMESPACE,),
)
async def validate_job(call: Call) -> Answer:
    """Say what is wrong with a job; an answer of 200 in any case."""
    body, warnings = await decode_job(call, JobValidateRequest)
    if body.job is None:
        raise Invalid("", "Job must be specified")
    own = call.region.name
    job = replaced(
        body.job,
        namespace=call.query.text("namespace") or body.job.namespace or "default",
        region=body.job.region or own,
    )
    problems: list[str] = []
    admitting: Admitting = call.context.part(Admitting)
    try:
        found = admitting.admit(job)
        warnings = [*found, *warnings]
    except InvalidMany as error:
        problems = list(error.problems)
    except HanseError as error:
        problems = [str(error)]
    listed = "\n".join(f"\t* {problem}" for problem in problems)
    count = f"{len(problems)} error{'s' if len(problems) > 1 else ''} occurred:\n"
    response = JobValidateResponse(
        driver_config_validated=admitting.checks_drivers,
        validation_errors=tuple(problems),
        error=f"{count}{listed}\n\n" if problems else "",
    )
    return Answer(body=msgspec.json.encode(with_warnings(response, warnings)))


@routes.add(
    "DELETE",
    "/v1/job/{job_id+}",
    response=JobDeregisterResponse,
    meta="write",
    params=(
        params.NAMESPACE,
        Param("purge", "boolean", "Forget the job as well."),
        Param(
            "eval_priority",
            "integer",
            "Priority of the evaluation; 0 is the job's.",
            minimum=0,
            maximum=100,
        ),
        Param("no_shutdown_delay", "boolean", "Do not wait for shutdown delays."),
    ),
)
async def deregister_job(call: Call) -> Answer:
    """Stop a job; one that is not there is stopped already."""
    namespace, job_id = call.write_namespace(), call.args["job_id"]
    try:
        response = await call.region.deregister_job(
            namespace,
            job_id,
            purge=call.query.flag("purge"),
            eval_priority=_eval_priority(call),
            no_shutdown_delay=call.query.flag("no_shutdown_delay"),
        )
    except NotFound:
        return written(JobDeregisterResponse(), max(1, call.state.revision))
    return written(response, response.eval_create_index or response.job_modify_index)


class JobEvaluateResponse(Wire, frozen=True, kw_only=True):
    """The evaluation that was made."""

    eval_id: str = ""
    eval_create_index: int = 0
    job_modify_index: int = 0


@routes.write(
    "/v1/job/{job_id+}/evaluate",
    body=JobEvaluateRequest,
    body_required=False,
    response=JobEvaluateResponse,
    meta="write",
    params=(params.NAMESPACE,),
    statuses=NO_JOB,
)
async def evaluate_job(call: Call) -> Answer:
    """Look at a job again."""
    request = JobEvaluateRequest(job_id=call.args["job_id"])
    if call.body.strip():
        request = await decode(call, JobEvaluateRequest)
        if not request.job_id:
            raise Invalid("", "Job ID must be specified")
        if request.job_id != call.args["job_id"]:
            raise Invalid("", "JobID not same as job name")
    call.write_namespace()
    job = found_job(call)
    made = await call.region.evaluate_job(
        job.namespace, job.id, force_reschedule=request.eval_options.force_reschedule
    )
    response = JobEvaluateResponse(
        eval_id=made.eval_id,
        eval_create_index=made.eval_create_index,
        job_modify_index=made.job_modify_index,
    )
    return written(response, made.eval_create_index)


def _same_job(call: Call, job_id: str) -> Job:
    """The job of the path, which the body must name too. Raises Invalid, NotFound."""
    if not job_id:
        raise Invalid("", "JobID must be specified")
    if job_id != call.args["job_id"]:
        raise Invalid("", "Job ID does not match")
    call.write_namespace()
    return found_job(call)


@routes.write(
    "/v1/job/{job_id+}/revert",
    body=JobRevertRequest,
    response=JobRegisterResponse,
    meta="write",
    params=(params.NAMESPACE,),
    statuses=NO_JOB,
)
async def revert_job(call: Call) -> Answer:
    """Register an older version of a job anew."""
    request = await decode(call, JobRevertRequest)
    job = _same_job(call, request.job_id)
    if request.job_version < 0:
        raise Invalid("JobVersion", "must not be negative")
    response = await call.region.revert_job(
        job.namespace,
        job.id,
        request.job_version,
        enforce_prior=request.enforce_prior_version,
    )
    return written(response, response.eval_create_index or response.job_modify_index)


class Written(Wire, frozen=True, kw_only=True):
    """Only the index, which is added to every answer to a write."""


@routes.write(
    "/v1/job/{job_id+}/stable",
    body=JobStabilityRequest,
    response=Written,
    meta="write",
    params=(params.NAMESPACE,),
    statuses=NO_JOB,
)
async def set_stable(call: Call) -> Answer:
    """Mark a version of a job stable, or not."""
    request = await decode(call, JobStabilityRequest)
    job = _same_job(call, request.job_id)
    index = await call.region.set_job_stable(
        job.namespace, job.id, request.job_version, request.stable
    )
    return written(Written(), index)


@routes.write(
    "/v1/job/{job_id+}/scale",
    body=JobScaleRequest,
    response=JobRegisterResponse,
    meta="write",
    params=(params.NAMESPACE,),
    statuses=NO_JOB,
)
async def scale_job(call: Call) -> Answer:
    """Change a group's count, or record an event beside it."""
    request = await decode(call, JobScaleRequest)
    job_id = call.args["job_id"]
    if not job_id.strip("/"):
        raise Invalid("", "Job ID must be specified")
    if request.job_id and request.job_id != job_id:
        raise Invalid("", "JobID not same as job name")
    namespace = call.write_namespace()
    _check_scale(request)
    if call.state.job(namespace, job_id) is None:
        raise NotFound("job", job_id)
    response = await call.region.scale_job(
        namespace, job_id, msgspec.structs.replace(request, job_id=job_id)
    )
    return written(response, response.eval_create_index or response.job_modify_index)


def _check_scale(request: JobScaleRequest) -> None:
    if not request.target.get("Group"):
        raise Invalid("", "missing task group name for scaling action")
    if request.count is None:
        return
    if request.error:
        raise Invalid("", "scaling action should not contain count if error is true")
    if request.count < 0:
        raise Invalid("", "scaling action count can't be negative")


class TagVersionRequest(Wire, frozen=True, kw_only=True):
    """A name for a version."""

    version: int = 0
    latest: bool = False
    description: str = ""


class TagVersionResponse(Wire, frozen=True, kw_only=True):
    """The tag as it was stored."""

    name: str = ""
    description: str = ""
    tagged_time: int = 0


@routes.write(
    "/v1/job/{job_id+}/versions/{tag}/tag",
    body=TagVersionRequest,
    response=TagVersionResponse,
    meta="write",
    params=(params.NAMESPACE,),
    statuses=NO_JOB,
)
async def tag_version(call: Call) -> Answer:
    """Give a version of a job a name."""
    request = await decode(call, TagVersionRequest)
    call.write_namespace()
    job = found_job(call)
    if request.version < 0:
        raise Invalid("Version", "must not be negative")
    tag = await call.region.tag_version(
        job.namespace,
        job.id,
        None if request.latest else request.version,
        call.args["tag"],
        request.description,
    )
    response = TagVersionResponse(
        name=tag.name, description=tag.description, tagged_time=tag.tagged_time
    )
    return written(response, max(1, call.state.index(("job", job.namespace, job.id))))


@routes.add(
    "DELETE",
    "/v1/job/{job_id+}/versions/{tag}/tag",
    response=Written,
    meta="write",
    params=(params.NAMESPACE,),
    statuses=NO_JOB,
)
async def untag_version(call: Call) -> Answer:
    """Take a name away from a version of a job."""
    call.write_namespace()
    job = found_job(call)
    index = await call.region.untag_version(job.namespace, job.id, call.args["tag"])
    return written(Written(), index)
