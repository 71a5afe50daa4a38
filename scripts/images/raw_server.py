"""The demo's two servers as plain processes, for machines without a Docker engine.

raw_server.py web      answers 200 to everything on the ports labelled http and https
raw_server.py cache    answers +PONG to every line on the port labelled db
"""

from __future__ import annotations

import os
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok\n")


class Cache(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for _ in self.rfile:
            self.wfile.write(b"+PONG\r\n")


def address(label: str) -> tuple[str, int]:
    # The host's port: with a `to` in the job, NOMAD_PORT_ is the one inside a container.
    return os.environ[f"NOMAD_HOST_IP_{label}"], int(os.environ[f"NOMAD_HOST_PORT_{label}"])


def main() -> None:
    if sys.argv[1] == "web":
        servers: list[socketserver.BaseServer] = [
            ThreadingHTTPServer(address("http"), Web),
            ThreadingHTTPServer(address("https"), Web),
        ]
    else:
        servers = [socketserver.ThreadingTCPServer(address("db"), Cache)]
    print("Ready to accept connections", flush=True)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
