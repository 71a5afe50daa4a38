"""What the HTTP API needs of a region: the shape of `region.server.Region` and its state.

The API is written against these, so that its tests run on a small region of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from hanse.clock import Clock
from hanse.structs.allocation import Allocation
from hanse.structs.api import (
    JobDeregisterResponse,
    JobPlanResponse,
    JobRegisterResponse,
    JobScaleRequest,
    JobSubmission,
    JobSummary,
    ScalingEvent,
    SchedulerConfiguration,
)
from hanse.structs.deployment import Deployment, DeploymentUpdateResponse
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job, JobVersionTag
from hanse.structs.node import DrainSpec, Node
from hanse.structs.service import ServiceRegistration

Topic = tuple[str, ...]


class ChangedPort(Protocol):
    """One object before and after a revision; None where it did not exist."""

    @property
    def table(self) -> str:
        """`jobs`, `allocs`, `evals`, `deployments`, `nodes`, `services` or another."""
        ...

    @property
    def key(self) -> object:
        """Its key in the table."""
        ...

    @property
    def old(self) -> object | None:
        """What it was."""
        ...

    @property
    def new(self) -> object | None:
        """What it is."""
        ...


class AppliedPort(Protocol):
    """All that one revision changed."""

    @property
    def revision(self) -> int:
        """The revision."""
        ...

    @property
    def changes(self) -> Sequence[ChangedPort]:
        """What it changed."""
        ...


class StatePort(Protocol):
    """The region's state as one server holds it in memory."""

    @property
    def revision(self) -> int:
        """The last revision that was applied."""
        ...

    @property
    def scheduler_config(self) -> SchedulerConfiguration:
        """How the scheduler is set."""
        ...

    def job(self, namespace: str, job_id: str) -> Job | None:
        """The current version of a job."""
        ...

    def jobs(self, namespace: str = "*") -> list[Job]:
        """All jobs, by namespace and ID."""
        ...

    def job_version(self, namespace: str, job_id: str, version: int) -> Job | None:
        """One kept version."""
        ...

    def job_versions(self, namespace: str, job_id: str) -> list[Job]:
        """All kept versions, newest first."""
        ...

    def job_status(self, job: Job) -> str:
        """`pending`, `running` or `dead`."""
        ...

    def summary(self, namespace: str, job_id: str) -> JobSummary | None:
        """Instances by state."""
        ...

    def submission(self, namespace: str, job_id: str, version: int) -> JobSubmission | None:
        """The source of a version."""
        ...

    def scaling_events(self, namespace: str, job_id: str) -> Mapping[str, Sequence[ScalingEvent]]:
        """Changes of counts by group, newest first."""
        ...

    def allocation(self, alloc_id: str) -> Allocation | None:
        """One allocation."""
        ...

    def allocations(self, namespace: str = "*") -> Iterable[Allocation]:
        """All allocations."""
        ...

    def allocations_of_job(self, namespace: str, job_id: str) -> Iterable[Allocation]:
        """Those of a job."""
        ...

    def allocations_of_node(self, node_id: str) -> Iterable[Allocation]:
        """Those of a node."""
        ...

    def allocations_of_eval(self, eval_id: str) -> Iterable[Allocation]:
        """Those an evaluation placed."""
        ...

    def allocations_of_deployment(self, deployment_id: str) -> Iterable[Allocation]:
        """Those of a deployment."""
        ...

    def evaluation(self, eval_id: str) -> Evaluation | None:
        """One evaluation."""
        ...

    def evaluations(self, namespace: str = "*") -> Iterable[Evaluation]:
        """All evaluations."""
        ...

    def evaluations_of_job(self, namespace: str, job_id: str) -> Iterable[Evaluation]:
        """Those of a job."""
        ...

    def deployment(self, deployment_id: str) -> Deployment | None:
        """One deployment, with its counts."""
        ...

    def deployments(self, namespace: str = "*") -> Iterable[Deployment]:
        """All deployments."""
        ...

    def deployments_of_job(self, namespace: str, job_id: str) -> Sequence[Deployment]:
        """Those of a job, newest first."""
        ...

    def node(self, node_id: str) -> Node | None:
        """One node, its secret blank."""
        ...

    def nodes(self) -> Iterable[Node]:
        """All nodes, their secrets blank."""
        ...

    def services(self, namespace: str = "*") -> Iterable[ServiceRegistration]:
        """Registrations of running allocations."""
        ...

    def index(self, topic: Topic) -> int:
        """The revision that last changed the topic."""
        ...

    async def wait_changed(self, topics: Collection[Topic], after: int, deadline: float) -> None:
        """Return when a topic's index is over `after`, or the clock reads `deadline`."""
        ...

    def listen(self, callback: Callable[..., None]) -> object:
        """Call `callback` with every revision that is applied (see `AppliedPort`)."""
        ...


