"""The guide's example is real configuration."""

from __future__ import annotations

from pathlib import Path

from msgspec import convert

from hanse.config.hcl import read_text
from hanse.config.load import read_tree
from hanse.config.model import AgentConfig

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "configuration.md"


def test_the_example_in_the_guide_is_accepted_and_states_the_defaults() -> None:
    source = GUIDE.read_text().split("```hcl\n")[1].split("```")[0]
    config = convert(read_tree(read_text(source, "guide.hcl")), AgentConfig)
    defaults = AgentConfig()
    assert (config.ports, config.limits, config.telemetry) == (
        defaults.ports,
        defaults.limits,
        defaults.telemetry,
    )
    for name in ("heartbeat_ttl_s", "job_max_count", "job_gc_threshold_s", "gc_interval_s"):
        assert getattr(config.server, name) == getattr(defaults.server, name), name
    for name in ("gc_interval_s", "gc_max_allocs", "max_kill_timeout_s", "node_pool"):
        assert getattr(config.client, name) == getattr(defaults.client, name), name
