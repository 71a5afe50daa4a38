"""What commands decide and say, without an agent."""

import msgspec
import pytest

from hanse.cli.agent import tree_of
from hanse.cli.alloc_exec import Escape
from hanse.cli.alloc_logs import last_lines
from hanse.cli.flags import UsageError, parse
from hanse.cli.job_diff import job_diff
from hanse.cli.job_init import LONG, SHORT
from hanse.cli.job_plan import dry_run, exit_code
from hanse.cli.job_restart import batch_size, choose
from hanse.cli.job_status import placement_failures
from hanse.cli.monitor_deployment import waits_for_capacity
from hanse.cli.monitor_eval import changes
from hanse.cli.table import COMMANDS
from hanse.cli.tables import reasons
from hanse.cli.text import paint
from hanse.config.load import load
from hanse.jobspec import canonicalize, format_source, parse_job
from hanse.structs.api import (
    AllocListStub,
    FieldDiff,
    JobDiff,
    JobPlanResponse,
    ObjectDiff,
    TaskDiff,
    TaskGroupDiff,
)
from hanse.structs.deployment import Deployment, DeploymentState
from hanse.structs.evaluation import AllocMetric, DesiredUpdates, Evaluation, PlanAnnotations
from hanse.structs.job import Job
from hanse.structs.taskstate import TaskState
from region.jobs.admission import Rules, admit
from region.jobs.decode import convert


def test_every_reason_for_a_refusal_has_its_line() -> None:
    metric = AllocMetric(
        nodes_evaluated=4,
        nodes_available={"dc1": 0, "dc2": 3},
        class_filtered={"gpu": 1},
        constraint_filtered={"${attr.kernel.name} = windows": 2},
        nodes_exhausted=1,
        class_exhausted={"small": 1},
        dimension_exhausted={"memory": 1},
        quota_exhausted=("cpu",),
    )
    assert reasons(metric) == [
        '* No nodes are available in datacenter "dc1"',
        '* Class "gpu": 1 node excluded by filter',
        '* Constraint "${attr.kernel.name} = windows": 2 nodes excluded by filter',
        "* Resources exhausted on 1 node",
        '* Class "small" exhausted on 1 node',
        '* Dimension "memory" exhausted on 1 node',
        '* Quota limit hit "cpu"',
    ]
    assert reasons(AllocMetric())[0] == "* No nodes were eligible for evaluation"


def test_a_diff_shows_what_changes_and_how() -> None:
    image = FieldDiff(type="Edited", name="image", old="a:1", new="a:2")
    config = ObjectDiff(type="Edited", name="Config", fields=(image,))
    count = FieldDiff(type="Edited", name="Count", old="1", new="3", annotations=("forces create",))
    task = TaskDiff(
        type="Edited", name="t", objects=(config,), annotations=("forces create/destroy update",)
    )
    quiet = TaskDiff(type="None", name="same")
    group = TaskGroupDiff(
        type="Edited",
        name="g",
        fields=(count,),
        tasks=(task, quiet),
        updates={"in-place update": 2, "create/destroy update": 1},
    )
    text = paint(job_diff(JobDiff(type="Edited", id="j", task_groups=(group,))), color=False)
    assert text == (
        '+/- Job: "j"\n'
        '+/- Task Group: "g" (1 create/destroy update, 2 in-place update)\n'
        '  +/- Count: "1" => "3" (forces create)\n'
        '  +/- Task: "t" (forces create/destroy update)\n'
        "    +/- Config {\n"
        '        +/- image: "a:1" => "a:2"\n'
        "        }"
    )


def test_of_a_new_job_the_diff_shows_names_only_unless_all_is_wanted() -> None:
    field = FieldDiff(type="Added", name="Driver", new="docker")
    task = TaskDiff(type="Added", name="t", fields=(field,), annotations=("forces create",))
    group = TaskGroupDiff(type="Added", name="g", tasks=(task,), updates={"create": 1})
    diff = JobDiff(type="Added", id="j", task_groups=(group,))
    head = '+ Job: "j"\n+ Task Group: "g" (1 create)\n  + Task: "t" (forces create)'
    assert paint(job_diff(diff), color=False) == head
    whole = paint(job_diff(diff, verbose=True), color=False)
    assert whole == head + '\n    + Driver: "docker"'


