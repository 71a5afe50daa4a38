"""Logs, files and programs of allocations."""

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from hanse.sdk.client import Client
from hanse.sdk.execution import Execution, ExecutionFailed, Output
from hanse.sdk.transport import ApiError, Unreachable

Hanse = Callable[..., Any]
LOG = b"".join(b"line %d\n" % n for n in range(2000))


def log_reply(scripted_reply: Any, log: bytes) -> Callable[[Any], Any]:
    """Serve a log as the API does: from an offset, from the start or the end."""

    def reply(request: Any) -> Any:
        offset = int(request.query.get("offset", "0"))
        if request.query.get("origin") == "end":
            return scripted_reply(log[max(0, len(log) - offset) :])
        return scripted_reply(log[offset:])

    return reply


@pytest.fixture
def alloc(agent: Any, fixtures: Mapping[str, Any]) -> str:
    found: str = fixtures["ids"]["alloc"]
    agent.on("GET", "/v1/allocations", [fixtures["alloc_stub"]])
    agent.on("GET", f"/v1/allocation/{found}", fixtures["alloc"])
    return found


def test_a_log_is_printed_as_it_is(
    agent: Any, hanse: Hanse, alloc: str, scripted_reply: Any
) -> None:
    agent.on("GET", f"/v1/client/fs/logs/{alloc}", log_reply(scripted_reply, b"\x1b[31mred\n\xff"))
    ended = hanse("alloc logs 83c3")
    assert (ended.code, ended.out) == (0, "\x1b[31mred\n\udcff")
    assert agent.requests[-1].query == {
        "task": "t",
        "type": "stdout",
        "follow": "false",
        "offset": "0",
        "origin": "start",
        "plain": "true",
        "namespace": "default",
    }
    hanse("logs -stderr 83c3 t")
    assert agent.requests[-1].query["type"] == "stderr"


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ("-tail", LOG[-100:].split(b"\n", 1)[1][-100:]),
        ("-n 2", b"line 1998\nline 1999\n"),
        ("-tail -n 5000", LOG),
        ("-tail -c 5", b"1999\n"),
        ("-n 0", b""),
        ("", LOG),
        ("-f -n 1", b"line 1999\n"),
    ],
)
def test_the_end_of_a_log_has_as_many_lines_as_asked_for(
    agent: Any, hanse: Hanse, alloc: str, scripted_reply: Any, flags: str, shown: bytes
) -> None:
    agent.on("GET", f"/v1/client/fs/logs/{alloc}", log_reply(scripted_reply, LOG))
    ended = hanse(f"alloc logs {flags} 83c3")
    if flags == "-tail":
        shown = b"".join(b"line %d\n" % n for n in range(1990, 2000))
    assert (ended.code, ended.out) == (0, shown.decode())


def test_long_lines_do_not_shorten_the_end_of_a_log(
    agent: Any, hanse: Hanse, alloc: str, scripted_reply: Any
) -> None:
    log = b"".join(b"%d" % n + b"x" * 9000 + b"\n" for n in range(30))
    agent.on("GET", f"/v1/client/fs/logs/{alloc}", log_reply(scripted_reply, log))
    lines = hanse("alloc logs -n 12 83c3").out.splitlines()
    assert [line.rstrip("x") for line in lines] == [str(n) for n in range(18, 30)]


def test_a_task_that_is_not_there_is_refused_with_those_that_are(hanse: Hanse, alloc: str) -> None:
    ended = hanse(f"alloc logs {alloc} nope")
    assert ended.err == 'There is no task "nope" in the allocation; its tasks are: t\n'
    assert hanse(f"alloc logs -stdout -stderr {alloc}").code == 1
    assert hanse(f"alloc logs -n 1 -c 1 {alloc}").code == 1


