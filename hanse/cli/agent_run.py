"""The agent as a process: joins server, client, drivers and API, and owns their lives."""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hanse import __version__
from hanse.clock import Clock, SystemClock
from hanse.config.addresses import advertised
from hanse.config.model import AgentConfig
from hanse.config.paths import cache_dir
from hanse.driver import Driver, DriverContext
from hanse.errors import HanseError, Invalid
from hanse.log import LogSettings, get_logger, level_number, set_up
from hanse.metrics import Metrics
from hanse.service import Service, supervise

if TYPE_CHECKING:
    from client.agent import Client
    from region.quorum.quorum import Quorum
    from region.server import Region
    from region.store.member import Supervisor

log = get_logger("agent")

ENTRY_POINTS = "hanse.drivers"
ETCD_READY_S = 60.0


def run(config: AgentConfig, reread: Callable[[], AgentConfig] | None = None) -> int:
    """Run an agent until a signal ends it; returns the exit code.

    `reread` reads the configuration again, for SIGHUP.
    """
    temporary = "" if config.data_dir else tempfile.mkdtemp(prefix="hanse-dev-")
    config = replace(config, data_dir=config.data_dir or temporary)
    config = replace(config, name=config.name or socket.gethostname())
    try:
        settings = LogSettings(level=config.log_level, json=config.log_json)
        set_up(settings)
        with asyncio.Runner() as runner:
            process = _Process(config, settings, reread, temporary=bool(temporary))
            return runner.run(process.run())
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


