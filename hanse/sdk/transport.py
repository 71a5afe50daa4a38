"""HTTP/1.1 to an agent: one kept connection for calls, a connection of its own for every stream."""

from __future__ import annotations

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import ClassVar, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from hanse.errors import HanseError, Invalid, Kind

Query = str | int | bool | None

#: Bytes of an error's text that are kept.
_ERROR_BYTES_MAX = 64 * 1024
_CHUNK_BYTES = 64 * 1024


class ApiError(HanseError):
    """The agent answered, and refused. `status` is its HTTP status, `text` its own words."""

    kind: ClassVar[Kind] = "invalid"

    def __init__(self, status: int, text: str) -> None:
        """The text is the body of the answer."""
        super().__init__(f"{text.strip() or http.client.responses.get(status, '')} (HTTP {status})")
        self.status = status
        self.text = text.strip()


class Unreachable(HanseError):
    """No answer: the agent is not there, or its connection broke. A write may have been done."""

    kind: ClassVar[Kind] = "unavailable"
    retryable = True

    def __init__(self, address: str, problem: str) -> None:
        """Name the agent and say what went wrong."""
        super().__init__(f"cannot reach the agent at {address}: {problem}")
        self.address = address


class Settings(NamedTuple):
    """Where an agent is and what it is to be told with every request."""

    address: str = "http://127.0.0.1:4646"
    region: str = ""
    namespace: str = ""
    token: str = ""
    #: `user:password` for HTTP basic authentication.
    http_auth: str = ""
    ca_cert: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    connect_timeout_s: float = 10.0
    #: For one call; blocking queries add their `wait`.
    timeout_s: float = 60.0


class Response(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream:
    """An answer that is read as it comes. Use it in a `with` block; leaving it hangs up."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse):
        """The connection belongs to the stream."""
        self._connection = connection
        self._answer = answer

    def __enter__(self) -> Stream:
        """Nothing is done here."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        self.close()

    def close(self) -> None:
        """Hang up; safe to call twice."""
        self._connection.close()

    def chunks(self) -> Iterator[bytes]:
        """What has come, as soon as it has come. Raises Unreachable when the connection breaks."""
        while True:
            try:
                chunk = self._answer.read1(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable("the other end of the stream", reason(error)) from error
            if not chunk:
                return
            yield chunk


class Transport:
    """Requests to one agent. Not to be shared between threads."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet. Raises ValueError for a wrong address or token."""
        self.settings = settings
        address = settings.address if "://" in settings.address else f"http://{settings.address}"
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https", "unix"):
            raise ValueError(f"address {settings.address!r}: not http://, https:// or unix://")
        self.unix_path = parts.netloc + parts.path if parts.scheme == "unix" else ""
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or "127.0.0.1"
        # A bare host means the API's own port; a URL means what URLs mean.
        plain_port = 80 if "://" in settings.address else 4646
        self.port = parts.port or (443 if self.secure else plain_port)
        self.base = "" if self.unix_path else parts.path.rstrip("/")
        if not (settings.token.isascii() and (settings.token or "x").isprintable()):
            raise ValueError("the token has characters that no token has")
        self._kept: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """One call. `target` is a path with its query. Raises Unreachable; statuses are returned.

        Raises Invalid for a header that cannot be sent.

        A kept connection that the agent has closed meanwhile is replaced once, before anything of
        the answer was read, and only for reads.
        """
        for fresh in (False, True):
            connection = self._kept if not fresh else None
            reused = connection is not None
            connection = connection or self.connect()
            try:
                connection.timeout = timeout_s or self.settings.timeout_s
                if connection.sock is not None:
                    connection.sock.settimeout(connection.timeout)
                connection.request(method, self.base + target, body, self._headers(headers))
                answer = connection.getresponse()
                content = answer.read()
            except ValueError as error:
                connection.close()
                raise Invalid("request", str(error)) from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._kept = None
                if reused and method == "GET" and not isinstance(error, TimeoutError):
                    continue
                raise Unreachable(self.settings.address, reason(error)) from error
            except BaseException:
                connection.close()
                self._kept = None
                raise
            self._kept = None if answer.will_close else connection
            return Response(answer.status, dict(answer.headers.items()), content)
        raise AssertionError("the second try is always fresh")

    def stream(self, target: str, *, method: str = "GET", body: bytes | None = None) -> Stream:
        """Begin a call whose answer goes on. Raises ApiError for any status but 200; Unreachable.

        Between two pieces of the answer any time may pass.
        """
        connection = self.connect()
        try:
            connection.request(method, self.base + target, body, self._headers(None))
            answer = connection.getresponse()
            if answer.status != 200:
                text = answer.read(_ERROR_BYTES_MAX).decode(errors="replace")
                connection.close()
                raise ApiError(answer.status, text)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(self.settings.address, reason(error)) from error
        if connection.sock is not None:
            connection.sock.settimeout(None)
        return Stream(connection, answer)

    def connect(self) -> http.client.HTTPConnection:
        """A new connection. Raises Unreachable."""
        wait = self.settings.connect_timeout_s
        connection: http.client.HTTPConnection
        try:
            if self.unix_path:
                connection = http.client.HTTPConnection("localhost", timeout=wait)
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(wait)
                connection.sock.connect(self.unix_path)
            elif self.secure:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=wait)
                context = self._tls()
                plain = socket.create_connection((self.host, self.port), wait)
                name = self.settings.tls_server_name or self.host
                connection.sock = context.wrap_socket(plain, server_hostname=name)
            else:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=wait)
                connection.connect()
        except OSError as error:
            raise Unreachable(self.settings.address, reason(error)) from error
        return connection

    def close(self) -> None:
        """Hang up."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _tls(self) -> ssl.SSLContext:
        settings = self.settings
        context = ssl.create_default_context(
            cafile=settings.ca_cert or None, capath=settings.ca_path or None
        )
        if settings.tls_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert, settings.client_key or None)
        return context

    def authentication(self) -> dict[str, str]:
        """Headers that say who we are."""
        headers: dict[str, str] = {}
        if self.settings.token:
            headers["X-Nomad-Token"] = self.settings.token
        if self.settings.http_auth:
            basic = b64encode(self.settings.http_auth.encode()).decode()
            headers["Authorization"] = f"Basic {basic}"
        return headers

    def _headers(self, more: Mapping[str, str] | None) -> dict[str, str]:
        host = "localhost" if self.unix_path else f"{self.host}:{self.port}"
        return {"Host": host, **self.authentication(), **(more or {})}


def target_of(path: str, query: Mapping[str, Query | list[str]]) -> str:
    """A path with its query; what is None, empty or False is left out."""
    pairs: list[tuple[str, str]] = []
    for key, value in query.items():
        if value is None or value is False or value == "":
            continue
        texts = value if isinstance(value, list) else [value]
        pairs.extend((key, "true" if text is True else str(text)) for text in texts)
    return f"{path}?{urlencode(pairs)}" if pairs else path


def segment(name: str) -> str:
    """A name as one part of a path: its slashes are escaped."""
    return quote(name, safe="")


def reason(error: BaseException) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it hung up without an answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
