"""A registry on loopback that serves one image, with what goes wrong with registries."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = "hansa", "pa55word"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(name: str, size: int) -> bytes:
    """A layer of one file that does not compress, uncompressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = size
        body = b"".join(hashlib.sha256(f"{name}{n}".encode()).digest() for n in range(size // 32))
        archive.addfile(info, io.BytesIO(body.ljust(size, b"\0")))
    return buffer.getvalue()


class Registry:
    """What is served, and what was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.needs_auth = False
        self.pulls: list[str] = []
        #: Set to let layers be sent; cleared, they wait.
        self.open = threading.Event()
        self.open.set()
        layers = [layer("one", 3200), layer("two", 640_000)]
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/one"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
            }
        ).encode()
        packed = [gzip.compress(each, mtime=0) for each in layers]
        self.blobs = {digest(each): each for each in [config, *packed]}
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": len(config),
                    "digest": digest(config),
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "size": len(each),
                        "digest": digest(each),
                    }
                    for each in packed
                ],
            }
        ).encode()
        self.config_digest = digest(config)

    @property
    def image(self) -> str:
        return f"127.0.0.1:{self.port}/hanse/thing"


@contextmanager
def serve() -> Iterator[Registry]:
    registry = Registry()
    token = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if registry.needs_auth and self.headers.get("Authorization") != token:
                return self.answer(401, b"{}", ("WWW-Authenticate", 'Basic realm="test"'))
            name = self.path.rpartition("/")[2]
            if self.path == "/v2/":
                return self.answer(200, b"{}")
            if "/manifests/" in self.path and self.path.startswith("/v2/hanse/thing/"):
                registry.pulls.append(name)
                return self.answer(
                    200,
                    b"" if self.command == "HEAD" else registry.manifest,
                    ("Docker-Content-Digest", digest(registry.manifest)),
                    kind="application/vnd.docker.distribution.manifest.v2+json",
                    length=len(registry.manifest),
                )
            if "/blobs/" in self.path and name in registry.blobs:
                registry.open.wait(20)
                return self.answer(200, registry.blobs[name])
            body = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]})
            return self.answer(404, body.encode())

        do_HEAD = do_GET

        def answer(
            self,
            status: int,
            body: bytes,
            *headers: tuple[str, str],
            kind: str = "application/json",
            length: int | None = None,
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            for header in headers:
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.open.set()
        server.shutdown()
        server.server_close()
        thread.join()
