"""Environment variables and `${...}`."""

from pathlib import Path

import pytest

from client.environment import Paths, Place, task_environment
from client.interpolate import node_names, replace, replace_in
from client.layout import AllocFolders
from client.taskrunner.spec import Situation, task_id, task_spec
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.node import Node
from hanse.structs.task import LogConfig, Resources, Task
from hanse.structs.taskstate import AllocatedPortMapping

NODE = Node(
    id="n1",
    name="lubeck",
    datacenter="dc1",
    node_class="big",
    node_pool="default",
    attributes={"kernel.name": "linux", "unique.network.ip-address": "10.0.0.1"},
    meta={"rack": "r1"},
)
NAMES = node_names(NODE, "europe")
PORTS = (
    AllocatedPortMapping(label="http", value=21000, to=8080, host_ip="10.0.0.1"),
    AllocatedPortMapping(label="my-db", value=22000, to=-1, host_ip="::1"),
)
ALLOCATION = Allocation(
    id="0123456789abcdef",
    namespace="ns",
    job_id="web",
    job_version=3,
    group="g",
    index=4,
    node_id="n1",
    eval_id="e",
    ports=PORTS,
)


def environment(task: Task, group: TaskGroup | None = None) -> dict[str, str]:
    return task_environment(
        ALLOCATION,
        Job(id="web", name="web", meta={"owner": "job", "tier-1": "x"}),
        group or TaskGroup(name="g"),
        task,
        paths=Paths(alloc="/alloc", local="/local", secrets="/secrets"),
        place=Place(region="europe", datacenter="dc1"),
        names=NAMES,
    )[0]


def test_a_task_knows_who_and_where_it_is() -> None:
    found = environment(Task(name="t", resources=Resources(cpu=500, memory_mb=256)))
    wanted = {
        "NOMAD_ALLOC_ID": "0123456789abcdef",
        "NOMAD_SHORT_ALLOC_ID": "01234567",
        "NOMAD_ALLOC_NAME": "web.g[4]",
        "NOMAD_ALLOC_INDEX": "4",
        "NOMAD_TASK_NAME": "t",
        "NOMAD_GROUP_NAME": "g",
        "NOMAD_JOB_ID": "web",
        "NOMAD_JOB_NAME": "web",
        "NOMAD_DC": "dc1",
        "NOMAD_REGION": "europe",
        "NOMAD_NAMESPACE": "ns",
        "NOMAD_CPU_LIMIT": "500",
        "NOMAD_MEMORY_LIMIT": "256",
        "NOMAD_ALLOC_DIR": "/alloc",
        "NOMAD_TASK_DIR": "/local",
        "NOMAD_SECRETS_DIR": "/secrets",
    }
    assert {key: found.get(key) for key in wanted} == wanted
    assert "NOMAD_MEMORY_MAX_LIMIT" not in found
    assert "NOMAD_JOB_PARENT_ID" not in found


def test_ports_are_told_from_both_sides() -> None:
    found = environment(Task(name="t"))
    assert found["NOMAD_PORT_http"] == "8080"
    assert found["NOMAD_HOST_PORT_http"] == "21000"
    assert found["NOMAD_ADDR_http"] == found["NOMAD_HOST_ADDR_http"] == "10.0.0.1:21000"
    assert found["NOMAD_PORT_my_db"] == "22000"
    assert found["NOMAD_ADDR_my_db"] == "[::1]:22000"


def test_meta_of_task_beats_group_beats_job_and_comes_in_two_cases() -> None:
    group = TaskGroup(name="g", meta={"owner": "group", "rack": "${meta.rack}"})
    found = environment(Task(name="t", meta={"Colour": "red"}), group)
    assert found["NOMAD_META_owner"] == found["NOMAD_META_OWNER"] == "group"
    assert found["NOMAD_META_Colour"] == found["NOMAD_META_COLOUR"] == "red"
    assert found["NOMAD_META_tier_1"] == "x"
    assert found["NOMAD_META_rack"] == "r1"


def test_env_of_the_job_sees_the_node_and_our_variables() -> None:
    env = {
        "A": "${node.unique.name}-${attr.kernel.name}-${NOMAD_PORT_my-db}",
        "B": "${A}",
        "C": "${HOME}",
        "NOMAD_REGION": "mine",
        "D": "${NOMAD_META_owner}",
    }
    found = environment(Task(name="t", env=env))
    assert found["A"] == found["B"] == "lubeck-linux-22000"
    assert found["C"] == "${HOME}"
    assert found["NOMAD_REGION"] == "mine"
    assert found["D"] == "job"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("${attr.unique.network.ip-address}:1", "10.0.0.1:1"),
        ('${env["X"]} ${env[X]} ${X}', "1 1 1"),
        ("${ meta.rack }", "r1"),
        ("${meta.absent} ${} ${", "${meta.absent} ${} ${"),
        ("$${meta.rack}", "$r1"),
        ("${LOOP}", "${meta.rack}"),
        ("${node.region}/${node.class}/${node.pool}", "europe/big/default"),
    ],
)
def test_only_what_is_known_is_replaced_and_only_once(text: str, wanted: str) -> None:
    assert replace(text, NAMES, {"X": "1", "LOOP": "${meta.rack}"}) == wanted


def test_values_are_replaced_at_any_depth() -> None:
    value = {"a": ["${X}", {"${X}": ("${X}", 3, True, None)}]}
    assert replace_in(value, {}, {"X": "1"}) == {"a": ["1", {"1": ["1", 3, True, None]}]}


def test_a_drivers_spec_has_nothing_left_to_look_up() -> None:
    task = Task(
        name="t",
        driver="d",
        config={"args": ["${NOMAD_TASK_DIR}", "${NOMAD_PORT_http}"]},
        resources=Resources(cpu=1300, memory_mb=64),
        log_config=LogConfig(max_files=3, max_file_size_mb=5),
    )
    for isolation, local in (("none", "/x/a/t/local"), ("image", "/local")):
        spec = task_spec(
            ALLOCATION,
            Job(id="web"),
            TaskGroup(name="g"),
            task,
            attempt=2,
            folders=AllocFolders(Path("/x/a")),
            situation=Situation(
                names=NAMES, region="r", datacenter="dc1", total_mhz=5200, isolation=isolation
            ),
        )
        assert spec.config == {"args": [local, "8080"]}
    assert spec.id == "t-0123456789abcdef-2"
    assert spec.cpu_share == 0.25
    assert spec.logs.folder == "/x/a/alloc/logs"
    assert (spec.logs.max_files, spec.logs.max_file_bytes) == (3, 5 * 1024 * 1024)
    assert [(p.label, p.value, p.to) for p in spec.ports] == [
        ("http", 21000, 8080),
        ("my-db", 22000, 0),
    ]


def test_ids_of_tasks_are_safe_and_never_the_same() -> None:
    names = ["a b", "a_b", "ä", "b", "a/b"]
    ids = [task_id("x", name, attempt) for name in names for attempt in (0, 1)]
    assert len(set(ids)) == len(ids)
    assert all(i.replace("-", "").replace("_", "").replace(".", "").isalnum() for i in ids)
    assert all(i.isascii() for i in ids)
