"""Admission as the API asks for it, before a request is looked at any further."""

from __future__ import annotations

from hanse.config.model import AgentConfig
from hanse.structs.job import Job
from region.jobs.admission import Rules, admit
from region.jobs.validate import Limits


class Admitting:
    """Checks jobs by the agent's limits."""

    #: Whether the drivers' own rules are checked here; they are not, the node does that.
    checks_drivers = False

    def __init__(self, region: str, config: AgentConfig) -> None:
        """The region is the agent's own."""
        server = config.server
        self._rules = Rules(
            region=region,
            limits=Limits(
                count_max=server.job_max_count,
                priority_max=server.job_max_priority,
                priority_default=server.job_default_priority,
            ),
        )

    def admit(self, job: Job) -> tuple[str, ...]:
        """Warnings about a job that may be stored. Raises InvalidMany and Unsupported."""
        return admit(job, self._rules).warnings
