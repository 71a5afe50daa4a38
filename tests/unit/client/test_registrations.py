"""Services as they are registered, and checks as they are judged."""

import pytest

from client.checks import CheckState, Probe, after_probe, result_of
from client.registrations import CheckPlan, instances, offers
from hanse.errors import Invalid
from hanse.structs.allocation import Allocation
from hanse.structs.job import TaskGroup
from hanse.structs.service import CheckRestart, Service, ServiceCheck
from hanse.structs.task import Task
from hanse.structs.taskstate import AllocatedPortMapping

S = 10**9
ALLOCATION = Allocation(
    id="a1", namespace="default", job_id="web", job_version=0, group="g", index=0, node_id="n",
    eval_id="e", ports=(AllocatedPortMapping(label="http", value=21000, host_ip="10.0.0.1"),),
)  # fmt: skip


def final(text: str, task: str) -> str:
    return text.replace("${TASK}", task or "-")


def group(*services: Service, task_services: tuple[Service, ...] = ()) -> TaskGroup:
    tasks = (Task(name="main", services=task_services), Task(name="side"))
    return TaskGroup(name="g", tasks=tasks, services=services)


def test_services_of_group_and_task_have_nomads_ids_and_their_ports() -> None:
    plans = offers(
        ALLOCATION,
        group(
            Service(name="web", port_label="http", tags=("x-${TASK}",)),
            task_services=(Service(name="adm-${TASK}", port_label="9000"), Service(name="bare")),
        ),
        "10.9.9.9",
        final,
    )
    found = [(p.instance.id, p.instance.address, p.instance.port) for p in plans]
    assert found == [
        ("_nomad-task-a1-group-g-web-http", "10.0.0.1", 21000),
        ("_nomad-task-a1-main-adm-main-9000", "10.9.9.9", 9000),
        ("_nomad-task-a1-main-bare-", "10.9.9.9", 0),
    ]
    assert plans[0].instance.tags == ("x--",)


def test_a_service_is_there_while_one_of_its_tasks_serves() -> None:
    plans = offers(
        ALLOCATION,
        group(
            Service(name="any"),
            Service(name="one", task_name="side"),
            Service(name="consul", provider="consul"),
            task_services=(Service(name="own"),),
        ),
        "10.9.9.9",
        final,
    )

    def there(*tasks: str) -> list[str]:
        return [instance.service for instance in instances(plans, tasks)]

    assert there() == []
    assert there("side") == ["any", "one"]
    assert there("main") == ["any", "own"]


@pytest.mark.parametrize(
    "service",
    [
        Service(name="has space"),
        Service(name="-dash"),
        Service(name="x" * 64),
        Service(name=""),
        Service(name="web", port_label="nowhere"),
        Service(name="web", port_label="70000"),
        Service(name="web", checks=(ServiceCheck(type="tcp", port_label="nowhere"),)),
    ],
)
def test_final_values_that_make_no_sense_are_refused(service: Service) -> None:
    with pytest.raises(Invalid):
        offers(ALLOCATION, group(service), "10.9.9.9", final)


def test_an_address_of_the_jobs_own_and_canary_tags_are_used() -> None:
    canary = Allocation(**{**{f: getattr(ALLOCATION, f) for f in ALLOCATION.__struct_fields__},
                           "canary": True})  # fmt: skip
    service = Service(name="web", address="lb.example", tags=("a",), canary_tags=("b",))
    (plan,) = offers(canary, group(service), "10.9.9.9", final)
    assert (plan.instance.address, plan.instance.tags) == ("lb.example", ("b",))


def check_plan(**more: object) -> CheckPlan:
    spec = ServiceCheck(type="tcp", **more)  # type: ignore[arg-type]
    service = Service(name="web", port_label="http", checks=(spec,))
    (offer,) = offers(ALLOCATION, group(task_services=(service,)), "10.9.9.9", final)
    return offer.checks[0]


def test_checks_have_names_ids_modes_and_bounds() -> None:
    plan = check_plan(interval_ns=5, timeout_ns=3 * S, on_update="ignore")
    assert plan.name == 'service: "web" check'
    assert (plan.interval_s, plan.timeout_s, plan.mode) == (1, 3, "readiness")
    assert (plan.address, plan.port, plan.path, plan.task) == ("10.0.0.1", 21000, "/", "main")
    assert check_plan().id == check_plan(interval_ns=7).id != check_plan(name="other").id


def probes(plan: CheckPlan, outcomes: str, started_ns: int = 0) -> list[tuple[str, bool]]:
    """Statuses and restart demands after each of the outcomes, one a second."""
    state = CheckState()
    found: list[tuple[str, bool]] = []
    for second, outcome in enumerate(outcomes):
        state, restart = after_probe(
            plan,
            state,
            Probe(passed=outcome == "+", output=outcome),
            started_ns=started_ns,
            now_ns=second * S,
        )
        found.append((state.status, restart))
    return found


def test_a_check_is_what_the_last_probe_said() -> None:
    statuses = [status for status, _ in probes(check_plan(), "+-+")]
    assert statuses == ["success", "failure", "success"]


def test_thresholds_hold_a_verdict_back() -> None:
    plan = check_plan(success_before_passing=1, failures_before_critical=2)
    statuses = [status for status, _ in probes(plan, "+++--+---")]
    assert statuses == ["pending", *["success"] * 7, "failure"]


def test_enough_failures_in_a_row_demand_a_restart_and_are_counted_anew() -> None:
    plan = check_plan(check_restart=CheckRestart(limit=2))
    demands = [restart for _, restart in probes(plan, "-+-----")]
    assert demands == [False, False, False, True, False, True, False]


def test_failures_in_the_grace_time_do_not_count() -> None:
    plan = check_plan(check_restart=CheckRestart(limit=1, grace_ns=3 * S))
    assert [restart for _, restart in probes(plan, "-----")] == [False, False, False, True, True]


def test_a_result_is_shown_as_the_api_has_it() -> None:
    plan = check_plan()
    state, _ = after_probe(
        plan, CheckState(), Probe(passed=True, output="ok", code=200), started_ns=0, now_ns=7 * S
    )
    result = result_of(plan, state, "g")
    assert (result.status, result.status_code, result.timestamp) == ("success", 200, 7)
    assert (result.group, result.task, result.service) == ("g", "main", "web")
