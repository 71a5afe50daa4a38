"""A scripted agent on a real socket, and the command run against it in this process."""

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import pytest

from hanse.cli.command import Edges
from hanse.cli.main import call
from hanse.cli.terminal import Terminal

#: 2026-01-02T03:04:05Z
NOW_NS = 1_767_323_045 * 10**9


@dataclass
class Request:
    """What the agent was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What it answers; the body is JSON unless it is bytes."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class ScriptedAgent:
    """Answers what a test has written down; anything else is 404."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._replies: dict[tuple[str, str], list[Reply | Callable[[Request], Reply]]] = {}
        agent = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one piece: two would wait for each other (Nagle, delayed ACK).
            wbufsize = 64 * 1024

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = unquote(parts.path)
                request = Request(self.command, path, query, dict(self.headers.items()), body)
                reply = agent.answer(request)
                content = reply.body
                if not isinstance(content, bytes):
                    content = msgspec.json.encode(content)
                self.send_response(reply.status)
                headers = {"X-Nomad-Index": "7", **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = handle_any

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def on(
        self, method: str, path: str, *replies: Reply | Callable[[Request], Reply] | object
    ) -> None:
        """Answer with these, one after the other; the last one again and again."""
        made = [r if isinstance(r, Reply) or callable(r) else Reply(r) for r in replies]
        self._replies[method, path] = made

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        replies = self._replies.get((request.method, request.path))
        if not replies:
            return Reply(f"nothing at {request.path}".encode(), 404)
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return reply(request) if callable(reply) else reply

    def asked(self, method: str, path: str) -> Request:
        """The last such request."""
        found = [r for r in self.requests if (r.method, r.path) == (method, path)]
        assert found, [(r.method, r.path) for r in self.requests]
        return found[-1]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Stdout(io.TextIOWrapper):
    """An output in memory; a terminal if told so."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.memory = io.BytesIO()
        self.terminal = terminal
        super().__init__(self.memory, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        return self.memory.getvalue().decode(errors="surrogateescape")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def agent() -> Iterator[ScriptedAgent]:
    scripted = ScriptedAgent()
    yield scripted
    scripted.close()


Hanse = Callable[..., Ended]


@pytest.fixture
def hanse(agent: ScriptedAgent) -> Hanse:
    """Run a command line against the agent: `hanse("job status", answers="y")`."""

    def run(
        line: str,
        *,
        answers: str = "",
        terminal: bool = False,
        environment: dict[str, str] | None = None,
    ) -> Ended:
        out, err = Stdout(terminal=terminal), Stdout()
        world = Edges(
            Terminal(out=out, err=err, source=io.StringIO(answers), color=False),
            environment if environment is not None else {"HANSE_ADDR": agent.address},
            lambda: NOW_NS,
            lambda delay_s: None,
        )
        code = call(line.split(), world)
        return Ended(code, out.text(), err.text())

    return run


@pytest.fixture
def scripted_reply() -> type[Reply]:
    """For answers with a status or headers of their own."""
    return Reply


@pytest.fixture
def fixtures() -> Mapping[str, Any]:
    """API objects that the tests share."""
    return json.loads(FIXTURES)


@pytest.fixture
def process_environment(agent: ScriptedAgent) -> dict[str, str]:
    """For the command as a process of its own."""
    return {"HANSE_ADDR": agent.address, "PATH": os.environ["PATH"], "TZ": "UTC"}


_ALLOC = "83c381b1-6ba1-435b-85c1-ec4a0accd85b"
_NODE = "c404221f-38ed-484d-9137-489b5d5eebe7"
_EVAL = "026ca1bb-de28-423a-99f4-89a7e15e7300"
_DEPLOYMENT = "b1839b6c-9c20-4830-9d84-e168104c6fb5"
_SECOND = 10**9
_RESOURCES = {
    "Tasks": {"t": {"Cpu": {"CpuShares": 50}, "Memory": {"MemoryMB": 32}, "Networks": None}},
    "Shared": {
        "DiskMB": 300,
        "Ports": [{"Label": "http", "Value": 23077, "To": 8080, "HostIP": "10.0.0.1"}],
    },
}
_JOB = {
    "ID": "web",
    "Name": "web",
    "Namespace": "default",
    "Type": "service",
    "Priority": 50,
    "Datacenters": ["dc1", "dc2"],
    "NodePool": "default",
    "Status": "running",
    "SubmitTime": NOW_NS - 60 * _SECOND,
    "Version": 2,
    "JobModifyIndex": 20,
    "Constraints": None,
    "TaskGroups": [
        {
            "Name": "g",
            "Count": 1,
            "Networks": [{"DynamicPorts": [{"Label": "http", "To": 8080}]}],
            "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": None}],
        }
    ],
}
_STUB = {
    "ID": _ALLOC,
    "EvalID": _EVAL,
    "Name": "web.g[0]",
    "Namespace": "default",
    "NodeID": _NODE,
    "NodeName": "host1",
    "JobID": "web",
    "JobType": "service",
    "JobVersion": 2,
    "TaskGroup": "g",
    "DesiredStatus": "run",
    "ClientStatus": "running",
    "TaskStates": {"t": {"State": "running"}},
    "CreateIndex": 21,
    "CreateTime": NOW_NS - 60 * _SECOND,
    "ModifyTime": NOW_NS - 50 * _SECOND,
}
_EVENTS = [
    {"Type": "Received", "Time": NOW_NS - 60 * _SECOND, "DisplayMessage": "Task received"},
    {"Type": "Started", "Time": NOW_NS - 59 * _SECOND, "DisplayMessage": "Task started"},
]
FIXTURES = json.dumps(
    {
        "ids": {"alloc": _ALLOC, "node": _NODE, "eval": _EVAL, "deployment": _DEPLOYMENT},
        "job": _JOB,
        "job_stub": {
            "ID": "web",
            "Namespace": "default",
            "Type": "service",
            "Priority": 50,
            "Status": "running",
            "SubmitTime": NOW_NS - 60 * _SECOND,
        },
        "alloc_stub": _STUB,
        "alloc": {
            **{k: v for k, v in _STUB.items() if k not in ("JobVersion", "JobType")},
            "Job": _JOB,
            "AllocatedResources": _RESOURCES,
            "DeploymentID": _DEPLOYMENT,
            "DeploymentStatus": {"Healthy": True},
            "Metrics": {"NodesEvaluated": 1, "AllocationTime": 12345},
            "TaskStates": {
                "t": {
                    "State": "running",
                    "StartedAt": "2026-01-02T03:03:06Z",
                    "Events": _EVENTS,
                }
            },
        },
        "eval": {
            "ID": _EVAL,
            "Namespace": "default",
            "Priority": 50,
            "Type": "service",
            "TriggeredBy": "job-register",
            "JobID": "web",
            "Status": "complete",
            "DeploymentID": _DEPLOYMENT,
            "CreateIndex": 20,
            "CreateTime": NOW_NS - 60 * _SECOND,
            "ModifyTime": NOW_NS - 60 * _SECOND,
        },
        "deployment": {
            "ID": _DEPLOYMENT,
            "Namespace": "default",
            "JobID": "web",
            "JobVersion": 2,
            "Status": "running",
            "StatusDescription": "Deployment is running",
            "TaskGroups": {
                "g": {
                    "AutoRevert": True,
                    "DesiredTotal": 1,
                    "PlacedAllocs": 1,
                    "RequireProgressBy": "2026-01-02T03:13:05Z",
                }
            },
        },
        "node_stub": {
            "ID": _NODE,
            "Name": "host1",
            "NodePool": "default",
            "Datacenter": "dc1",
            "NodeClass": "",
            "Drain": False,
            "SchedulingEligibility": "eligible",
            "Status": "ready",
            "Version": "0.1.0",
            "Address": "10.0.0.1",
        },
    }
)
