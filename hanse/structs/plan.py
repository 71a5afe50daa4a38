"""What the scheduler answers."""

from __future__ import annotations

import msgspec

from hanse.structs.allocation import AllocChange
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import AllocMetric, DesiredUpdates, Evaluation
from hanse.structs.taskstate import AllocatedPortMapping, RescheduleTracker


class Placement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Start this instance there."""

    id: str
    group: str
    index: int
    node_id: str
    ports: tuple[AllocatedPortMapping, ...] = ()
    #: The allocation it takes the place of, if any.
    previous_id: str = ""
    reschedule: RescheduleTracker | None = None
    canary: bool = False
    deployment_id: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that one evaluation decided. Made at `revision`; nothing of it has happened yet."""

    revision: int
    #: The evaluation as it is to be stored: complete, with its failures and queued counts.
    evaluation: Evaluation
    job_version: int = 0
    job_create_index: int = 0
    placements: tuple[Placement, ...] = ()
    #: Stops, in-place updates, lost verdicts, links to successors.
    changes: tuple[AllocChange, ...] = ()
    #: A deployment to create or to update; None leaves it alone.
    deployment: Deployment | None = None
    #: Older deployments whose status this plan changes (cancelled ones).
    ended_deployments: tuple[Deployment, ...] = ()
    #: Blocked, follow-up and rolling evaluations to create.
    evaluations: tuple[Evaluation, ...] = ()
    #: Metrics of the groups' placements, and of those that failed.
    metrics: dict[str, AllocMetric] = {}
    desired: dict[str, DesiredUpdates] = {}
