"""All that one scheduling pass may depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hanse.structs.allocation import Allocation
from hanse.structs.api import SchedulerConfiguration
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from region.scheduler.fleet import FleetView

#: What is wrong with a node that has allocations of the job.
Taint = Literal["down", "drain", "gone", "disconnected"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at `revision`, as far as the evaluation's job is concerned."""

    revision: int
    evaluation: Evaluation
    #: None if the job was purged.
    job: Job | None
    allocations: Sequence[Allocation]
    fleet: FleetView
    #: Other versions of the job that allocations run.
    versions: Mapping[int, Job] = field(default_factory=dict)
    #: The latest deployment of the job, with its counts.
    deployment: Deployment | None = None
    #: By node id, for nodes of the allocations; a node that is not there is well.
    tainted: Mapping[str, Taint] = field(default_factory=dict)
    config: SchedulerConfiguration = field(default_factory=SchedulerConfiguration)
    now_ns: int = 0
    #: Decides the new identifiers and the dynamic ports.
    seed: int = 0
    #: Add the counts of what would be done to the evaluation (`job plan`).
    annotate: bool = False
