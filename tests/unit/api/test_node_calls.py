"""What is asked of nodes: files, logs, commands, measurements."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient

from hanse.driver import ExecInput, ExecOutput
from hanse.errors import Denied, NotFound
from hanse.rpc.codec import encode
from hanse.rpc.messages import (
    AllocRequest,
    ExecRequest,
    FileFrame,
    FileRequest,
    LogsRequest,
    MetaRequest,
)
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.testing.region import MemoryRegion

MakeAlloc = Callable[..., Allocation]
MakeJob = Callable[..., Job]
Inputs = AsyncIterator[bytes] | None

ALLOC = "00000000-0000-4000-8000-000000000000"


class Connected:
    """A node that answers as the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.chunks: list[bytes] = []
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.closed = asyncio.Event()

    async def answer(self, method: str, body: bytes, inputs: Inputs) -> AsyncIterator[bytes]:
        self.asked.append((method, body))
        try:
            if self.error is not None:
                raise self.error
            for chunk in self.chunks:
                yield chunk
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.closed.set()

    def request(self, kind: type[Any]) -> Any:
        return msgspec.msgpack.decode(self.asked[-1][1], type=kind)


@pytest.fixture
def connected(region: MemoryRegion, node: Node, alloc: MakeAlloc, job: MakeJob) -> Connected:
    region.state.put(job(), node, alloc())
    connected = Connected()
    region.node_answers[node.id] = connected.answer
    return connected


def frames(text: str) -> list[dict[str, Any]]:
    """Objects that follow each other with nothing in between."""
    decoder = json.JSONDecoder()
    found, at = [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


async def test_logs_come_plain_or_in_frames_with_the_offset_after_each(
    client: TestClient, connected: Connected
) -> None:
    connected.chunks = [
        encode(FileFrame(data=b"one\n", file="alloc/logs/front.stdout.0", offset=4)),
        encode(FileFrame()),
        encode(FileFrame(data=b"two\n", file="alloc/logs/front.stdout.0", offset=8)),
    ]
    path = f"/v1/client/fs/logs/{ALLOC}?task=front&type=stdout&origin=end&offset=10"
    plain = await client.get(f"{path}&plain=true")
    assert (await plain.text(), plain.content_type) == ("one\ntwo\n", "text/plain")
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    expected = LogsRequest(alloc_id=ALLOC, task="front", kind="stdout", offset=10, origin="end")
    assert connected.request(LogsRequest) == expected
    framed = frames(await (await client.get(path)).text())
    one = base64.b64encode(b"one\n").decode()
    assert framed[0] == {"Offset": 4, "Data": one, "File": "alloc/logs/front.stdout.0"}
    assert framed[1] == {}
    assert framed[2]["Offset"] == 8


async def test_a_large_piece_is_divided_into_frames(
    client: TestClient, connected: Connected
) -> None:
    data = bytes(range(256)) * 600
    connected.chunks = [encode(FileFrame(data=data, file="f", offset=len(data) + 7))]
    response = await client.get(f"/v1/client/fs/stream/{ALLOC}?path=f&offset=7&follow=false")
    found = frames(await response.text())
    assert b"".join(base64.b64decode(frame["Data"]) for frame in found) == data
    ends = [7 + 65536, 7 + 131072, 7 + len(data)]
    assert [frame["Offset"] for frame in found] == ends
    assert connected.request(FileRequest).follow is False


async def test_a_silent_stream_sends_heartbeats_and_ends_with_its_reader(
    client: TestClient, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region.api.client_fs.HEARTBEAT_S", 0.01)
    connected.hold = asyncio.Event()
    async with client.get(
        f"/v1/client/fs/logs/{ALLOC}?task=front&type=stdout&follow=true"
    ) as response:
        assert await response.content.readexactly(4) == b"{}{}"
    await connected.closed.wait()


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("file", text="no such file"), 404), (Denied("that leads out"), 403)],
)
async def test_what_a_node_refuses_is_answered_with_its_status(
    client: TestClient, connected: Connected, error: Exception, status: int
) -> None:
    connected.error = error
    for path in (
        f"/v1/client/fs/cat/{ALLOC}?path=x",
        f"/v1/client/fs/ls/{ALLOC}",
        f"/v1/client/fs/stream/{ALLOC}?path=x",
        f"/v1/client/fs/logs/{ALLOC}?task=front&type=stdout&plain=true&follow=true",
    ):
        response = await client.get(path)
        assert (response.status, await response.text()) == (status, str(error)), path


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("fs/stat/{}", "must provide a file name"),
        ("fs/cat/{}", "must provide a file name"),
        ("fs/readat/{}?path=a", "offset"),
        ("fs/readat/{}?path=a&offset=0", "limit"),
        ("fs/readat/{}?path=a&offset=-1&limit=1", "offset"),
        ("fs/logs/{}", "must provide task name"),
        ("fs/logs/{}?task=a", "must provide log type (stdout/stderr)"),
        ("fs/logs/{}?task=a&type=x", "must provide log type (stdout/stderr)"),
        ("fs/logs/{}?task=a&type=stdout&origin=x", "origin must be start or end"),
        ("fs/logs/{}?task=a&type=stdout&offset=x", "offset"),
        ("fs/stream/{}?path=a&limit=-3", "limit"),
        ("allocation/{}/exec", "task"),
        ("allocation/{}/exec?task=front&command=x", "command"),
        ("allocation/{}/exec?task=front&command=%5B%5D", "command"),
        ("allocation/{}/exec?task=front&command=%5B%22a%22%5D", "WebSocket"),
    ],
)
async def test_wrong_questions_are_not_asked(
    client: TestClient, connected: Connected, path: str, problem: str
) -> None:
    response = await client.get("/v1/client/" + path.format(ALLOC))
    assert response.status == 400
    assert problem in await response.text()
    assert connected.asked == []