def test_a_running_allocation_of_a_job_can_be_meant(
    agent: Any, hanse: Hanse, alloc: str, fixtures: Mapping[str, Any], scripted_reply: Any
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    dead = {**fixtures["alloc_stub"], "ID": "dead", "ClientStatus": "failed", "CreateIndex": 99}
    agent.on("GET", "/v1/job/web/allocations", [dead, fixtures["alloc_stub"]])
    agent.on("GET", f"/v1/client/fs/logs/{alloc}", log_reply(scripted_reply, b"hello\n"))
    assert hanse("alloc logs -job web").out == "hello\n"
    ended = hanse("alloc logs -job -group other web")
    assert ended.err == 'No running allocation of job "web" in group "other" found\n'


def test_folders_are_listed_and_files_printed(
    agent: Any, hanse: Hanse, alloc: str, scripted_reply: Any
) -> None:
    def stat(request: Any) -> Any:
        name = request.query["path"]
        return scripted_reply({"Name": name, "IsDir": not name.endswith(".txt"), "Size": 12})

    agent.on("GET", f"/v1/client/fs/stat/{alloc}", stat)
    listed = [
        {
            "Name": "a.txt",
            "Size": 2048,
            "FileMode": "-rw-r--r--",
            "ModTime": "2026-01-02T03:03:05.123456789Z",
        },
        {"Name": "logs", "IsDir": True, "Size": 4096, "FileMode": "drwxr-xr-x"},
    ]
    agent.on("GET", f"/v1/client/fs/ls/{alloc}", listed)
    agent.on("GET", f"/v1/client/fs/cat/{alloc}", scripted_reply(b"content"))
    assert hanse("alloc fs 83c3").out == (
        "Mode        Size  Modified Time         Name\n"
        "-rw-r--r--  2048  2026-01-02T03:03:05Z  a.txt\n"
        "drwxr-xr-x  4096  <none>                logs/\n"
    )
    assert "-rw-r--r--  2.0 KiB  59s ago        a.txt\n" in hanse("fs -H 83c3 /").out
    assert hanse("alloc fs 83c3 a.txt").out == "content"
    frames = b"".join(
        json.dumps({"Data": base64.b64encode(part).decode(), "File": "a.txt"}).encode()
        for part in (b"one\nt", b"wo\nthree\n")
    )
    agent.on("GET", f"/v1/client/fs/stream/{alloc}", scripted_reply(b"{}" + frames + b"{}\n"))
    assert hanse("alloc fs -n 2 83c3 a.txt").out == "two\nthree\n"


def test_signals_and_restarts_name_the_task(agent: Any, hanse: Hanse, alloc: str) -> None:
    agent.on("PUT", f"/v1/client/allocation/{alloc}/signal", {})
    agent.on("PUT", f"/v1/client/allocation/{alloc}/restart", {})
    ended = hanse("alloc signal -s SIGHUP 83c3 t")
    assert (ended.code, ended.out) == (0, "")
    assert agent.requests[-1].json == {"Task": "t", "Signal": "SIGHUP"}
    assert hanse("alloc restart -all-tasks 83c3").code == 0
    assert agent.requests[-1].json == {"TaskName": "", "AllTasks": True}
    assert hanse("alloc signal 83c3 nope").code == 1


def test_checks_are_shown_one_by_one(agent: Any, hanse: Hanse, alloc: str) -> None:
    check = {
        "ID": "c1",
        "Check": "alive",
        "Group": "web.g[0]",
        "Service": "db",
        "Status": "success",
        "Mode": "healthiness",
        "Output": "nomad: tcp ok",
        "Timestamp": 1_767_323_045,
    }
    agent.on("GET", f"/v1/client/allocation/{alloc}/checks", {"c1": check})
    assert hanse("alloc checks 83c3").out == (
        "ID        = c1\n"
        "Name      = alive\n"
        "Group     = web.g[0]\n"
        "Task      = (group)\n"
        "Service   = db\n"
        "Status    = success\n"
        "Mode      = healthiness\n"
        "Timestamp = 2026-01-02T03:04:05Z\n"
        "Output    = nomad: tcp ok\n"
    )


class ExecServer:
    """Accepts one websocket, notes what it is told and says what the test wrote down."""

    def __init__(self, *, frames: list[bytes], status: bytes = b"101 Switching Protocols") -> None:
        self.head = b""
        self.received: list[Any] = []
        self._frames = frames
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as peer:
            peer.settimeout(10)
            while b"\r\n\r\n" not in self.head:
                self.head += peer.recv(4096)
            key = next(
                line.split(b": ")[1]
                for line in self.head.split(b"\r\n")
                if line.startswith(b"Sec-WebSocket-Key")
            )
            magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key + magic).digest())
            answer = b"HTTP/1.1 " + self._status + b"\r\nSec-WebSocket-Accept: " + accept + b"\r\n"
            if not self._status.startswith(b"101"):
                peer.sendall(answer + b"Content-Length: 7\r\n\r\nrefused")
                return
            # All in one piece: the first frames may come with the handshake.
            peer.sendall(answer + b"\r\n" + b"".join(self._frames))
            rest = b""
            while chunk := peer.recv(4096):
                rest += chunk
            self._note(rest)

    def _note(self, data: bytes) -> None:
        while data:
            size, start = data[1] & 0x7F, 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            assert data[1] & 0x80, "a client's frame must be masked"
            mask = data[start : start + 4]
            body = data[start + 4 : start + 4 + size]
            plain = bytes(b ^ mask[at % 4] for at, b in enumerate(body))
            self.received.append(json.loads(plain) if data[0] & 0x0F == 1 else (data[0], plain))
            data = data[start + 4 + size :]


