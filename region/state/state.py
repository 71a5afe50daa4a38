"""The region's state as one server holds it: what every read is answered from.

One feed applies the store's watch in revision order (`Feed`); everybody else only reads.
Values handed out are frozen. A reader that needs to be as new as the store waits for
`wait_applied`; one that waits for a change of some objects uses `wait_changed`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import count

import structlog

from hanse.clock import Clock
from hanse.errors import HanseError
from hanse.store import Batch, Relisted, Store
from hanse.structs.allocation import Allocation
from hanse.structs.api import JobSubmission, JobSummary, ScalingEvent, SchedulerConfiguration
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.structs.service import ServiceRegistration
from region.state import applying
from region.state.codec import Unreadable
from region.state.keys import Keys
from region.state.records import JobExtra, NodeRecord, NodeState
from region.state.tables import Applied, Tables
from region.state.topics import Topic, Waiters

log = structlog.get_logger(__name__)

Listener = Callable[[Applied], None]


class State:
    """All tables of one region, at one revision."""

    def __init__(self, region: str, clock: Clock) -> None:
        """Empty, at revision 0, until something is applied."""
        self.keys = Keys(region)
        self.tables = Tables(self.keys)
        self.waiters = Waiters(clock)
        self._clock = clock
        self._listeners: list[Listener] = []
        self._applied: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._sorted_jobs: list[tuple[str, str]] | None = None

    # Feeding.

    def apply(self, item: Batch | Relisted) -> None:
        """Take one item of the store's watch."""
        match item:
            case Batch(revision=revision, events=events):
                self._apply(revision, events)
            case Relisted(listing=listing):
                events = tuple(applying.difference(self.tables, listing))
                if self.tables.revision == 0:
                    self.tables.floor = listing.revision
                self._apply(listing.revision, events, listed=True)

    def _apply(
        self, revision: int, events: Sequence[applying.Event], *, listed: bool = False
    ) -> None:
        if events:
            unreadable = len(self.tables.unreadable)
            applied, topics = applying.apply(
                self.tables, revision, events, watched=len(self.waiters) > 0, listed=listed
            )
            if any(c.table == "jobs" and (c.old is None or c.new is None) for c in applied.changes):
                self._sorted_jobs = None
            if len(self.tables.unreadable) > unreadable:
                log.error("stored values cannot be read", keys=list(self.tables.unreadable)[-5:])
            self.waiters.wake(topics)
            for listener in self._listeners:
                listener(applied)
        else:
            self.tables.revision = max(self.tables.revision, revision)
        while self._applied and self._applied[0][0] <= self.tables.revision:
            _, _, future = heapq.heappop(self._applied)
            if not future.done():
                future.set_result(None)

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call `callback` with each revision, as it is applied; gives the way to stop that."""
        self._listeners.append(callback)

        def stop() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return stop

    # Waiting.

    @property
    def revision(self) -> int:
        """The last revision that was applied."""
        return self.tables.revision

    def index(self, topic: Topic) -> int:
        """The revision that last changed the topic."""
        return self.tables.index(topic)

    async def wait_applied(self, revision: int) -> None:
        """Return once everything up to `revision` is applied."""
        if self.tables.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._applied, (revision, next(self._numbers), future))
        await future

    async def wait_changed(self, topics: Collection[Topic], after: int, deadline: float) -> None:
        """Return when a topic's index is over `after`, or the clock reads `deadline`."""
        while self._clock.now() < deadline:
            if any(self.tables.index(topic) > after for topic in topics):
                return
            await self.waiters.wait(topics, deadline)

    # Jobs.

    def job(self, namespace: str, job_id: str) -> Job | None:
        """The current version of a job, stopped or not."""
        entry = self.tables.jobs.get((namespace, job_id))
        return entry.job if entry is not None else None

    def jobs(self, namespace: str = "*") -> list[Job]:
        """All jobs, by namespace and ID."""
        if self._sorted_jobs is None:
            self._sorted_jobs = sorted(
                key for key, entry in self.tables.jobs.items() if entry.job is not None
            )
        every = (self.tables.jobs[key].job for key in self._sorted_jobs)
        return [j for j in every if j is not None and namespace in ("*", j.namespace)]

    def job_version(self, namespace: str, job_id: str, version: int) -> Job | None:
        """One kept version."""
        entry = self.tables.jobs.get((namespace, job_id))
        if entry is None:
            return None
        try:
            return applying.decode_version(entry, version)
        except Unreadable as error:
            log.warning("job version cannot be read", job=job_id, version=version, error=str(error))
            return None

    def job_versions(self, namespace: str, job_id: str) -> list[Job]:
        """All kept versions, newest first."""
        entry = self.tables.jobs.get((namespace, job_id))
        numbers = sorted(entry.versions, reverse=True) if entry is not None else []
        found = (self.job_version(namespace, job_id, number) for number in numbers)
        return [job for job in found if job is not None]

    def job_extra(self, namespace: str, job_id: str) -> tuple[JobExtra, int]:
        """Stable versions, tags and scaling events, and the revision they were stored at."""
        entry = self.tables.jobs.get((namespace, job_id))
        return (entry.extra, entry.extra_index) if entry is not None else (JobExtra(), 0)

    def job_status(self, job: Job) -> str:
        """`pending`, `running` or `dead`."""
        entry = self.tables.jobs.get((job.namespace, job.id))
        return entry.status if entry is not None else "dead"

    def summary(self, namespace: str, job_id: str) -> JobSummary | None:
        """Instances by state."""
        entry = self.tables.jobs.get((namespace, job_id))
        return entry.summary() if entry is not None and entry.job is not None else None

    def submission(self, namespace: str, job_id: str, version: int) -> JobSubmission | None:
        """The source of a version."""
        entry = self.tables.jobs.get((namespace, job_id))
        if entry is None:
            return None
        try:
            return applying.decode_submission(entry, version)
        except Unreadable:
            return None

    def scaling_events(self, namespace: str, job_id: str) -> Mapping[str, Sequence[ScalingEvent]]:
        """Changes of counts by group, newest first."""
        return self.job_extra(namespace, job_id)[0].scaling

    # Allocations.

    def allocation(self, alloc_id: str) -> Allocation | None:
        """One allocation."""
        return self.tables.allocs.get(alloc_id)

    def allocations(self, namespace: str = "*") -> Iterable[Allocation]:
        """All allocations."""
        every = self.tables.allocs.values()
        if namespace == "*":
            return list(every)
        return [alloc for alloc in every if alloc.namespace == namespace]

    def allocations_of_job(self, namespace: str, job_id: str) -> list[Allocation]:
        """Those of a job, also of an earlier job with the same ID."""
        entry = self.tables.jobs.get((namespace, job_id))
        return [self.tables.allocs[i] for i in entry.allocs] if entry is not None else []

    def allocations_of_node(self, node_id: str) -> list[Allocation]:
        """Those of a node."""
        node = self.tables.nodes.get(node_id)
        return [self.tables.allocs[i] for i in node.allocs] if node is not None else []

    def allocations_of_eval(self, eval_id: str) -> list[Allocation]:
        """Those an evaluation placed or updated."""
        return [self.tables.allocs[i] for i in self.tables.eval_allocs.get(eval_id, ())]

    def allocations_of_deployment(self, deployment_id: str) -> list[Allocation]:
        """Those of a deployment."""
        entry = self.tables.deployments.get(deployment_id)
        return [self.tables.allocs[i] for i in entry.allocs] if entry is not None else []

    # Evaluations and deployments.

    def evaluation(self, eval_id: str) -> Evaluation | None:
        """One evaluation."""
        return self.tables.evals.get(eval_id)

    def evaluations(self, namespace: str = "*") -> list[Evaluation]:
        """All evaluations."""
        every = self.tables.evals.values()
        return [e for e in every if namespace in ("*", e.namespace)]

    def evaluations_of_job(self, namespace: str, job_id: str) -> list[Evaluation]:
        """Those of a job."""
        entry = self.tables.jobs.get((namespace, job_id))
        return [self.tables.evals[i] for i in entry.evals] if entry is not None else []

    def deployment(self, deployment_id: str) -> Deployment | None:
        """One deployment, with its counts."""
        entry = self.tables.deployments.get(deployment_id)
        return entry.deployment() if entry is not None else None

    def deployments(self, namespace: str = "*") -> list[Deployment]:
        """All deployments."""
        every = (entry.deployment() for entry in self.tables.deployments.values())
        return [d for d in every if d is not None and namespace in ("*", d.namespace)]

    def deployments_of_job(self, namespace: str, job_id: str) -> list[Deployment]:
        """Those of a job, newest first."""
        entry = self.tables.jobs.get((namespace, job_id))
        ids: Iterable[str] = entry.deployments if entry is not None else ()
        found = [d for d in (self.deployment(i) for i in ids) if d is not None]
        return sorted(found, key=lambda d: (d.create_index, d.id), reverse=True)

    def latest_deployment_id(self, namespace: str, job_id: str) -> str:
        """The newest deployment of a job; "" if there is none."""
        found = self.deployments_of_job(namespace, job_id)
        return found[0].id if found else ""

    # Nodes, services, settings.

    def node(self, node_id: str) -> Node | None:
        """One node, its secret blank."""
        entry = self.tables.nodes.get(node_id)
        return entry.node() if entry is not None else None

    def nodes(self) -> Iterator[Node]:
        """All nodes, their secrets blank."""
        for entry in list(self.tables.nodes.values()):
            node = entry.node()
            if node is not None:
                yield node

    def node_record(self, node_id: str) -> NodeRecord | None:
        """A node as it registered."""
        entry = self.tables.nodes.get(node_id)
        return entry.record if entry is not None else None

    def node_state(self, node_id: str) -> NodeState:
        """What the servers decided about a node."""
        entry = self.tables.nodes.get(node_id)
        return entry.state if entry is not None else NodeState()

    def stored_revision(self, key: str) -> int:
        """The revision that a key of the store was last put at, as far as it is applied; or 0."""
        return self.tables.stored.get(key, 0)

    def made_revision(self, key: str) -> int:
        """The revision that made a key, for evaluations; that last put it, for all others; or 0."""
        family, parts = self.keys.split(key)
        if family == "evals":
            evaluation = self.tables.evals.get(parts[0])
            return evaluation.create_index if evaluation is not None else 0
        return self.stored_revision(key)

    def services(self, namespace: str = "*") -> list[ServiceRegistration]:
        """Registrations of running allocations."""
        return [
            registration
            for (its, _), entry in sorted(self.tables.services.items())
            if namespace in ("*", its)
            for registration in entry.registrations.values()
        ]

    @property
    def scheduler_config(self) -> SchedulerConfiguration:
        """How the scheduler is set."""
        return self.tables.scheduler_config


class Feed:
    """Keeps a state up to date with the store. Nothing else applies anything."""

    name = "feed"

    def __init__(self, store: Store, state: State, clock: Clock) -> None:
        """`ready` is set once the state has been loaded."""
        self._store = store
        self._state = state
        self._clock = clock
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """List once, then follow for ever."""
        prefix = self._state.keys.prefix
        while self._state.revision == 0:
            try:
                listing = await self._store.list(prefix)
            except HanseError as error:
                if not error.retryable:
                    raise
                log.warning("the store does not answer", error=str(error))
                await self._clock.sleep(0.2)
                continue
            self._state.apply(Relisted(listing))
        log.info("state loaded", revision=self._state.revision)
        self.ready.set()
        async with aclosing(self._store.watch(prefix, self._state.revision)) as items:
            async for item in items:
                self._state.apply(item)
