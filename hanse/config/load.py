"""Files and flags to one `AgentConfig`.

Every key that a file may have is in a table here; any other key is an error that names the file,
the line and the nearest key we know. Later files win over earlier ones, flags over files.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from hanse.config.hcl import Item, Value, read_file
from hanse.config.model import AgentConfig
from hanse.durations import SECOND_NS, parse_duration
from hanse.errors import Invalid, Unsupported
from hanse.log import level_number

Tree = dict[str, Any]
_Read = Callable[[Item], object]


def load(paths: Sequence[Path], flags: Mapping[str, Any], *, dev: bool = False) -> AgentConfig:
    """The configuration of an agent. `flags` is a tree in the shape of `AgentConfig`.

    A path may be a folder: its `.hcl` and `.json` files are read in order of name. Raises Invalid
    (with file and line) and Unsupported.
    """
    files = [file for path in paths for file in _files(path)]
    tree: Tree = dev_defaults() if dev else {}
    for file in files:
        merge(tree, read_tree(read_file(file)))
    merge(tree, flags)
    tree["files"] = [str(file) for file in files]
    try:
        config = msgspec.convert(tree, AgentConfig)
    except msgspec.ValidationError as error:
        raise Invalid("configuration", str(error)) from error
    check(config)
    return config


def dev_defaults() -> Tree:
    """What `-dev` means: one machine, loopback only, nothing kept."""
    return {
        "dev": True,
        "bind_addr": "127.0.0.1",
        "server": {"enabled": True},
        "client": {"enabled": True, "gc_interval_s": 600.0},
        "plugins": {"raw_exec": {"enabled": True}},
    }


def check(config: AgentConfig) -> None:
    """Refuse what cannot work. Raises Invalid with the key."""
    if not (config.server.enabled or config.client.enabled):
        raise Invalid("server, client", "enable one of them at least, or use -dev")
    if not config.dev and not config.data_dir:
        raise Invalid("data_dir", "is missing; it is where an agent keeps its state")
    if config.data_dir and not Path(config.data_dir).is_absolute():
        raise Invalid("data_dir", f"must be an absolute path, not {config.data_dir!r}")
    _check_quorum(config)
    _check_limits(config)
    named = config.client.servers or config.client.join.retry_join
    if config.client.enabled and not (config.server.enabled or named):
        raise Invalid("client.servers", "a client without a server beside it needs addresses")
    try:
        level_number(config.log_level)
    except ValueError as error:
        raise Invalid("log_level", str(error)) from error
    for what in ("http", "rpc", "serf", "etcd_client", "etcd_peer"):
        port = getattr(config.ports, what)
        if not 0 <= port <= 65535:
            raise Invalid(f"ports.{what}", f"{port} is not a port")
    for what, name in (("region", config.region), ("datacenter", config.datacenter)):
        if not name or not all(c.isalnum() or c in "-_." for c in name):
            raise Invalid(what, f"{name!r} must have letters, digits, '-', '_' and '.' only")


def _check_quorum(config: AgentConfig) -> None:
    server = config.server
    if not 0 <= server.bootstrap_expect <= 9:
        raise Invalid("server.bootstrap_expect", f"{server.bootstrap_expect} is not from 0 to 9")
    if config.dev and server.join.retry_join:
        raise Invalid("server.server_join", "an agent in -dev is one server alone")
    several = server.bootstrap_expect != 1 or bool(server.join.retry_join)
    if config.dev or not (server.enabled and several):
        return
    if not server.bootstrap_expect and not server.join.retry_join:
        raise Invalid("server.bootstrap_expect", "is 0, and there is no address to join either")
    host = config.advertise.rpc or config.addresses.rpc or config.bind_addr
    if host in ("", "0.0.0.0", "::"):
        raise Invalid(
            "advertise.rpc", "is missing: other servers must be told where this one is reached"
        )
    for what in ("rpc", "etcd_client", "etcd_peer"):
        if not getattr(config.ports, what):
            raise Invalid(f"ports.{what}", "must be the same after a restart; 0 cannot be")


def _check_limits(config: AgentConfig) -> None:
    server, client = config.server, config.client
    if not 1 <= server.job_default_priority <= server.job_max_priority:
        raise Invalid(
            "server.job_default_priority",
            f"{server.job_default_priority} is not from 1 to {server.job_max_priority}",
        )
    low, high = client.min_dynamic_port, client.max_dynamic_port
    if not 1 <= low <= high <= 65535:
        raise Invalid("client.min_dynamic_port", f"no ports are from {low} to {high}")
    spans = client.reserved.reserved_ports
    for span in filter(None, spans.split(",")):
        first, dash, last = span.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isdecimal() for end in ends) or not int(ends[0]) <= int(ends[1]) <= 65535:
            raise Invalid(
                "client.reserved.reserved_ports", f"{span.strip()!r} is no port and no range"
            )


def merge(tree: Tree, over: Mapping[str, Any]) -> None:
    """Lay one tree over another: maps are joined, all else is replaced."""
    for key, value in over.items():
        below = tree.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            merge(cast("Tree", below), cast("Mapping[str, Any]", value))
        elif key == "host_volumes" and isinstance(below, list):
            named = {volume["name"]: volume for volume in (*below, *value)}
            tree[key] = list(named.values())
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise Invalid(str(path), "does not exist")
    if not path.is_dir():
        return [path]
    found = [p for p in path.iterdir() if p.suffix in (".hcl", ".json") and p.is_file()]
    return sorted(p for p in found if not p.name.startswith("."))


def read_tree(items: Sequence[Item]) -> Tree:
    """The items of one file as a tree in the shape of `AgentConfig`. Raises Invalid."""
    return _section(items, _TOP, "")


def _section(items: Sequence[Item], table: Mapping[str, _Key], path: str) -> Tree:
    tree: Tree = {}
    for item in items:
        key = table.get(item.name)
        if key is None:
            raise Invalid(item.where, _unknown(item, table, path))
        key(tree, item)
    return tree


def _unknown(item: Item, table: Mapping[str, _Key], path: str) -> str:
    near = difflib.get_close_matches(item.name, table, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown key {path + item.name!r}{hint}"


_Key = Callable[[Tree, Item], None]


def _plain(item: Item, kind: type | tuple[type, ...], noun: str) -> Any:
    value = item.value
    wrong_bool = isinstance(value, bool) and kind is not bool
    if item.body is not None or wrong_bool or not isinstance(value, kind):
        raise Invalid(item.where, f"{item.name} must be {noun}")
    return value


def _text(item: Item) -> str:
    return cast("str", _plain(item, str, "a text"))


def _number(item: Item) -> int:
    if isinstance(item.value, str) and item.value.lstrip("-").isdigit():
        number = int(item.value)
    else:
        number = cast("int", _plain(item, int, "a whole number"))
    if number < 0:
        raise Invalid(item.where, f"{item.name} must not be negative")
    return number


def _bool(item: Item) -> bool:
    if item.value in ("true", "false"):
        return item.value == "true"
    return cast("bool", _plain(item, bool, "true or false"))


def _seconds(item: Item) -> float:
    value = item.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / SECOND_NS
    try:
        seconds = parse_duration(_plain(item, str, "a duration such as 30s")) / SECOND_NS
    except ValueError as error:
        raise Invalid(item.where, f"{item.name}: {error}") from error
    if seconds < 0:
        raise Invalid(item.where, f"{item.name} must not be negative")
    return seconds


def _texts(item: Item) -> list[str]:
    value = _plain(item, list, "a list of texts")
    if not all(isinstance(part, str) for part in value):
        raise Invalid(item.where, f"{item.name} must be a list of texts")
    return cast("list[str]", value)


def _pairs(item: Item) -> dict[str, Value]:
    if item.body is not None:
        return {inner.name: _any(inner) for inner in item.body}
    return cast("dict[str, Value]", _plain(item, dict, "a block or a map"))


def _any(item: Item) -> Value:
    return _pairs(item) if item.body is not None else item.value


def _text_map(item: Item) -> dict[str, str]:
    return {
        key: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for key, value in _pairs(item).items()
    }


def _to(field: str, read: _Read) -> _Key:
    def put(tree: Tree, item: Item) -> None:
        value = read(item)
        below = tree.get(field)
        if isinstance(below, dict) and isinstance(value, dict):
            merge(cast("Tree", below), cast("Tree", value))
        else:
            tree[field] = value

    return put


def _block(field: str, table: Mapping[str, _Key]) -> _Key:
    def put(tree: Tree, item: Item) -> None:
        inner = _section(_items_of(item), table, f"{item.name}.")
        merge(tree.setdefault(field, {}), inner)

    return put


def _items_of(item: Item) -> tuple[Item, ...]:
    if item.body is not None:
        return item.body
    if isinstance(item.value, list) and len(item.value) == 1:
        item = Item(item.name, item.file, item.line, value=item.value[0])
    if not isinstance(item.value, dict):
        raise Invalid(item.where, f"{item.name} must be a block")
    return tuple(Item(k, item.file, item.line, value=v) for k, v in item.value.items())


def _labelled(item: Item) -> list[tuple[str, Item]]:
    """The blocks of one name with their labels: HCL has them one by one, JSON in a map."""
    if item.body is not None:
        if len(item.labels) != 1:
            raise Invalid(item.where, f'{item.name} needs one label, as in {item.name} "x" {{')
        return [(item.labels[0], item)]
    return [(inner.name, inner) for inner in _items_of(item)]


def _host_volume(tree: Tree, item: Item) -> None:
    for name, block in _labelled(item):
        volume = _section(_items_of(block), _HOST_VOLUME, "host_volume.")
        if "path" not in volume:
            raise Invalid(block.where, f'host_volume "{name}" needs a path')
        tree.setdefault("host_volumes", []).append({"name": name, **volume})


def _plugin(tree: Tree, item: Item) -> None:
    for name, block in _labelled(item):
        config: dict[str, Value] = {}
        for inner in _items_of(block):
            if inner.name != "config":
                raise Invalid(inner.where, f"unknown key 'plugin.{inner.name}'; only config")
            config.update(_pairs(inner))
        tree.setdefault("plugins", {})[name] = config


def _later(tree: Tree, item: Item) -> None:
    del tree
    off = all(i.name == "enabled" and i.value is False for i in item.body or ())
    if not off or item.value not in (None, False, "", 0):
        raise Unsupported([f"{item.name} ({item.where})"])


def _stands(*, on: bool) -> _Key:
    """A switch of Nomad's that has one position here; the other one is refused by name."""

    def put(tree: Tree, item: Item) -> None:
        del tree
        if _bool(item) is not on:
            raise Unsupported([f"{item.name} = {str(not on).lower()} ({item.where})"])

    return put