class _Process:
    """What lives as long as the process does."""

    def __init__(
        self,
        config: AgentConfig,
        settings: LogSettings,
        reread: Callable[[], AgentConfig] | None,
        *,
        temporary: bool,
    ) -> None:
        self.config = config
        self.settings = settings
        self.reread = reread
        #: The data go when the process ends, so the disk need not be waited for.
        self.temporary = temporary
        self.clock = SystemClock()
        self.stop = asyncio.Event()
        self.metrics = Metrics(self.clock)
        #: The drivers of the client in this agent.
        self.drivers: dict[str, Driver] = {}
        #: This server's part in a quorum; None in -dev, with a foreign etcd, and on clients.
        self.quorum: Quorum | None = None

    async def run(self) -> int:
        self._watch_signals()
        if not self.config.log_json:
            sys.stdout.write(banner(self.config))
            sys.stdout.flush()
        code = 0
        try:
            async with AsyncExitStack() as stack:
                await supervise(await self._services(stack), self.stop)
        except* HanseError as errors:
            for error in _leaves(errors):
                log.critical("the agent cannot go on", error=str(error))
            code = 1
        log.info("agent stopped", code=code)
        return code

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Take over what can change while we run: the log's level and format."""
        if self.reread is None:
            return
        try:
            fresh = self.reread()
        except HanseError as error:
            log.warning("configuration not reloaded; the old one stays", error=str(error))
            return
        self.settings.level = level_number(fresh.log_level)
        self.settings.json = fresh.log_json
        log.info("configuration reloaded", log_level=fresh.log_level)

    async def _services(self, stack: AsyncExitStack) -> list[Service]:
        """Everything that must run, first what the others stand on: it is stopped last."""
        services: list[Service] = []
        region = None
        opened = asyncio.Event()
        opened.set()
        if self.config.server.enabled:
            services, region, opened = await self._server(stack)
        from hanse.cli.agent_gauges import Gauges
        from hanse.cli.agent_info import Agent
        from region.api.serve import HttpService

        hub = self.settings.hub
        client = None
        if self.config.client.enabled:
            client = self._client(region)
            services += client.services()
        info = Agent(
            settings=self.config,
            clock=self.clock,
            metrics=self.metrics,
            hub=hub,
            node_id=client.node_id if client is not None else "",
            server=region,
            on_reload=self.reload,
            quorum=self.quorum,
        )
        if region is not None:
            http = HttpService(region, info, self.config, self.clock)
            http.bind()
            services.append(http)
        gauges = Gauges(
            self.metrics,
            self.clock,
            interval_s=self.config.telemetry.collection_interval_s,
            region=region,
            node_id=info.node_id,
        )
        services += [gauges, _Settled(opened)]
        return services

    async def _server(self, stack: AsyncExitStack) -> tuple[list[Service], Region, asyncio.Event]:
        """etcd, the store over it and the region over that; the event says that etcd answers."""
        from region.store.client import EtcdStore
        from region.store.members import Options
        from region.store.merge import Limits

        opened = asyncio.Event()
        services: list[Service] = []
        endpoints: Sequence[str] = self.config.server.etcd_endpoints
        if not endpoints and not self.config.dev:
            return await self._one_of_several(stack)
        options = limits = None
        if endpoints:
            # Somebody else's etcd: its limits are etcd's own, and so is its patience with pings.
            options, limits = Options(keepalive_s=10), Limits(ops_max=128)
            opened.set()
        else:
            member = await stack.enter_async_context(_started(await self._member(), self.clock))
            endpoints = [member.endpoint]
            services.append(_Opening(member, opened))
        store = EtcdStore(
            endpoints, clock=self.clock, options=options, limits=limits, metrics=self.metrics
        )
        # Slow to import: etcd starts meanwhile.
        from region.server import Region

        executor = stack.enter_context(ThreadPoolExecutor(1, "scheduler"))
        region = Region(
            store,
            self.config,
            self.clock,
            executor=executor,
            check_driver=self.check_driver if self.config.client.enabled else None,
        )
        services += [_After(opened, service) for service in (store, *region.services())]
        if self.config.dev and not self.config.server.etcd_endpoints:
            from hanse.cli.agent_quorum import alone

            self.quorum, more = alone(self.config, region, store, self.clock)
            services += [_After(opened, service) for service in more]
        return services, region, opened

    async def _one_of_several(
        self, stack: AsyncExitStack
    ) -> tuple[list[Service], Region, asyncio.Event]:
        from hanse.cli.agent_quorum import server

        executor = stack.enter_context(ThreadPoolExecutor(1, "scheduler"))
        check = self.check_driver if self.config.client.enabled else None
        made = await server(self.config, self.clock, executor, self.metrics, check)
        self.quorum = made.quorum
        later = [_After(made.opened, service) for service in made.later]
        return [*made.services, *later], made.region, made.opened

    async def _member(self) -> Supervisor:
        from region.store.binary import find
        from region.store.member import MemberConfig, Supervisor

        config = self.config
        path = Path(config.server.etcd_path) if config.server.etcd_path else None
        binary = await find(path, dev=config.dev, private=cache_dir() / "etcd" / "bin")
        member = MemberConfig(
            name=config.name,
            region=config.region,
            data_dir=Path(config.data_dir) / "server" / "etcd",
            client_address=f"127.0.0.1:{config.ports.etcd_client}",
            peer_address=f"127.0.0.1:{config.ports.etcd_peer}",
            dev=self.temporary,
        )
        return Supervisor(binary, member, self.clock)

    def check_driver(self, driver: str, config: Mapping[str, object]) -> list[str]:
        """What is wrong with a task's configuration, as far as this agent's drivers know."""
        known = self.drivers.get(driver)
        return known.validate(config) if known is not None else []

    def _client(self, region: Region | None) -> Client:
        from client.agent import Client

        config = self.config
        host = advertised(config.advertise.rpc, config.bind_addr)
        servers = config.client.servers or config.client.join.retry_join
        if not servers and region is not None:
            servers = (f"{host}:{config.ports.rpc}",)
        http = advertised(config.advertise.http, config.bind_addr)
        self.drivers = load_drivers(config, self.clock)
        return Client(
            # Tasks whose allocations will be known again at the next start are left running.
            replace(config, dev=self.temporary),
            self.drivers,
            self.clock,
            servers=servers,
            http_addr=f"{http}:{config.ports.http}",
            log_hub=self.settings.hub,
        )


