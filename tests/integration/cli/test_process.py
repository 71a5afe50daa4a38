"""The command as a process: how fast it starts, and how it ends when things go wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hanse import __version__

HANSE = [sys.executable, "-c", "import sys; from hanse.cli.main import main; sys.exit(main())"]
Hanse = Callable[..., Any]
#: The goals are 0.15 s and 0.4 s on a quiet machine; tests run on a busy one.
BUSY = 3


def run(
    *words: str, environment: Mapping[str, str], **more: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HANSE, *words],
        env={**environment, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **more,
    )


def fastest(times: int, act: Callable[[], object]) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return min(took)


def test_the_version_is_there_at_once(process_environment: dict[str, str]) -> None:
    assert run("version", environment=process_environment).stdout == f"Hanse v{__version__}\n"
    assert run("-version", environment=process_environment).stdout == f"Hanse v{__version__}\n"
    took = fastest(3, lambda: run("version", environment=process_environment))
    assert took < 0.15 * BUSY


def test_job_status_starts_fast_and_imports_nothing_heavy(
    agent: Any, fixtures: Mapping[str, Any], process_environment: dict[str, str]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]])
    took = fastest(3, lambda: run("job", "status", environment=process_environment))
    assert took < 0.4 * BUSY
    code = (
        "import sys; from hanse.cli.main import main; main(); "
        "heavy = {'aiohttp', 'asyncio', 'hcl2', 'numpy', 'grpc', 'docker', 'structlog'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "job", "status"],
        env=process_environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(
    agent: Any, fixtures: Mapping[str, Any], process_environment: dict[str, str]
) -> None:
    agent.on("GET", "/v1/jobs", [fixtures["job_stub"]] * 5000)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*HANSE, "job", "status"],
        env=process_environment,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_agent_that_is_not_there_is_told_with_a_way_out(hanse: Hanse) -> None:
    ended = hanse("job status -address http://127.0.0.1:1")
    assert ended.code == 1
    assert ended.err == (
        "Error: cannot reach the agent at http://127.0.0.1:1: connection refused\n"
        "Is an agent running there? `hanse agent -dev` starts one; -address or HANSE_ADDR says "
        "where it is.\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("job status a b", "This command takes at most 1 argument: [job]\n"),
        ("job run", "This command takes 1 argument: <path>\n"),
        ("job stop", "This command takes at least 1 argument: <job>…\n"),
        ("job scale web", "This command takes 2 to 3 arguments: <job> [group] <count>\n"),
        ("version x", "This command takes no arguments\n"),
        ("job status -nope", "flag provided but not defined: -nope\n"),
        ("job status -address ftp://x", "address 'ftp://x': not http://, https:// or unix://\n"),
        ("node drain -enable -disable x", "Either -enable or -disable must be given, not both\n"),
        ("agent -encrypt x", "not supported yet: -encrypt\n"),
    ],
)
def test_mistakes_of_usage_point_to_the_help(hanse: Hanse, line: str, said: str) -> None:
    ended = hanse(line)
    assert ended.code == 1
    assert ended.err.startswith(said)
    assert "\nFor help: hanse " in ended.err


def test_help_goes_to_standard_output_and_the_lack_of_a_command_does_not(hanse: Hanse) -> None:
    assert hanse("job run -help").out.startswith("Usage: hanse job run [options] <path>\n")
    assert hanse("-help").out.startswith("Usage: hanse ")
    assert hanse("help job run").out == hanse("job run --help").out
    assert hanse("job -h").out.startswith("Usage: hanse job <subcommand>")
    ended = hanse("job")
    assert (ended.code, ended.out) == (1, "")
    ended = hanse("jbo status")
    assert ended.code == 127
    assert "There is no command `hanse jbo`.\n\nDid you mean:\n  hanse job\n" in ended.err
    assert hanse("quota list").err == "`hanse quota` is not supported yet.\n"


def test_flags_of_another_program_are_not_the_commands_own(agent: Any, hanse: Hanse) -> None:
    agent.on("GET", "/v1/allocations", [])
    ended = hanse("alloc exec 83c3 ls -help")
    assert ended.err == 'No allocation(s) with prefix or id "83c3" found\n'


def test_our_own_variables_win_over_nomads_and_flags_over_both(agent: Any, hanse: Hanse) -> None:
    agent.on("GET", "/v1/jobs", [])
    environment = {
        "HANSE_ADDR": agent.address,
        "NOMAD_ADDR": "http://127.0.0.1:1",
        "NOMAD_TOKEN": "secret",
        "NOMAD_NAMESPACE": "theirs",
        "HANSE_NAMESPACE": "ours",
        "NOMAD_REGION": "east",
        "HANSE_HTTP_AUTH": "user:pass",
    }
    assert hanse("job status -region west", environment=environment).code == 0
    asked = agent.requests[-1]
    assert asked.query == {"namespace": "ours", "region": "west"}
    assert asked.headers["X-Nomad-Token"] == "secret"
    assert asked.headers["Authorization"] == "Basic dXNlcjpwYXNz"
    assert hanse("job status", environment={"NOMAD_ADDR": agent.address}).code == 0


def test_an_error_of_the_agent_is_shown_in_its_own_words(
    agent: Any, hanse: Hanse, scripted_reply: Any
) -> None:
    agent.on("GET", "/v1/jobs", scripted_reply(b"No cluster leader\x1b[0m", status=500))
    ended = hanse("job status")
    assert (ended.code, ended.err) == (1, "Error: No cluster leader\\x1b[0m (HTTP 500)\n")
    agent.on("GET", "/v1/jobs", scripted_reply(b"<html>", status=200))
    assert "cannot be understood" in hanse("job status").err


def test_any_call_of_the_api_can_be_made_by_hand(
    agent: Any, hanse: Hanse, scripted_reply: Any
) -> None:
    agent.on("GET", "/v1/jobs", scripted_reply(b'[{"ID":1}]'))
    agent.on("PUT", "/v1/system/gc", scripted_reply(b""))
    ended = hanse("operator api -filter x -namespace n /v1/jobs?prefix=a")
    assert ended.out == '[{"ID":1}]'
    assert agent.requests[-1].query == {"prefix": "a", "namespace": "n", "filter": "x"}
    assert hanse("operator api -X PUT -H X-A:b system/gc").code == 0
    assert agent.requests[-1].headers["X-A"] == "b"
    ended = hanse("operator api -d - /v1/nope", answers="body")
    assert ended.err == "nothing at /v1/nope (HTTP 404)\n"
    assert (agent.requests[-1].method, agent.requests[-1].body) == ("PUT", b"body")
    dry = hanse("operator api -dryrun -token s -X DELETE /v1/job/a?purge=true").out
    assert dry == (
        f'curl -X DELETE -H "X-Nomad-Token: ${{HANSE_TOKEN}}" '
        f"'{agent.address}/v1/job/a?purge=true'\n"
    )


def test_the_schedulers_configuration_changes_only_where_it_is_told_to(
    agent: Any, hanse: Hanse
) -> None:
    config = {
        "SchedulerAlgorithm": "binpack",
        "MemoryOversubscriptionEnabled": True,
        "PreemptionConfig": {"SystemSchedulerEnabled": True},
        "ModifyIndex": 5,
    }
    path = "/v1/operator/scheduler/configuration"
    agent.on("GET", path, {"SchedulerConfig": config})
    agent.on("PUT", path, {"Updated": True})
    text = hanse("operator scheduler get-config").out
    assert "Scheduler Algorithm               = binpack\n" in text
    line = "operator scheduler set-config -scheduler-algorithm spread -check-index 5"
    ended = hanse(f"{line} -preempt-batch-scheduler true")
    assert ended.out == "Scheduler configuration updated!\n"
    sent = agent.requests[-1]
    assert sent.query == {"cas": "5"}
    assert sent.json["SchedulerAlgorithm"] == "spread"
    assert sent.json["MemoryOversubscriptionEnabled"] is True
    assert sent.json["PreemptionConfig"]["SystemSchedulerEnabled"] is True
    assert sent.json["PreemptionConfig"]["BatchSchedulerEnabled"] is True
    agent.on("PUT", path, {"Updated": False})
    assert hanse(line).code == 1
    assert hanse("operator scheduler set-config -pause-eval-broker maybe").code == 1


def test_completion_asks_the_agent_for_ids(agent: Any, hanse: Hanse) -> None:
    agent.on("POST", "/v1/search", {"Matches": {"jobs": ["web", "web-2"]}})
    assert hanse("-complete job we").out == "web\nweb-2\n"
    assert agent.requests[-1].json == {"Prefix": "we", "Context": "jobs"}


def test_completion_is_installed_once_and_can_be_taken_out_again(
    hanse: Hanse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    start = tmp_path / ".bashrc"
    start.write_text("alias a=b")
    assert "installed in" in hanse("-autocomplete-install").out
    once = start.read_text()
    assert once.startswith("alias a=b\n# hanse completion")
    assert hanse("-autocomplete-install").code == 0
    assert start.read_text() == once
    assert hanse("-autocomplete-uninstall").code == 0
    assert start.read_text() == "alias a=b\n"


def test_a_configuration_is_checked_with_file_and_line(hanse: Hanse, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.hcl", tmp_path / "bad.hcl"
    good.write_text('data_dir = "/tmp/x"\nserver {\n  enabled = true\n}\n')
    bad.write_text("server {\n  enabeld = true\n}\n")
    assert hanse(f"config validate {good}").out == "Configuration is valid!\n"
    ended = hanse(f"config validate {bad}")
    assert ended.code == 1
    assert f"{bad}:2" in ended.err
    assert hanse(f"agent -config {bad}").code == 1
