"""The defaults that are filled in before a job is registered."""

import copy
from typing import Any

import pytest

from hanse.jobspec import canonicalize, parse_job

S = 10**9
M = 60 * S
H = 60 * M


def canonical(source: str) -> dict[str, Any]:
    return canonicalize(parse_job(source).job)


def service(
    body: str = "", kind: str = "service", group: str = "", task: str = ""
) -> dict[str, Any]:
    return canonical(
        f'job "x" {{\n type = "{kind}"\n{body}\n group "g" {{\n{group}\n'
        f'  task "t" {{\n{task}\n  }}\n }}\n}}\n'
    )


def pick(value: dict[str, Any], keys: str) -> list[Any]:
    return [value[key] for key in keys.split()]


def test_an_empty_job_is_a_service_of_default_namespace_and_region() -> None:
    job = canonical('job "x" {\n}\n')
    assert pick(job, "ID Name Type Priority Region Namespace AllAtOnce Stop Stable Version") == [
        *("x", "x", "service", 50, "global", "default"),
        *(False, False, False, 0),
    ]
    assert pick(job, "Datacenters NodePool TaskGroups") == [None, "", None]


@pytest.mark.parametrize(
    ("kind", "attempts", "interval"),
    [
        ("service", 2, 30 * M),
        ("system", 2, 30 * M),
        ("batch", 3, 24 * H),
        ("sysbatch", 3, 24 * H),
    ],
)
def test_restarts_depend_on_the_type(kind: str, attempts: int, interval: int) -> None:
    job = service(kind=kind)
    policy = {
        "Attempts": attempts,
        "Interval": interval,
        "Delay": 15 * S,
        "Mode": "fail",
        "RenderTemplates": False,
    }
    group = job["TaskGroups"][0]
    assert group["RestartPolicy"] == policy
    assert group["Tasks"][0]["RestartPolicy"] == policy


def test_a_task_takes_over_the_restarts_of_its_group_where_it_says_nothing() -> None:
    job = service(
        group='restart {\n attempts = 9\n mode = "delay"\n}', task='restart {\n delay = "1s"\n}'
    )
    task = job["TaskGroups"][0]["Tasks"][0]
    assert pick(task["RestartPolicy"], "Attempts Mode Delay") == [9, "delay", S]


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("service", [0, 0, 30 * S, "exponential", H, True]),
        ("batch", [1, 24 * H, 5 * S, "constant", 0, False]),
        ("system", None),
        ("sysbatch", None),
    ],
)
def test_rescheduling_depends_on_the_type(kind: str, policy: list[Any] | None) -> None:
    found = service(kind=kind)["TaskGroups"][0]["ReschedulePolicy"]
    keys = "Attempts Interval Delay DelayFunction MaxDelay Unlimited"
    assert (found and pick(found, keys)) == policy


def test_job_level_policies_are_merged_under_those_of_the_group() -> None:
    job = service(
        body='update {\n canary = 1\n stagger = "1s"\n}\nreschedule {\n delay = "7s"\n}\n'
        "migrate {\n max_parallel = 4\n}",
        group="update {\n canary = 2\n}\nreschedule {\n unlimited = false\n}",
    )
    group = job["TaskGroups"][0]
    assert pick(group["Update"], "Canary Stagger MaxParallel HealthCheck ProgressDeadline") == [
        *(2, S, 1, "checks", 10 * M)
    ]
    assert pick(group["ReschedulePolicy"], "Delay Unlimited DelayFunction") == [
        *(7 * S, False, "exponential")
    ]
    assert pick(group["Migrate"], "MaxParallel MinHealthyTime HealthyDeadline") == [
        4,
        10 * S,
        5 * M,
    ]
    assert job["Update"]["Canary"] == 1


def test_only_services_migrate_and_batches_are_not_updated() -> None:
    group = service(kind="batch")["TaskGroups"][0]
    assert pick(group, "Update Migrate") == [None, None]
    group = service(kind="system")["TaskGroups"][0]
    assert pick(group["Update"], "Stagger MaxParallel MinHealthyTime HealthyDeadline") == [
        *(30 * S, 1, 10 * S, 5 * M)
    ]
    assert group["Migrate"] is None


