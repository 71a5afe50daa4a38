"""Reading a task's `config`."""

import pytest

from drivers.common.config import read_config
from drivers.docker.config import TaskConfig as DockerConfig
from drivers.raw_exec.driver import TaskConfig, check, find_program, scrub
from hanse.errors import DriverFailed


def read(config: dict[str, object]) -> DockerConfig:
    parsed, problems = read_config({"image": "redis", **config}, DockerConfig)
    assert problems == []
    assert parsed is not None
    return parsed


def test_scalars_may_be_written_in_any_way() -> None:
    config = read(
        {
            "privileged": "true",
            "pids_limit": "12",
            "args": [1, 2.0, 2.5, True, "x"],
            "labels": {"n": 5},
            "port_map": {"http": "80"},
            "command": None,
        }
    )
    assert config.privileged is True
    assert config.pids_limit == 12
    assert config.args == ("1", "2", "2.5", "true", "x")
    assert config.labels == {"n": "5"}
    assert config.port_map == {"http": 80}
    assert config.command == ""


def test_one_block_may_stand_for_a_list_and_a_list_for_one_block() -> None:
    config = read(
        {
            "mount": {"target": "/x", "source": "y"},
            "labels": [{"a": "1"}, {"b": "2"}],
            "auth": [{"username": "u"}],
            "ports": "http",
        }
    )
    assert [mount.target for mount in config.mount] == ["/x"]
    assert config.labels == {"a": "1", "b": "2"}
    assert config.auth is not None
    assert config.auth.username == "u"
    assert config.ports == ("http",)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"imagee": "x"}, 'unknown key "imagee", did you mean "image"?'),
        ({"zzzz": "x"}, 'unknown key "zzzz"'),
        (
            {"mount": [{"taget": "/x"}]},
            'unknown key "mount[0].taget", did you mean "target"?',
        ),
        ({"pids_limit": "many"}, "pids_limit: expected int, got str"),
        ({"args": [["x"]]}, "args[0]: expected str, got array"),
        ({"labels": "x"}, "labels: expected object, got str"),
    ],
)
def test_a_problem_names_its_key(config: dict[str, object], problem: str) -> None:
    assert read_config({"image": "redis", **config}, DockerConfig) == (None, [problem])


def test_what_must_be_there_is_missed_by_name() -> None:
    assert read_config({}, TaskConfig) == (None, ["missing key command"])


def test_all_unknown_keys_are_named_at_once() -> None:
    _, problems = read_config({"command": "x", "a1": 1, "b2": 2}, TaskConfig)
    assert problems == ['unknown key "a1"', 'unknown key "b2"']


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (TaskConfig(command=" "), "command: must not be empty"),
        (
            TaskConfig(command="x", work_dir="tmp"),
            'work_dir: must be absolute but got relative path "tmp"',
        ),
        (TaskConfig(command="x", oom_score_adj=-5), "oom_score_adj: must be between 0 and 1000"),
        (TaskConfig(command="x", args=("a\0b",)), "args: must not contain a NUL character"),
        (
            TaskConfig(command="x", cgroup_v2_override="a/../../b"),
            "cgroup_v1_override, cgroup_v2_override: must not contain ..",
        ),
        (
            TaskConfig(command="x", cgroup_v1_override={"../../etc": "a"}),
            "cgroup_v1_override: a controller's name has no /",
        ),
        (
            TaskConfig(command="x", cgroup_v2_override="a", cgroup_v1_override={"pids": "a"}),
            "cgroup_v1_override: only one of it and cgroup_v2_override may be set",
        ),
    ],
)
def test_a_raw_exec_task_that_makes_no_sense_is_refused(config: TaskConfig, problem: str) -> None:
    assert check(config) == [problem]


def test_denied_variables_do_not_reach_the_task() -> None:
    environment = {"AWS_KEY": "1", "AWS_SECRET": "2", "HOME": "3", "aws_key": "4"}
    assert scrub(environment, ("AWS_*", "HOME")) == {"aws_key": "4"}


def test_a_program_is_found_in_the_tasks_folders_first(tmp_path) -> None:
    local, path = tmp_path / "local", tmp_path / "bin"
    for folder in (local, path):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\n")
        (folder / "tool").chmod(0o755)
    (local / "data").write_text("x")
    dirs = (str(local), str(tmp_path))
    assert find_program("tool", str(path), dirs) == str(local / "tool")
    assert find_program("bin/tool", "", dirs) == str(path / "tool")
    assert find_program("tool", f"/nowhere:{path}", ()) == str(path / "tool")
    with pytest.raises(DriverFailed, match='failed to find the program "tol"'):
        find_program("tol", str(path), dirs)
    with pytest.raises(DriverFailed, match="is not executable"):
        find_program("data", str(path), dirs)
