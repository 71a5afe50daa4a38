"""The demo is the first thing that anybody runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "scripts" / "demo"


def test_the_demo_runs_both_jobs_without_a_docker_engine_and_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, DEMO, "--raw"], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.count("Deployment completed successfully") == 2
    assert "nothing is left running" in done.stdout
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "/hanse-demo-" not in running.stdout