def test_groups_and_tasks_get_sizes_and_times() -> None:
    group = service()["TaskGroups"][0]
    task = group["Tasks"][0]
    assert group["Count"] == 1
    assert group["EphemeralDisk"] == {"Sticky": False, "Migrate": False, "SizeMB": 300}
    assert pick(task["Resources"], "CPU Cores MemoryMB") == [100, 0, 300]
    assert task["KillTimeout"] == 5 * S
    assert task["LogConfig"] == {
        "MaxFiles": 10,
        "MaxFileSizeMB": 10,
        "Enabled": None,
        "Disabled": False,
    }


def test_scaling_and_count_fill_in_each_other() -> None:
    group = service(group="scaling {\n max = 9\n min = 3\n}")["TaskGroups"][0]
    assert (group["Count"], group["Scaling"]["Enabled"]) == (3, True)
    group = service(group="count = 0\nscaling {\n max = 9\n}")["TaskGroups"][0]
    assert (group["Count"], group["Scaling"]["Min"]) == (0, 0)


def test_parts_of_a_task_get_their_defaults() -> None:
    task = service(
        task='template {\n data = "x"\n}\n'
        'artifact {\n source = "http://a/b.zip?x=1"\n mode = "file"\n}\n'
        "artifact {\n}\nvolume_mount {\n}\nvault {\n}\nresources {\n cores = 2\n}"
    )["TaskGroups"][0]["Tasks"][0]
    assert pick(task["Templates"][0], "LeftDelim RightDelim ChangeSignal Once Envvars") == [
        *("{{", "}}", "", False, False)
    ]
    assert [artifact["RelativeDest"] for artifact in task["Artifacts"]] == ["local/b.zip", "local/"]
    assert pick(task["VolumeMounts"][0], "PropagationMode ReadOnly") == ["private", False]
    assert pick(task["Vault"], "Cluster ChangeSignal ChangeMode Env") == [
        *("default", "SIGHUP", "restart", True)
    ]
    assert pick(task["Resources"], "CPU Cores MemoryMB") == [0, 2, 300]


def test_services_get_names_and_checks_follow_them() -> None:
    check = 'check {\n type = "tcp"\n}'
    job = service(
        group=f"service {{\n check_restart {{\n  limit = 3\n }}\n {check}\n}}",
        task='service {\n provider = "nomad"\n on_update = "ignore"\n check {\n name = "c"\n }\n}',
    )
    of_group = job["TaskGroups"][0]["Services"][0]
    of_task = job["TaskGroups"][0]["Tasks"][0]["Services"][0]
    assert pick(of_group, "Name Provider AddressMode OnUpdate Cluster") == [
        *("x-g", "consul", "auto", "require_healthy", "default")
    ]
    assert pick(of_group["Checks"][0], "Name OnUpdate") == [
        'service: "x-g" check',
        "require_healthy",
    ]
    assert pick(of_group["Checks"][0]["CheckRestart"], "Limit Grace") == [3, S]
    assert pick(of_task, "Name Cluster OnUpdate") == ["x-g-t", "", "ignore"]
    assert pick(of_task["Checks"][0], "Name OnUpdate") == ["c", "ignore"]


def test_a_job_of_another_client_may_leave_out_or_add_keys() -> None:
    given: dict[str, Any] = {
        "ID": "x",
        "Mine": {"a": 1},
        "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Config": {"k": None}}]}],
    }
    before = copy.deepcopy(given)
    job = canonicalize(given)
    assert given == before
    assert job["Mine"] == {"a": 1}
    groups: Any = job["TaskGroups"]
    assert groups[0]["Tasks"][0]["Config"] == {"k": None}
    assert groups[0]["Tasks"][0]["Resources"]["CPU"] == 100


@pytest.mark.parametrize("junk", ["x", 1, [1], {"a": 1}, [None], True])
def test_values_of_a_wrong_type_are_left_for_the_validation(junk: Any) -> None:
    for key in ("TaskGroups", "Update", "Periodic", "Spreads", "Multiregion", "Reschedule"):
        canonicalize({"ID": "x", key: junk})
    for key in ("Tasks", "Services", "Scaling", "EphemeralDisk", "RestartPolicy", "Networks"):
        canonicalize({"ID": "x", "TaskGroups": [{"Name": "g", key: junk}]})
    for key in ("Resources", "LogConfig", "Templates", "Vault", "Artifacts", "Services"):
        canonicalize({"ID": "x", "TaskGroups": [{"Tasks": [{key: junk}]}]})


def test_filling_in_twice_changes_nothing_more() -> None:
    job = service(group="scaling {\n max = 9\n}\nservice {\n check {\n }\n}", task="template {\n}")
    assert canonicalize(job) == job
