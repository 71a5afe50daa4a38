"""What the work on one job file has cost so far."""

from __future__ import annotations

import time

from hanse.jobspec.diagnostics import Fault
from hanse.jobspec.limits import DYNAMIC_BLOCKS_MAX, STEPS_MAX

_STEPS_BETWEEN_CLOCK_READS = 2000


class Budget:
    """Counts the work that is done for one job file and ends it when there is too much of it.

    The clock is this thread's CPU time, so a busy machine does not make a good file fail.
    """

    def __init__(self, cpu_s_max: float) -> None:
        self._deadline = time.thread_time() + cpu_s_max
        self._cpu_s_max = cpu_s_max
        self._steps = 0
        self._next_read = _STEPS_BETWEEN_CLOCK_READS
        self.dynamic_blocks = 0

    def charge(self, steps: int = 1) -> None:
        """Account for work; raises Exhausted if it is over."""
        self._steps += steps
        if self._steps >= self._next_read:
            self.check()

    def check(self) -> None:
        """Look at the clock now; raises Exhausted if it is over."""
        self._next_read = self._steps + _STEPS_BETWEEN_CLOCK_READS
        if self._steps > STEPS_MAX or time.thread_time() > self._deadline:
            raise Exhausted(
                "Job file takes too much work",
                f"Evaluation was stopped after {self._cpu_s_max:g} s or {STEPS_MAX} steps.",
            )

    def charge_dynamic(self) -> None:
        """Account for one block made by a dynamic block."""
        self.dynamic_blocks += 1
        self.charge()
        if self.dynamic_blocks > DYNAMIC_BLOCKS_MAX:
            raise Exhausted(
                "Too many dynamic blocks",
                f"One job file may expand to {DYNAMIC_BLOCKS_MAX} dynamic blocks.",
            )


class Exhausted(Fault):
    """The budget is used up: the rest of the file is not looked at, and `try` does not help."""
