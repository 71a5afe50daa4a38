"""The mutable rows of the state: one object for each job, node, deployment and service.

They hold what is derived (tallies, health counts, who belongs to whom), kept up to date by
`region.state.applying` with each change, so that no query ever scans a table.
"""

from __future__ import annotations

from msgspec.structs import replace

from hanse.structs.allocation import Allocation
from hanse.structs.api import JobSubmission, JobSummary, TaskGroupSummary
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.structs.service import ServiceRegistration
from hanse.structs.times import rfc3339
from region.state.records import JobExtra, NodeRecord, NodeState

JobKey = tuple[str, str]

#: Where a client status is counted in a tally.
SLOTS = {"pending": 0, "running": 1, "complete": 2, "failed": 3, "lost": 4, "unknown": 5}
OPEN_EVAL = frozenset({"pending", "blocked"})


class JobEntry:
    """A job, its versions and all that belongs to it. Outlives the job while it has parts."""

    __slots__ = (
        "allocs",
        "allocs_index",
        "deployments",
        "deployments_index",
        "evals",
        "evals_index",
        "extra",
        "extra_index",
        "index",
        "job",
        "key",
        "live",
        "open_evals",
        "queued",
        "queued_index",
        "status",
        "submissions",
        "tallies",
        "versions",
    )

    def __init__(self, key: JobKey) -> None:
        """An entry with nothing in it."""
        self.key = key
        self.job: Job | None = None
        #: A version that is not the current one stays encoded until somebody asks.
        self.versions: dict[int, Job | tuple[bytes, int]] = {}
        self.extra = JobExtra()
        self.extra_index = 0
        self.submissions: dict[int, JobSubmission | bytes] = {}
        self.allocs: dict[str, None] = {}
        self.evals: dict[str, None] = {}
        self.deployments: dict[str, None] = {}
        self.tallies: dict[str, list[int]] = {}
        #: Allocations that are not terminal.
        self.live = 0
        self.open_evals = 0
        self.queued: dict[str, int] = {}
        self.queued_index = 0
        self.status = "pending"
        self.index = 0
        self.allocs_index = 0
        self.evals_index = 0
        self.deployments_index = 0

    @property
    def empty(self) -> bool:
        """Nothing is left of it."""
        return not (self.job or self.versions or self.allocs or self.evals or self.deployments)

    def tally(self, alloc: Allocation, by: int) -> None:
        """Count an allocation in, or with -1 out."""
        tally = self.tallies.get(alloc.group)
        if tally is None:
            tally = self.tallies[alloc.group] = [0] * len(SLOTS)
        tally[SLOTS.get(alloc.client_status, 5)] += by
        if not alloc.terminal:
            self.live += by

    def derive_status(self) -> str:
        """`pending`, `running` or `dead`."""
        if self.live:
            return "running"
        return "pending" if self.open_evals else "dead"

    def summary(self) -> JobSummary:
        """Instances by state."""
        groups = {group.name for group in self.job.task_groups} if self.job else set[str]()
        summary: dict[str, TaskGroupSummary] = {}
        for name in sorted(groups | self.tallies.keys()):
            starting, running, complete, failed, lost, unknown = self.tallies.get(name, [0] * 6)
            summary[name] = TaskGroupSummary(
                queued=self.queued.get(name, 0),
                starting=starting,
                running=running,
                complete=complete,
                failed=failed,
                lost=lost,
                unknown=unknown,
            )
        return JobSummary(
            job_id=self.key[1],
            namespace=self.key[0],
            summary=summary,
            create_index=self.job.create_index if self.job else 0,
            modify_index=max(self.index, self.allocs_index, self.queued_index),
        )

    def count_eval(self, evaluation: Evaluation, by: int) -> None:
        """Count an evaluation in, or with -1 out."""
        if evaluation.status in OPEN_EVAL:
            self.open_evals += by
        done = evaluation.status in ("complete", "failed")
        if by > 0 and done and evaluation.modify_index >= self.queued_index:
            self.queued = evaluation.queued_allocations
            self.queued_index = evaluation.modify_index

    def dressed(self, job: Job) -> Job:
        """A version with its stable flag and tag."""
        stable = job.version in self.extra.stable
        tag = self.extra.tags.get(job.version)
        if not stable and tag is None and not job.stable:
            return job
        return replace(job, stable=stable, version_tag=tag)


