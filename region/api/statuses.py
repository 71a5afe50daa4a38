"""The jobs page of a user interface: each job with its allocations in brief."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.structs.api import (
    JobStatusesAlloc,
    JobStatusesDeployment,
    JobStatusesJob,
    JobStatusesLatestDeployment,
    NamespacedID,
)
from hanse.structs.deployment import Deployment
from hanse.structs.job import Job
from hanse.structs.wire import Wire
from region.api import params
from region.api.bodies import decode
from region.api.endpoint import Answer, Call, Param, Routes
from region.api.lists import Listing, answer_list, encoded, read_index_token
from region.api.ports import StatePort, Topic
from region.api.query import list_options
from region.api.views import job_view

routes = Routes("Jobs")

JOBS_MAX = 10_000
_ACTIVE = frozenset({"running", "paused", "initializing", "pending", "blocked", "unblocking"})


class JobStatusesRequest(Wire, frozen=True, kw_only=True):
    """Which jobs."""

    jobs: tuple[NamespacedID, ...] = ()
    include_children: bool = False


def latest_deployment(found: Sequence[Deployment]) -> JobStatusesLatestDeployment | None:
    """The newest deployment in brief."""
    if not found:
        return None
    newest = found[0]
    groups = newest.task_groups.values()
    canaries = [group for group in groups if group.desired_canaries > 0]
    return JobStatusesLatestDeployment(
        id=newest.id,
        is_active=newest.status in _ACTIVE,
        job_version=newest.job_version,
        status=newest.status,
        status_description=newest.status_description,
        all_auto_promote=bool(groups) and all(group.auto_promote for group in groups),
        requires_promotion=any(not group.promoted for group in canaries),
    )


def status_view(state: StatePort, job: Job) -> JobStatusesJob:
    """A job as the page shows it."""
    allocs = [
        JobStatusesAlloc(
            id=alloc.id,
            group=alloc.group,
            client_status=alloc.client_status,
            node_id=alloc.node_id,
            deployment_status=JobStatusesDeployment(canary=alloc.canary, healthy=alloc.healthy),
            job_version=alloc.job_version,
            followup_eval_id=alloc.followup_eval_id,
        )
        for alloc in state.allocations_of_job(job.namespace, job.id)
        if alloc.job_create_index in (0, job.create_index)
    ]
    summary = state.summary(job.namespace, job.id)
    moved = max(job.modify_index, summary.modify_index if summary is not None else 0)
    return JobStatusesJob(
        id=job.id,
        namespace=job.namespace,
        name=job.name,
        type=job.type,
        node_pool=job.node_pool,
        datacenters=job.datacenters,
        priority=job.priority,
        version=job.version,
        submit_time=job.submit_time,
        modify_index=moved,
        allocs=tuple(allocs),
        group_count_sum=sum(group.count for group in job.task_groups),
        parent_id=job.parent_id,
        latest_deployment=latest_deployment(state.deployments_of_job(job.namespace, job.id)),
        stop=job.stop,
        status=state.job_status(job),
    )


def _listing(state: StatePort) -> Listing[Job]:
    return Listing(
        key=lambda job: (job.modify_index, job.id),
        token=lambda job: f"{job.modify_index}.{job.id}",
        read_token=read_index_token,
        view=encoded(lambda job: status_view(state, job)),
        full=lambda job: job_view(state, job),
        name=lambda job: job.id,
    )


def _topics(call: Call) -> Sequence[Topic]:
    del call
    return (("jobs",), ("allocs",), ("deployments",))


async def _answer(call: Call, jobs: list[Job]) -> Answer:
    """Newest first, which is what `reverse` turns round."""
    options = list_options(call.query)
    start = read_index_token(options.next_token) if options.next_token else None
    listing = _listing(call.state)
    jobs.sort(key=listing.key, reverse=not options.reverse)
    if start is not None:
        at = start
        jobs = [
            job
            for job in jobs
            if (listing.key(job) >= at if options.reverse else listing.key(job) <= at)
        ]
    return await answer_list(call, jobs, listing, options=options, positioned=True)


@routes.list(
    "/v1/jobs/statuses",
    response=list[JobStatusesJob],
    params=(
        params.NAMESPACES,
        params.PREFIX,
        Param("include_children", "boolean", "Show children of periodic jobs as well."),
    ),
    topics=_topics,
)
async def list_statuses(call: Call) -> Answer:
    """List jobs with their allocations in brief, last changed first."""
    namespace = call.query.text("namespace", "*")
    children = call.query.flag("include_children")
    jobs = [job for job in call.state.jobs(namespace) if children or not job.parent_id]
    return await _answer(call, jobs)


@routes.write(
    "/v1/jobs/statuses",
    kind="list",
    topics=_topics,
    body=JobStatusesRequest,
    body_required=False,
    response=list[JobStatusesJob],
    params=(params.NAMESPACES,),
)
async def named_statuses(call: Call) -> Answer:
    """The same of the jobs that the body names."""
    request = JobStatusesRequest()
    if call.body.strip():
        request = await decode(call, JobStatusesRequest)
    names = dict.fromkeys((item.namespace or "default", item.id) for item in request.jobs)
    found = [call.state.job(namespace, job_id) for namespace, job_id in list(names)[:JOBS_MAX]]
    return await _answer(call, [job for job in found if job is not None])
