"""How the client reaches an agent: sockets, TLS, connections that are kept or lost."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hanse.sdk import ApiError, Client, Settings, Unreachable

TLS = Path(__file__).resolve().parents[2] / "data" / "tls"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Nomad-Index: 42\r\n\r\n[]"
Hanse = Callable[..., Any]


class OneAnswer:
    """Answers every connection with the same bytes, so many times, then hangs up."""

    def __init__(self, listener: socket.socket, answer: bytes = ANSWER, times: int = 1) -> None:
        self.listener = listener
        self.answer = answer
        self.times = times
        self.connections = 0
        self.heads: list[bytes] = []
        self._stopping = False
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except ssl.SSLError:
                continue
            except OSError:
                return
            if self._stopping:
                peer.close()
                return
            self.connections += 1
            with peer:
                peer.settimeout(10)
                for _ in range(self.times):
                    head = b""
                    while b"\r\n\r\n" not in head:
                        chunk = peer.recv(4096)
                        if not chunk:
                            break
                        head += chunk
                    self.heads.append(head)
                    peer.sendall(self.answer)

    def close(self, wake: Callable[[], socket.socket]) -> None:
        self._stopping = True
        wake().close()
        self.thread.join(10)
        self.listener.close()


@pytest.fixture
def plain() -> Iterator[OneAnswer]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = OneAnswer(listener, times=2)
    yield server
    server.close(lambda: socket.create_connection(listener.getsockname()))


def address(server: OneAnswer) -> str:
    return f"http://127.0.0.1:{server.listener.getsockname()[1]}"


def test_one_connection_serves_many_calls_and_a_lost_one_is_replaced(plain: OneAnswer) -> None:
    client = Client(address(plain))
    answers = [client.jobs.list() for _ in range(5)]
    client.close()
    assert [answer.value for answer in answers] == [()] * 5
    assert answers[0].index == 42
    # Two calls to a connection, then the server hangs up.
    assert plain.connections == 3


def test_a_write_is_not_sent_again_by_itself(plain: OneAnswer) -> None:
    client = Client(address(plain))
    for _ in range(2):
        client.operator.collect_garbage()
    with pytest.raises(Unreachable, match=r"hung up|reset|broken pipe"):
        client.operator.collect_garbage()
    assert plain.connections == 1
    client.close()


def test_a_unix_socket_is_an_address_too(tmp_path: Path, hanse: Hanse) -> None:
    path = str(tmp_path / "api.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    server = OneAnswer(listener)

    def wake() -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(path)
        return peer

    try:
        ended = hanse(f"job status -address unix://{path}")
    finally:
        server.close(wake)
    assert (ended.code, ended.out) == (0, "No running jobs\n")
    assert server.heads[0].startswith(b"GET /v1/jobs HTTP/1.1\r\n")
    assert b"\r\nHost: localhost\r\n" in server.heads[0]


@pytest.fixture
def secure() -> Iterator[OneAnswer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    where = listener.getsockname()
    server = OneAnswer(context.wrap_socket(listener, server_side=True))
    yield server

    def wake() -> socket.socket:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        return trusting.wrap_socket(socket.create_connection(where))

    server.close(wake)


def test_tls_is_checked_by_the_ca_and_the_name(secure: OneAnswer, hanse: Hanse) -> None:
    port = secure.listener.getsockname()[1]
    line = f"job status -address https://127.0.0.1:{port}"
    trusted = f"{line} -ca-cert {TLS / 'cert.pem'}"
    refused = hanse(line)
    assert refused.code == 1
    assert "certificate verify failed" in refused.err
    assert "certificate verify failed" in hanse(trusted).err
    assert hanse(f"{trusted} -tls-server-name server.global.nomad").code == 0
    assert hanse(f"{line} -tls-skip-verify").code == 0
    environment = {"NOMAD_ADDR": f"https://localhost:{port}", "NOMAD_CACERT": str(TLS / "cert.pem")}
    assert hanse("job status", environment=environment).code == 0


def test_a_certificate_that_cannot_be_read_is_an_error_and_no_trace(hanse: Hanse) -> None:
    ended = hanse("job status -address https://127.0.0.1:1 -ca-cert /does/not/exist")
    assert ended.code == 1
    assert "no such file or directory" in ended.err


def test_an_answer_that_is_cut_off_is_told(hanse: Hanse) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = OneAnswer(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[")
    try:
        client = Client(address(server))
        with pytest.raises(Unreachable):
            client.jobs.list()
    finally:
        server.close(lambda: socket.create_connection(listener.getsockname()))


def test_an_agent_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(settings=Settings(address=where, timeout_s=0.1))
        with pytest.raises(Unreachable, match="no answer in time"):
            client.jobs.list()


def test_an_error_has_its_status_and_the_agents_words(agent: Any) -> None:
    client = Client(agent.address)
    with pytest.raises(ApiError) as error:
        client.jobs.get("a/b c")
    client.close()
    assert (error.value.status, error.value.text) == (404, "nothing at /v1/job/a/b c")


@pytest.mark.parametrize(
    ("said", "host", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 4646),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("http://h", "h", 80),
        ("https://h", "h", 443),
        ("http://[::1]:9/prefix/", "::1", 9),
    ],
)
def test_addresses_are_read_as_people_write_them(said: str, host: str, port: int) -> None:
    transport = Client(said).transport
    assert (transport.host, transport.port) == (host, port)


@pytest.mark.parametrize("said", ["ftp://x", "http://x:port", "http://x:99999"])
def test_what_is_no_address_is_refused(said: str, hanse: Hanse) -> None:
    ended = hanse(f"job status -address {said}")
    assert ended.code == 1
    assert "\nFor help: hanse job status -help\n" in ended.err


def test_what_no_header_can_carry_is_refused(hanse: Hanse) -> None:
    environment = {"HANSE_TOKEN": "a\r\nX-Evil: b"}
    ended = hanse("job status", environment=environment)
    assert ended.err.startswith("the token has characters that no token has\n")
    ended = hanse("operator api -H A:b\x01c\x7f\u2028 /v1/jobs")
    assert ended.code == 1


def test_events_come_one_after_the_other_without_heartbeats(
    agent: Any, scripted_reply: Any
) -> None:
    body = (
        b'{"Index":5,"Events":[{"Topic":"Job","Type":"JobRegistered","Key":"web","Payload":{}}]}\n'
        b'{}\n{"Index":6,"Events":[{"Topic":"Node","Key":"n","FilterKeys":null}]}'
    )
    agent.on("GET", "/v1/event/stream", scripted_reply(body))
    client = Client(agent.address)
    found = [
        (events.index, event.topic, event.key)
        for events in client.events(["Job:web", "Node"], index=4)
        for event in events.events
    ]
    client.close()
    assert found == [(5, "Job", "web"), (6, "Node", "n")]
    assert agent.requests[-1].query == {"topic": "Node", "index": "4"}