def _nothing(tree: Tree, item: Item) -> None:
    """A switch of Nomad's that switches what Hanse does not have: any position is right."""
    del tree
    _bool(item)


_HOST_VOLUME: dict[str, _Key] = {"path": _to("path", _text), "read_only": _to("read_only", _bool)}

_ADDRESSES: dict[str, _Key] = {name: _to(name, _text) for name in ("http", "rpc", "serf")}

_JOIN: dict[str, _Key] = {
    "retry_join": _to("retry_join", _texts),
    "start_join": _to("retry_join", _texts),
    "retry_max": _to("retry_max", _number),
    "retry_interval": _to("retry_interval_s", _seconds),
}

_SERVER: dict[str, _Key] = {
    "enabled": _to("enabled", _bool),
    "bootstrap_expect": _to("bootstrap_expect", _number),
    "etcd_path": _to("etcd_path", _text),
    "etcd_endpoints": _to("etcd_endpoints", _texts),
    "heartbeat_grace": _to("heartbeat_ttl_s", _seconds),
    "job_max_count": _to("job_max_count", _number),
    "job_max_priority": _to("job_max_priority", _number),
    "job_default_priority": _to("job_default_priority", _number),
    "job_tracked_versions": _to("job_tracked_versions", _number),
    "job_max_source_size": _to("job_max_source_bytes", _number),
    "job_gc_threshold": _to("job_gc_threshold_s", _seconds),
    "job_gc_interval": _to("gc_interval_s", _seconds),
    "eval_gc_threshold": _to("eval_gc_threshold_s", _seconds),
    "node_gc_threshold": _to("node_gc_threshold_s", _seconds),
    "deployment_gc_threshold": _to("deployment_gc_threshold_s", _seconds),
    "server_join": _block("join", _JOIN),
    "dead_server_grace": _to("dead_server_grace_s", _seconds),
    "encrypt": _later,
    "authoritative_region": _later,
    "default_scheduler_config": _later,
}

