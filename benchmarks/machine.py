"""What this machine and etcd can do at best, measured in the same run as the workloads."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from benchmarks.report import Row


def constants() -> list[Row]:
    """fdatasync, a loopback round trip, a process."""
    return [
        Row("", "fdatasync of 4 KiB", f"{_fdatasync() * 1000:.2f} ms (median)"),
        Row("", "loopback round trip, TCP", f"{_round_trip() * 1e6:.0f} us (median)"),
        Row("", "spawn of /bin/true", f"{_spawn() * 1000:.2f} ms (median)"),
        Row("", "a million additions in Python", f"{_python() * 1000:.0f} ms"),
    ]


def _fdatasync() -> float:
    with tempfile.NamedTemporaryFile(dir=".") as file:
        times: list[float] = []
        for _ in range(100):
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _round_trip() -> float:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            peer, _ = server.accept()
            with peer:
                while data := peer.recv(64):
                    peer.sendall(data)

        thread = threading.Thread(target=echo)
        thread.start()
        times: list[float] = []
        with socket.create_connection(server.getsockname()) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(1000):
                began = time.perf_counter()
                client.sendall(b"x")
                client.recv(64)
                times.append(time.perf_counter() - began)
        thread.join()
    return statistics.median(times)


def _spawn() -> float:
    times: list[float] = []
    for _ in range(50):
        began = time.perf_counter()
        subprocess.run(["/bin/true"], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _python() -> float:
    began = time.perf_counter()
    total = 0
    for i in range(1_000_000):
        total += i
    return time.perf_counter() - began
