"""Jobs, read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from hanse.errors import Invalid, NotFound
from hanse.structs.allocation import Allocation
from hanse.structs.api import (
    AllocListStub,
    JobDiff,
    JobListStub,
    JobScaleStatus,
    JobSubmission,
    JobSummary,
    TaskGroupScaleStatus,
)
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.service import ServiceRegistration
from hanse.structs.wire import Wire
from region.api import params
from region.api.allocstubs import stubs
from region.api.endpoint import Answer, Call, Param, Routes, encode, json_answer
from region.api.lists import Listing, answer_list, encoded, read_name_token
from region.api.ports import StatePort, Topic
from region.api.views import job_stub, job_view
from region.jobs.diff import diff_jobs

routes = Routes("Jobs")

NO_JOB = {404: "There is no such job."}


def no_job() -> NotFound:
    """What is said of a job that is not there."""
    return NotFound("job", text="job not found")


def job_topics(call: Call) -> Sequence[Topic]:
    """The job itself."""
    return (("job", call.namespace, call.args["job_id"]),)


def found_job(call: Call) -> Job:
    """The job of the path. Raises NotFound."""
    job = call.state.job(call.namespace, call.args["job_id"])
    if job is None:
        raise no_job()
    return job


def job_listing(state: StatePort, *, meta: bool) -> Listing[Job]:
    """How jobs are listed."""
    return Listing(
        key=lambda job: (job.namespace, job.id),
        token=lambda job: f"{job.namespace}.{job.id}",
        read_token=read_name_token,
        view=encoded(lambda job: job_stub(state, job, meta=meta)),
        full=lambda job: job_view(state, job),
        name=lambda job: job.id,
    )


META = Param("meta", "boolean", "Show the jobs' meta.")


@routes.list(
    "/v1/jobs",
    response=list[JobListStub],
    params=(params.NAMESPACES, params.PREFIX, META),
    topics=lambda call: (("jobs",), ("allocs",)),
)
async def list_jobs(call: Call) -> Answer:
    """List jobs, by namespace and ID."""
    listing = job_listing(call.state, meta=call.query.flag("meta"))
    return await answer_list(call, call.state.jobs(call.namespace), listing)


@routes.read(
    "/v1/job/{job_id+}",
    response=Job,
    params=(params.NAMESPACE,),
    topics=job_topics,
    statuses=NO_JOB,
)
async def read_job(call: Call) -> Answer:
    """Read a job as it is now."""
    return json_answer(job_view(call.state, found_job(call)))


@routes.read(
    "/v1/job/{job_id+}/allocations",
    response=list[AllocListStub],
    params=(
        params.NAMESPACE,
        Param("all", "boolean", "Also of an older job with the same ID."),
    ),
    topics=lambda call: (("job-allocs", call.namespace, call.args["job_id"]),),
)
async def job_allocations(call: Call) -> Answer:
    """List a job's allocations."""
    namespace, job_id = call.namespace, call.args["job_id"]
    allocs: list[Allocation] = list(call.state.allocations_of_job(namespace, job_id))
    job = call.state.job(namespace, job_id)
    if job is not None and not call.query.flag("all"):
        born = job.create_index
        allocs = [alloc for alloc in allocs if alloc.job_create_index in (born, 0)]
    return await stubs(call, allocs)


@routes.read(
    "/v1/job/{job_id+}/evaluations",
    response=list[Evaluation],
    params=(params.NAMESPACE,),
    topics=lambda call: (("job-evals", call.namespace, call.args["job_id"]),),
)
async def job_evaluations(call: Call) -> Answer:
    """List a job's evaluations, newest first."""
    found = call.state.evaluations_of_job(call.namespace, call.args["job_id"])
    return json_answer(sorted(found, key=lambda item: (-item.create_index, item.id)))


def _deployments(call: Call) -> list[Deployment]:
    namespace, job_id = call.namespace, call.args["job_id"]
    found = call.state.deployments_of_job(namespace, job_id)
    job = call.state.job(namespace, job_id)
    if job is None or call.query.flag("all"):
        return list(found)
    return [item for item in found if item.job_create_index in (job.create_index, 0)]


def _deployment_topics(call: Call) -> Sequence[Topic]:
    return (("job-deployments", call.namespace, call.args["job_id"]),)


@routes.read(
    "/v1/job/{job_id+}/deployments",
    response=list[Deployment],
    params=(
        params.NAMESPACE,
        Param("all", "boolean", "Also of an older job with the same ID."),
    ),
    topics=_deployment_topics,
)
async def job_deployments(call: Call) -> Answer:
    """List a job's deployments, newest first."""
    return json_answer(_deployments(call))


@routes.read(
    "/v1/job/{job_id+}/deployment",
    response=Deployment | None,
    params=(params.NAMESPACE,),
    topics=_deployment_topics,
)
async def job_deployment(call: Call) -> Answer:
    """Read a job's latest deployment; `null` when it has none."""
    found = _deployments(call)
    return json_answer(found[0] if found else None)


@routes.read(
    "/v1/job/{job_id+}/summary",
    response=JobSummary,
    params=(params.NAMESPACE,),
    topics=lambda call: (
        ("job-allocs", call.namespace, call.args["job_id"]),
        ("job", call.namespace, call.args["job_id"]),
        ("job-evals", call.namespace, call.args["job_id"]),
    ),
    statuses=NO_JOB,
)
async def job_summary(call: Call) -> Answer:
    """Count a job's instances by state."""
    summary = call.state.summary(call.namespace, call.args["job_id"])
    if summary is None:
        raise no_job()
    return json_answer(summary)


