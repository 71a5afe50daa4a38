"""The way to the engine: short calls by the `docker` package in threads, streams without.

The package is imported when first needed: it takes a tenth of a second that an agent without
Docker tasks should not spend.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from drivers.docker.body import NAME, Body
from drivers.docker.http import Address, EngineAway, EngineRefused, parse_address
from hanse.errors import DriverFailed

if TYPE_CHECKING:
    from drivers.docker.config import PluginConfig

_R = TypeVar("_R")
_THREADS = 8
_CALL_S = 60
_PROBE_S = 10
_SOCKET = "/var/run/docker.sock"
_API_VERSION_LEAST = (1, 24)


class Engine:
    """One engine. Calls raise EngineAway when it does not answer, EngineRefused when it errs."""

    def __init__(self, plugin: PluginConfig) -> None:
        self._plugin = plugin
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._client: Any = None
        self._address: Address | None = None
        self._lock = threading.Lock()
        self.prefix = ""

    def close(self) -> None:
        """Let the threads end; what is under way is finished."""
        self._pool.shutdown(wait=False)
        with self._lock:
            if self._client is not None:
                self._client.close()

    async def call(self, function: Callable[[Any], _R]) -> _R:
        """Run a function of the package's client in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, functools.partial(self.call_now, function))

    def submit(self, function: Callable[[Any], _R]) -> Future[_R]:
        """The same for who does not wait."""
        return self._pool.submit(self.call_now, function)

    def call_now(self, function: Callable[[Any], _R]) -> _R:
        """The same, blocking, for threads."""
        if self._client is None and self._is_absent():
            raise EngineAway("there is no Docker engine on this machine")
        docker = importlib.import_module("docker")
        requests = importlib.import_module("requests")
        try:
            client = self._connected()
            _probe(self._address)
            return function(client)
        except docker.errors.APIError as error:
            status = int(error.status_code or 500)
            text = str(error.explanation or error)
            raise EngineRefused(status, text) from error
        except (requests.exceptions.RequestException, docker.errors.DockerException) as error:
            raise EngineAway(str(error)) from error

    async def address(self) -> Address:
        """Where to open streams. Raises EngineAway."""
        if self._address is None:
            await self.call(lambda client: client.api_version)
        assert self._address is not None
        return self._address

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._connect()
            return self._client

    def _is_absent(self) -> bool:
        """Whether there is no need to load the package: 10 MB an agent can be without."""
        elsewhere = self._plugin.endpoint or "DOCKER_HOST" in os.environ  # noqa: TID251
        return not elsewhere and not os.path.exists(_SOCKET)

    def _connect(self) -> None:
        docker = importlib.import_module("docker")
        # DOCKER_HOST and its companions, unless the plugin's configuration says otherwise.
        options: dict[str, Any] = docker.utils.kwargs_from_env()
        if self._plugin.endpoint:
            options = {"base_url": self._plugin.endpoint}
        context = None
        tls = self._plugin.tls
        if tls.cert or tls.ca:
            certificate = (tls.cert, tls.key) if tls.cert else None
            options["tls"] = docker.tls.TLSConfig(
                client_cert=certificate, ca_cert=tls.ca or None, verify=bool(tls.ca)
            )
        if isinstance(config := options.get("tls"), docker.tls.TLSConfig):
            context = _ssl_context(config)
        try:
            self._address = parse_address(options.get("base_url") or f"unix://{_SOCKET}", context)
        except ValueError as error:
            raise docker.errors.DockerException(str(error)) from error
        _probe(self._address)
        client = docker.APIClient(
            **options, version="auto", timeout=_CALL_S, max_pool_size=_THREADS * 2
        )
        self.prefix = f"/v{client.api_version}"
        self._client = client


def _probe(address: Address | None) -> None:
    """Raise EngineAway at once when nobody listens. The package would leave a socket open."""
    if address is None or not address.path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PROBE_S)
        try:
            sock.connect(address.path)
        except OSError as error:
            raise EngineAway(str(error)) from error


def _ssl_context(config: Any) -> Any:
    ssl = importlib.import_module("ssl")
    context = ssl.create_default_context(cafile=config.ca_cert)
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.cert:
        context.load_cert_chain(*config.cert)
    return context


def failed(what: str, error: Exception, *, recoverable: bool = True) -> DriverFailed:
    """The error to raise for a call that did not work."""
    if isinstance(error, EngineAway):
        return DriverFailed(NAME, f"{what}: cannot reach the Docker engine", recoverable=True)
    return DriverFailed(NAME, f"{what}: {error}", recoverable=recoverable)


def state_of(inspected: Body) -> dict[str, Any]:
    """The `State` of an inspected container."""
    state = inspected.get("State")
    return state if isinstance(state, dict) else {}