class NodeEntry:
    """A node: what it registered, what the servers decided, what it runs."""

    __slots__ = (
        "allocs",
        "allocs_index",
        "create_index",
        "index",
        "record",
        "segments",
        "state",
        "view",
    )

    def __init__(self) -> None:
        """An entry with nothing in it."""
        self.record: NodeRecord | None = None
        self.state = NodeState()
        self.create_index = 0
        self.index = 0
        self.allocs: dict[str, None] = {}
        self.allocs_index = 0
        #: Sequences of its status segments, oldest first.
        self.segments: dict[str, None] = {}
        self.view: Node | None = None

    @property
    def empty(self) -> bool:
        """Nothing is left of it."""
        return self.record is None and not self.allocs and not self.segments

    def node(self) -> Node | None:
        """Registration and state together, the secret blank."""
        if self.record is None:
            return None
        if self.view is None:
            state = self.state
            self.view = replace(
                self.record.node,
                secret_id="",
                status=state.status,
                status_description=state.status_description,
                status_updated_at=state.status_updated_s,
                scheduling_eligibility=state.eligibility,
                drain_strategy=state.drain,
                last_drain=state.last_drain,
                events=state.events,
                create_index=self.create_index,
                modify_index=self.index,
            )
        return self.view


class DeploymentEntry:
    """A deployment as stored, and the counts that follow from its allocations."""

    __slots__ = ("allocs", "canaries", "counts", "healthy_ns", "index", "stored", "view")

    def __init__(self) -> None:
        """An entry with nothing in it: allocations may come before the deployment."""
        self.stored: Deployment | None = None
        self.allocs: dict[str, None] = {}
        #: By group: placed, healthy, unhealthy.
        self.counts: dict[str, list[int]] = {}
        self.canaries: dict[str, dict[str, None]] = {}
        #: By group: when the last allocation became healthy.
        self.healthy_ns: dict[str, int] = {}
        self.index = 0
        self.view: Deployment | None = None

    @property
    def empty(self) -> bool:
        """Nothing is left of it."""
        return self.stored is None and not self.allocs

    def count(self, alloc: Allocation, by: int) -> None:
        """Count an allocation in, or with -1 out."""
        counts = self.counts.get(alloc.group)
        if counts is None:
            counts = self.counts[alloc.group] = [0, 0, 0]
        counts[0] += by
        healthy = alloc.healthy
        if healthy is not None:
            counts[1 if healthy else 2] += by
        if alloc.canary and by > 0:
            self.canaries.setdefault(alloc.group, {})[alloc.id] = None
        if healthy and by > 0:
            at_ns = (alloc.client.healthy_at_ns if alloc.client else 0) or alloc.modify_ns
            if at_ns > self.healthy_ns.get(alloc.group, 0):
                self.healthy_ns[alloc.group] = at_ns
        self.view = None

    def deployment(self) -> Deployment | None:
        """The deployment with its counts."""
        stored = self.stored
        if stored is None:
            return None
        if self.view is None:
            groups = dict(stored.task_groups)
            for name, group in groups.items():
                placed, healthy, unhealthy = self.counts.get(name, (0, 0, 0))
                since_ns = max(stored.create_time, self.healthy_ns.get(name, 0))
                deadline_ns = group.progress_deadline_ns
                canaries = self.canaries.get(name, {})
                groups[name] = replace(
                    group,
                    placed_allocs=placed,
                    healthy_allocs=healthy,
                    unhealthy_allocs=unhealthy,
                    placed_canaries=tuple(dict.fromkeys((*group.placed_canaries, *canaries))),
                    require_progress_by=rfc3339(since_ns + deadline_ns if deadline_ns else 0),
                )
            self.view = replace(
                stored, task_groups=groups, modify_index=max(stored.modify_index, self.index)
            )
        return self.view


class ServiceEntry:
    """The registrations of one service."""

    __slots__ = ("index", "registrations")

    def __init__(self) -> None:
        """An entry with nothing in it."""
        self.index = 0
        self.registrations: dict[str, ServiceRegistration] = {}
