"""A region of several real servers: one process each, on loopback addresses of their own."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.harness import HANSE, Agent, eventually, raw_exec_job

PORTS = ("http", "rpc", "serf", "etcd_client", "etcd_peer")


def free_ports_on(host: str, count: int) -> list[int]:
    """Ports of one loopback address that nobody uses, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Server(Agent):
    """One server of the region; `client` makes it a node too."""

    def __init__(
        self,
        folder: Path,
        name: str,
        host: str,
        *,
        client: bool = False,
        ports: dict[str, int] | None = None,
    ) -> None:
        """Nothing is started yet."""
        super().__init__(folder, dev=False)
        self.name = name
        self.host = host
        self.client = client
        self.server = True
        self.ports = ports or dict(zip(PORTS, free_ports_on(host, len(PORTS)), strict=True))
        #: Words before the agent's command, to run it somewhere else.
        self.prefix: Sequence[str] = ()
        self.expect = 3
        self.join: Sequence[str] = ()
        self.region = "global"
        self.more = ""

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.ports['http']}"

    @property
    def rpc(self) -> str:
        return f"{self.host}:{self.ports['rpc']}"

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        config = self.folder / "agent.hcl"
        ports = "\n".join(f"  {name} = {port}" for name, port in self.ports.items())
        join = ", ".join(f'"{address}"' for address in self.join)
        config.write_text(
            f'''
            name = "{self.name}"
            region = "{self.region}"
            data_dir = "{self.folder / "data"}"
            bind_addr = "{self.host}"
            log_level = "DEBUG"
            ports {{\n{ports}\n}}
            server {{
              enabled = {str(self.server).lower()}
              bootstrap_expect = {self.expect}
              server_join {{ retry_join = [{join}] }}
              {self.more}
            }}
            client {{
              enabled = {str(self.client).lower()}
              server_join {{ retry_join = [{join}] }}
            }}
            plugin "raw_exec" {{ config {{ enabled = true }} }}
            '''
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, str(HANSE), "agent", "-config", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def request(self, method: str, path: str, body: object = None, timeout_s: float = 60.0) -> Any:
        return self.ask(self.host, method, path, body, timeout_s=timeout_s)

    @property
    def pids(self) -> list[int]:
        """The agent and its member of etcd."""
        assert self.process is not None
        return [self.process.pid, *children_of(self.process.pid)]

    def freeze(self) -> list[int]:
        """SIGSTOP of all of it, as when its machine pauses; gives what `thaw` takes."""
        pids = self.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    @staticmethod
    def thaw(pids: Sequence[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def leader(self) -> str:
        """The leader as this server sees it; "" if it sees none."""
        return str(self.get("/v1/status/leader").json())

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process is None:
            return
        pids = self.pids if self.alive() else []
        self.thaw(pids)
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()


def children_of(pid: int) -> list[int]:
    """The processes that a process started."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
        except OSError:
            continue
        if int(stat.rsplit(")", 1)[1].split()[1]) == pid:
            found.append(int(name))
    return found


class Region:
    """Servers that are to be one region."""

    def __init__(self, folder: Path, count: int = 3, *, clients: bool = False) -> None:
        """Choose addresses; nothing is started yet."""
        names = [f"s{number}" for number in range(1, count + 1)]
        self.servers = [
            Server(folder / name, name, f"127.0.0.{10 + number}", client=clients)
            for number, name in enumerate(names)
        ]
        for server in self.servers:
            server.join = [other.rpc for other in self.servers]
            server.expect = count

    def start(self) -> Region:
        """Start all at once; returns when one leads and all know it."""
        for server in self.servers:
            server.launch()
        self.settled()
        return self

    def settled(self, servers: Sequence[Server] | None = None, patience_s: float = 60.0) -> Server:
        """The leader, once all these servers name the same one, which is among them."""
        servers = servers or self.servers
        by_rpc = {server.rpc: server for server in servers}

        def agreed() -> Server | None:
            for server in servers:
                if not server.alive():
                    raise RuntimeError(f"{server.name} ended: {server.log.read_text()[-3000:]}")
            named = {server.leader() for server in servers}
            return by_rpc.get(named.pop()) if len(named) == 1 else None

        return eventually("one leader", agreed, patience_s)

    def followers(self, leader: Server) -> list[Server]:
        return [server for server in self.servers if server is not leader]

    def close(self) -> None:
        for server in self.servers:
            server.close()


@dataclass(frozen=True)
class Write:
    """One write as its client saw it."""

    job_id: str
    began: float
    ended: float
    status: int
    text: str

    @property
    def acknowledged(self) -> bool:
        return self.status == 200


class Load:
    """Clients that register one job after another, at a steady rate, at the servers given."""

    def __init__(
        self, servers: Sequence[Server], *, per_s: float = 20.0, clients: int = 4, name: str = "w"
    ) -> None:
        """Nothing is written before the `with` block."""
        self.servers = list(servers)
        self.writes: list[Write] = []
        #: What reads answered that failed.
        self.failed_reads: list[str] = []
        self.reads = 0
        self._pause_s = clients / per_s
        self._name = name
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(clients)
        ]
        self._threads.append(threading.Thread(target=self._read))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            server = self.servers[(client + count) % len(self.servers)]
            write = self._write(server, f"{self._name}-{client}-{count}")
            self.writes.append(write)
            self._stop.wait(max(0.0, write.began + self._pause_s - time.monotonic()))

    def _read(self) -> None:
        """One client that reads, linearizably, from one server after another."""
        while not self._stop.is_set():
            server = self.servers[self.reads % len(self.servers)]
            try:
                answer = server.request("GET", "/v1/nodes", timeout_s=30.0)
            except (OSError, http.client.HTTPException) as error:
                self.failed_reads.append(repr(error))
            else:
                if answer.status != 200:
                    self.failed_reads.append(f"{answer.status}: {answer.text[:200]}")
            self.reads += 1
            self._stop.wait(0.1)

    def _write(self, server: Server, job_id: str) -> Write:
        began = time.monotonic()
        try:
            answer = server.request("PUT", "/v1/jobs", {"Job": idle_job(job_id)}, timeout_s=30.0)
        except (OSError, http.client.HTTPException) as error:
            return Write(job_id, began, time.monotonic(), 0, repr(error))
        return Write(job_id, began, time.monotonic(), answer.status, answer.text[:200])

    def acknowledged(self) -> set[str]:
        return {write.job_id for write in self.writes if write.acknowledged}

    def failed(self) -> list[Write | str]:
        """Whatever a client did not get an answer to."""
        return [*(write for write in self.writes if not write.acknowledged), *self.failed_reads]

    def gap_s(self, moment: float) -> float:
        """From a moment to the end of the first write that began after it and was acknowledged."""
        after = [w.ended for w in self.writes if w.acknowledged and w.began >= moment]
        return min(after) - moment if after else float("inf")


def idle_job(job_id: str) -> dict[str, Any]:
    """A job that no node can run: what is written is all that happens."""
    job = raw_exec_job(job_id, "true")
    return {**job, "Type": "batch", "Datacenters": ["nowhere"]}


def lost(load: Load, server: Server) -> set[str]:
    """Writes that were acknowledged and that the region does not know."""
    known = {job["ID"] for job in server.get("/v1/jobs").json()}
    return load.acknowledged() - known
