"""What the configuration says of joining, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.config.load import load
from hanse.config.model import AgentConfig
from hanse.errors import Invalid

FILE = """
data_dir  = "/var/lib/hanse"
bind_addr = "10.0.0.1"
server {
  enabled           = true
  bootstrap_expect  = 3
  dead_server_grace = "2m"
  server_join {
    retry_join     = ["10.0.0.2", "10.0.0.3:5000"]
    retry_max      = 5
    retry_interval = "15s"
  }
}
"""


def read(folder: Path, text: str) -> AgentConfig:
    path = folder / "agent.hcl"
    path.write_text(text)
    return load([path], {})


def test_a_server_join_block_is_read(tmp_path: Path) -> None:
    server = read(tmp_path, FILE).server
    assert server.bootstrap_expect == 3
    assert server.dead_server_grace_s == 120.0
    assert server.join.retry_join == ("10.0.0.2", "10.0.0.3:5000")
    assert (server.join.retry_max, server.join.retry_interval_s) == (5, 15.0)


def test_a_client_may_find_its_servers_in_the_same_way(tmp_path: Path) -> None:
    text = 'data_dir = "/d"\nclient {\n enabled = true\n server_join { retry_join = ["s:1"] }\n}'
    assert read(tmp_path, text).client.join.retry_join == ("s:1",)


def test_a_server_of_several_needs_an_address_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"advertise\.rpc: is missing"):
        read(tmp_path, FILE.replace("10.0.0.1", "0.0.0.0"))


def test_ports_of_several_servers_are_fixed(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"ports\.etcd_peer"):
        read(tmp_path, FILE + "ports {\n etcd_peer = 0\n}\n")


def test_a_server_that_neither_begins_nor_joins_is_refused(tmp_path: Path) -> None:
    text = 'data_dir = "/d"\nbind_addr = "10.0.0.1"\nserver {\n enabled = true\n'
    with pytest.raises(Invalid, match="there is no address to join either"):
        read(tmp_path, text + "bootstrap_expect = 0\n}")
    with pytest.raises(Invalid, match="is not from 0 to 9"):
        read(tmp_path, text + "bootstrap_expect = 50\n}")


def test_a_development_agent_joins_nobody() -> None:
    with pytest.raises(Invalid, match="one server alone"):
        load([], {"server": {"join": {"retry_join": ["10.0.0.2"]}}}, dev=True)
