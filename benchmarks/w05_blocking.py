"""W5: thousands of blocking queries on one job, one write: when does the last one wake?"""

from __future__ import annotations

import resource
import selectors
import socket
import threading
import time

from benchmarks.cluster import batch_job, cluster
from benchmarks.report import Row
from tests.e2e.harness import Agent

NAME = "W5"


def run(*, quick: bool = False) -> list[Row]:
    """1,000 and 10,000 waiters; a write of another job must wake none of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    del soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[Row] = []
    for waiters, goal in (
        ((200, ""),) if quick else ((1000, "<= 40 ms"), (9000, "<= 400 ms (10,000)"))
    ):
        with cluster(100) as agent:
            last = _measure(agent, waiters)
        what = f"{waiters} waiters on one job, last woken after a write"
        rows.append(Row(NAME, what, f"{last * 1000:.1f} ms after the PUT was sent", goal))
    return rows


class _Waiters:
    """Blocking queries on plain sockets, so that what is measured is the agent and not asyncio."""

    def __init__(self, agent: Agent, count: int, path: str) -> None:
        self._selector = selectors.DefaultSelector()
        self.woken: dict[int, float] = {}
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        self._sockets: list[socket.socket] = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", agent.ports["http"]))
            sock.sendall(request)
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
            self._sockets.append(sock)

    def listen(self, until: float) -> None:
        """Note who is answered, until all are or the time has come."""
        while len(self.woken) < len(self._sockets) and time.perf_counter() < until:
            for key, _ in self._selector.select(0.1):
                now = time.perf_counter()
                assert isinstance(key.fileobj, socket.socket)
                if key.fd not in self.woken:
                    head = key.fileobj.recv(65_536)
                    assert head.startswith(b"HTTP/1.1 200"), head
                    self.woken[key.fd] = now
                    self._selector.unregister(key.fileobj)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._selector.close()


def _put(agent: Agent, job_id: str, count: int) -> None:
    assert agent.put("/v1/jobs", {"Job": batch_job(job_id, count)}).status == 200


def _measure(agent: Agent, count: int) -> float:
    _put(agent, "watched", 1)
    time.sleep(0.5)
    index = agent.get("/v1/job/watched?stale").headers["X-Nomad-Index"]
    waiters = _Waiters(agent, count, f"/v1/job/watched?stale&index={index}&wait=120s")
    try:
        time.sleep(2 + count / 2000)
        _put(agent, "another", 1)
        waiters.listen(time.perf_counter() + 0.5)
        assert not waiters.woken, f"{len(waiters.woken)} were woken by another job's write"
        began = time.perf_counter()
        writer = threading.Thread(target=_put, args=(agent, "watched", 2))
        writer.start()
        waiters.listen(time.perf_counter() + 60)
        writer.join()
    finally:
        waiters.close()
    assert len(waiters.woken) == count
    return max(waiters.woken.values()) - began
