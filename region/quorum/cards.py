"""From configuration to who a server is and where others are met. Pure."""

from __future__ import annotations

from hanse import __version__
from hanse.config.model import AgentConfig
from hanse.errors import Invalid
from region.quorum.model import Card
from region.server import advertised_rpc


def card_of(config: AgentConfig) -> Card:
    """Who the configured server is, but for its id."""
    ports = config.ports
    rpc = advertised_rpc(config)
    if not rpc:
        # One server alone, and told no address of its own: nobody else is to reach it.
        rpc = f"127.0.0.1:{ports.rpc}"
    host = rpc.rpartition(":")[0]
    return Card(
        id="",
        name=config.name,
        region=config.region,
        datacenter=config.datacenter,
        rpc=rpc,
        peer=f"{host}:{ports.etcd_peer}",
        client=f"{host}:{ports.etcd_client}",
        serf_port=ports.serf,
        expect=config.server.bootstrap_expect,
        version=__version__,
    )


def meeting(address: str, config: AgentConfig) -> str:
    """Where a server of the join list is met: at its agents' port, which is the default.

    Nomad's lists name the port of gossip. Servers meet without gossip here, so that port
    stands for the other.
    """
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        return f"{address}:{config.ports.rpc}"
    if not port.isdigit() or not host:
        raise Invalid("server_join.retry_join", f"{address!r} is not an address")
    return f"{host}:{config.ports.rpc}" if int(port) == config.ports.serf else address
