"""Dry runs: what would happen if a job were registered. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from hanse.structs.api import JobPlanResponse
from hanse.structs.evaluation import PlanAnnotations
from hanse.structs.job import Job
from region.broker.snapshots import snapshot_of
from region.commands.drafts import evaluation_for, multi_line
from region.commands.jobs import next_version, same_spec
from region.jobs.admission import Admitted, Rules, admit
from region.jobs.diff import annotate, diff_jobs
from region.scheduler.fleet import FleetView
from region.scheduler.schedule import schedule
from region.scheduler.snapshot import Snapshot
from region.writer import Writer


@dataclass(frozen=True, slots=True)
class DryRun:
    """All that a dry run depends on, taken at one moment."""

    snapshot: Snapshot
    admitted: Admitted
    #: The job as it is now; None if there is none.
    current: Job | None


def prepare(writer: Writer, fleet: FleetView, job: Job, rules: Rules) -> DryRun:
    """Take the state for a dry run of a job. Raises Invalid, Unsupported."""
    state, now_ns = writer.state, writer.clock.wall_ns()
    admitted = admit(job, rules)
    current = state.job(admitted.job.namespace, admitted.job.id)
    stored = admitted.job
    if current is not None and same_spec(current, stored):
        stored = current
    else:
        stored = next_version(stored, current, now_ns)
        if current is not None:
            stored = replace(stored, create_index=current.create_index)
    evaluation = evaluation_for(stored, writer.ids().next(), "job-register", now_ns)
    snapshot = snapshot_of(
        state,
        replace(evaluation, annotate_plan=True),
        fleet,
        now_ns=now_ns,
        seed=writer.rng.getrandbits(63),
        job=stored,
    )
    return DryRun(snapshot, admitted, current)


def finish(run: DryRun, *, diff: bool) -> JobPlanResponse:
    """Run the scheduler over the job as it would be stored. Pure: may be run in a thread."""
    current = run.current
    made = schedule(run.snapshot)
    found = None
    if diff:
        before = current if current is not None and not current.stop else None
        found = annotate(diff_jobs(before, run.admitted.job), made.desired)
    return JobPlanResponse(
        annotations=PlanAnnotations(desired_tg_updates=made.desired),
        failed_tg_allocs=made.evaluation.failed_tg_allocs,
        job_modify_index=current.job_modify_index if current is not None else 0,
        created_evals=tuple(e for e in made.evaluations if e.wait_until[:4] != "0001"),
        diff=found,
        warnings=multi_line("warning", run.admitted.warnings),
    )