def test_a_plan_ends_with_1_only_if_allocations_come_or_go() -> None:
    def plan(**updates: int) -> JobPlanResponse:
        wanted = {"g": DesiredUpdates(**updates)}
        return JobPlanResponse(annotations=PlanAnnotations(desired_tg_updates=wanted))

    assert exit_code(JobPlanResponse()) == 0
    assert exit_code(plan(ignore=3, in_place_update=1)) == 0
    assert exit_code(plan(place=1)) == 1
    assert exit_code(plan(destructive_update=1)) == 1
    assert exit_code(plan(stop=1)) == 1


def test_a_dry_run_tells_what_finds_no_place() -> None:
    failed = {"g": AllocMetric(nodes_evaluated=1, coalesced_failures=1)}
    lines = dry_run(JobPlanResponse(failed_tg_allocs=failed), "system", 0)
    assert [paint(line, color=False) for line in lines] == [
        "- WARNING: Failed to place all allocations on all nodes.",
        '  Task Group "g" (failed to place 2 allocations):',
    ]


def test_an_evaluation_is_told_by_its_changes() -> None:
    alloc = AllocListStub(
        id="a" * 36, node_id="n" * 36, task_group="g", create_index=9, client_status="pending"
    )
    first = Evaluation(
        id="e", job_id="j", triggered_by="job-register", status="pending", create_index=8
    )
    assert changes(Evaluation(), first, {}, (), verbose=False) == [
        'Evaluation triggered by job "j"'
    ]
    done = Evaluation(id="e", job_id="j", status="complete", deployment_id="d" * 36, create_index=8)
    assert changes(first, done, {}, (alloc,), verbose=False) == [
        'Evaluation within deployment: "dddddddd"',
        'Allocation "aaaaaaaa" created: node "nnnnnnnn", group "g"',
        'Evaluation status changed: "pending" -> "complete"',
    ]
    failed = AllocListStub(
        id=alloc.id, client_status="failed", client_description="it broke", create_index=9
    )
    assert changes(done, done, {alloc.id: alloc}, (failed,), verbose=False) == [
        'Allocation "aaaaaaaa" status changed: "pending" -> "failed" (it broke)'
    ]
    old = AllocListStub(id=alloc.id, node_id=alloc.node_id, task_group="g", create_index=3)
    assert "modified" in changes(first, first, {}, (old,), verbose=False)[0]


def test_of_very_many_allocations_only_some_are_told() -> None:
    evaluation = Evaluation(id="e", status="pending", create_index=1)
    allocs = tuple(AllocListStub(id=f"{n:036}", create_index=2) for n in range(300))
    lines = changes(evaluation, evaluation, {}, allocs, verbose=False)
    assert len(lines) == 251
    assert lines[-1] == "… and so with 50 allocations more"
    assert len(changes(evaluation, evaluation, {}, allocs, verbose=True)) == 300


def test_a_deployment_waits_for_capacity_once_all_that_is_placed_is_healthy() -> None:
    def deployment(desired: int, placed: int, healthy: int) -> Deployment:
        state = DeploymentState(desired_total=desired, placed_allocs=placed, healthy_allocs=healthy)
        return Deployment(task_groups={"g": state})

    assert waits_for_capacity(deployment(5, 1, 1))
    assert waits_for_capacity(deployment(5, 0, 0))
    assert not waits_for_capacity(deployment(5, 1, 0))
    assert not waits_for_capacity(deployment(5, 5, 5))


def test_the_blocked_evaluation_or_its_maker_says_why_there_is_no_place() -> None:
    failed = {"g": AllocMetric(nodes_evaluated=1)}
    blocked = Evaluation(id="b", status="blocked", create_index=2)
    maker = Evaluation(id="m", status="complete", blocked_eval="b", failed_tg_allocs=failed)
    line = ['Task Group "g" (failed to place 1 allocation):']
    assert placement_failures((maker, blocked)) == line
    assert placement_failures((maker,)) == []
    own = Evaluation(id="b", status="blocked", create_index=2, failed_tg_allocs=failed)
    assert placement_failures((own,)) == line


