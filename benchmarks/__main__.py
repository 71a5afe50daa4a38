"""python -m benchmarks [--quick] [W2 W3 ...]: run workloads, print rows, write RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from benchmarks import etcd_floor
from benchmarks.machine import constants
from benchmarks.report import Row, write

MODULES = {
    "W2": "w02_small_jobs",
    "W3": "w03_latency",
    "W5": "w05_blocking",
    "W6": "w06_failover",
    "W8": "w08_lists",
    "W10": "w10_tasks",
}

#: Many minutes each: run only when named.
LONG = frozenset({"W6"})


def main() -> int:
    """Run what was asked for; a workload that fails its check is reported and fails the run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(MODULES)}")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes; RESULTS.md is not written"
    )
    options = parser.parse_args()
    names = options.names or [name for name in MODULES if name not in LONG]
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        parser.error(f"unknown workload {unknown[0]}; there are {', '.join(MODULES)}")
    rows: list[Row] = []
    failed = False
    for name in names:
        began = time.perf_counter()
        print(f"{name} …", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{MODULES[name]}")
        try:
            found = module.run(quick=options.quick)
        except AssertionError as error:
            failed = True
            found = [Row(name, "FAILED", str(error)[:200])]
        for row in found:
            print(f"{row.workload:4} {row.what:52} {row.measured:44} {row.goal}", flush=True)
        rows += found
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    machine = [*constants(), *etcd_floor.constants()]
    for row in machine:
        print(f"     {row.what:52} {row.measured}")
    if not options.quick:
        write(rows, machine)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