def frame(payload: object, opcode: int = 0x81) -> bytes:
    """A server's frame."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    if len(body) < 126:
        return bytes([opcode, len(body)]) + body
    return bytes([opcode, 126]) + len(body).to_bytes(2, "big") + body


def out(data: bytes, stream: str = "stdout") -> dict[str, Any]:
    return {stream: {"data": base64.b64encode(data).decode()}}


EXITED = {"exited": True, "result": {"exit_code": 3}}


@pytest.fixture
def exec_server(request: pytest.FixtureRequest) -> Iterator[ExecServer]:
    server = ExecServer(**request.param)
    yield server
    server.thread.join(10)


def start(server: ExecServer) -> Execution:
    client = Client(f"http://127.0.0.1:{server.port}")
    return Execution.start(client, "a1", "t", ["ls", "-l"], tty=True)


@pytest.mark.parametrize(
    "exec_server",
    [
        {
            "frames": [
                frame(out(b"x" * 300)),
                frame(b"ping", 0x89),
                frame(out(b"oops", "stderr")),
                frame(b'{"stdout":', 0x01) + frame(b'{"close":true}}', 0x80),
                frame(EXITED),
                frame((1000).to_bytes(2, "big"), 0x88),
            ]
        }
    ],
    indirect=True,
)
def test_a_program_is_fed_heard_and_ended(exec_server: ExecServer) -> None:
    execution = start(exec_server)
    execution.send_input(b"hi")
    execution.resize(height=24, width=80)
    execution.close_input()
    execution.heartbeat()
    outputs: list[Output] = []
    while not outputs or outputs[-1].exit_code is None:
        outputs += execution.receive()
    execution.close()
    execution.close()
    exec_server.thread.join(10)
    assert outputs == [Output(stdout=b"x" * 300), Output(stderr=b"oops"), Output(exit_code=3)]
    first = exec_server.head.split(b"\r\n")[0].decode()
    assert first.startswith("GET /v1/client/allocation/a1/exec?task=t&command=%5B%22ls%22%2C%22-l")
    assert exec_server.received == [
        {"stdin": {"data": base64.b64encode(b"hi").decode()}},
        {"tty_size": {"height": 24, "width": 80}},
        {"stdin": {"close": True}},
        {},
        (0x8A, b"ping"),
        (0x88, (1000).to_bytes(2, "big")),
    ]


@pytest.mark.parametrize(
    "exec_server",
    [{"frames": [frame((1011).to_bytes(2, "big") + b"no such program", 0x88)]}],
    indirect=True,
)
def test_a_program_that_cannot_be_run_says_why(exec_server: ExecServer) -> None:
    execution = start(exec_server)
    with pytest.raises(ExecutionFailed, match=r"^no such program$"):
        execution.receive()
    execution.close()


@pytest.mark.parametrize("exec_server", [{"frames": [], "status": b"403 Forbidden"}], indirect=True)
def test_a_refused_handshake_is_the_agents_error(exec_server: ExecServer) -> None:
    with pytest.raises(ApiError, match="refused") as error:
        start(exec_server)
    assert error.value.status == 403


def test_nobody_there_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="connection refused"):
        Execution.start(Client(f"http://127.0.0.1:{port}"), "a", "t", ["ls"], tty=False)
