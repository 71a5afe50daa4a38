"""Register, stop, evaluate and revert jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from hanse.errors import Denied, Invalid, NotFound
from hanse.store import Delete, Put
from hanse.structs.allocation import AllocChange
from hanse.structs.api import (
    JobDeregisterResponse,
    JobRegisterResponse,
    JobSubmission,
)
from hanse.structs.job import Job, TaskGroup
from hanse.structs.taskstate import DesiredTransition
from region.commands.drafts import evaluation_for, multi_line, put_changes, put_eval
from region.jobs.admission import Rules, admit
from region.state.codec import encode
from region.state.keys import Keys
from region.state.state import State
from region.writer import Draft, Writer

REGISTRATION_DISABLED = (
    "Job registration, dispatch, and scale are disabled by the scheduler configuration"
)


class Registration(NamedTuple):
    """What was asked beside the job itself."""

    enforce_index: bool = False
    job_modify_index: int = 0
    submission: JobSubmission | None = None
    eval_priority: int = 0
    preserve_counts: bool = False
    preserve_resources: bool = False
    trigger: str = "job-register"


class History(NamedTuple):
    """How much of the past is kept."""

    versions: int = 6
    source_bytes: int = 1_000_000


async def register(
    writer: Writer, job: Job, asked: Registration, rules: Rules, history: History
) -> JobRegisterResponse:
    """Store a job and evaluate it. Raises Invalid, Unsupported and Denied."""
    if writer.state.scheduler_config.reject_job_registration:
        raise Denied(REGISTRATION_DISABLED)
    admitted = admit(job, rules)
    warnings = [*admitted.warnings]
    submission = asked.submission
    if submission is not None and len(submission.source.encode()) > history.source_bytes:
        size = len(submission.source.encode())
        warnings.append(
            f"the job's source of {size} bytes is not kept; at most {history.source_bytes} are"
        )
        asked = asked._replace(submission=None)
    ids = writer.ids()
    eval_id = ids.next()

    def decide() -> Draft[int]:
        return draft_registration(writer, admitted.job, asked, history, eval_id)

    unchanged_index, revision = await writer.write(decide)
    no_eval = admitted.job.periodic is not None or admitted.job.parameterized_job is not None
    return JobRegisterResponse(
        eval_id="" if no_eval else eval_id,
        eval_create_index=0 if no_eval else revision,
        job_modify_index=unchanged_index or revision,
        warnings=multi_line("warning", warnings),
    )


def draft_registration(
    writer: Writer, job: Job, asked: Registration, history: History, eval_id: str
) -> Draft[int]:
    """What registering writes; its result is the job's old index if its spec is unchanged."""
    state, now_ns = writer.state, writer.clock.wall_ns()
    keys = state.keys
    current = state.job(job.namespace, job.id)
    if asked.enforce_index:
        check_index(current, asked.job_modify_index)
    if current is not None:
        job = _preserved(job, current, asked)
        if current.type != job.type and not current.stop:
            raise Invalid("Type", f'cannot be changed from "{current.type}" to "{job.type}"')
    same = current is not None and same_spec(current, job)
    writes: list[Put | Delete] = []
    if same and current is not None:
        stored = current
    else:
        stored = next_version(job, current, now_ns)
        writes += put_job(keys, stored)
        writes += _outdated(state, current, history)
        if asked.submission is not None:
            writes.append(_put_submission(keys, stored, asked.submission))
    if stored.periodic is None and stored.parameterized_job is None:
        evaluation = evaluation_for(
            stored, eval_id, asked.trigger, now_ns, priority=asked.eval_priority
        )
        writes.append(put_eval(keys, evaluation))
        marker = keys.evaluation(eval_id)
    else:
        marker = ""
    compare = writer.key_is(keys.job(job.namespace, job.id))
    return Draft((compare,), tuple(writes), marker, stored.job_modify_index if same else 0)