@pytest.mark.parametrize(
    ("text", "total", "size"), [("1", 9, 1), ("25%", 9, 3), ("100%", 9, 9), ("1%", 3, 1)]
)
def test_a_batch_is_a_number_or_a_share_rounded_up(text: str, total: int, size: int) -> None:
    assert batch_size(text, total) == size


@pytest.mark.parametrize("text", ["0", "0%", "-1", "x", "", "%"])
def test_an_empty_batch_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        batch_size(text, 5)


def test_only_running_allocations_of_the_groups_and_tasks_are_restarted() -> None:
    def alloc(name: str, group: str, status: str = "running", task: str = "t") -> AllocListStub:
        return AllocListStub(
            id=name,
            name=name,
            task_group=group,
            client_status=status,
            desired_status="run",
            task_states={task: TaskState()},
        )

    allocs = [
        alloc("2", "b"),
        alloc("1", "a"),
        alloc("3", "a", "failed"),
        alloc("4", "a", task="u"),
    ]
    assert [stub.id for stub in choose(allocs, (), ())] == ["1", "4", "2"]
    assert [stub.id for stub in choose(allocs, ("a",), ("u",))] == ["4"]


@pytest.mark.parametrize(
    ("data", "count", "end"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\n", 5, b"a\n"),
        (b"a\r\nb\r\n", 1, b"b\r\n"),
        (b"x\n\n\n", 2, b"\n\n"),
        (b"a\nb", 0, b""),
    ],
)
def test_the_last_lines_of_a_log(data: bytes, count: int, end: bytes) -> None:
    assert last_lines(data, count) == end


def test_the_escape_hangs_up_only_at_the_beginning_of_a_line() -> None:
    assert Escape(b"~").feed(b"~.") == (b"", True)
    assert Escape(b"~").feed(b"a~.") == (b"a~.", False)
    assert Escape(b"~").feed(b"a\r~.rest") == (b"a\r", True)
    assert Escape(b"~").feed(b"~~.") == (b"~.", False)
    assert Escape(b"~").feed(b"~x") == (b"~x", False)
    assert Escape(b"").feed(b"~.") == (b"~.", False)
    split = Escape(b"~")
    assert split.feed(b"\n~") == (b"\n", False)
    assert split.feed(b".") == (b"", True)


def test_agent_flags_become_a_configuration() -> None:
    words = (
        "-dev -bind 10.0.0.1 -region north -dc d1 -node n1 -meta a=1 -meta b=2 "
        "-log-level debug -node-class big -log-json"
    ).split()
    flags, _ = parse(words, COMMANDS["agent"].flags)
    config = load([], tree_of(flags), dev=flags.on("dev"))
    assert (config.bind_addr, config.region, config.datacenter) == ("10.0.0.1", "north", "d1")
    assert (config.name, config.log_level, config.log_json) == ("n1", "debug", True)
    assert config.client.meta == {"a": "1", "b": "2"}
    assert config.client.node_class == "big"
    assert config.server.enabled
    flags, _ = parse(["-server", "-bootstrap-expect=3"], COMMANDS["agent"].flags)
    assert tree_of(flags) == {"server": {"enabled": True, "bootstrap_expect": 3}}


def test_every_flag_of_the_agent_has_its_place_in_the_configuration() -> None:
    samples = {"bool": [], "text": ["x"], "texts": ["k=v"], "int": ["3"], "duration": ["1s"]}
    for flag in COMMANDS["agent"].flags:
        flags, _ = parse([f"-{flag.name}", *samples[flag.kind]], COMMANDS["agent"].flags)
        assert tree_of(flags) or flag.name in ("config", "dev"), flag.name


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_the_example_job_is_a_job_that_servers_admit(text: str) -> None:
    job = canonicalize(parse_job(text).job)
    value, warnings = convert(Job, msgspec.json.decode(msgspec.json.encode(job)))
    assert warnings == []
    admitted = admit(value, Rules(region="global"))
    assert admitted.job.task_groups[0].tasks[0].driver == "docker"
    assert format_source(text, "example") == text
