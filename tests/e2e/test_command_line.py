"""The commands against a real agent, as a person types them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import HANSE, PATIENCE_S, Agent, eventually

JOB = """\
variable "words" {
  type    = string
  default = "first"
}

job "cli-job" {
  group "g" {
    count = 2

    update {
      min_healthy_time = "200ms"
    }

    network {
      port "http" {}
    }

    task "t" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo ${var.words} on $NOMAD_PORT_http; echo bad >&2; exec sleep 1000"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
"""


class Shell:
    """Runs the command against the agent."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "HANSE_ADDR": agent.address, "TZ": "UTC"}
        for name in ("NOMAD_ADDR", "NOMAD_NAMESPACE", "HANSE_NAMESPACE"):
            self.environment.pop(name, None)

    def run(self, *words: str, code: int = 0, given: str = "") -> str:
        done = subprocess.run(
            [str(HANSE), *words],
            cwd=self.folder,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture
def shell(agent: Agent, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(agent, tmp_path)
    (tmp_path / "job.nomad.hcl").write_text(JOB)
    yield shell
    subprocess.run(
        [str(HANSE), "job", "stop", "-purge", "-detach", "-yes", "cli-job"],
        env=shell.environment,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_job_is_planned_run_looked_at_updated_reverted_and_stopped(shell: Shell) -> None:
    assert " ready" in shell.run("node", "status")
    assert " true " in shell.run("server", "members")
    assert '+ Job: "cli-job"' in shell.run("job", "plan", "job.nomad.hcl", code=1)
    out = shell.run("job", "run", "-check-index", "0", "job.nomad.hcl")
    assert out.count(" created: node ") == 2
    assert out.rstrip().endswith(" successful")
    assert "job already exists" in shell.run(
        "job", "run", "-check-index", "0", "job.nomad.hcl", code=1
    )
    assert "running" in shell.run("job", "status")
    status = shell.run("job", "status", "cli-j")
    assert "\nLatest Deployment\n" in status
    assert "Deployment completed successfully" in status
    out = shell.run("job", "run", "-var", "words=second", "job.nomad.hcl")
    assert out.rstrip().endswith(" successful")
    assert "first" in shell.run("job", "history", "cli-job")
    shell.run("job", "revert", "cli-job", "0")
    assert shell.run("job", "plan", "job.nomad.hcl").startswith("Job: ")
    shell.run("job", "scale", "cli-job", "g", "1")
    assert '"Count": 1' in shell.run("job", "inspect", "cli-job")
    assert shell.run("job", "inspect", "-hcl", "-version", "0", "cli-job") == JOB
    shell.run("job", "stop", "cli-job")
    assert "dead (stopped)" in shell.run("job", "status", "cli-job")
    assert shell.run("job", "start", "cli-job").rstrip().endswith(" successful")


def first_alloc(shell: Shell) -> str:
    shell.run("job", "run", "job.nomad.hcl")
    found: str = json.loads(shell.run("job", "allocs", "-json", "cli-job"))[0]["ID"]
    return found


def test_an_allocation_is_looked_into(shell: Shell) -> None:
    alloc = first_alloc(shell)
    status = shell.run("alloc", "status", alloc[:12])
    assert 'Task "t" is "running"' in status
    assert "*http  yes" in status
    assert eventually("the log", lambda: shell.run("alloc", "logs", alloc)).startswith("first on ")
    assert shell.run("alloc", "logs", "-stderr", alloc, "t") == "bad\n"
    assert "t.stdout.0" in shell.run("alloc", "fs", alloc, "alloc/logs")
    assert shell.run("alloc", "fs", alloc, "alloc/logs/t.stderr.0") == "bad\n"
    assert shell.run("alloc", "fs", "-n", "1", alloc, "alloc/logs/t.stderr.0") == "bad\n"
    assert shell.run("alloc", "exec", alloc, "cat", given="to and fro") == "to and fro"
    # More than all buffers on the way hold: neither end may wait for the other.
    much = "0123456789abcdef" * 300_000
    assert shell.run("alloc", "exec", alloc, "cat", given=much) == much
    shell.run("alloc", "exec", alloc, "sh", "-c", "exit 7", code=7)
    assert shell.run("status", alloc[:12]).startswith("ID ")
    shell.run("alloc", "restart", alloc, "t")
    eventually("the restart", lambda: "Total Restarts = 1" in shell.run("alloc", "status", alloc))
    shell.run("alloc", "stop", alloc)
    assert "stop" in shell.run("job", "allocs", "cli-job")


def test_an_interactive_program_has_a_terminal_and_its_keys(shell: Shell) -> None:
    alloc = first_alloc(shell)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(HANSE), ["hanse", "alloc", "exec", alloc, "sh"], shell.environment)
    try:
        os.write(terminal, b"tty && stty size && exit 5\r")
        shown = read_all(terminal)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 5, shown
    assert b"/dev/pts/" in shown


def read_all(terminal: int) -> bytes:
    """What a terminal shows until nobody writes to it any more."""
    shown = b""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            # Linux says EIO when the other side has closed.
            return shown
        if not chunk:
            return shown
        shown += chunk
    raise AssertionError(f"the program goes on: {shown!r}")


def test_a_log_is_followed_until_it_is_enough(shell: Shell) -> None:
    alloc = first_alloc(shell)
    follower = subprocess.Popen(
        [str(HANSE), "alloc", "logs", "-f", alloc], env=shell.environment, stdout=subprocess.PIPE
    )
    assert follower.stdout is not None
    with follower.stdout:
        first = follower.stdout.readline()
        # The port of another start of the same task comes after what was there.
        shell.run("alloc", "restart", alloc)
        second = follower.stdout.readline()
        follower.terminate()
    follower.wait(PATIENCE_S)
    assert first == second
    assert first.startswith(b"first on ")


def test_what_finds_no_place_ends_with_2_and_says_why(shell: Shell) -> None:
    job = JOB.replace('port "http" {}', 'port "http" { static = 25999 }')
    (shell.folder / "job.nomad.hcl").write_text(job)
    shown = shell.run("job", "run", "job.nomad.hcl", code=2)
    assert "failed to place 1 allocation" in shown
    assert "waits for capacity: 1 allocation not placed" in shown
    assert "\nPlacement Failure\n" in shell.run("job", "status", "cli-job")


def test_the_agents_log_is_followed(shell: Shell) -> None:
    follower = subprocess.Popen(
        [str(HANSE), "monitor"], env=shell.environment, stdout=subprocess.PIPE
    )
    assert follower.stdout is not None
    with follower.stdout:
        line = follower.stdout.readline()
        follower.terminate()
    follower.wait(PATIENCE_S)
    assert b"[INFO]" in line
