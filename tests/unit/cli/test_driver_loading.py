"""What an agent makes of `plugin` blocks when it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.cli.agent_run import load_drivers
from hanse.clock import SystemClock
from hanse.config.load import load
from hanse.errors import HanseError


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (
            {"dokcer": {}},
            'plugin "dokcer": no such driver is installed; there are docker, raw_exec',
        ),
        ({"docker": {"volume": {}}}, 'plugin "docker": unknown key "volume"'),
        ({"raw_exec": {"enable": True}}, 'plugin "raw_exec": unknown key "enable"'),
    ],
)
def test_an_agent_does_not_start_without_the_driver_it_was_told_to_have(
    plugins: dict[str, object], message: str, tmp_path: Path
) -> None:
    config = load([], {"data_dir": str(tmp_path), "plugins": plugins}, dev=True)
    with pytest.raises(HanseError) as caught:
        load_drivers(config, SystemClock())
    assert message in str(caught.value)
