"""Admission as the API asks for it, before a request is looked at any further."""

from __future__ import annotations

from hanse.config.model import AgentConfig
from hanse.structs.job import Job
from region.api.ports import RegionPort
from region.jobs.admission import Rules, admit
from region.jobs.validate import Limits


class Admitting:
    """Checks jobs by the agent's limits."""

    def __init__(self, region: RegionPort, config: AgentConfig) -> None:
        """Take the region's own rules; one that has none is judged by the configuration."""
        server = config.server
        own: Rules | None = getattr(region, "rules", None)
        self._rules = own or Rules(
            region=region.name,
            limits=Limits(
                count_max=server.job_max_count,
                priority_max=server.job_max_priority,
                priority_default=server.job_default_priority,
            ),
        )

    @property
    def checks_drivers(self) -> bool:
        """Whether the drivers' own rules are checked too, or left to the node."""
        return self._rules.check_driver is not None

    def admit(self, job: Job) -> tuple[str, ...]:
        """Warnings about a job that may be stored. Raises InvalidMany and Unsupported."""
        return admit(job, self._rules).warnings
