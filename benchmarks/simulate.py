"""A process that plays many nodes: python -m benchmarks.simulate --server HOST:PORT --count N."""

from __future__ import annotations

import argparse
import asyncio

from hanse.clock import SystemClock
from hanse.testing.nodes import SimulatedFleet, SimulatedNode, simulated_node

#: Roomy enough that capacity is never what a benchmark measures.
CPU_MHZ, MEMORY_MB = 64_000, 256_000


def main() -> None:
    """Play nodes until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    clock = SystemClock()
    nodes = [
        SimulatedNode(simulated_node(number, cpu_mhz=CPU_MHZ, memory_mb=MEMORY_MB), clock)
        for number in range(options.count)
    ]
    asyncio.run(SimulatedFleet(nodes, options.server).run())


if __name__ == "__main__":
    main()
