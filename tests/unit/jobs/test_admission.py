"""Which jobs may be stored, and how they look then."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hanse.errors import InvalidMany, Unsupported
from hanse.structs.job import Job, PeriodicConfig, ReschedulePolicy, TaskGroup, UpdateStrategy
from hanse.structs.service import Service, ServiceCheck
from hanse.structs.task import (
    Affinity,
    Constraint,
    NetworkResource,
    Port,
    Resources,
    RestartPolicy,
    Task,
    TaskLifecycleConfig,
    Template,
)
from region.jobs.admission import Rules, admit

RULES = Rules(region="hansa")
MINUTE_NS = 60 * 10**9


def job(**changes: Any) -> Job:
    task = Task(name="t", driver="raw_exec", resources=Resources(cpu=100, memory_mb=64))
    group = TaskGroup(
        name="g",
        count=1,
        tasks=(task,),
        restart_policy=RestartPolicy(attempts=2, interval_ns=30 * MINUTE_NS, mode="fail"),
    )
    return replace(Job(id="web", task_groups=(group,)), **changes)


def with_group(**changes: Any) -> Job:
    base = job()
    return replace(base, task_groups=(replace(base.task_groups[0], **changes),))


def with_task(**changes: Any) -> Job:
    base = job()
    return with_group(tasks=(replace(base.task_groups[0].tasks[0], **changes),))


def with_ports(**changes: Any) -> Job:
    return with_group(networks=(NetworkResource(dynamic_ports=(Port(label="http"),)),), **changes)


def test_defaults_of_the_region_are_filled_in() -> None:
    done = admit(job(), RULES).job
    assert (done.name, done.region, done.namespace, done.type) == (
        "web",
        "hansa",
        "default",
        "service",
    )
    assert (done.priority, done.node_pool, done.datacenters) == (50, "default", ("*",))


def test_admitting_twice_changes_nothing_more() -> None:
    wanted = with_ports(services=(Service(name="${JOB}-x", port_label="http"),))
    once = admit(wanted, RULES).job
    assert admit(once, RULES).job == once


def test_a_service_gets_its_name_and_the_constraint_it_implies() -> None:
    admitted = admit(with_ports(services=(Service(port_label="http"),)), RULES)
    group = admitted.job.task_groups[0]
    assert group.services[0].name == "web-g"
    assert [c.l_target for c in group.constraints] == ["${attr.nomad.service_discovery}"]
    assert admitted.warnings == ()


def test_a_consul_service_becomes_a_native_one_and_the_owner_is_told() -> None:
    wanted = with_ports(services=(Service(name="s", port_label="http", provider="consul"),))
    admitted = admit(wanted, RULES)
    assert admitted.job.task_groups[0].services[0].provider == "nomad"
    assert 'provider "consul" is read as "nomad"' in admitted.warnings[0]


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (job(type="system"), 'type = "system"'),
        (job(type="batch", periodic=PeriodicConfig()), "periodic"),
        (with_task(templates=(Template(),)), 'group "g" task "t" template'),
        (with_task(lifecycle=TaskLifecycleConfig(hook="prestart")), 'group "g" task "t" lifecycle'),
        (
            with_group(
                update=UpdateStrategy(
                    max_parallel=1, canary=1, healthy_deadline_ns=2, min_healthy_time_ns=1
                )
            ),
            'group "g" update canary',
        ),
        (
            with_group(networks=(NetworkResource(mode="bridge"),)),
            'group "g" network mode = "bridge"',
        ),
    ],
)
def test_what_comes_later_is_refused_by_name(wanted: Job, named: str) -> None:
    with pytest.raises(Unsupported) as caught:
        admit(wanted, RULES)
    assert caught.value.what == (named,)
    assert str(caught.value) == f"not supported yet: {named}"


def bad_check(**changes: Any) -> Job:
    good = ServiceCheck(type="tcp", interval_ns=10**10, timeout_ns=2 * 10**9)
    service = Service(name="s", port_label="http", checks=(replace(good, **changes),))
    return with_ports(services=(service,))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (job(id=""), "job ID is missing"),
        (job(id="a b"), "job ID has a space"),
        (job(id="a\x1b[31m"), "job ID has a control character"),
        (job(priority=101), "priority must be between 1 and 100"),
        (job(type="cron"), 'invalid job type "cron"'),
        (job(task_groups=()), "at least one group"),
        (job(region="bergen"), 'region "bergen" is not this region'),
        (job(namespace="x"), 'nonexistent namespace "x"'),
        (job(type="batch", update=UpdateStrategy(max_parallel=1)), "update is not allowed"),
        (with_group(count=-1), "count must not be negative"),
        (with_group(count=50_001), "at most 50000 are allowed"),
        (with_group(tasks=()), "at least one task"),
        (job(task_groups=job().task_groups * 2), 'group "g" is defined 2 times'),
        (with_task(driver=""), "driver is missing"),
        (with_task(name="../x"), "has a slash"),
        (with_task(name="Alloc"), "used by the allocation's own folders"),
        (with_task(kill_timeout_ns=-1), "kill_timeout must not be negative"),
        (with_task(resources=Resources(cpu=0, memory_mb=64)), "cpu must be at least 1 MHz"),
        (with_task(resources=Resources(cpu=1, memory_mb=5)), "memory must be at least 10 MB"),
        (with_task(env={"A": "x\0y"}), "has a NUL character"),
        (job(constraints=(Constraint(l_target="${a}", operand="near"),)), '"near" is not known'),
        (
            job(constraints=(Constraint(l_target="${a}", r_target="(", operand="regexp"),)),
            "is not valid",
        ),
        (job(affinities=(Affinity(l_target="${a}", weight=0),)), "affinity weight"),
        (
            with_group(restart_policy=RestartPolicy(mode="fail", interval_ns=1)),
            "at least 5s, and is 1ns",
        ),
        (
            with_group(restart_policy=RestartPolicy(mode="never", interval_ns=MINUTE_NS)),
            "restart mode",
        ),
        (
            with_group(
                reschedule_policy=ReschedulePolicy(
                    unlimited=True, delay_ns=1, delay_function="constant"
                )
            ),
            "reschedule delay must be at least 5s",
        ),
        (
            with_group(
                networks=(
                    NetworkResource(
                        reserved_ports=(Port(label="a", value=80), Port(label="b", value=80))
                    ),
                )
            ),
            "static port 80 is used 2 times",
        ),
        (
            with_group(networks=(NetworkResource(reserved_ports=(Port(label="a", value=70000),)),)),
            "is not 1 to 65535",
        ),
        (with_group(services=(Service(name="s", port_label="http"),)), 'no port "http"'),
        (with_ports(services=(Service(name="a_b", port_label="http"),)), "a name has letters"),
        (bad_check(type="udp"), "type must be http or tcp"),
        (bad_check(type="http"), "needs a path"),
        (bad_check(interval_ns=1), "interval must be at least 1s"),
        (bad_check(timeout_ns=0), "timeout must be at least 1s"),
    ],
)
def test_what_is_wrong_is_said(wanted: Job, problem: str) -> None:
    with pytest.raises(InvalidMany) as caught:
        admit(wanted, RULES)
    assert [p for p in caught.value.problems if problem in p], caught.value.problems


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(InvalidMany) as caught:
        admit(replace(with_task(driver="", kill_timeout_ns=-1), priority=0xFFFF), RULES)
    assert len(caught.value.problems) == 3


def test_the_driver_may_refuse_its_configuration() -> None:
    rules = Rules(region="hansa", check_driver=lambda driver, config: [f"{driver} wants a command"])
    with pytest.raises(InvalidMany, match=r'task "t" config: raw_exec wants a command'):
        admit(job(), rules)
