"""The services of one allocation: which are offered now, and how their checks are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial

import structlog

from client.checks import CheckState, Probe, after_probe, keep_checking, result_of
from client.environment import Paths, Place, task_environment
from client.interpolate import replace
from client.registrations import CheckPlan, Offer, instances, offers
from client.world import World
from hanse.structs.allocation import Allocation, ServiceInstance
from hanse.structs.job import Job, TaskGroup
from hanse.structs.service import CheckQueryResult
from hanse.structs.task import Task

log = structlog.get_logger(__name__)


class Offering:
    """Registers services and runs their checks while the tasks behind them serve."""

    def __init__(
        self,
        world: World,
        started_ns: Callable[[str], int],
        moved: Callable[[], None],
        restart: Callable[[str, str], None],
    ) -> None:
        """`moved`: a check's verdict changed. `restart(task, reason)`: a check demands it.

        `started_ns(task)` is when the task last started ("": any of the group).
        """
        self._world = world
        self._started_ns = started_ns
        self._moved = moved
        self._restart = restart
        self._offers: tuple[Offer, ...] = ()
        self._group = ""
        self._serving: frozenset[str] = frozenset()
        self._states: dict[str, CheckState] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}

    def plan(
        self, allocation: Allocation, job: Job, group: TaskGroup, names: Mapping[str, str]
    ) -> None:
        """Resolve the services' names, tags and ports anew. Raises Invalid."""
        address = self._world.node().attributes.get("unique.network.ip-address", "127.0.0.1")
        self._group = group.name
        self._offers = offers(
            allocation, group, address, partial(_final, allocation, job, group, names, {})
        )
        self._reconcile()

    def serve(self, tasks: Collection[str]) -> None:
        """These tasks serve now; services of others are withdrawn, with their checks."""
        serving = frozenset(tasks)
        if serving != self._serving:
            self._serving = serving
            self._reconcile()

    @property
    def instances(self) -> tuple[ServiceInstance, ...]:
        """The registrations as of now."""
        return instances(self._offers, self._serving)

    @property
    def passing(self) -> bool:
        """Every check that decides about health passes (so: true if there is none)."""
        return all(
            self._state(check).status == "success"
            for check in self._checks()
            if check.mode == "healthiness"
        )

    def results(self) -> dict[str, CheckQueryResult]:
        """Every check's last result, by its id."""
        return {c.id: result_of(c, self._state(c), self._group) for c in self._checks()}

    def close(self) -> None:
        """End all checks."""
        for loop in self._loops.values():
            loop.cancel()
        self._loops.clear()

    def _checks(self) -> list[CheckPlan]:
        return [check for offer in self._offers for check in offer.checks]

    def _state(self, check: CheckPlan) -> CheckState:
        return self._states.get(check.id, CheckState())

    def _reconcile(self) -> None:
        """Checks run for exactly the offers whose tasks serve."""
        wanted = {
            check.id: check
            for offer in self._offers
            if any(task in self._serving for task in offer.tasks)
            for check in offer.checks
        }
        for check_id in [known for known in self._loops if known not in wanted]:
            self._loops.pop(check_id).cancel()
            self._states.pop(check_id, None)
        for check_id, check in wanted.items():
            if check_id not in self._loops:
                self._states[check_id] = CheckState()
                self._loops[check_id] = self._world.spawn(
                    keep_checking,
                    check,
                    self._world.prober,
                    self._world.clock,
                    partial(self._report, check),
                )

    def _report(self, check: CheckPlan, probe: Probe) -> None:
        before = self._state(check)
        after, restart = after_probe(
            check,
            before,
            probe,
            started_ns=self._started_ns(check.task),
            now_ns=self._world.clock.wall_ns(),
        )
        self._states[check.id] = after
        if after.status != before.status:
            log.info("check moved", check=check.name, status=after.status, output=probe.output)
            self._moved()
        if restart:
            self._restart(check.task, f'check "{check.name}" of service "{check.service}" failed')


def _final(
    allocation: Allocation,
    job: Job,
    group: TaskGroup,
    names: Mapping[str, str],
    known: dict[str, dict[str, str]],
    text: str,
    task: str,
) -> str:
    """The text as it reads for one task; "" is the group's own view. `known` is a cache."""
    if "${" not in text:
        return text
    if task not in known:
        subject = next((each for each in group.tasks if each.name == task), Task(name=task))
        known[task] = task_environment(
            allocation,
            job,
            group,
            subject,
            paths=Paths(alloc="/alloc", local="/local", secrets="/secrets"),
            place=Place(region=names["node.region"], datacenter=names["node.datacenter"]),
            names=names,
        )[1]
    return replace(text, names, known[task])
