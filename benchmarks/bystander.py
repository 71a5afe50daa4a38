"""A process that asks a small question again and again: python -m benchmarks.bystander PORT.

It prints how long each answer took, in seconds, once its input ends. A process of its own,
because whoever reads a large answer in the same one would be measured along with the agent.
"""

from __future__ import annotations

import http.client
import select
import sys
import time

PAUSE_S = 0.005


def main() -> None:
    """Ask until there is no more input."""
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    delays: list[float] = []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        began = time.perf_counter()
        connection.request("GET", "/v1/status/leader")
        answer = connection.getresponse()
        answer.read()
        delays.append(time.perf_counter() - began)
        assert answer.status == 200
        if len(delays) == 1:
            print("ready", flush=True)
    print(*delays[1:])


if __name__ == "__main__":
    main()
