"""A server that is one of several: joins its parts, from configuration to services."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from hanse.clock import Clock
from hanse.config.model import AgentConfig
from hanse.config.paths import cache_dir
from hanse.metrics import Metrics
from hanse.service import Service
from region.jobs.validate import DriverCheck
from region.quorum import disk
from region.quorum.cards import card_of, meeting
from region.quorum.keeper import Endpoints
from region.quorum.neighbours import Retry
from region.quorum.quorum import Quorum
from region.server import Region
from region.store.binary import find
from region.store.client import EtcdStore
from region.store.member import MemberConfig
from region.store.members import Options

#: How long requests are held before the quorum counts as gone.
ELECTION_S = 6.0


@dataclass(frozen=True)
class Server:
    """A server's parts."""

    #: Must run from the start; those before can be used by those after while they stop.
    services: Sequence[Service]
    #: Must run once `opened` is set.
    later: Sequence[Service]
    region: Region
    quorum: Quorum
    opened: asyncio.Event


async def server(
    config: AgentConfig,
    clock: Clock,
    executor: Executor,
    metrics: Metrics,
    check_driver: DriverCheck | None,
) -> Server:
    """Make the parts of a server. Raises Invalid, NotFound."""
    folder = Path(config.data_dir) / "server"
    card = card_of(config)
    path = Path(config.server.etcd_path) if config.server.etcd_path else None
    binary = await find(path, dev=False, private=cache_dir() / "etcd" / "bin")
    join = config.server.join
    quorum = Quorum(
        card,
        folder,
        clock,
        addresses=[meeting(address, config) for address in join.retry_join],
        retry=Retry(join.retry_interval_s, join.retry_max),
        grace_s=config.server.dead_server_grace_s,
    )
    base = MemberConfig(
        name=card.name,
        region=card.region,
        data_dir=folder / disk.ETCD,
        client_address=card.client,
        peer_address=card.peer,
    )
    keeper = quorum.keeper(binary, base)
    # A link that fails in one direction only makes elections slow; requests wait for them.
    options = Options(patience_s=ELECTION_S)
    store = EtcdStore([card.client], clock=clock, options=options, metrics=metrics)
    region = Region(
        store, config, clock, executor=executor, others=quorum, check_driver=check_driver
    )
    later = [store, *(s for s in region.services() if s is not region.rpc)]
    later += quorum.attach(region, store)
    later.append(Endpoints(quorum.neighbours, store.use, clock))
    services: list[Service] = [keeper, region.rpc, quorum.neighbours, quorum.pulse]
    return Server(services, later, region, quorum, keeper.opened)


def alone(
    config: AgentConfig, region: Region, store: EtcdStore, clock: Clock
) -> tuple[Quorum, Sequence[Service]]:
    """The quorum of a server in -dev, which is one by itself and forms with nobody."""
    quorum = Quorum(card_of(config), Path(config.data_dir) / "server", clock)
    quorum.attach(region, store)
    return quorum, [quorum.pulse]
