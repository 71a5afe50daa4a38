"""A real agent as a process, on free ports, in a folder of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

HANSE = Path(sys.executable).with_name("hanse")
#: Nothing here takes longer on a busy machine; a test that waits this long has failed.
PATIENCE_S = 60.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def eventually(what: str, probe: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """The first answer of `probe` that is not None, False or empty; fails after `patience_s`."""
    deadline = time.monotonic() + patience_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = probe()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            last = error
        else:
            if last:
                return last  # type: ignore[return-value]
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {patience_s:g} s; last seen: {last!r}")


class Response:
    """An answer of the HTTP API."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """As it came over the wire."""
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        assert self.status == 200, f"{self.status}: {self.body[:500]!r}"
        return json.loads(self.body)


class Agent:
    """`hanse agent -dev` under test."""

    def __init__(self, folder: Path, *, options: list[str] | None = None, dev: bool = True) -> None:
        """Choose ports; nothing is started yet."""
        self.folder = folder
        names = ("http", "rpc", "serf", "etcd_client", "etcd_peer")
        self.ports = dict(zip(names, free_ports(5), strict=True))
        self.options = options or []
        self.dev = dev
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "agent.log"
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    def start(self) -> Agent:
        """Start, or start again on the same data; returns when the node is ready."""
        self.launch()
        eventually("a ready node", self._ready)
        return self

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        config = self.folder / "agent.hcl"
        ports = "\n".join(f"  {name} = {port}" for name, port in self.ports.items())
        data = self.folder / "data"
        config.write_text(f'data_dir = "{data}"\nports {{\n{ports}\n}}\n')
        command = [str(HANSE), "agent", *(["-dev"] if self.dev else []), "-config", str(config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the agent ended: {self.log.read_text()[-3000:]}")
        nodes = self.get("/v1/nodes").json()
        return any(node["Status"] == "ready" for node in nodes)

    def kill(self) -> None:
        """SIGKILL: the agent has no chance to do anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        """Stop every job, then the agent, whatever state the test left it in."""
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                self.stop_jobs()
                self.stop()
            finally:
                if self.process.poll() is None:
                    self.kill()

    def stop_jobs(self) -> None:
        """Stop all jobs and wait until none of their tasks is left."""
        for job in self.get("/v1/jobs").json():
            self.request("DELETE", f"/v1/job/{job['ID']}?no_shutdown_delay=true")
        eventually("all allocations ended", lambda: not self.live())

    def live(self) -> list[Any]:
        return [
            alloc
            for alloc in self.get("/v1/allocations").json()
            if alloc["ClientStatus"] in ("pending", "running") and alloc["NodeID"]
        ]

    def request(self, method: str, path: str, body: object = None) -> Response:
        """One request; `body` is sent as JSON unless it is bytes."""
        return self.ask("127.0.0.1", method, path, body)

    def ask(
        self, host: str, method: str, path: str, body: object = None, timeout_s: float = PATIENCE_S
    ) -> Response:
        """The same at any address of this machine."""
        connection = http.client.HTTPConnection(host, self.ports["http"], timeout=timeout_s)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data)
            answer = connection.getresponse()
            return Response(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Response:
        return self.request("GET", path)

    def put(self, path: str, body: object = None) -> Response:
        return self.request("PUT", path, body)

    def cli(
        self, *arguments: str, text: str | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the `hanse` command against this agent, its output in a pipe."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("NOMAD", "HANSE"))}
        return subprocess.run(
            [str(HANSE), *arguments],
            env={**environment, "HANSE_ADDR": self.address},
            input=text,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 3,
            check=False,
        )

    def run_job(self, job: dict[str, Any]) -> str:
        """Register a job; returns the evaluation's id."""
        return str(self.put("/v1/jobs", {"Job": job}).json()["EvalID"])

    def running(self, job_id: str, count: int) -> list[Any]:
        """The allocations of a job once so many of them run."""

        def probe() -> list[Any] | None:
            found = [
                alloc
                for alloc in self.get(f"/v1/job/{job_id}/allocations").json()
                if alloc["ClientStatus"] == "running" and alloc["DesiredStatus"] == "run"
            ]
            return found if len(found) == count else None

        return eventually(f"{count} running allocations of {job_id}", probe)


def raw_exec_job(job_id: str, script: str, *, count: int = 1, **task: Any) -> dict[str, Any]:
    """A job of one shell script; `task` adds to or replaces the task's fields."""
    return {
        "ID": job_id,
        "Name": job_id,
        "Type": "service",
        "Datacenters": ["*"],
        "TaskGroups": [
            {
                "Name": "g",
                "Count": count,
                "Tasks": [
                    {
                        "Name": "t",
                        "Driver": "raw_exec",
                        "Config": {"command": "/bin/sh", "args": ["-c", script]},
                        "Resources": {"CPU": 10, "MemoryMB": 10},
                        **task,
                    }
                ],
            }
        ],
    }
