"""Agent configuration: what is read, what is refused, who wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.config.hcl import read_text
from hanse.config.load import load, read_tree
from hanse.config.model import AgentConfig, ClientConfig, Limits, ServerConfig, Telemetry
from hanse.errors import HanseError, Invalid

FULL = """
# a comment
region     = "us"
datacenter = "us-west-1"
data_dir   = "/var/lib/hanse"
ports {
  http = 5646
}
server {
  enabled         = true
  heartbeat_grace = "20s"
}
client {
  enabled = true
  meta {
    rack = "r1"
    size = 5
    ssd  = true
  }
  reserved { cpu = 500 }
  host_volume "data" {
    path      = "/srv/data"
    read_only = true
  }
}
plugin "docker" {
  config {
    volumes { enabled = true }
    allow_caps = ["chown"]
  }
}
log_level = "WARN"
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    config = load([write(tmp_path, "a.hcl", FULL)], {})
    assert (config.region, config.datacenter, config.ports.http, config.ports.rpc) == (
        "us",
        "us-west-1",
        5646,
        4647,
    )
    assert config.server.heartbeat_ttl_s == 20.0
    assert config.client.meta == {"rack": "r1", "size": "5", "ssd": "true"}
    assert config.client.host_volumes[0].path == "/srv/data"
    assert config.plugins["docker"] == {"volumes": {"enabled": True}, "allow_caps": ["chown"]}


def test_later_files_win_and_flags_win_over_files(tmp_path: Path) -> None:
    write(tmp_path, "1.hcl", FULL)
    write(tmp_path, "2.json", '{"datacenter": "b", "client": {"meta": {"rack": "r2"}}}')
    config = load([tmp_path], {"datacenter": "c", "client": {"node_class": "big"}})
    assert (config.datacenter, config.client.node_class) == ("c", "big")
    assert config.client.meta == {"rack": "r2", "size": "5", "ssd": "true"}
    assert [Path(f).name for f in config.files] == ["1.hcl", "2.json"]


def test_dev_needs_nothing_and_stays_on_loopback() -> None:
    config = load([], {}, dev=True)
    assert (config.bind_addr, config.server.enabled, config.client.enabled) == (
        "127.0.0.1",
        True,
        True,
    )
    assert config.plugins["raw_exec"] == {"enabled": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('\nregoin = "x"', "f.hcl:2: unknown key 'regoin'; did you mean 'region'?"),
        ("server {\n enabld = true\n}", "f.hcl:2: unknown key 'server.enabld'; did you mean"),
        ("server {\n enabled = 5\n}", "f.hcl:2: enabled must be true or false"),
        ('ports {\n http = "x"\n}', "f.hcl:2: http must be a whole number"),
        ("ports = 5", "f.hcl:1: ports must be a block"),
        ("region = 5", "f.hcl:1: region must be a text"),
        ('server { heartbeat_grace = "soon" }', "f.hcl:1: heartbeat_grace: invalid duration"),
        ('server { heartbeat_grace = "-1s" }', "must not be negative"),
        ('client { meta { x = "${y}" } }', "f.hcl:1: a template"),
        ("client { meta { x = 1 + 2 } }", "f.hcl:1: only plain values"),
        ('client { host_volume { path = "/x" } }', "f.hcl:1: host_volume needs one label"),
        ('client {\n host_volume "v" { }\n}', 'host_volume "v" needs a path'),
        ('plugin "docker" { args = ["x"] }', "unknown key 'plugin.args'"),
        ("a = {", "f.hcl:1: the file ends inside"),
        ("a = = 1", "f.hcl:1: syntax error at column 5"),
        ("acl { enabled = true }", "not supported yet: acl (f.hcl:1)"),
        ('log_file = "/var/log/x"', "not supported yet: log_file (f.hcl:1)"),
        ('client {\n options = { "a" = "b" }\n}', "not supported yet: options (f.hcl:2)"),
        ("leave_on_terminate = true", "not supported yet: leave_on_terminate = true (f.hcl:1)"),
        ("telemetry { publish_node_metrics = true }", "publish_node_metrics = true (f.hcl:1)"),
        ("client { no_host_uuid = false }", "no_host_uuid = false (f.hcl:1)"),
        ("server { job_max_count = -1 }", "f.hcl:1: job_max_count must not be negative"),
        ("x " + "[" * 5000, "nested deeper"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(HanseError) as caught:
        read_tree(read_text(text, "f.hcl"))
    assert message in str(caught.value)


def test_what_is_switched_off_is_not_refused() -> None:
    assert read_tree(read_text("acl { enabled = false }", "f.hcl")) == {}
    assert read_tree(read_text("leave_on_terminate = false", "f.hcl")) == {}
    assert read_tree(read_text("disable_update_check = true", "f.hcl")) == {}


def test_every_key_that_is_read_is_used_somewhere() -> None:
    """A key that is taken and does nothing is a promise broken in silence."""
    repo = Path(__file__).parents[3]
    code = "".join(
        path.read_text()
        for folder in ("hanse", "region", "client")
        for path in (repo / folder).rglob("*.py")
        if "config" not in path.parent.name
    )
    read = [
        *AgentConfig.__struct_fields__, *ServerConfig.__struct_fields__,
        *ClientConfig.__struct_fields__, *Telemetry.__struct_fields__, *Limits.__struct_fields__,
    ]  # fmt: skip
    assert [name for name in read if f".{name}" not in code] == []


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ({"server": {"enabled": True}}, "data_dir"),
        ({"data_dir": "/x"}, "server, client"),
        ({"server": {"enabled": True}, "data_dir": "x"}, "data_dir"),
        ({"client": {"enabled": True}, "data_dir": "/x"}, "client.servers"),
        ({"server": {"enabled": True}, "data_dir": "/x", "log_level": "LOUD"}, "log_level"),
        ({"server": {"enabled": True}, "data_dir": "/x", "ports": {"rpc": 70000}}, "ports.rpc"),
        ({"server": {"enabled": True}, "data_dir": "/x", "region": "a b"}, "region"),
        ({"server": {"job_default_priority": 500}}, "server.job_default_priority"),
        (
            {"client": {"min_dynamic_port": 30000, "max_dynamic_port": 20000}},
            "client.min_dynamic_port",
        ),
        ({"client": {"reserved": {"reserved_ports": "22,a-b"}}}, "client.reserved.reserved_ports"),
        ({"client": {"reserved": {"reserved_ports": "9-7"}}}, "client.reserved.reserved_ports"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    flags: dict[str, object], where: str
) -> None:
    with pytest.raises(Invalid) as caught:
        load([], flags, dev=where.startswith(("server.job", "client.m", "client.r")))
    assert caught.value.where == where


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.hcl: does not exist"):
        load([tmp_path / "none.hcl"], {})
    bad = tmp_path / "bad.hcl"
    bad.write_bytes(b'region = "\xff"')
    with pytest.raises(Invalid, match="is not UTF-8 text"):
        load([bad], {})