def check_index(current: Job | None, index: int) -> None:
    """Raise unless the job is at the index that the caller expects; 0: does not exist."""
    if index == 0:
        if current is not None:
            raise Invalid("", "Enforcing job modify index 0: job already exists")
    elif current is None:
        raise Invalid("", f"Enforcing job modify index {index}: job does not exist")
    elif current.job_modify_index != index:
        raise Invalid(
            "",
            f"Enforcing job modify index {index}: job exists with conflicting job modify index: "
            f"{current.job_modify_index}",
        )


def same_spec(current: Job, job: Job) -> bool:
    """Whether a job asks for what is stored already."""
    return current == replace(
        job,
        status=current.status,
        status_description=current.status_description,
        stable=current.stable,
        version=current.version,
        submit_time=current.submit_time,
        create_index=current.create_index,
        modify_index=current.modify_index,
        job_modify_index=current.job_modify_index,
        nomad_token_id=current.nomad_token_id,
        version_tag=current.version_tag,
    )


def next_version(job: Job, current: Job | None, now_ns: int) -> Job:
    """The job as the next version of what is stored. Indexes come from the store."""
    return replace(
        job,
        version=current.version + 1 if current is not None else 0,
        submit_time=now_ns,
        stable=False,
        version_tag=None,
        status="",
        status_description="",
        create_index=0,
        modify_index=0,
        job_modify_index=0,
    )


def put_job(keys: Keys, job: Job) -> Iterator[Put]:
    """A new version, as the current one and in the history."""
    value = encode(job)
    yield Put(keys.job(job.namespace, job.id), value)
    yield Put(keys.job_version(job.namespace, job.id, job.version), value)


def _put_submission(keys: Keys, job: Job, submission: JobSubmission) -> Put:
    kept = replace(
        submission, namespace=job.namespace, job_id=job.id, version=job.version, job_modify_index=0
    )
    return Put(keys.submission(job.namespace, job.id, job.version), encode(kept))


def _outdated(state: State, current: Job | None, history: History) -> Iterator[Delete]:
    """Versions that fall out of the history when one more comes in."""
    if current is None:
        return
    key = (current.namespace, current.id)
    entry = state.tables.jobs[key]
    extra = entry.extra
    numbers = sorted(entry.versions, reverse=True)
    kept = set(numbers[: history.versions - 1]) | extra.tags.keys()
    kept |= set(sorted(extra.stable)[-1:])
    kept |= {a.job_version for a in state.allocations_of_job(*key) if not a.client_terminal}
    for number in numbers:
        if number not in kept:
            yield Delete(state.keys.job_version(*key, number))
            if number in entry.submissions:
                yield Delete(state.keys.submission(*key, number))


def _preserved(job: Job, current: Job, asked: Registration) -> Job:
    """The job with the counts or resources that it has now, if that was asked for."""
    if not asked.preserve_counts and not asked.preserve_resources:
        return job
    before = {group.name: group for group in current.task_groups}
    groups: list[TaskGroup] = []
    for group in job.task_groups:
        old = before.get(group.name)
        if old is None:
            groups.append(group)
            continue
        tasks = group.tasks
        if asked.preserve_resources:
            given = {task.name: task.resources for task in old.tasks}
            tasks = tuple(
                replace(task, resources=given.get(task.name) or task.resources) for task in tasks
            )
        count = old.count if asked.preserve_counts else group.count
        groups.append(replace(group, count=count, tasks=tasks))
    return replace(job, task_groups=tuple(groups))


# Stop and purge.


async def deregister(
    writer: Writer,
    namespace: str,
    job_id: str,
    *,
    purge: bool,
    eval_priority: int,
    no_shutdown_delay: bool,
) -> JobDeregisterResponse:
    """Stop a job, and with `purge` forget it. Raises NotFound."""
    ids = writer.ids()
    eval_id = ids.next()

    def decide() -> Draft[int]:
        state, keys, now_ns = writer.state, writer.state.keys, writer.clock.wall_ns()
        job = the_job(state, namespace, job_id)
        writes: list[Put | Delete] = []
        if purge:
            writes += _forget(keys, namespace, job_id)
        elif not job.stop:
            writes += put_job(keys, next_version(replace(job, stop=True), job, now_ns))
        if no_shutdown_delay:
            changes = [
                AllocChange(
                    alloc_id=alloc.id,
                    transition=replace(alloc.transition, no_shutdown_delay=True),
                )
                for alloc in state.allocations_of_job(namespace, job_id)
                if not alloc.terminal
            ]
            writes += put_changes(keys, ids, changes, now_ns)
        evaluation = evaluation_for(job, eval_id, "job-deregister", now_ns, priority=eval_priority)
        writes.append(put_eval(keys, evaluation))
        compare = writer.key_is(keys.job(namespace, job_id))
        unchanged = job.job_modify_index if job.stop and not purge else 0
        return Draft((compare,), tuple(writes), keys.evaluation(eval_id), unchanged)

    unchanged_index, revision = await writer.write(decide)
    return JobDeregisterResponse(
        eval_id=eval_id,
        eval_create_index=revision,
        job_modify_index=unchanged_index or revision,
    )