@asynccontextmanager
async def _started(member: Supervisor, clock: Clock) -> AsyncGenerator[Supervisor]:
    """Run the member before, and until after, everything else."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(member.run(), name=member.name)
        while member.pid is None and not task.done():
            await clock.sleep(0.002)
        try:
            yield member
        finally:
            task.cancel()


class _Opening:
    """Says when etcd answers."""

    name = "opening"

    def __init__(self, member: Supervisor, opened: asyncio.Event) -> None:
        self._member = member
        self._opened = opened

    async def run(self) -> None:
        await self._member.ready(timeout_s=ETCD_READY_S)
        self._opened.set()
        await asyncio.Event().wait()


class _After:
    """A service that waits for another to be ready before it starts."""

    def __init__(self, opened: asyncio.Event, service: Service) -> None:
        self.name = service.name
        self._opened = opened
        self._service = service

    async def run(self) -> None:
        await self._opened.wait()
        await self._service.run()


class _Settled:
    """Takes what was made at the start out of the garbage collector's rounds."""

    name = "settled"

    def __init__(self, opened: asyncio.Event) -> None:
        self._opened = opened

    async def run(self) -> None:
        await self._opened.wait()
        gc.collect()
        gc.freeze()
        # Most of what lives long is not tracked: looking for cycles seldom is enough.
        gc.set_threshold(50_000, 10, 10)
        await asyncio.Event().wait()


def load_drivers(config: AgentConfig, clock: Clock) -> dict[str, Driver]:
    """Every driver that is installed; one that cannot be loaded is logged and left out.

    Raises HanseError where the configuration of a driver is wrong, or names one that is not
    installed: a job would wait for it for ever.
    """
    from client.identity import node_identity, state_folder

    node_id = node_identity(state_folder(config)).node_id
    drivers: dict[str, Driver] = {}
    entries = entry_points(group=ENTRY_POINTS)
    for name in sorted(config.plugins.keys() - entries.names):
        known = ", ".join(sorted(entries.names))
        raise Invalid(f'plugin "{name}"', f"no such driver is installed; there are {known}")
    for entry in entries:
        folder = Path(config.data_dir) / "drivers" / entry.name
        context = DriverContext(
            config=config.plugins.get(entry.name, {}),
            state_dir=str(folder),
            clock=clock,
            node_id=node_id,
        )
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            drivers[entry.name] = entry.load()(context)
        except (ImportError, AttributeError, OSError) as error:
            log.warning("driver cannot be loaded", driver=entry.name, error=str(error))
    return drivers


def banner(config: AgentConfig) -> str:
    """What an agent says of itself before its log begins."""
    files = ", ".join(config.files)
    host = advertised(config.advertise.http, config.bind_addr)
    ports = config.ports
    facts = {
        "Advertise Addrs": f"HTTP: {host}:{ports.http}; RPC: {host}:{ports.rpc}; "
        f"Serf: {host}:{ports.serf}",
        "Bind Addrs": f"HTTP: [{config.addresses.http or config.bind_addr}:{ports.http}]; "
        f"RPC: {config.bind_addr}:{ports.rpc}; Serf: {config.bind_addr}:{ports.serf}",
        "Client": str(config.client.enabled).lower(),
        "Log Level": config.log_level.upper(),
        "Region": f"{config.region} (DC: {config.datacenter})",
        "Server": str(config.server.enabled).lower(),
        "Version": __version__,
    }
    lines = [
        f"==> Loaded configuration from {files}" if files else "==> No configuration files loaded",
        "==> Starting Hanse agent...",
        "==> Hanse agent configuration:",
        "",
        *(f"{name:>21}: {value}" for name, value in facts.items()),
        "",
        "==> Hanse agent started! Log data will stream in below:",
        "",
    ]
    return "\n".join(lines) + "\n"


def _leaves(group: BaseExceptionGroup[HanseError]) -> list[HanseError]:
    found: list[HanseError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