_RESERVED: dict[str, _Key] = {
    "cpu": _to("cpu", _number),
    "memory": _to("memory", _number),
    "disk": _to("disk", _number),
    "reserved_ports": _to("reserved_ports", _text),
}

_CLIENT: dict[str, _Key] = {
    "enabled": _to("enabled", _bool),
    "servers": _to("servers", _texts),
    "state_dir": _to("state_dir", _text),
    "alloc_dir": _to("alloc_dir", _text),
    "node_class": _to("node_class", _text),
    "node_pool": _to("node_pool", _text),
    "meta": _to("meta", _text_map),
    "options": _later,
    "reserved": _block("reserved", _RESERVED),
    "host_volume": _host_volume,
    "network_interface": _to("network_interface", _text),
    "cpu_total_compute": _to("cpu_total_compute", _number),
    "memory_total_mb": _to("memory_total_mb", _number),
    "disk_total_mb": _to("disk_total_mb", _number),
    "min_dynamic_port": _to("min_dynamic_port", _number),
    "max_dynamic_port": _to("max_dynamic_port", _number),
    "max_kill_timeout": _to("max_kill_timeout_s", _seconds),
    "no_host_uuid": _stands(on=True),
    "gc_interval": _to("gc_interval_s", _seconds),
    "gc_max_allocs": _to("gc_max_allocs", _number),
    "server_join": _block("join", _JOIN),
    "host_network": _later,
    "chroot_env": _later,
    "artifact": _later,
    "template": _later,
}

