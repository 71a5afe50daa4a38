"""Member and client speak TLS, each with a certificate that the other checks."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from hanse.clock import SystemClock
from hanse.errors import Unavailable
from hanse.store import Batch, Put, Txn
from region.store.binary import Binary
from region.store.client import opened
from region.store.maintain import maintenance
from region.store.member import MemberConfig, Supervisor, TlsFiles
from region.store.members import Options

CLOCK = SystemClock()


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    """Make an authority and one certificate for both ends, as small regions do."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is not installed")
        pytest.skip("openssl is not installed")
    files = TlsFiles(ca=tmp_path / "ca.crt", cert=tmp_path / "a.crt", key=tmp_path / "a.key")
    ca_key, request, names = tmp_path / "ca.key", tmp_path / "a.csr", tmp_path / "names"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", str(ca_key), "-out", str(files.ca),
            "-subj", "/CN=hanse-ca", "-days", "2")  # fmt: skip
    openssl("req", *curve, "-keyout", str(files.key), "-out", str(request), "-subj", "/CN=server")
    names.write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    openssl("x509", "-req", "-in", str(request), "-CA", str(files.ca), "-CAkey", str(ca_key),
            "-CAcreateserial", "-out", str(files.cert), "-days", "2",
            "-extfile", str(names))  # fmt: skip
    return files


async def test_store_watch_and_maintenance_run_over_mutual_tls(
    binary: Binary, tmp_path: Path, new_address: Callable[[], str], tls: TlsFiles
) -> None:
    config = MemberConfig(
        name="lubeck", region="global", data_dir=tmp_path / "etcd", dev=True, tls=tls,
        client_address=new_address(), peer_address=new_address(),
    )  # fmt: skip
    credentials = grpc.ssl_channel_credentials(
        tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes()
    )
    stranger = grpc.ssl_channel_credentials(tls.ca.read_bytes())
    member = Supervisor(binary, config, CLOCK)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(member.run())
        await member.ready(credentials, timeout_s=30)
        async with (
            opened([member.endpoint], clock=CLOCK, credentials=credentials) as store,
            maintenance(member.endpoint, clock=CLOCK, credentials=credentials) as operate,
        ):
            start = await store.revision()
            result = await store.commit(Txn((), (Put("/a", b""),)))
            watch = store.watch("/", start)
            news = await anext(watch)
            await watch.aclose()
            assert isinstance(news, Batch)
            assert news.revision == result.revision
            assert (await operate.status()).revision == result.revision
        options = Options(patience_s=0.2, call_deadline_s=1.0)
        for wrong in (stranger, None):
            async with opened(
                [member.endpoint], clock=CLOCK, credentials=wrong, options=options
            ) as store:
                with pytest.raises(Unavailable):
                    await store.get("/a")
        task.cancel()
