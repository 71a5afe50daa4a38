"""Allocations: an instance of a group, bound to a node.

What is *desired* of an allocation is written by the scheduler, what *is* by the client that runs
it; the two are kept apart in the store (one writer per key) and meet in `Allocation`, in memory.
The store holds desired state in blocks: a `PlacementBlock` for up to `BLOCK_ALLOCATIONS_MAX`
placements of one plan and group, and later a `ChangeBlock` for what was decided about some of
them. Collecting garbage folds the changes into the blocks.
"""

from __future__ import annotations

import msgspec

from hanse.structs.evaluation import AllocMetric
from hanse.structs.taskstate import (
    AllocatedPortMapping,
    AllocNetworkStatus,
    DesiredTransition,
    RescheduleTracker,
    TaskState,
)

#: Larger blocks bloat the Raft log that etcd members keep in memory.
BLOCK_ALLOCATIONS_MAX = 100

NO_TRANSITION = DesiredTransition()

#: Client statuses after which nothing of the allocation runs any more.
CLIENT_TERMINAL = frozenset({"complete", "failed", "lost"})


class Placed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One placement in a block. The order of the fields is the stored form: append only."""

    id: str
    index: int
    node_id: str
    ports: tuple[AllocatedPortMapping, ...] = ()
    previous_id: str = ""
    reschedule: RescheduleTracker | None = None
    canary: bool = False


class PlacementBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Placements of one plan for one group, as the store keeps them."""

    id: str
    namespace: str
    job_id: str
    job_version: int
    job_create_index: int
    group: str
    eval_id: str
    deployment_id: str = ""
    created_ns: int
    metrics: AllocMetric | None = None
    placed: tuple[Placed, ...]
    schema: int = 1


class AllocChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided about an allocation that exists; None leaves a thing as it was."""

    alloc_id: str
    desired_status: str | None = None
    desired_description: str | None = None
    #: The servers' verdict that overrides a client that is away: "lost" or "unknown"; "" lifts it.
    verdict: str | None = None
    transition: DesiredTransition | None = None
    followup_eval_id: str | None = None
    next_id: str | None = None
    #: An in-place update: the allocation now runs this version, in this deployment.
    job_version: int | None = None
    deployment_id: str | None = None
    eval_id: str | None = None
    #: Health set by an operator rather than by the client.
    healthy: bool | None = None
    reschedule: RescheduleTracker | None = None
    #: Revision and time of the decision, once garbage collection has folded it into another
    #: block; 0 while the block's own are meant.
    made_index: int = 0
    made_ns: int = 0


class ChangeBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of one plan or one request, as the store keeps them."""

    id: str
    made_ns: int
    changes: tuple[AllocChange, ...]
    schema: int = 1


class ServiceInstance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A service registration that a running allocation offers."""

    id: str
    service: str
    address: str
    port: int
    tags: tuple[str, ...] = ()


class AllocStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a client says of one allocation: always the whole of it, never a difference."""

    alloc_id: str
    client_status: str = "pending"
    client_description: str = ""
    task_states: dict[str, TaskState] = {}
    #: Whether the allocation met its deployment's rules; None while not decided.
    healthy: bool | None = None
    healthy_at_ns: int = 0
    #: The deployment that `healthy` is about, "" for a migration; None when not said.
    healthy_in: str | None = None
    network: AllocNetworkStatus | None = None
    services: tuple[ServiceInstance, ...] = ()
    modified_ns: int = 0
    #: Revision of the report, once segments were merged; 0 while the segment's own is meant.
    reported_index: int = 0
    #: `task_states`, packed by `region.state.packing`. In the servers' memory only: never sent
    #: nor stored.
    packed_states: bytes = b""


class StatusSegment(msgspec.Struct, frozen=True, kw_only=True):
    """Statuses that a node reported in one flush, as the store keeps them."""

    node_id: str
    statuses: tuple[AllocStatus, ...]
    schema: int = 1


class Allocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An allocation as the servers see it: desired state and last report together."""

    id: str
    namespace: str
    job_id: str
    #: The version it runs; the job itself is looked up in the state.
    job_version: int
    job_create_index: int = 0
    group: str
    index: int
    node_id: str
    eval_id: str
    deployment_id: str = ""
    previous_id: str = ""
    next_id: str = ""
    followup_eval_id: str = ""
    ports: tuple[AllocatedPortMapping, ...] = ()
    canary: bool = False
    reschedule: RescheduleTracker | None = None
    metrics: AllocMetric | None = None
    desired_status: str = "run"
    desired_description: str = ""
    transition: DesiredTransition = NO_TRANSITION
    verdict: str = ""
    healthy_override: bool | None = None
    #: The client's last report; None until there was one.
    client: AllocStatus | None = None
    create_index: int = 0
    modify_index: int = 0
    #: Revision of the last change of what is desired.
    alloc_modify_index: int = 0
    #: Revision of the client's last report.
    client_modify_index: int = 0
    create_ns: int = 0
    modify_ns: int = 0

    @property
    def name(self) -> str:
        """`job.group[index]`."""
        return f"{self.job_id}.{self.group}[{self.index}]"

    @property
    def client_status(self) -> str:
        """`pending`, `running`, `complete`, `failed`, `lost` or `unknown`."""
        reported = self.client.client_status if self.client is not None else "pending"
        if self.verdict and reported not in CLIENT_TERMINAL:
            return self.verdict
        return reported

    @property
    def client_terminal(self) -> bool:
        """Nothing of it runs any more, as far as anyone can know."""
        return self.client_status in CLIENT_TERMINAL

    @property
    def terminal(self) -> bool:
        """It is over, or the servers want it to be."""
        return self.desired_status != "run" or self.client_terminal

    @property
    def healthy(self) -> bool | None:
        """Deployment health: the operator's word, else the client's."""
        if self.healthy_override is not None:
            return self.healthy_override
        if self.client is None:
            return None
        # A verdict on an earlier deployment says nothing of one that updated it in place.
        if self.client.healthy_in not in (None, self.deployment_id):
            return None
        return self.client.healthy