class JobVersions(Wire, frozen=True, kw_only=True):
    """The kept versions of a job, newest first."""

    versions: tuple[Job, ...] = ()
    diffs: tuple[JobDiff, ...] | None = None


@routes.read(
    "/v1/job/{job_id+}/versions",
    response=JobVersions,
    meta="query",
    params=(
        params.NAMESPACE,
        Param("diffs", "boolean", "Say what each version changed."),
        Param("diff_tag", doc="Compare with the version of this tag."),
        Param("diff_version", "integer", "Compare with this version.", minimum=0, maximum=2**31),
    ),
    topics=job_topics,
    statuses=NO_JOB,
)
async def job_versions(call: Call) -> Answer:
    """List the kept versions of a job."""
    versions = call.state.job_versions(call.namespace, call.args["job_id"])
    if not versions:
        raise NotFound("job", text="job versions not found")
    diffs = _diffs(call, versions) if call.query.flag("diffs") else None
    shown = tuple(job_view(call.state, version) for version in versions)
    answer = JobVersions(versions=shown, diffs=diffs)
    index = max(1, call.state.index(job_topics(call)[0]))
    return Answer(body=with_query_meta(call, encode(answer), index))


def _diffs(call: Call, versions: list[Job]) -> tuple[JobDiff, ...]:
    tag = call.query.text("diff_tag")
    number = call.query.integer("diff_version", low=0, high=2**31)
    if not tag and number is None:
        return tuple(diff_jobs(old, new) for new, old in pairwise(versions))

    def is_base(version: Job) -> bool:
        if tag:
            return version.version_tag is not None and version.version_tag.name == tag
        return version.version == number

    base = next(filter(is_base, versions), None)
    if base is None:
        named = f"tag {tag!r}" if tag else f"version {number}"
        raise Invalid("", f"there is no {named} of this job to compare with")
    return tuple(diff_jobs(base, version) for version in versions if version is not base)


def with_query_meta(call: Call, document: bytes, index: int) -> bytes:
    """Add the fields of Nomad's QueryMeta to an encoded object."""
    known = b"true" if call.region.known_leader else b"false"
    return (
        document[:-1]
        + b',"Index":%d,"LastContact":0,"KnownLeader":' % index
        + known
        + b',"NextToken":""}'
    )


@routes.read(
    "/v1/job/{job_id+}/submission",
    response=JobSubmission,
    params=(
        params.NAMESPACE,
        Param("version", "integer", "The version.", required=True, minimum=0, maximum=2**63 - 1),
    ),
    topics=job_topics,
    statuses={404: "The source of that version was not kept."},
)
async def job_submission(call: Call) -> Answer:
    """Read the source that a version was submitted from."""
    try:
        version = call.query.integer("version", low=0, high=2**63 - 1)
    except Invalid:
        version = None
    if version is None:
        raise Invalid("", "Unable to parse job submission version parameter")
    found = call.state.submission(call.namespace, call.args["job_id"], version)
    if found is None:
        raise NotFound("job source", text="job source not found")
    return json_answer(found)


@routes.read(
    "/v1/job/{job_id+}/scale",
    response=JobScaleStatus,
    params=(params.NAMESPACE,),
    topics=lambda call: (
        ("job-allocs", call.namespace, call.args["job_id"]),
        ("job", call.namespace, call.args["job_id"]),
    ),
    statuses=NO_JOB,
)
async def job_scale_status(call: Call) -> Answer:
    """Read a job's counts, and how they changed."""
    job = found_job(call)
    events = call.state.scaling_events(job.namespace, job.id)
    allocs = [
        alloc
        for alloc in call.state.allocations_of_job(job.namespace, job.id)
        if not alloc.terminal
    ]
    groups: dict[str, TaskGroupScaleStatus] = {}
    for group in job.task_groups:
        mine = [alloc for alloc in allocs if alloc.group == group.name]
        groups[group.name] = TaskGroupScaleStatus(
            desired=group.count,
            placed=len(mine),
            running=sum(alloc.client_status == "running" for alloc in mine),
            healthy=sum(alloc.healthy is True for alloc in mine),
            unhealthy=sum(alloc.healthy is False for alloc in mine),
            events=tuple(events.get(group.name, ())),
        )
    return json_answer(
        JobScaleStatus(
            job_id=job.id,
            namespace=job.namespace,
            job_create_index=job.create_index,
            job_modify_index=job.modify_index,
            job_stopped=job.stop,
            task_groups=groups,
        )
    )


@routes.read(
    "/v1/job/{job_id+}/services",
    response=list[ServiceRegistration],
    params=(params.NAMESPACE,),
    topics=lambda call: (("job-allocs", call.namespace, call.args["job_id"]),),
)
async def job_services(call: Call) -> Answer:
    """List the services that a job's allocations offer."""
    job_id = call.args["job_id"]
    found = [item for item in call.state.services(call.namespace) if item.job_id == job_id]
    return json_answer(sorted(found, key=lambda item: (item.service_name, item.id)))


class JobAction(Wire, frozen=True, kw_only=True):
    """A command that a task offers."""

    name: str = ""
    task_name: str = ""
    task_group_name: str = ""


@routes.read(
    "/v1/job/{job_id+}/actions",
    response=list[JobAction],
    params=(params.NAMESPACE,),
    topics=job_topics,
    statuses=NO_JOB,
)
async def job_actions(call: Call) -> Answer:
    """List the actions that a job's tasks offer."""
    return json_answer(
        [
            JobAction(name=action.name, task_name=task.name, task_group_name=group.name)
            for group in found_job(call).task_groups
            for task in group.tasks
            for action in task.actions
        ]
    )


def replaced(job: Job, **changes: object) -> Job:
    """A job with some fields changed."""
    return msgspec.structs.replace(job, **changes)
