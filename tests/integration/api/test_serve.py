"""What one peer may take: connections, time, memory."""

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from hanse.config.model import AgentConfig, Limits, Ports
from hanse.errors import Invalid
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from hanse.testing.agent import MemoryAgent
from hanse.testing.region import MemoryRegion
from region.api import serve as serving
from region.api.serve import HttpService, Limiter

Serve = Callable[..., Awaitable[str]]

CONFIG = AgentConfig(bind_addr="127.0.0.1", ports=Ports(http=0))


def limited(**limits: float) -> AgentConfig:
    return replace(CONFIG, limits=Limits(**limits))  # type: ignore[arg-type]


async def opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def test_the_limiter_counts_by_peer_and_in_all() -> None:
    limiter = Limiter(per_client=2, total=3)
    entered = [limiter.enter(peer) for peer in ("a", "a", "a", "b", "c")]
    assert entered == [True, True, False, True, False]
    limiter.leave("a")
    assert limiter.enter("c")
    assert (limiter.open, limiter.refused) == (3, 2)


async def test_one_connection_too_many_is_told_so_and_a_closed_one_makes_room(
    memory: MemoryRegion, serve: Serve
) -> None:
    url = await serve(memory, limited(http_max_conns_per_client=2))
    held = [await opened(url) for _ in range(2)]
    reader, writer = await opened(url)
    refusal = await reader.read()
    writer.close()
    assert refusal.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert int(refusal.split(b"Content-Length: ")[1].split(b"\r\n")[0]) == len(
        refusal.split(b"\r\n\r\n")[1]
    )
    for _, other in held:
        other.close()
        await other.wait_closed()
    async with ClientSession() as client, client.get(f"{url}/v1/jobs") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/jobs HTT", b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n"]
)
async def test_a_connection_that_sends_no_whole_request_is_closed(
    memory: MemoryRegion, serve: Serve, sent: bytes
) -> None:
    url = await serve(memory, limited(http_handshake_timeout_s=0.05))
    reader, writer = await opened(url)
    writer.write(sent)
    assert await reader.read() == b""
    writer.close()


async def test_a_connection_that_has_asked_may_wait_longer_than_the_handshake(
    memory: MemoryRegion, serve: Serve
) -> None:
    url = await serve(memory, limited(http_handshake_timeout_s=0.05))
    path = "/v1/jobs?index=1&wait=200ms"
    async with ClientSession() as client, client.get(url + path) as response:
        assert response.status == 200


async def test_an_answer_that_is_not_read_is_given_up(
    memory: MemoryRegion, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "UNREAD_S_MAX", 0.1)
    allocs = (
        Allocation(
            id=f"{number:036}",
            namespace="default",
            job_id="x" * 500,
            job_version=0,
            group="g",
            index=number,
            node_id="n",
            eval_id="e",
        )
        for number in range(20_000)
    )
    memory.state.put(*allocs)
    url = await serve(memory)
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(b"GET /v1/allocations HTTP/1.1\r\nHost: x\r\n\r\n")
        async with ClientSession() as client, client.get(f"{url}/v1/jobs") as response:
            assert response.status == 200
        lazy.settimeout(30)
        await asyncio.to_thread(read_to_the_end, lazy)


def read_to_the_end(lazy: socket.socket) -> None:
    """Wait until the other side has hung up, reading nothing before that."""
    while True:
        try:
            lazy.send(b"x")
        except ConnectionError:
            return


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /v1/jobs HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", b"413"),
    ],
)
async def test_a_request_that_is_too_much_is_refused(
    memory: MemoryRegion, serve: Serve, request_head: bytes, status: bytes
) -> None:
    url = await serve(memory)
    reader, writer = await opened(url)
    writer.write(request_head)
    line = await reader.readline()
    assert line.split()[1] == status
    assert b"Traceback" not in await reader.read(65536)
    writer.close()


async def test_others_are_answered_while_a_long_list_is_filtered(
    memory: MemoryRegion, serve: Serve
) -> None:
    jobs = (Job(id=f"job-{number}", namespace="default") for number in range(4000))
    memory.state.put(*jobs)
    url = await serve(memory)
    async with ClientSession(url) as client, asyncio.TaskGroup() as group:
        pattern = "filter=ID%20matches%20%22(a%7Cb%7Cc)*x%22"
        long = group.create_task(client.get(f"/v1/jobs?{pattern}"))
        order: list[str] = []
        long.add_done_callback(lambda _: order.append("long"))
        async with client.get("/v1/status/leader") as response:
            order.append("short")
            assert response.status == 200
        assert (await long).status == 200
    assert order == ["short", "long"]


def test_a_port_that_is_taken_is_said_to_be(memory: MemoryRegion) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = replace(CONFIG, ports=Ports(http=other.getsockname()[1]))

        async def bind() -> None:
            HttpService(memory, MemoryAgent(memory.clock), config, memory.clock).bind()

        with pytest.raises(Invalid, match="cannot listen"):
            asyncio.run(bind())


async def test_several_addresses_share_one_port(memory: MemoryRegion) -> None:
    config = replace(CONFIG, bind_addr="127.0.0.1 127.0.0.2")
    service = HttpService(memory, MemoryAgent(memory.clock), config, memory.clock)
    first, second = service.bind()
    assert (first[0], second[0]) == ("127.0.0.1", "127.0.0.2")
    assert first[1] == second[1] != 0
    for bound in service._sockets:
        bound.close()


async def test_a_bomb_of_compressed_zeros_is_refused(memory: MemoryRegion, serve: Serve) -> None:
    import gzip

    url = await serve(memory)
    packed = io.BytesIO(gzip.compress(b" " * (64 * 1024 * 1024)))
    async with ClientSession() as client:
        headers = {"Content-Encoding": "gzip"}
        async with client.put(f"{url}/v1/jobs", data=packed, headers=headers) as response:
            assert response.status == 413
