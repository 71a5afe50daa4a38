"""A region in memory: a small state, and writes that change it at once.

It schedules nothing. A registered job gets an evaluation that is complete; allocations, nodes and
deployments are put by the test. What a test of an edge (HTTP, the command line) needs of a region
is here, and no more; `region.server.Region` is the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from hanse.clock import Clock
from hanse.errors import Invalid, NoLeader, NotFound
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
    TaskGroupSummary,
)
from hanse.structs.deployment import Deployment, DeploymentUpdateResponse
from hanse.structs.evaluation import Evaluation
from hanse.structs.ids import IdStream
from hanse.structs.job import Job, JobVersionTag
from hanse.structs.node import DrainSpec, DrainStrategy, Node
from hanse.structs.service import ServiceRegistration

Topic = tuple[str, ...]
T = TypeVar("T", bound=msgspec.Struct)


class Changed(NamedTuple):
    """One object before and after."""

    table: str
    key: object
    old: object | None
    new: object | None


class Applied(NamedTuple):
    """What one revision changed."""

    revision: int
    changes: tuple[Changed, ...]


class MemoryState:
    """Tables of a region, with indexes by topic and waiters."""

    def __init__(self, clock: Clock) -> None:
        """Empty, at revision 1."""
        self.clock = clock
        self.revision = 1
        self.scheduler_config = SchedulerConfiguration(scheduler_algorithm="binpack")
        self._jobs: dict[tuple[str, str], Job] = {}
        self._versions: dict[tuple[str, str], list[Job]] = {}
        self._submissions: dict[tuple[str, str, int], JobSubmission] = {}
        self._events: dict[tuple[str, str], dict[str, list[ScalingEvent]]] = {}
        self._tables: dict[str, dict[str, object]] = {
            name: {} for name in ("allocs", "evals", "deployments", "nodes")
        }
        self._services: dict[tuple[str, str], ServiceRegistration] = {}
        self._indexes: dict[Topic, int] = {}
        self._waiters: dict[asyncio.Future[None], tuple[frozenset[Topic], int]] = {}
        self._listeners: list[Callable[[Applied], None]] = []

    # Changes.

    def put(self, *objects: object) -> int:
        """Put any of our nouns, all in one revision; gives the revision."""
        self.revision += 1
        topics: set[Topic] = set()
        changes = tuple(self._put_one(item, topics) for item in objects)
        return self._done(topics, changes)

    def delete(self, item: object) -> int:
        """Forget an object; gives the revision."""
        self.revision += 1
        topics: set[Topic] = set()
        table, key, seen = _place(item)
        topics |= seen
        old: object | None
        match item:
            case Job():
                old = self._jobs.pop((item.namespace, item.id), None)
                self._versions.pop((item.namespace, item.id), None)
            case ServiceRegistration():
                old = self._services.pop((item.namespace, item.id), None)
            case _:
                old = self._tables[table].pop(str(key), None)
        return self._done(topics, (Changed(table, key, old, None),))

    def touch(self, *topics: Topic) -> int:
        """Move on without a change of an object."""
        self.revision += 1
        return self._done(set(topics), ())

    def _put_one(self, item: object, topics: set[Topic]) -> Changed:
        table, key, seen = _place(item)
        topics |= seen
        old: object | None
        match item:
            case Job():
                old = self._jobs.get((item.namespace, item.id))
                job = item = self._stamped(item, old)
                self._jobs[job.namespace, job.id] = job
                versions = self._versions.setdefault((job.namespace, job.id), [])
                if versions and versions[0].version == job.version:
                    versions[0] = job
                else:
                    versions.insert(0, job)
            case ServiceRegistration():
                old = self._services.get((item.namespace, item.id))
                service = item = self._stamped(item, old)
                self._services[service.namespace, service.id] = service
            case msgspec.Struct():
                old = self._tables[table].get(str(key))
                item = self._stamped(item, old)
                self._tables[table][str(key)] = item
            case _:
                raise TypeError(f"not one of our nouns: {item!r}")
        return Changed(table, key, old, item)

    def _stamped(self, item: T, old: object | None) -> T:
        created = getattr(old, "create_index", 0) or self.revision
        more = {"job_modify_index": self.revision} if isinstance(item, Job) else {}
        return replace(item, create_index=created, modify_index=self.revision, **more)

    def _done(self, topics: set[Topic], changes: tuple[Changed, ...]) -> int:
        for topic in topics:
            self._indexes[topic] = self.revision
        for future, (wanted, after) in list(self._waiters.items()):
            if not future.done() and any(self.index(topic) > after for topic in wanted):
                future.set_result(None)
        applied = Applied(self.revision, changes)
        for listener in self._listeners:
            listener(applied)
        return self.revision

    # Reads.

    def index(self, topic: Topic) -> int:
        """The revision that last changed a topic."""
        return self._indexes.get(topic, 1)

    async def wait_changed(self, topics: Collection[Topic], after: int, deadline: float) -> None:
        """Return when a topic is newer than `after`, or at the deadline."""
        if any(self.index(topic) > after for topic in topics):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[future] = (frozenset(topics), after)
        try:
            async with asyncio.TaskGroup() as group:
                nap = group.create_task(self.clock.sleep(deadline - self.clock.now()))
                await asyncio.wait({nap, future}, return_when=asyncio.FIRST_COMPLETED)
                nap.cancel()
        finally:
            del self._waiters[future]

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    def listen(self, callback: Callable[[Applied], None]) -> None:
        """Call back with every revision."""
        self._listeners.append(callback)

    def job(self, namespace: str, job_id: str) -> Job | None:
        """The current version."""
        return self._jobs.get((namespace, job_id))

    def jobs(self, namespace: str = "*") -> list[Job]:
        """All, by namespace and ID."""
        return [j for k, j in sorted(self._jobs.items()) if namespace in ("*", k[0])]

    def job_version(self, namespace: str, job_id: str, version: int) -> Job | None:
        """One version."""
        versions = self._versions.get((namespace, job_id), [])
        return next((job for job in versions if job.version == version), None)

    def job_versions(self, namespace: str, job_id: str) -> list[Job]:
        """All versions, newest first."""
        return list(self._versions.get((namespace, job_id), ()))

    def job_status(self, job: Job) -> str:
        """By its allocations."""
        if job.stop:
            return "dead"
        live = any(not a.terminal for a in self.allocations_of_job(job.namespace, job.id))
        return "running" if live else "pending"

    def summary(self, namespace: str, job_id: str) -> JobSummary | None:
        """Running and starting instances by group."""
        job = self.job(namespace, job_id)
        if job is None:
            return None
        found = list(self.allocations_of_job(namespace, job_id))

        def count(group: str, status: str) -> int:
            return sum(a.group == group and a.client_status == status for a in found)

        groups = {
            group.name: TaskGroupSummary(
                running=count(group.name, "running"), starting=count(group.name, "pending")
            )
            for group in job.task_groups
        }
        return JobSummary(
            job_id=job_id,
            namespace=namespace,
            summary=groups,
            create_index=job.create_index,
            modify_index=job.modify_index,
        )

    def submission(self, namespace: str, job_id: str, version: int) -> JobSubmission | None:
        """The source of a version."""
        return self._submissions.get((namespace, job_id, version))

    def set_submission(self, submission: JobSubmission) -> None:
        """Keep a source."""
        key = (submission.namespace, submission.job_id, submission.version)
        self._submissions[key] = submission

    def scaling_events(self, namespace: str, job_id: str) -> Mapping[str, Sequence[ScalingEvent]]:
        """Changes of counts by group."""
        return self._events.get((namespace, job_id), {})

    def add_scaling_event(
        self, namespace: str, job_id: str, group: str, event: ScalingEvent
    ) -> None:
        """Remember a change of a count."""
        groups = self._events.setdefault((namespace, job_id), {})
        groups.setdefault(group, []).insert(0, event)

    def _all(self, table: str, kind: type[T]) -> list[T]:
        return [item for item in self._tables[table].values() if isinstance(item, kind)]

    def allocation(self, alloc_id: str) -> Allocation | None:
        """One."""
        found = self._tables["allocs"].get(alloc_id)
        return found if isinstance(found, Allocation) else None

    def allocations(self, namespace: str = "*") -> Iterable[Allocation]:
        """All."""
        return [a for a in self._all("allocs", Allocation) if namespace in ("*", a.namespace)]

    def allocations_of_job(self, namespace: str, job_id: str) -> Iterable[Allocation]:
        """Those of a job."""
        return [
            a
            for a in self._all("allocs", Allocation)
            if (a.namespace, a.job_id) == (namespace, job_id)
        ]

    def allocations_of_node(self, node_id: str) -> Iterable[Allocation]:
        """Those of a node."""
        return [a for a in self._all("allocs", Allocation) if a.node_id == node_id]

    def allocations_of_eval(self, eval_id: str) -> Iterable[Allocation]:
        """Those of an evaluation."""
        return [a for a in self._all("allocs", Allocation) if a.eval_id == eval_id]

    def allocations_of_deployment(self, deployment_id: str) -> Iterable[Allocation]:
        """Those of a deployment."""
        return [a for a in self._all("allocs", Allocation) if a.deployment_id == deployment_id]

    def evaluation(self, eval_id: str) -> Evaluation | None:
        """One."""
        found = self._tables["evals"].get(eval_id)
        return found if isinstance(found, Evaluation) else None

    def evaluations(self, namespace: str = "*") -> Iterable[Evaluation]:
        """All."""
        return [e for e in self._all("evals", Evaluation) if namespace in ("*", e.namespace)]

    def evaluations_of_job(self, namespace: str, job_id: str) -> Iterable[Evaluation]:
        """Those of a job."""
        return [e for e in self.evaluations(namespace) if e.job_id == job_id]

    def deployment(self, deployment_id: str) -> Deployment | None:
        """One."""
        found = self._tables["deployments"].get(deployment_id)
        return found if isinstance(found, Deployment) else None

    def deployments(self, namespace: str = "*") -> Iterable[Deployment]:
        """All."""
        found = self._all("deployments", Deployment)
        return [d for d in found if namespace in ("*", d.namespace)]

    def deployments_of_job(self, namespace: str, job_id: str) -> Sequence[Deployment]:
        """Those of a job, newest first."""
        found = [d for d in self.deployments(namespace) if d.job_id == job_id]
        return sorted(found, key=lambda d: -d.create_index)

    def node(self, node_id: str) -> Node | None:
        """One."""
        found = self._tables["nodes"].get(node_id)
        return found if isinstance(found, Node) else None

    def nodes(self) -> Iterable[Node]:
        """All."""
        return self._all("nodes", Node)

    def services(self, namespace: str = "*") -> Iterable[ServiceRegistration]:
        """All registrations."""
        return [s for s in self._services.values() if namespace in ("*", s.namespace)]


def _place(item: object) -> tuple[str, object, set[Topic]]:
    """The table and key of an object, and the topics that its change moves."""
    match item:
        case Job(namespace=ns, id=job_id):
            return "jobs", (ns, job_id), {("jobs",), ("job", ns, job_id)}
        case Allocation():
            ns, job_id = item.namespace, item.job_id
            topics: set[Topic] = {
                ("allocs",),
                ("jobs",),
                ("alloc", item.id),
                ("job-allocs", ns, job_id),
                ("node-allocs", item.node_id),
                ("eval-allocs", item.eval_id),
            }
            return "allocs", item.id, topics
        case Evaluation():
            job_evals = ("job-evals", item.namespace, item.job_id)
            return "evals", item.id, {("evals",), ("eval", item.id), job_evals}
        case Deployment():
            job_deployments = ("job-deployments", item.namespace, item.job_id)
            own = ("deployment", item.id)
            return "deployments", item.id, {("deployments",), own, job_deployments}
        case Node():
            return "nodes", item.id, {("nodes",), ("node", item.id)}
        case ServiceRegistration():
            name = ("service", item.namespace, item.service_name)
            return "services", (item.namespace, item.id), {("services",), name}
        case _:
            raise TypeError(f"not one of our nouns: {item!r}")


NodeAnswer = Callable[[str, bytes, AsyncIterator[bytes] | None], AsyncIterator[bytes]]


class MemoryRegion:
    """The façade over a `MemoryState`, as `region.server.Region` has it."""

    def __init__(self, clock: Clock, *, name: str = "global") -> None:
        """A region that leads itself."""
        self.name = name
        self.clock = clock
        self.state = MemoryState(clock)
        self.known_leader = True
        self.leader_address = "127.0.0.1:4647"
        #: What connected nodes answer to calls, by node ID.
        self.node_answers: dict[str, NodeAnswer] = {}
        #: Calls that were made, for tests to look at.
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self._ids = IdStream(1)

    @property
    def is_leader(self) -> bool:
        """It is, when there is one."""
        return self.known_leader

    async def barrier(self, deadline: float) -> None:
        """Always there already. Raises NoLeader when there is none."""
        del deadline
        if not self.known_leader:
            raise NoLeader

    def _evaluate(self, namespace: str, job_id: str, trigger: str) -> Evaluation:
        evaluation = Evaluation(
            id=self._ids.next(),
            namespace=namespace,
            priority=50,
            type="service",
            triggered_by=trigger,
            job_id=job_id,
            status="complete",
        )
        self.state.put(evaluation)
        found = self.state.evaluation(evaluation.id)
        assert found is not None
        return found

    def _existing(self, namespace: str, job_id: str) -> Job:
        job = self.state.job(namespace, job_id)
        if job is None:
            raise NotFound("job", text="job not found")
        return job

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
        """Store the job as its next version."""
        self.calls.append(("register", (eval_priority, preserve_counts, preserve_resources)))
        old = self.state.job(job.namespace, job.id)
        if enforce_index and (old.job_modify_index if old else 0) != job_modify_index:
            why = "job already exists" if not job_modify_index else "job does not exist"
            if old is not None and job_modify_index:
                why = f"job exists with conflicting job modify index: {old.job_modify_index}"
            raise Invalid("", f"Enforcing job modify index {job_modify_index}: {why}")
        version = old.version + 1 if old is not None else 0
        self.state.put(replace(job, version=version))
        if submission is not None:
            self.state.set_submission(replace(submission, version=version))
        evaluation = self._evaluate(job.namespace, job.id, "job-register")
        return JobRegisterResponse(
            eval_id=evaluation.id,
            eval_create_index=evaluation.create_index,
            job_modify_index=self._existing(job.namespace, job.id).job_modify_index,
        )

    async def plan_job(self, job: Job, *, diff: bool) -> JobPlanResponse:
        """Nothing would happen."""
        self.calls.append(("plan", (diff,)))
        old = self.state.job(job.namespace, job.id)
        return JobPlanResponse(job_modify_index=old.job_modify_index if old else 0)

    async def deregister_job(
        self,
        namespace: str,
        job_id: str,
        *,
        purge: bool,
        eval_priority: int = 0,
        no_shutdown_delay: bool = False,
    ) -> JobDeregisterResponse:
        """Mark the job stopped, or forget it."""
        self.calls.append(("deregister", (purge, eval_priority, no_shutdown_delay)))
        job = self._existing(namespace, job_id)
        index = self.state.delete(job) if purge else self.state.put(replace(job, stop=True))
        evaluation = self._evaluate(namespace, job_id, "job-deregister")
        return JobDeregisterResponse(
            eval_id=evaluation.id,
            eval_create_index=evaluation.create_index,
            job_modify_index=index,
        )

    async def evaluate_job(
        self, namespace: str, job_id: str, *, force_reschedule: bool = False
    ) -> JobRegisterResponse:
        """Make an evaluation."""
        self.calls.append(("evaluate", (force_reschedule,)))
        job = self._existing(namespace, job_id)
        evaluation = self._evaluate(namespace, job_id, "job-register")
        return JobRegisterResponse(
            eval_id=evaluation.id,
            eval_create_index=evaluation.create_index,
            job_modify_index=job.job_modify_index,
        )

    async def revert_job(
        self, namespace: str, job_id: str, version: int, *, enforce_prior: int | None = None
    ) -> JobRegisterResponse:
        """Register an older version."""
        current = self._existing(namespace, job_id)
        old = self.state.job_version(namespace, job_id, version)
        if old is None:
            raise NotFound("job", text=f"job {job_id!r} has no version {version}")
        if version == current.version:
            raise Invalid("", "can't revert to current version")
        if enforce_prior is not None and enforce_prior != current.version:
            raise Invalid("", f"current version is {current.version}, not {enforce_prior}")
        return await self.register_job(old)

    async def set_job_stable(self, namespace: str, job_id: str, version: int, stable: bool) -> int:
        """Mark the current version."""
        job = self._existing(namespace, job_id)
        if job.version != version:
            raise NotFound("job", text=f"job {job_id!r} has no version {version}")
        return self.state.put(replace(job, stable=stable))

    async def scale_job(
        self, namespace: str, job_id: str, request: JobScaleRequest
    ) -> JobRegisterResponse:
        """Change a count."""
        job = self._existing(namespace, job_id)
        name = request.target["Group"]
        if name not in {group.name for group in job.task_groups}:
            raise Invalid("", f"task group {name!r} does not exist in job")
        event = ScalingEvent(count=request.count, message=request.message, error=request.error)
        self.state.add_scaling_event(namespace, job_id, name, event)
        count = request.count
        if count is None:
            return JobRegisterResponse(job_modify_index=job.job_modify_index)
        groups = tuple(
            replace(group, count=count) if group.name == name else group
            for group in job.task_groups
        )
        return await self.register_job(replace(job, task_groups=groups))

    async def tag_version(
        self, namespace: str, job_id: str, version: int | None, name: str, description: str
    ) -> JobVersionTag:
        """Tag the current version."""
        job = self._existing(namespace, job_id)
        if version not in (None, job.version):
            raise NotFound("job", text=f"job {job_id!r} has no version {version}")
        tag = JobVersionTag(name=name, description=description, tagged_time=self.clock.wall_ns())
        self.state.put(replace(job, version_tag=tag))
        return tag

    async def untag_version(self, namespace: str, job_id: str, name: str) -> int:
        """Take the tag away."""
        job = self._existing(namespace, job_id)
        if job.version_tag is None or job.version_tag.name != name:
            raise NotFound("tag", name)
        return self.state.put(replace(job, version_tag=None))

    async def stop_allocation(
        self, alloc_id: str, *, no_shutdown_delay: bool = False, reschedule: bool = False
    ) -> tuple[str, int]:
        """Mark it stopped."""
        self.calls.append(("stop", (no_shutdown_delay, reschedule)))
        alloc = self.state.allocation(alloc_id)
        if alloc is None:
            raise NotFound("alloc", text="allocation not found")
        self.state.put(replace(alloc, desired_status="stop"))
        evaluation = self._evaluate(alloc.namespace, alloc.job_id, "alloc-stop")
        return evaluation.id, evaluation.create_index

    async def _deployment(self, deployment_id: str, status: str) -> DeploymentUpdateResponse:
        found = self.state.deployment(deployment_id)
        if found is None:
            raise NotFound("deployment", text="deployment not found")
        index = self.state.put(replace(found, status=status))
        return DeploymentUpdateResponse(deployment_modify_index=index)

    async def fail_deployment(self, deployment_id: str) -> DeploymentUpdateResponse:
        """Mark it failed."""
        return await self._deployment(deployment_id, "failed")

    async def pause_deployment(self, deployment_id: str, pause: bool) -> DeploymentUpdateResponse:
        """Mark it paused or running."""
        return await self._deployment(deployment_id, "paused" if pause else "running")

    async def promote_deployment(
        self, deployment_id: str, groups: Sequence[str] | None
    ) -> DeploymentUpdateResponse:
        """Mark it running."""
        self.calls.append(("promote", (groups,)))
        return await self._deployment(deployment_id, "running")

    async def set_allocation_health(
        self, deployment_id: str, healthy: Sequence[str], unhealthy: Sequence[str]
    ) -> DeploymentUpdateResponse:
        """Remember what was said."""
        self.calls.append(("health", (tuple(healthy), tuple(unhealthy))))
        return await self._deployment(deployment_id, "running")

    def _node(self, node_id: str) -> Node:
        node = self.state.node(node_id)
        if node is None:
            raise NotFound("node", text="node not found")
        return node

    async def drain_node(
        self, node_id: str, spec: DrainSpec | None, mark_eligible: bool, meta: dict[str, str]
    ) -> tuple[list[str], int]:
        """Set or clear the drain."""
        self.calls.append(("drain", (spec, mark_eligible, meta)))
        node = self._node(node_id)
        strategy = None if spec is None else DrainStrategy(deadline_ns=spec.deadline_ns)
        eligible = spec is None and mark_eligible
        node = replace(
            node,
            drain_strategy=strategy,
            scheduling_eligibility="eligible" if eligible else "ineligible",
        )
        return [], self.state.put(node)

    async def set_eligibility(self, node_id: str, eligible: bool) -> tuple[list[str], int]:
        """Set it."""
        text = "eligible" if eligible else "ineligible"
        return [], self.state.put(replace(self._node(node_id), scheduling_eligibility=text))

    async def purge_node(self, node_id: str) -> tuple[list[str], int]:
        """Forget it."""
        return [], self.state.delete(self._node(node_id))

    async def evaluate_node(self, node_id: str) -> tuple[list[str], int]:
        """Nothing to evaluate."""
        self._node(node_id)
        return [], self.state.revision

    async def collect_garbage(self) -> None:
        """Nothing to collect."""
        self.calls.append(("gc", ()))

    async def set_scheduler_config(
        self, config: SchedulerConfiguration, cas: int | None
    ) -> tuple[bool, int]:
        """Replace it."""
        if cas is not None and cas != self.state.scheduler_config.modify_index:
            return False, self.state.revision
        index = self.state.touch(("scheduler-config",))
        self.state.scheduler_config = replace(config, modify_index=index)
        return True, index

    async def call_node(
        self,
        node_id: str,
        method: str,
        body: bytes,
        inputs: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[bytes]:
        """Give what `node_answers` gives. Raises NotFound for a node that is not there."""
        answer = self.node_answers.get(node_id)
        if answer is None:
            raise NotFound("node", text="No path to node")
        async for chunk in answer(method, body, inputs):
            yield chunk
