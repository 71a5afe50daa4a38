"""The node agent: joins the parts and owns the task group that everything here runs in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, TypeVarTuple, Unpack

import grpc.aio
import msgspec
import structlog

from client.allocations import Allocations
from client.calls import Calls
from client.checkpoint import Checkpoint
from client.checks import Prober
from client.collect import collect_for_ever
from client.fingerprint.finding import Finding
from client.fingerprint.node import look, node_of
from client.identity import alloc_folder, node_identity, state_folder
from client.outbox import Outbox
from client.session import Session
from client.world import World
from hanse.clock import Clock, SystemClock
from hanse.config.model import AgentConfig
from hanse.driver import Driver
from hanse.durations import SECOND_NS
from hanse.errors import HanseError
from hanse.log import LogHub
from hanse.rpc.messages import Call, Desired, NodeChanged, NodeEventReport
from hanse.service import Service
from hanse.structs.allocation import AllocStatus
from hanse.structs.node import DriverInfo, Node
from hanse.structs.times import rfc3339

log = structlog.get_logger(__name__)

_Args = TypeVarTuple("_Args")

#: How long the first registration waits for drivers to say whether they work; those that take
#: longer are reported when they have.
DRIVERS_S = 0.3
#: Between two looks at the drivers.
DRIVERS_EVERY_S = 30.0
#: How long a temporary node may take to stop its tasks when it ends.
FAREWELL_S = 30.0
#: Statuses are numbered upwards across restarts: each start of the agent takes a block.
_NUMBERS_PER_START = 1 << 32


class Client:
    """See the module. `services` must run for anything to happen."""

    name = "client"

    def __init__(
        self,
        config: AgentConfig,
        drivers: Mapping[str, Driver],
        clock: Clock | None = None,
        *,
        servers: Callable[[], list[str]] | Sequence[str] = (),
        http_addr: str = "",
        rng: Random | None = None,
        log_hub: LogHub | None = None,
    ) -> None:
        """Open the state; blocks for a moment. `servers` ("host:port") default to the config's.

        `http_addr` is where other agents and users reach this agent's API. Raises Invalid if the
        state folder is in use, damaged or not configured.
        """
        state_dir = state_folder(config)
        self.config = config
        self.drivers = dict(drivers)
        self.clock: Clock = clock or SystemClock()
        identity = node_identity(state_dir)
        self.node_id = identity.node_id
        self._alloc_dir = alloc_folder(config)
        self._alloc_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._checkpoint = Checkpoint(state_dir / "state.db")
        self._remembered, self._meta_rows = self._checkpoint.load()
        self._rng = rng or Random()
        self._http_addr = http_addr
        self._findings: list[Finding] = []
        self._driver_infos: dict[str, DriverInfo] = {}
        self._node = Node(id=self.node_id)
        self._node_known = asyncio.Event()
        self._meta: dict[str, str | None] = _meta(self._meta_rows)
        self._group: asyncio.TaskGroup | None = None
        self._leaving = False
        self._outbox = Outbox(self._first_number())
        given = servers if callable(servers) else lambda: list(servers or config.client.servers)
        self.session = Session(
            servers=given,
            node=lambda: self._node,
            secret=identity.secret,
            outbox=self._outbox,
            listener=self,
            clock=self.clock,
            rng=self._rng,
        )
        self._prober = Prober()
        self.world = World(
            clock=self.clock,
            rng=self._rng,
            spawn=self._spawn,
            drivers=self.drivers,
            checkpoint=self._checkpoint,
            alloc_root=self._alloc_dir,
            region=config.region,
            node=lambda: self._node,
            publish=self._publish,
            max_kill_timeout_ns=int(config.client.max_kill_timeout_s * SECOND_NS),
            prober=self._prober,
        )
        self.allocations = Allocations(
            self.world, self._outbox.forget, settled=self._outbox.settled
        )
        self._calls = Calls(self, log_hub)

    def services(self) -> list[Service]:
        """What `hanse.service.supervise` must run: the client is one service."""
        return [self]

    @property
    def node(self) -> Node:
        """The node as it is registered; its `id` alone before the first fingerprint."""
        return self._node

    @property
    def meta(self) -> Mapping[str, str | None]:
        """What users changed of the node's meta at run time; None marks removed keys."""
        return self._meta

    def change_meta(self, changes: Mapping[str, str | None]) -> None:
        """Change the node's meta, for good; None removes a key."""
        self._meta.update(changes)
        self._checkpoint.put_meta("node-meta", msgspec.msgpack.encode(self._meta))
        self._describe_node()

    async def run(self) -> None:
        """Run the node until cancelled. A dev agent's tasks end with it, others' go on."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._write_checkpoint())
                await self._first_look()
                self.allocations.restore(self._remembered)
                self._remembered.clear()
                group.create_task(self._watch_drivers())
                group.create_task(self.session.run())
                group.create_task(collect_for_ever(self))
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    await self._farewell()
                    raise
        finally:
            self._group = None
            await self._prober.close()
            with suppress(HanseError):
                await self._checkpoint.flush()
            self._checkpoint.close()

    async def _farewell(self) -> None:
        if not self.config.dev:
            return
        self._leaving = True
        log.info("stopping all tasks", allocations=len(self.allocations))
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.allocations.stop_all()

    # What the session tells.

    def desired(self, message: Desired) -> tuple[tuple[str, str, int], ...]:
        """Do as the servers say."""
        if self._leaving:
            return ()
        wanted = self.allocations.apply(message)
        if message.complete:
            self._checkpoint.forget_jobs_except(self.allocations.job_keys())
        return wanted

    def call(self, channel: grpc.aio.Channel, call: Call) -> None:
        """Answer a call, beside everything else."""
        self._spawn(self._calls.answer, channel, call)

    # What runners need.

    def _spawn(
        self, work: Callable[[Unpack[_Args]], Coroutine[Any, Any, None]], *args: *_Args
    ) -> asyncio.Task[None]:
        assert self._group is not None, "the client is not running"
        return self._group.create_task(_guarded(work, *args))

    def _publish(self, status: AllocStatus) -> None:
        if self._outbox.put(status):
            self.session.statuses_wait()

    # The node itself.

    async def _first_look(self) -> None:
        started = self.clock.now()
        looking = asyncio.gather(*(self._ask_driver(name) for name in self.drivers))
        self._findings = await look(self.config, self._alloc_dir)
        # Drivers that are slow go on; `_watch_drivers` reports them when they have answered.
        await asyncio.wait({looking}, timeout=DRIVERS_S)
        self._first_drivers = looking
        self._describe_node()
        took_ms = round((self.clock.now() - started) * 1000)
        log.info("node described", node=self.node_id, took_ms=took_ms)

    async def _ask_driver(self, name: str) -> None:
        before = self._driver_infos.get(name)
        try:
            info = await self.drivers[name].fingerprint()
        except HanseError as error:
            info = DriverInfo(health_description=str(error))
        except Exception as error:
            log.exception("driver broke", driver=name)
            info = DriverInfo(health_description=f"the driver broke: {error!r}")
        if before is not None and not _differs(before, info):
            return
        if info.update_time == DriverInfo().update_time:
            now = rfc3339(self.clock.wall_ns())
            info = msgspec.structs.replace(info, update_time=now)
        self._driver_infos[name] = info
        if before is not None and before.healthy != info.healthy:
            word = "healthy" if info.healthy else "unhealthy"
            text = f'Driver "{name}" became {word}: {info.health_description}'
            self.session.send(
                NodeEventReport(subsystem="Driver", text=text, details={"driver": name})
            )
        if self._node_known.is_set():
            self._describe_node()

    async def _watch_drivers(self) -> None:
        await self._first_drivers
        while True:
            await self.clock.sleep(DRIVERS_EVERY_S)
            await self.look_at_drivers()

    async def look_at_drivers(self) -> None:
        """Ask every driver whether it works, and tell the servers what changed."""
        await asyncio.gather(*(self._ask_driver(name) for name in self.drivers))

    def _describe_node(self) -> None:
        node = node_of(
            self.config,
            self.node_id,
            self._findings,
            self._driver_infos,
            http_addr=self._http_addr,
            meta=self._meta,
        )
        if node != self._node:
            self._node = node
            if self._node_known.is_set():
                self.session.send(NodeChanged(node=node))
        self._node_known.set()

    async def _write_checkpoint(self) -> None:
        """Nothing stays unwritten for long, also if nobody waits for it."""
        while True:
            await self._checkpoint.wait_for_puts()
            try:
                await self._checkpoint.flush()
            except HanseError as error:
                log.error("state not written", error=str(error))  # noqa: TRY400
                await self.clock.sleep(1.0)

    def _first_number(self) -> int:
        """The last status number any earlier agent of this node can have used."""
        before = int.from_bytes(self._meta_rows.get("status-number", b""), "big")
        self._checkpoint.put_meta(
            "status-number", (before + _NUMBERS_PER_START).to_bytes(12, "big")
        )
        return before


def _meta(rows: Mapping[str, bytes]) -> dict[str, str | None]:
    body = rows.get("node-meta")
    return msgspec.msgpack.decode(body, type=dict[str, str | None]) if body else {}


def _differs(before: DriverInfo, after: DriverInfo) -> bool:
    """Whether anything but the moment of the look is another."""
    undated = DriverInfo().update_time
    return msgspec.structs.replace(before, update_time=undated) != msgspec.structs.replace(
        after, update_time=undated
    )


async def _guarded(
    work: Callable[[Unpack[_Args]], Coroutine[Any, Any, None]], *args: *_Args
) -> None:
    """Run the work of one allocation: a mistake in it must not take the other tasks along."""
    try:
        await work(*args)
    except Exception:
        log.exception("work of an allocation broke")
