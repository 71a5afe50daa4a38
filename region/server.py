"""One region's control plane on one server: the façade that the HTTP API and tests call.

Every server holds the whole state and takes commands; one of them also leads, which means that
it schedules, watches deployments and nodes, and collects garbage (`_lead`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from random import Random

import structlog

from hanse.clock import Clock
from hanse.config.model import AgentConfig
from hanse.service import Service
from hanse.store import Store
from hanse.structs.api import (
    JobDeregisterResponse,
    JobPlanResponse,
    JobRegisterResponse,
    JobScaleRequest,
    JobSubmission,
    SchedulerConfiguration,
)
from hanse.structs.deployment import DeploymentUpdateResponse
from hanse.structs.job import Job, JobVersionTag
from hanse.structs.node import DrainSpec
from region import garbage
from region.broker.broker import Broker
from region.broker.capacity import Capacity
from region.commands import deployments, jobs, nodes, other, plans, scaling
from region.deploy.watcher import DeploymentWatcher
from region.drain.drainer import Drainer
from region.jobs.admission import Rules
from region.jobs.validate import DriverCheck, Limits
from region.nodes.presence import Presence
from region.nodes.statuses import StatusWriter
from region.nodes.watcher import NodeWatcher
from region.others import Nobody, Others
from region.sessions import RpcServer, Sessions
from region.state.state import Feed, State
from region.state.tables import Applied
from region.store.leadership import Candidacy, Term
from region.writer import Fenced, Leading, Writer

log = structlog.get_logger(__name__)


class Region:
    """See the module. Its `services` must run for anything to be answered."""

    def __init__(
        self,
        store: Store,
        config: AgentConfig,
        clock: Clock,
        *,
        rng: Random | None = None,
        executor: Executor | None = None,
        check_driver: DriverCheck | None = None,
        others: Others | None = None,
    ) -> None:
        """`executor` takes large scheduling passes off the event loop."""
        self.name = config.region
        self.datacenter = config.datacenter
        self.config = config
        self.clock = clock
        self.state = State(config.region, clock)
        self._store = store
        self._rng = rng or Random()
        self._executor = executor
        self._writer = Writer(self.state, store, clock, self._rng)
        self._feed = Feed(store, self.state, clock)
        self.broker: Broker | None = None
        self._capacity: Capacity | None = None
        self._stop_following: Callable[[], None] = lambda: None
        server = config.server
        self._rules = Rules(
            region=config.region,
            limits=Limits(
                count_max=server.job_max_count,
                priority_max=server.job_max_priority,
                priority_default=server.job_default_priority,
            ),
            check_driver=check_driver,
        )
        self._history = jobs.History(server.job_tracked_versions, server.job_max_source_bytes)
        self._others = others or Nobody()
        self.presence = Presence(clock, server.heartbeat_ttl_s)
        self._statuses = StatusWriter(self._writer)
        self.sessions = Sessions(
            self._writer, self.presence, self._statuses, self._feed.ready, servers=self._servers
        )
        self.rpc = RpcServer(
            [self.sessions.handlers(), *self._others.handlers()], clock, listen_address(config)
        )
        self.candidacy = Candidacy(
            store,
            clock,
            server=config.name or "server",
            address=advertised_rpc(config),
            lead=self._lead,
            key=self.state.keys.leader,
        )

    def services(self) -> list[Service]:
        """What must run, in the order in which it is started."""
        return [self._feed, self.state.waiters, self._statuses, self.rpc, self.candidacy]

    @property
    def ready(self) -> asyncio.Event:
        """Set once the state has been loaded."""
        return self._feed.ready

    @property
    def rules(self) -> Rules:
        """By what jobs are admitted."""
        return self._rules

    @property
    def is_leader(self) -> bool:
        """Whether this server leads."""
        return self.candidacy.term is not None

    @property
    def known_leader(self) -> bool:
        """Whether some server leads."""
        return self.candidacy.leader is not None

    @property
    def leader_address(self) -> str:
        """Where the leader's RPC is reached; empty when there is none."""
        return self.candidacy.leader.address if self.candidacy.leader is not None else ""

    async def barrier(self, deadline: float) -> None:
        """Wait until the state is as new as the store is now. Raises NoLeader, Unavailable."""
        await self._writer.barrier(deadline)

    def call_node(
        self,
        node_id: str,
        method: str,
        body: bytes,
        inputs: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[bytes]:
        """Ask a node (`hanse.rpc.messages`). Raises NotFound when it is connected to no server."""
        if self.sessions.connected(node_id):
            return self.sessions.call(node_id, method, body, inputs)
        return self._others.call_node(node_id, method, body, inputs)

    def _servers(self) -> Sequence[str]:
        """Where nodes reach the servers of this region."""
        if servers := self._others.servers():
            return servers
        leader = self.candidacy.leader
        return (leader.address,) if leader is not None and leader.address else ()

    def _followed_capacity(self) -> Capacity:
        """What dry runs on a server that does not lead are measured against."""
        if self._capacity is None:
            capacity = self._capacity = Capacity(self.state, self.name)

            def follow(applied: Applied) -> None:
                for change in applied.changes:
                    capacity.take(change)

            self._stop_following = self.state.listen(follow)
        return self._capacity

    # Leading.

    async def _lead(self, term: Term) -> None:
        """Do the leader's work until cancelled; return when another server leads."""
        await self._feed.ready.wait()
        await self.state.wait_applied(await self._store.revision())
        leading = Leading(self.state, self._store, self.clock, self._rng, term.fence, self.name)
        try:
            async with asyncio.TaskGroup() as group:
                self.broker = Broker(leading, executor=self._executor)
                self._stop_following()
                self._capacity = None
                group.create_task(self.broker.run(), name="broker")
                for work in (
                    NodeWatcher(leading, self.presence).run(),
                    DeploymentWatcher(leading, self._history).run(),
                    Drainer(leading).run(),
                    garbage.Collector(leading, self.config.server).run(),
                    *(service.run() for service in self._others.leading(leading)),
                ):
                    group.create_task(work)
        except* Fenced:
            log.warning("stepping down: another server leads")
        finally:
            self.broker = None

    # Jobs.

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
        """Store a job and evaluate it. Raises Invalid, Unsupported, Denied."""
        asked = jobs.Registration(
            enforce_index,
            job_modify_index,
            submission,
            eval_priority,
            preserve_counts,
            preserve_resources,
        )
        return await jobs.register(self._writer, job, asked, self._rules, self._history)

    async def deregister_job(
        self,
        namespace: str,
        job_id: str,
        *,
        purge: bool,
        eval_priority: int = 0,
        no_shutdown_delay: bool = False,
    ) -> JobDeregisterResponse:
        """Stop a job, and with `purge` forget it. Raises NotFound."""
        return await jobs.deregister(
            self._writer,
            namespace,
            job_id,
            purge=purge,
            eval_priority=eval_priority,
            no_shutdown_delay=no_shutdown_delay,
        )

    async def evaluate_job(
        self, namespace: str, job_id: str, *, force_reschedule: bool = False
    ) -> JobRegisterResponse:
        """Look at a job again. Raises NotFound, Invalid."""
        return await jobs.evaluate(
            self._writer, namespace, job_id, force_reschedule=force_reschedule
        )

    async def revert_job(
        self, namespace: str, job_id: str, version: int, *, enforce_prior: int | None = None
    ) -> JobRegisterResponse:
        """Register an older version anew. Raises NotFound, Invalid."""
        return await jobs.revert(
            self._writer,
            namespace,
            job_id,
            version,
            enforce_prior=enforce_prior,
            history=self._history,
        )

    async def plan_job(self, job: Job, *, diff: bool) -> JobPlanResponse:
        """Say what registering a job would do. Raises Invalid, Unsupported."""
        broker = self.broker
        capacity = broker.capacity if broker is not None else self._followed_capacity()
        run = plans.prepare(self._writer, capacity.view(), job, self._rules)
        if self._executor is None:
            return plans.finish(run, diff=diff)
        # Not in the broker's thread: nobody's real work waits for what others try out.
        return await asyncio.to_thread(plans.finish, run, diff=diff)

    async def set_job_stable(self, namespace: str, job_id: str, version: int, stable: bool) -> int:
        """Mark a version as one to go back to, or not; gives the index. Raises NotFound."""
        return await scaling.set_stable(self._writer, namespace, job_id, version, stable)

    async def scale_job(
        self, namespace: str, job_id: str, request: JobScaleRequest
    ) -> JobRegisterResponse:
        """Change a count, or record an event. Raises NotFound, Invalid, Denied."""
        return await scaling.scale(self._writer, namespace, job_id, request, self._history)

    async def tag_version(
        self, namespace: str, job_id: str, version: int | None, name: str, description: str
    ) -> JobVersionTag:
        """Name a version; None is the latest. Raises NotFound, Invalid."""
        return await scaling.tag(self._writer, namespace, job_id, version, name, description)

    async def untag_version(self, namespace: str, job_id: str, name: str) -> int:
        """Take a name away; gives the index. Raises NotFound."""
        return await scaling.untag(self._writer, namespace, job_id, name)

    # Allocations and deployments.

    async def stop_allocation(
        self, alloc_id: str, *, no_shutdown_delay: bool = False, reschedule: bool = False
    ) -> tuple[str, int]:
        """Stop and replace an allocation; gives the evaluation and the index. Raises NotFound."""
        return await other.stop_allocation(
            self._writer, alloc_id, no_shutdown_delay=no_shutdown_delay, reschedule=reschedule
        )

    async def fail_deployment(self, deployment_id: str) -> DeploymentUpdateResponse:
        """Give a deployment up. Raises NotFound, Invalid."""
        return await deployments.fail(self._writer, deployment_id, self._history)

    async def pause_deployment(self, deployment_id: str, pause: bool) -> DeploymentUpdateResponse:
        """Hold a deployment, or go on with it. Raises NotFound, Invalid."""
        return await deployments.pause(self._writer, deployment_id, pause)

    async def promote_deployment(
        self, deployment_id: str, groups: Sequence[str] | None
    ) -> DeploymentUpdateResponse:
        """Let canaries take over; None is those of all groups. Raises NotFound, Invalid."""
        return await deployments.promote(self._writer, deployment_id, groups)

    async def set_allocation_health(
        self, deployment_id: str, healthy: Sequence[str], unhealthy: Sequence[str]
    ) -> DeploymentUpdateResponse:
        """Say which allocations of a deployment are well. Raises NotFound, Invalid."""
        return await deployments.set_health(
            self._writer, deployment_id, healthy, unhealthy, self._history
        )

    # Nodes.

    async def drain_node(
        self, node_id: str, spec: DrainSpec | None, mark_eligible: bool, meta: dict[str, str]
    ) -> tuple[list[str], int]:
        """Drain a node, or with None stop that; gives evaluations and the index."""
        return await nodes.drain(self._writer, node_id, spec, mark_eligible, meta)

    async def set_eligibility(self, node_id: str, eligible: bool) -> tuple[list[str], int]:
        """Allow or forbid new placements; gives evaluations and the index."""
        return await nodes.set_eligibility(self._writer, node_id, eligible)

    async def purge_node(self, node_id: str) -> tuple[list[str], int]:
        """Forget a node; gives evaluations and the index. Raises NotFound."""
        return await nodes.purge(self._writer, node_id)

    async def evaluate_node(self, node_id: str) -> tuple[list[str], int]:
        """Look at the jobs of a node again; gives evaluations and the index."""
        return await nodes.evaluate(self._writer, node_id)

    # The region.

    async def collect_garbage(self) -> None:
        """Forget all that is dead, whatever its age."""
        writer = self._writer
        unfenced = Leading(
            writer.state, writer.store, writer.clock, writer.rng, fence=None, region=self.name
        )
        await garbage.collect(unfenced, garbage.ALL)

    async def set_scheduler_config(
        self, config: SchedulerConfiguration, cas: int | None
    ) -> tuple[bool, int]:
        """Replace the settings, with `cas` only at that index; gives whether, and the index."""
        return await other.set_scheduler_config(self._writer, config, cas)


def listen_address(config: AgentConfig) -> str:
    """What the port for nodes is bound to."""
    return f"{config.addresses.rpc or config.bind_addr}:{config.ports.rpc}"


def advertised_rpc(config: AgentConfig) -> str:
    """Where other agents reach that port; "" if the configuration does not say."""
    host = config.advertise.rpc or config.addresses.rpc or config.bind_addr
    if host in ("", "0.0.0.0", "::") or not config.ports.rpc:
        return ""
    return host if ":" in host else f"{host}:{config.ports.rpc}"
