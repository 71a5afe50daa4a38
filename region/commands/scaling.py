"""Change counts, name versions, mark them stable."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.errors import Denied, Invalid, NotFound
from hanse.store import Delete, Put
from hanse.structs.api import JobRegisterResponse, JobScaleRequest, ScalingEvent
from hanse.structs.job import Job, JobVersionTag, TaskGroup
from region.commands.jobs import (
    REGISTRATION_DISABLED,
    History,
    Registration,
    check_index,
    draft_registration,
    missing_version,
    the_job,
)
from region.deploy.decide import OVER
from region.state.codec import encode
from region.state.records import SCALING_EVENTS_MAX, JobExtra
from region.state.state import State
from region.writer import Draft, Writer

_TEXT_BYTES_MAX = 4096
_TAG_BYTES_MAX = 128
_TAGS_MAX = 64


async def scale(
    writer: Writer, namespace: str, job_id: str, request: JobScaleRequest, history: History
) -> JobRegisterResponse:
    """Change a group's count, or record an event. Raises NotFound, Invalid, Denied."""
    if writer.state.scheduler_config.reject_job_registration:
        raise Denied(REGISTRATION_DISABLED)
    name = request.target.get("Group", "")
    eval_id = writer.ids().next()
    scales = request.count is not None
    if request.error and scales:
        raise Invalid("", "scaling action should not contain count if error is true")
    if request.count is not None and request.count < 0:
        raise Invalid("", "scaling action count can't be negative")

    def decide() -> Draft[int]:
        state = writer.state
        job = state.job(namespace, job_id)
        if job is None:
            raise NotFound("job", text=f'job "{job_id}" not found')
        if request.enforce_index:
            check_index(job, request.job_modify_index)
        group = _group(job, name)
        if request.count is not None:
            _check(state, job, group, request.count)
        event = ScalingEvent(
            time=writer.clock.wall_ns(),
            count=request.count,
            previous_count=group.count,
            message=request.message[:_TEXT_BYTES_MAX],
            error=request.error,
            meta=request.meta,
            eval_id=eval_id if scales else None,
        )
        extra_key = state.keys.job_extra(namespace, job_id)
        extra, _ = state.job_extra(namespace, job_id)
        events = (event, *extra.scaling.get(name, ()))[:SCALING_EVENTS_MAX]
        extra = replace(extra, scaling={**extra.scaling, name: events})
        writes: tuple[Put | Delete, ...] = (Put(extra_key, encode(extra)),)
        compares = (writer.key_is(extra_key),)
        if request.count is None:
            job_is = writer.key_is(state.keys.job(namespace, job_id))
            return Draft((*compares, job_is), writes, "", job.job_modify_index)
        groups = tuple(
            replace(g, count=request.count) if g.name == name else g for g in job.task_groups
        )
        asked = Registration(trigger="job-scaling")
        draft = draft_registration(
            writer, replace(job, task_groups=groups), asked, history, eval_id
        )
        return Draft(
            (*compares, *draft.compares), (*writes, *draft.writes), draft.marker, draft.result
        )

    unchanged_index, revision = await writer.write(decide)
    return JobRegisterResponse(
        eval_id=eval_id if scales else "",
        eval_create_index=revision if scales else 0,
        job_modify_index=unchanged_index or revision,
    )


def _group(job: Job, name: str) -> TaskGroup:
    if not name:
        raise Invalid("", "missing task group name for scaling action")
    group = next((group for group in job.task_groups if group.name == name), None)
    if group is None:
        raise Invalid("", f'task group "{name}" specified for scaling does not exist in job')
    return group


def _check(state: State, job: Job, group: TaskGroup, count: int) -> None:
    if job.type == "system" and count > 1:
        raise Invalid("", 'jobs of type "system" can only be scaled between 0 and 1')
    policy = group.scaling
    if policy is not None and count < policy.min:
        raise Invalid(
            "", f"group count was less than scaling policy minimum: {count} < {policy.min}"
        )
    if policy is not None and count > policy.max:
        raise Invalid(
            "", f"group count was greater than scaling policy maximum: {count} > {policy.max}"
        )
    deployments = state.deployments_of_job(job.namespace, job.id)
    if (
        deployments
        and deployments[0].job_create_index == job.create_index
        and deployments[0].status not in OVER
    ):
        raise Invalid("", "job scaling blocked due to active deployment")


async def set_stable(
    writer: Writer, namespace: str, job_id: str, version: int, stable: bool
) -> int:
    """Mark a version as one to go back to, or not. Gives the index. Raises NotFound."""

    def decide() -> Draft[None]:
        state = writer.state
        the_job(state, namespace, job_id)
        if state.job_version(namespace, job_id, version) is None:
            text = missing_version(namespace, job_id, version)
            raise NotFound("job version", text=text)
        extra, _ = state.job_extra(namespace, job_id)
        marked = {*extra.stable, version} if stable else {*extra.stable} - {version}
        return _extra_draft(writer, namespace, job_id, replace(extra, stable=tuple(sorted(marked))))

    _, revision = await writer.write(decide)
    return revision


async def tag(
    writer: Writer, namespace: str, job_id: str, version: int | None, name: str, description: str
) -> JobVersionTag:
    """Name a version; None is the latest. Raises NotFound, Invalid."""
    if not name or len(name.encode()) > _TAG_BYTES_MAX:
        raise Invalid("Name", f"a tag's name has 1 to {_TAG_BYTES_MAX} bytes")
    if len(description.encode()) > _TEXT_BYTES_MAX:
        raise Invalid("Description", f"is longer than {_TEXT_BYTES_MAX} bytes")
    made = JobVersionTag(name=name, description=description, tagged_time=writer.clock.wall_ns())

    def decide() -> Draft[None]:
        state = writer.state
        job = the_job(state, namespace, job_id)
        number = job.version if version is None else version
        if state.job_version(namespace, job_id, number) is None:
            text = missing_version(namespace, job_id, number)
            raise NotFound("job version", text=text)
        extra, _ = state.job_extra(namespace, job_id)
        for other, its in extra.tags.items():
            if its.name == name and other != number:
                raise Invalid(
                    "", f'tag "{name}" already exists on a different version of job "{job_id}"'
                )
        tags = {**extra.tags, number: made}
        if len(tags) > _TAGS_MAX:
            raise Invalid("Name", f"a job has at most {_TAGS_MAX} tags; each keeps a version")
        return _extra_draft(writer, namespace, job_id, replace(extra, tags=tags))

    await writer.write(decide)
    return made


async def untag(writer: Writer, namespace: str, job_id: str, name: str) -> int:
    """Take a name away. Gives the index. Raises NotFound."""

    def decide() -> Draft[None]:
        state = writer.state
        the_job(state, namespace, job_id)
        extra, _ = state.job_extra(namespace, job_id)
        tags = {number: its for number, its in extra.tags.items() if its.name != name}
        if len(tags) == len(extra.tags):
            raise NotFound("tag", text=f'tag "{name}" not found on job "{job_id}"')
        return _extra_draft(writer, namespace, job_id, replace(extra, tags=tags))

    _, revision = await writer.write(decide)
    return revision


def _extra_draft(writer: Writer, namespace: str, job_id: str, extra: JobExtra) -> Draft[None]:
    keys = writer.state.keys
    key = keys.job_extra(namespace, job_id)
    compares = (writer.key_is(key), writer.key_is(keys.job(namespace, job_id)))
    return Draft(compares, (Put(key, encode(extra)),), "", None)
