"""The names of keys in the region's store, and back.

Namespaces and job IDs are escaped, so that a slash in a job's ID cannot be taken for one of ours.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

#: Families in the order in which events of one revision are applied: what others refer to first.
FAMILIES = (
    "config",
    "nodes",
    "node-state",
    "jobs",
    "job-versions",
    "job-extra",
    "submissions",
    "deployments",
    "blocks",
    "changes",
    "status",
    "evals",
    "leader",
)


@lru_cache(maxsize=50_000)
def escaped(part: str) -> str:
    """One path segment out of any text."""
    return quote(part, safe="")


class Keys:
    """The keys of one region."""

    def __init__(self, region: str) -> None:
        """All keys of `region` start with `prefix`."""
        self.prefix = f"/hanse/{escaped(region)}/"
        self.leader = f"{self.prefix}leader"
        self.scheduler_config = f"{self.prefix}config/scheduler"

    def split(self, key: str) -> tuple[str, tuple[str, ...]]:
        """The family of a key and its parts, unescaped."""
        family, *parts = key[len(self.prefix) :].split("/")
        return family, tuple(unquote(part) if "%" in part else part for part in parts)

    def job(self, namespace: str, job_id: str) -> str:
        """The current version of a job."""
        return f"{self.prefix}jobs/{escaped(namespace)}/{escaped(job_id)}"

    def job_version(self, namespace: str, job_id: str, version: int) -> str:
        """One kept version."""
        return f"{self.job_versions(namespace, job_id)}{version:08d}"

    def job_versions(self, namespace: str, job_id: str) -> str:
        """The prefix of all kept versions of a job."""
        return f"{self.prefix}job-versions/{escaped(namespace)}/{escaped(job_id)}/"

    def job_extra(self, namespace: str, job_id: str) -> str:
        """Stable versions, tags and scaling events."""
        return f"{self.prefix}job-extra/{escaped(namespace)}/{escaped(job_id)}"

    def submission(self, namespace: str, job_id: str, version: int) -> str:
        """The source of one version."""
        return f"{self.submissions(namespace, job_id)}{version:08d}"

    def submissions(self, namespace: str, job_id: str) -> str:
        """The prefix of all sources of a job."""
        return f"{self.prefix}submissions/{escaped(namespace)}/{escaped(job_id)}/"

    def evaluation(self, eval_id: str) -> str:
        """An evaluation."""
        return f"{self.prefix}evals/{eval_id}"

    def deployment(self, deployment_id: str) -> str:
        """A deployment."""
        return f"{self.prefix}deployments/{deployment_id}"

    def block(self, block_id: str) -> str:
        """A block of placements."""
        return f"{self.prefix}blocks/{block_id}"

    def changes(self, block_id: str) -> str:
        """A block of changes."""
        return f"{self.prefix}changes/{block_id}"

    def status(self, node_id: str, sequence: str) -> str:
        """One segment of a node's reports."""
        return f"{self.prefix}status/{node_id}/{sequence}"

    def statuses(self, node_id: str) -> str:
        """The prefix of all segments of a node."""
        return f"{self.prefix}status/{node_id}/"

    def node(self, node_id: str) -> str:
        """A node's registration."""
        return f"{self.prefix}nodes/{node_id}"

    def node_state(self, node_id: str) -> str:
        """What the servers hold of a node."""
        return f"{self.prefix}node-state/{node_id}"
