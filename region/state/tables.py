"""All tables of one region's state. Only `region.state.applying` changes them."""

from __future__ import annotations

from typing import NamedTuple

from hanse.structs.allocation import Allocation
from hanse.structs.api import PreemptionConfig, SchedulerConfiguration
from hanse.structs.evaluation import Evaluation
from region.state.entries import DeploymentEntry, JobEntry, JobKey, NodeEntry, ServiceEntry
from region.state.keys import Keys
from region.state.topics import Topic

DEFAULT_SCHEDULER_CONFIG = SchedulerConfiguration(
    scheduler_algorithm="binpack", preemption_config=PreemptionConfig()
)

#: How many deletions are remembered one by one, so that the index of what is gone never sinks.
_GONE_MAX = 20_000


class Changed(NamedTuple):
    """One object before and after a revision; None where it did not exist."""

    #: `jobs`, `allocs`, `evals`, `deployments`, `nodes`, `services`, `config`.
    table: str
    key: object
    old: object | None
    new: object | None


class Applied(NamedTuple):
    """All that one revision changed."""

    revision: int
    changes: tuple[Changed, ...]


class BlockEntry(NamedTuple):
    """Which allocations a stored block holds."""

    alloc_ids: tuple[str, ...]
    #: The revision that made the block; for blocks of changes, that last put it.
    revision: int


class Tables:
    """The tables and what is derived from them."""

    def __init__(self, keys: Keys) -> None:
        """Empty tables."""
        self.keys = keys
        self.revision = 0
        #: Nothing is known of changes up to here but what is still there.
        self.floor = 1
        self.jobs: dict[JobKey, JobEntry] = {}
        self.allocs: dict[str, Allocation] = {}
        self.evals: dict[str, Evaluation] = {}
        self.deployments: dict[str, DeploymentEntry] = {}
        self.nodes: dict[str, NodeEntry] = {}
        self.services: dict[tuple[str, str], ServiceEntry] = {}
        self.eval_allocs: dict[str, dict[str, None]] = {}
        self.blocks: dict[str, BlockEntry] = {}
        self.change_blocks: dict[str, BlockEntry] = {}
        self.scheduler_config = DEFAULT_SCHEDULER_CONFIG
        self.leader = b""
        #: Every key of the store that was applied, with the revision it was last put at.
        self.stored: dict[str, int] = {}
        #: Values that could not be read, and why.
        self.unreadable: dict[str, str] = {}
        self.table_index: dict[str, int] = {}
        self._gone: dict[Topic, int] = {}
        self._strings: dict[str, str] = {}

    def shared(self, text: str) -> str:
        """One object for equal texts that many allocations hold.

        For names that do not come and go: none is ever forgotten.
        """
        return self._strings.setdefault(text, text)

    def job_entry(self, key: JobKey) -> JobEntry:
        """The entry of a job, made if need be."""
        entry = self.jobs.get(key)
        if entry is None:
            key = (self.shared(key[0]), key[1])
            entry = self.jobs[key] = JobEntry(key)
        return entry

    def node_entry(self, node_id: str) -> NodeEntry:
        """The entry of a node, made if need be."""
        entry = self.nodes.get(node_id)
        if entry is None:
            entry = self.nodes[self.shared(node_id)] = NodeEntry()
        return entry

    def deployment_entry(self, deployment_id: str) -> DeploymentEntry:
        """The entry of a deployment, made if need be."""
        entry = self.deployments.get(deployment_id)
        if entry is None:
            entry = self.deployments[deployment_id] = DeploymentEntry()
        return entry

    def forget(self, topic: Topic, revision: int) -> None:
        """Remember when an object went away."""
        self._gone[topic] = revision
        if len(self._gone) > _GONE_MAX:
            oldest = next(iter(self._gone))
            self.floor = max(self.floor, self._gone.pop(oldest))

    def index(self, topic: Topic) -> int:
        """The revision that last changed a topic; what is not known never sinks below `floor`."""
        found = self._index(topic)
        return found if found else max(self._gone.get(topic, 0), self.floor)

    def _index(self, topic: Topic) -> int:
        match topic:
            case (table,):
                return max(self.table_index.get(table, 0), self.floor)
            case ("job", namespace, job_id):
                job = self.jobs.get((namespace, job_id))
                return job.index if job is not None and job.job is not None else 0
            case ("job-allocs", namespace, job_id):
                job = self.jobs.get((namespace, job_id))
                return job.allocs_index if job is not None else 0
            case ("job-evals", namespace, job_id):
                job = self.jobs.get((namespace, job_id))
                return job.evals_index if job is not None else 0
            case ("job-deployments", namespace, job_id):
                job = self.jobs.get((namespace, job_id))
                return job.deployments_index if job is not None else 0
            case ("alloc", alloc_id):
                alloc = self.allocs.get(alloc_id)
                return alloc.modify_index if alloc is not None else 0
            case ("eval", eval_id):
                evaluation = self.evals.get(eval_id)
                return evaluation.modify_index if evaluation is not None else 0
            case ("eval-allocs", eval_id):
                ids = self.eval_allocs.get(eval_id, {})
                return max((self.allocs[i].modify_index for i in ids), default=0)
            case ("deployment", deployment_id):
                deployment = self.deployments.get(deployment_id)
                return deployment.index if deployment is not None and deployment.stored else 0
            case ("node", node_id):
                node = self.nodes.get(node_id)
                return node.index if node is not None and node.record is not None else 0
            case ("node-allocs", node_id):
                node = self.nodes.get(node_id)
                return node.allocs_index if node is not None else 0
            case ("service", namespace, name):
                service = self.services.get((namespace, name))
                return service.index if service is not None else 0
            case _:
                raise ValueError(f"no such topic: {topic!r}")