_TELEMETRY: dict[str, _Key] = {
    "prometheus_metrics": _to("prometheus_metrics", _bool),
    "collection_interval": _to("collection_interval_s", _seconds),
    "publish_allocation_metrics": _stands(on=False),
    "publish_node_metrics": _stands(on=False),
    "disable_hostname": _nothing,
}

_LIMITS: dict[str, _Key] = {
    "http_max_conns_per_client": _to("http_max_conns_per_client", _number),
    "https_handshake_timeout": _to("http_handshake_timeout_s", _seconds),
    "http_max_body_size": _to("http_body_bytes_max", _number),
}

#: Blocks and keys of Nomad's that come later: refused by name unless switched off.
_NOT_YET = (
    "acl audit autopilot consul keyring reporting sentinel tls ui vault plugin_dir enable_syslog"
).split()

_TOP: dict[str, _Key] = {
    "region": _to("region", _text),
    "datacenter": _to("datacenter", _text),
    "name": _to("name", _text),
    "data_dir": _to("data_dir", _text),
    "bind_addr": _to("bind_addr", _text),
    "ports": _block(
        "ports",
        {n: _to(n, _number) for n in ("http", "rpc", "serf", "etcd_client", "etcd_peer")},
    ),
    "addresses": _block("addresses", _ADDRESSES),
    "advertise": _block("advertise", _ADDRESSES),
    "server": _block("server", _SERVER),
    "client": _block("client", _CLIENT),
    "telemetry": _block("telemetry", _TELEMETRY),
    "limits": _block("limits", _LIMITS),
    "plugin": _plugin,
    "log_level": _to("log_level", _text),
    "log_json": _to("log_json", _bool),
    "log_file": _later,
    "enable_debug": _stands(on=False),
    "leave_on_interrupt": _stands(on=False),
    "leave_on_terminate": _stands(on=False),
    "http_api_response_headers": _to("http_api_response_headers", _text_map),
    "disable_update_check": _nothing,
    **dict.fromkeys(_NOT_YET, _later),
}