async def test_a_part_of_a_file_is_served_as_bytes(
    client: TestClient, connected: Connected
) -> None:
    connected.chunks = [b"<html>", b"</html>"]
    response = await client.get(f"/v1/client/fs/readat/{ALLOC}?path=a&offset=1&limit=9")
    assert (await response.read(), response.content_type) == (
        b"<html></html>",
        "application/octet-stream",
    )
    expected = FileRequest(alloc_id=ALLOC, path="a", offset=1, limit=9)
    assert connected.request(FileRequest) == expected


async def test_a_node_that_is_not_connected_is_said_to_be(
    region: MemoryRegion, client: TestClient, connected: Connected
) -> None:
    region.node_answers.clear()
    response = await client.get(f"/v1/client/fs/ls/{ALLOC}")
    assert (response.status, await response.text()) == (404, "No path to node")


async def test_restart_and_signal_name_the_task(client: TestClient, connected: Connected) -> None:
    restart = f"/v1/client/allocation/{ALLOC}/restart"
    assert (await (await client.put(restart)).json())["Index"] >= 1
    assert connected.request(AllocRequest) == AllocRequest(alloc_id=ALLOC)
    await client.put(restart, json={"TaskName": "front"})
    assert connected.request(AllocRequest) == AllocRequest(alloc_id=ALLOC, task="front")
    await client.put(restart, json={"AllTasks": True})
    assert connected.request(AllocRequest).all_tasks
    signal = f"/v1/client/allocation/{ALLOC}/signal"
    await client.post(signal, json={"Task": "front", "Signal": "SIGHUP"})
    expected = AllocRequest(alloc_id=ALLOC, task="front", signal="SIGHUP")
    assert connected.request(AllocRequest) == expected
    asked = len(connected.asked)
    for path, body in (
        (restart, {"TaskName": "nobody"}),
        (restart, {"TaskName": "front", "AllTasks": True}),
        (signal, {}),
        (signal, {"Signal": "SIGHUP", "Task": "nobody"}),
    ):
        assert (await client.put(path, json=body)).status == 400
    assert len(connected.asked) == asked


async def test_a_nodes_meta_is_changed_key_by_key(
    client: TestClient, connected: Connected, node: Node
) -> None:
    connected.chunks = [b'{"Meta":{},"Dynamic":{},"Static":{}}']
    path = f"/v1/client/metadata?node_id={node.id}"
    assert (await client.post(path, json={"Meta": {"a": "1", "b": None}})).status == 200
    assert connected.request(MetaRequest) == MetaRequest(changes={"a": "1", "b": None})
    assert (await client.get(path)).status == 200
    assert connected.request(MetaRequest) == MetaRequest()
    for meta in ({}, {"a": 1}, {"a b": "x"}, {"": "x"}):
        assert (await client.post(path, json={"Meta": meta})).status == 400