def _forget(keys: Keys, namespace: str, job_id: str) -> Iterable[Delete]:
    yield Delete(keys.job(namespace, job_id))
    yield Delete(keys.job_extra(namespace, job_id))
    yield Delete(keys.job_versions(namespace, job_id), prefix=True)
    yield Delete(keys.submissions(namespace, job_id), prefix=True)


def the_job(state: State, namespace: str, job_id: str) -> Job:
    """The current version of a job. Raises NotFound."""
    job = state.job(namespace, job_id)
    if job is None:
        raise NotFound("job", text="job not found")
    return job


# Evaluate and revert.


async def evaluate(
    writer: Writer, namespace: str, job_id: str, *, force_reschedule: bool
) -> JobRegisterResponse:
    """Look at a job again, and with `force_reschedule` at its failed allocations now."""
    ids = writer.ids()
    eval_id = ids.next()

    def decide() -> Draft[int]:
        state, keys, now_ns = writer.state, writer.state.keys, writer.clock.wall_ns()
        job = the_job(state, namespace, job_id)
        if job.periodic is not None:
            raise Invalid("", "can't evaluate periodic job")
        if job.parameterized_job is not None:
            raise Invalid("", "can't evaluate parameterized job")
        writes: list[Put | Delete] = []
        if force_reschedule:
            forced = DesiredTransition(force_reschedule=True)
            changes = [
                AllocChange(alloc_id=alloc.id, transition=forced)
                for alloc in state.allocations_of_job(namespace, job_id)
                if alloc.client_status == "failed"
                and alloc.desired_status == "run"
                and not alloc.next_id
            ]
            writes += put_changes(keys, ids, changes, now_ns)
        writes.append(put_eval(keys, evaluation_for(job, eval_id, "job-register", now_ns)))
        return Draft((), tuple(writes), keys.evaluation(eval_id), job.job_modify_index)

    index, revision = await writer.write(decide)
    return JobRegisterResponse(eval_id=eval_id, eval_create_index=revision, job_modify_index=index)


async def revert(
    writer: Writer,
    namespace: str,
    job_id: str,
    version: int,
    *,
    enforce_prior: int | None,
    history: History,
) -> JobRegisterResponse:
    """Register an older version anew. Raises NotFound and Invalid."""
    eval_id = writer.ids().next()

    def decide() -> Draft[int]:
        state = writer.state
        current = the_job(state, namespace, job_id)
        if enforce_prior is not None and current.version != enforce_prior:
            raise Invalid(
                "",
                f"Current job has version {current.version}; enforcing version {enforce_prior}",
            )
        if version == current.version:
            raise Invalid("", "can't revert to current version")
        old = state.job_version(namespace, job_id, version)
        if old is None:
            raise NotFound("job version", text=missing_version(namespace, job_id, version))
        asked = Registration(submission=state.submission(namespace, job_id, version))
        return draft_registration(writer, replace(old, stop=False), asked, history, eval_id)

    unchanged_index, revision = await writer.write(decide)
    return JobRegisterResponse(
        eval_id=eval_id,
        eval_create_index=revision,
        job_modify_index=unchanged_index or revision,
    )


def missing_version(namespace: str, job_id: str, version: int) -> str:
    """What to say of a version that is not kept."""
    return f'job "{job_id}" in namespace "{namespace}" at version {version} not found'