class RegionPort(Protocol):
    """The façade of one region. Writes return once the local state shows them."""

    @property
    def name(self) -> str:
        """The region's name."""
        ...

    @property
    def state(self) -> StatePort:
        """The state."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    @property
    def known_leader(self) -> bool:
        """Whether there is a leader."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether it is this server."""
        ...

    @property
    def leader_address(self) -> str:
        """`ip:port` of the leader's RPC; empty when there is none."""
        ...

    async def barrier(self, deadline: float) -> None:
        """Wait until the state is as new as the store is now. Raises NoLeader, Unavailable."""
        ...

    async def register_job(
        self,
        job: Job,
        *,
        enforce_index: bool = False,
        job_modify_index: int = 0,
        submission: JobSubmission | None = None,
        eval_priority: int = 0,
        preserve_counts: bool = False,
        preserve_resources: bool = False,
    ) -> JobRegisterResponse:
        """Store a job and evaluate it."""
        ...

    async def plan_job(self, job: Job, *, diff: bool) -> JobPlanResponse:
        """Say what registering the job would do."""
        ...

    async def deregister_job(
        self,
        namespace: str,
        job_id: str,
        *,
        purge: bool,
        eval_priority: int = 0,
        no_shutdown_delay: bool = False,
    ) -> JobDeregisterResponse:
        """Stop a job."""
        ...

    async def evaluate_job(
        self, namespace: str, job_id: str, *, force_reschedule: bool = False
    ) -> JobRegisterResponse:
        """Look at a job again."""
        ...

    async def revert_job(
        self, namespace: str, job_id: str, version: int, *, enforce_prior: int | None = None
    ) -> JobRegisterResponse:
        """Register an older version anew."""
        ...

    async def set_job_stable(self, namespace: str, job_id: str, version: int, stable: bool) -> int:
        """Mark a version; gives the index."""
        ...

    async def scale_job(
        self, namespace: str, job_id: str, request: JobScaleRequest
    ) -> JobRegisterResponse:
        """Change a count, or record an event."""
        ...

    async def tag_version(
        self, namespace: str, job_id: str, version: int | None, name: str, description: str
    ) -> JobVersionTag:
        """Name a version; None is the latest."""
        ...

    async def untag_version(self, namespace: str, job_id: str, name: str) -> int:
        """Take a name away; gives the index."""
        ...

    async def stop_allocation(
        self, alloc_id: str, *, no_shutdown_delay: bool = False, reschedule: bool = False
    ) -> tuple[str, int]:
        """Stop and replace an allocation; gives the evaluation and the index."""
        ...

    async def fail_deployment(self, deployment_id: str) -> DeploymentUpdateResponse:
        """Give up."""
        ...

    async def pause_deployment(self, deployment_id: str, pause: bool) -> DeploymentUpdateResponse:
        """Hold or go on."""
        ...

    async def promote_deployment(
        self, deployment_id: str, groups: Sequence[str] | None
    ) -> DeploymentUpdateResponse:
        """Let canaries take over; None is all groups."""
        ...

    async def set_allocation_health(
        self, deployment_id: str, healthy: Sequence[str], unhealthy: Sequence[str]
    ) -> DeploymentUpdateResponse:
        """Say which allocations are well."""
        ...

    async def drain_node(
        self, node_id: str, spec: DrainSpec | None, mark_eligible: bool, meta: dict[str, str]
    ) -> tuple[list[str], int]:
        """Drain, or with None stop draining; gives evaluations and the index."""
        ...

    async def set_eligibility(self, node_id: str, eligible: bool) -> tuple[list[str], int]:
        """Allow or forbid new placements; gives evaluations and the index."""
        ...

    async def purge_node(self, node_id: str) -> tuple[list[str], int]:
        """Forget a node; gives evaluations and the index."""
        ...

    async def evaluate_node(self, node_id: str) -> tuple[list[str], int]:
        """Evaluate the jobs of a node; gives evaluations and the index."""
        ...

    async def collect_garbage(self) -> None:
        """Forget all that is dead, whatever its age."""
        ...

    async def set_scheduler_config(
        self, config: SchedulerConfiguration, cas: int | None
    ) -> tuple[bool, int]:
        """Replace the settings, with `cas` only at that index; gives whether, and the index."""
        ...

    def call_node(
        self,
        node_id: str,
        method: str,
        body: bytes,
        inputs: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[bytes]:
        """Ask a node. Raises NotFound when it is connected to no server."""
        ...