class Shell:
    """Echoes what it reads, and ends with code 7 when its input is closed."""

    def __init__(self) -> None:
        self.request: ExecRequest | None = None
        self.ended = asyncio.Event()

    async def answer(self, method: str, body: bytes, inputs: Inputs) -> AsyncIterator[bytes]:
        assert (method, inputs is not None) == ("Exec", True)
        self.request = msgspec.msgpack.decode(body, type=ExecRequest)
        try:
            async for item in inputs or ():  # type: ignore[union-attr]
                asked = msgspec.msgpack.decode(item, type=ExecInput)
                if asked.tty_size:
                    yield encode(ExecOutput(stderr=b"%dx%d" % asked.tty_size))
                if asked.stdin:
                    yield encode(ExecOutput(stdout=asked.stdin.upper()))
                if asked.close_stdin:
                    yield encode(ExecOutput(exit_code=7))
                    return
        finally:
            self.ended.set()


@pytest.fixture
def shell(region: MemoryRegion, connected: Connected, node: Node) -> Shell:
    shell = Shell()
    region.node_answers[node.id] = shell.answer
    return shell


EXEC = f"/v1/client/allocation/{ALLOC}/exec?task=front&command=%5B%22sh%22%2C%22-c%22%5D"


async def test_a_command_is_talked_to_over_a_websocket(client: TestClient, shell: Shell) -> None:
    async with client.ws_connect(f"{EXEC}&tty=true&ws_handshake=true") as socket:
        await socket.send_str('{"version":1,"auth_token":""}')
        await socket.send_str('{"tty_size":{"height":24,"width":80}}')
        await socket.send_str("{}")
        await socket.send_str('{"stdin":{"data":"aGk="}}')
        await socket.send_str('{"stdin":{"close":true}}')
        messages = [json.loads((await socket.receive()).data) for _ in range(5)]
        end = await socket.receive()
    assert messages == [
        {"stderr": {"data": base64.b64encode(b"24x80").decode()}},
        {"stdout": {"data": base64.b64encode(b"HI").decode()}},
        {"stdout": {"close": True}},
        {"stderr": {"close": True}},
        {"exited": True, "result": {"exit_code": 7}},
    ]
    assert (end.type, end.data) == (WSMsgType.CLOSE, 1000)
    expected = ExecRequest(alloc_id=ALLOC, task="front", command=["sh", "-c"], tty=True)
    assert shell.request == expected


@pytest.mark.parametrize(
    ("path", "messages", "reason"),
    [
        (EXEC, ["not json"], "message"),
        (EXEC, ['{"stdin":{"data":"!"}}'], "message"),
        (EXEC, ['{"tty_size":{"height":-1,"width":1}}'], "tty_size"),
        (f"{EXEC}&ws_handshake=true", ['{"version":2}'], "handshake"),
        (f"{EXEC}&ws_handshake=true", ["hello"], "handshake"),
        (EXEC.replace(ALLOC, "nobody"), [], "Unknown allocation"),
    ],
)
async def test_a_wrong_message_ends_the_conversation_with_the_reason(
    client: TestClient, shell: Shell, path: str, messages: list[str], reason: str
) -> None:
    async with client.ws_connect(path) as socket:
        for message in messages:
            await socket.send_str(message)
        end = await socket.receive()
    assert (end.type, end.data) == (WSMsgType.CLOSE, 1008)
    assert reason in (end.extra or "")


async def test_a_command_ends_when_its_user_goes_away(client: TestClient, shell: Shell) -> None:
    async with client.ws_connect(EXEC) as socket:
        await socket.send_str('{"stdin":{"data":"aGk="}}')
        await socket.receive()
    await shell.ended.wait()


async def test_a_page_of_another_site_may_not_run_commands(
    client: TestClient, shell: Shell
) -> None:
    with pytest.raises(WSServerHandshakeError) as caught:
        await client.ws_connect(EXEC, headers={"Origin": "http://elsewhere"})
    assert (caught.value.status, shell.request) == (403, None)
