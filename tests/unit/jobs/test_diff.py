"""What `job plan` says has changed."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.structs.api import FieldDiff, ObjectDiff
from hanse.structs.evaluation import DesiredUpdates
from hanse.structs.job import Job, TaskGroup
from hanse.structs.task import Constraint, Resources, Task
from region.jobs.diff import annotate, diff_jobs

TASK = Task(name="t", driver="docker", config={"image": "a:1", "args": ["x"]}, env={"A": "1"})
GROUP = TaskGroup(name="g", count=1, tasks=(TASK,))
JOB = Job(id="web", priority=50, datacenters=("dc1",), task_groups=(GROUP,))


def with_task(**changes: object) -> Job:
    return replace(JOB, task_groups=(replace(GROUP, tasks=(replace(TASK, **changes),)),))


def test_the_same_job_has_no_difference() -> None:
    diff = diff_jobs(JOB, JOB)
    assert (diff.type, diff.fields, diff.objects, diff.task_groups) == ("None", (), (), ())


def test_a_new_job_is_added_as_a_whole() -> None:
    diff = diff_jobs(None, JOB)
    assert diff.type == "Added"
    assert diff.task_groups[0].type == "Added"
    assert diff.task_groups[0].tasks[0].type == "Added"


def test_a_nested_configuration_is_compared_by_key() -> None:
    diff = diff_jobs(JOB, with_task(config={"image": "a:2", "args": ["x", "y"]}))
    task = diff.task_groups[0].tasks[0]
    assert task.objects == (
        ObjectDiff(
            type="Edited",
            name="Config",
            fields=(
                FieldDiff(type="Added", name="args[1]", old="", new="y"),
                FieldDiff(type="Edited", name="image", old="a:1", new="a:2"),
            ),
        ),
    )


def test_maps_lists_and_structures_are_named_as_users_know_them() -> None:
    new = with_task(
        env={"B": "2"},
        resources=Resources(cpu=200),
        constraints=(Constraint(l_target="${a}", r_target="b", operand="="),),
    )
    task = diff_jobs(JOB, replace(new, datacenters=("dc2",))).task_groups[0].tasks[0]
    assert [(f.type, f.name) for f in task.fields] == [("Deleted", "Env[A]"), ("Added", "Env[B]")]
    assert [(o.type, o.name) for o in task.objects] == [
        ("Added", "Constraint"),
        ("Added", "Resources"),
    ]


def test_datacenters_show_who_came_and_who_went() -> None:
    (found,) = diff_jobs(JOB, replace(JOB, datacenters=("dc2",))).objects
    assert [(f.type, f.old, f.new) for f in found.fields] == [
        ("Deleted", "dc1", ""),
        ("Added", "", "dc2"),
    ]


def test_annotations_say_what_the_scheduler_would_do() -> None:
    new = replace(JOB, task_groups=(replace(with_task(env={}).task_groups[0], count=3),))
    desired = {"g": DesiredUpdates(place=2, destructive_update=1)}
    group = annotate(diff_jobs(JOB, new), desired).task_groups[0]
    assert group.updates == {"create": 2, "create/destroy update": 1}
    assert group.fields[0].annotations == ("forces create",)
    assert group.tasks[0].annotations == ("forces create/destroy update",)


def test_a_service_can_change_while_the_task_runs() -> None:
    diff = annotate(diff_jobs(JOB, with_task(kill_timeout_ns=9)), {})
    assert diff.task_groups[0].tasks[0].annotations == ("forces in-place update",)
