"""What a command is, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from hanse.cli.flags import Flag, Flags, UsageError
from hanse.cli.terminal import Terminal

if TYPE_CHECKING:
    from hanse.sdk.client import Client


class Command(NamedTuple):
    """One command, as the table of commands has it."""

    #: Words after `hanse`: `job run`.
    name: str
    #: One line for lists of commands.
    summary: str
    #: `module:function` that carries it out: takes a Context, returns the exit code.
    run: str
    arguments: str = ""
    #: How many arguments it takes; None has no upper limit.
    counts: tuple[int, int | None] = (0, 0)
    flags: tuple[Flag, ...] = ()
    about: str = ""
    example: str = ""
    #: Whether it talks to an agent, and so has the general flags.
    general: bool = True
    #: Flags end at the first argument: what follows belongs to another program.
    stop_at_argument: bool = False
    #: What its arguments are completed to.
    complete: str = ""
    #: Flags of Nomad's whose features come later; refused by name.
    not_yet: frozenset[str] = frozenset()
    #: Other names, from older versions or for short.
    aliases: tuple[str, ...] = ()


class Failed(Exception):
    """The command failed and says why; `code` is the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        """The text goes to standard error as it is."""
        super().__init__(text)
        self.text = text
        self.code = code


class Edges(NamedTuple):
    """The world outside a command."""

    terminal: Terminal
    environment: Mapping[str, str]
    #: Nanoseconds since 1970.
    now_ns: Callable[[], int]
    #: Takes seconds.
    sleep: Callable[[float], None]


class Context:
    """All that a command may use. Tests make their own."""

    def __init__(self, command: Command, flags: Flags, arguments: list[str], edges: Edges) -> None:
        """Flags and arguments are parsed and counted already."""
        self.command = command
        self.flags = flags
        self.arguments = arguments
        self.terminal = edges.terminal
        self.environment = edges.environment
        self.now_ns = edges.now_ns
        self.sleep = edges.sleep
        self._client: Client | None = None

    def __enter__(self) -> None:
        """Nothing is connected yet."""

    def __exit__(self, *error: object) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()

    def variable(self, name: str, default: str = "") -> str:
        """`HANSE_<name>`, else `NOMAD_<name>`, else the default."""
        for prefix in ("HANSE_", "NOMAD_"):
            if value := self.environment.get(prefix + name, ""):
                return value
        return default

    def argument(self, at: int, default: str = "") -> str:
        """One of the arguments, or the default."""
        return self.arguments[at] if at < len(self.arguments) else default

    @property
    def client(self) -> Client:
        """The agent that the flags and the environment name."""
        if self._client is None:
            self._client = self.client_for()
        return self._client

    def client_for(self, *, region: str = "", namespace: str = "") -> Client:
        """A client that speaks to a region or namespace of its own. Raises UsageError."""
        from hanse.sdk.client import Client
        from hanse.sdk.transport import Settings

        def setting(flag: str, variable: str, default: str = "") -> str:
            return self.flags.text(flag) or self.variable(variable, default)

        skip = self.variable("SKIP_VERIFY").lower() in ("1", "t", "true")
        settings = Settings(
            address=setting("address", "ADDR", "http://127.0.0.1:4646"),
            region=region or setting("region", "REGION"),
            namespace=namespace or setting("namespace", "NAMESPACE"),
            token=setting("token", "TOKEN"),
            http_auth=self.variable("HTTP_AUTH"),
            ca_cert=setting("ca-cert", "CACERT"),
            ca_path=setting("ca-path", "CAPATH"),
            client_cert=setting("client-cert", "CLIENT_CERT"),
            client_key=setting("client-key", "CLIENT_KEY"),
            tls_server_name=setting("tls-server-name", "TLS_SERVER_NAME"),
            tls_skip_verify=self.flags.on("tls-skip-verify", default=skip),
        )
        try:
            return Client(settings=settings)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def use(self, client: Client) -> None:
        """From here on, this is the agent."""
        if self._client is not None:
            self._client.close()
        self._client = client

    @property
    def verbose(self) -> bool:
        """Whether ids are shown whole."""
        return self.flags.on("verbose")

    def out(self, text: str = "") -> None:
        """Write to standard output."""
        self.terminal.out(text)

    def err(self, text: str) -> None:
        """Write to standard error."""
        self.terminal.err(text)
