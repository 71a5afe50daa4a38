"""A fuzzer that knows the OpenAPI document finds no crash, no hang and no undeclared answer."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from region.server import Region

Serve = Callable[..., Awaitable[str]]

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)


async def test_a_fuzzer_finds_nothing(region: Region, serve: Serve, tmp_path: Path) -> None:
    url = await serve(region, client_enabled=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{url}/v1/openapi.json",
        "--checks",
        CHECKS,
        "--phases",
        "fuzzing",
        "--max-examples",
        "2",
        "--exclude-method",
        "POST",
        "--request-timeout",
        "10",
        "--seed",
        "20",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(100):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]
