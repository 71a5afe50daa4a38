"""May this job be stored? One answer for register, plan and validate.

The order matters: defaults first, then what this version cannot do, then what nobody could do.
All problems are reported together.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from hanse.errors import InvalidMany, Unsupported
from hanse.structs.job import Job
from region.jobs.canonical import canonical
from region.jobs.unsupported import unsupported
from region.jobs.validate import DriverCheck, Limits, problems_of, warnings_of


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job as it will be stored, and what its owner should know about it."""

    job: Job
    warnings: tuple[str, ...]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What admission depends on beside the job."""

    region: str
    limits: Limits = Limits()
    check_driver: DriverCheck | None = None


def admit(job: Job, rules: Rules) -> Admitted:
    """Complete and check a job. Raises InvalidMany and Unsupported; changes nothing."""
    done = canonical(job, region=rules.region, default_priority=rules.limits.priority_default)
    problems = problems_of(done.job, rules.limits, region=rules.region, check=rules.check_driver)
    if problems:
        raise InvalidMany(problems)
    refused = unsupported(done.job)
    if refused:
        raise Unsupported(refused)
    return Admitted(done.job, (*done.warnings, *warnings_of(done.job)))
