"""`hanse agent` and `hanse config validate`: from flags and files to one configuration."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from hanse.cli.command import Context, Failed
from hanse.cli.flags import Flags
from hanse.config.model import AgentConfig
from hanse.durations import SECOND_NS
from hanse.errors import HanseError

#: Where a flag's value goes in the configuration.
_PLACES = {
    "bootstrap-expect": ("server", "bootstrap_expect"),
    "retry-max": ("server", "join", "retry_max"),
    "data-dir": ("data_dir",),
    "state-dir": ("client", "state_dir"),
    "alloc-dir": ("client", "alloc_dir"),
    "bind": ("bind_addr",),
    "region": ("region",),
    "dc": ("datacenter",),
    "node": ("name",),
    "node-class": ("client", "node_class"),
    "node-pool": ("client", "node_pool"),
    "network-interface": ("client", "network_interface"),
    "log-level": ("log_level",),
}
_NUMBERS = ("bootstrap-expect", "retry-max")
_SWITCHES = {
    "server": ("server", "enabled"),
    "client": ("client", "enabled"),
    "log-json": ("log_json",),
}


def run(context: Context) -> int:
    """Run an agent until it is told to stop."""
    with _absent("rich"):
        from hanse.cli.agent_run import run as run_agent
    flags = context.flags
    paths = [Path(path) for path in flags.texts("config")]
    tree = tree_of(flags)
    dev = flags.on("dev")

    def read() -> AgentConfig:
        from hanse.config.load import load

        return load(paths, tree, dev=dev)

    try:
        config = read()
    except HanseError as error:
        raise Failed(f"Error in the configuration: {error}") from error
    return run_agent(config, read)


@contextmanager
def _absent(package: str) -> Generator[None]:
    """Have imports find that a package is not installed.

    structlog imports rich where it is there, for a renderer that we do not use, and that takes
    a tenth of the agent's start.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = cast("ModuleType", None)
    try:
        yield
    finally:
        del sys.modules[package]


def tree_of(flags: Flags) -> dict[str, Any]:
    """The flags that were given, in the shape of the configuration. Raises UsageError. Pure."""
    tree: dict[str, Any] = {}

    def put(place: tuple[str, ...], value: object) -> None:
        below = tree
        for part in place[:-1]:
            below = below.setdefault(part, {})
        below[place[-1]] = value

    for name, place in _PLACES.items():
        if flags.given(name):
            put(place, flags.number(name) if name in _NUMBERS else flags.text(name))
    for name, place in _SWITCHES.items():
        if flags.given(name):
            put(place, flags.on(name))
    if joined := [*flags.texts("join"), *flags.texts("retry-join")]:
        put(("server", "join", "retry_join"), joined)
    if (interval_ns := flags.number("retry-interval")) is not None:
        put(("server", "join", "retry_interval_s"), interval_ns / SECOND_NS)
    if flags.given("servers"):
        put(("client", "servers"), [part for part in flags.text("servers").split(",") if part])
    if flags.given("meta"):
        put(("client", "meta"), flags.pairs("meta"))
    return tree


def validate(context: Context) -> int:
    """Check configuration files."""
    from hanse.config.load import load

    try:
        load([Path(path) for path in context.arguments], {})
    except HanseError as error:
        raise Failed(f"Error in the configuration: {error}") from error
    context.out("Configuration is valid!")
    return 0
