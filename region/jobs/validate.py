"""Rules a job must keep, whatever region it is for. Each problem names its field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import msgspec

from hanse import regex
from hanse.durations import SECOND_NS, format_duration
from hanse.errors import Invalid
from hanse.structs.job import Job, ReschedulePolicy, Spread, TaskGroup, UpdateStrategy
from hanse.structs.service import Service, ServiceCheck
from hanse.structs.task import Affinity, Constraint, Resources, RestartPolicy, Task
from region.scheduler.versions import parse_constraint

TYPES = ("service", "batch", "system", "sysbatch")
OPERANDS = frozenset(
    "= == is != not > >= < <= regexp version semver set_contains set_contains_all "
    "set_contains_any is_set is_not_set distinct_hosts distinct_property".split()
)
_AFFINITY_OPERANDS = OPERANDS - {"is_set", "is_not_set", "distinct_hosts", "distinct_property"}
_NAME_BYTES_MAX = 128
#: Of a whole job; each rule is tried on each node.
_RULES_MAX = 10_000
_REGEXPS_MAX = 100
#: Of a group.
_PORTS_MAX = 1000
#: What a terminal obeys, or what turns round the direction of the text after it.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
_SERVICE_NAME = re.compile(r"^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$")
_RESERVED_TASK_NAMES = ("alloc", "shared", "secrets", "local", "tmp", "private", ".", "..")

#: Problems of a task's driver configuration: (driver, config) -> texts that name the key.
DriverCheck = Callable[[str, Mapping[str, object]], list[str]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers an operator may set."""

    count_max: int = 50_000
    priority_max: int = 100
    priority_default: int = 50


def problems_of(
    job: Job, limits: Limits, *, region: str, check: DriverCheck | None = None
) -> list[str]:
    """Everything that is wrong with a job; nothing if it is right."""
    found = list(_amount(job))
    if found:
        return found
    found = list(_job(job, limits, region))
    names = Counter(group.name for group in job.task_groups)
    found += [f'group "{name}" is defined {n} times' for name, n in names.items() if n > 1]
    for group in job.task_groups:
        where = f'group "{group.name}"'
        found += [f"{where}: {problem}" for problem in _group(job, group)]
        for task in group.tasks:
            found += [f'{where} task "{task.name}": {p}' for p in _task(job, group, task)]
            if check is not None and task.driver:
                problems = check(task.driver, task.config)
                found += [f'{where} task "{task.name}" config: {p}' for p in problems]
    return found


def warnings_of(job: Job) -> tuple[str, ...]:
    """What is allowed and probably not meant."""
    found: list[str] = []
    for group in job.task_groups:
        update = group.update
        if update is not None and update.max_parallel > group.count > 0:
            found.append(
                f'group "{group.name}": update max_parallel ({update.max_parallel}) is more '
                f"than the count ({group.count}), so all instances are replaced at once"
            )
        found += [
            f'group "{group.name}" task "{task.name}": memory_max has no effect unless memory '
            "oversubscription is enabled"
            for task in group.tasks
            if task.resources is not None and task.resources.memory_max_mb > 0
        ]
    return tuple(found)


def _amount(job: Job) -> Iterator[str]:
    """Refuse what the scheduler would be busy with for more than a moment."""
    rules: list[Constraint | Affinity] = [*job.constraints, *job.affinities]
    for group in job.task_groups:
        rules += [*group.constraints, *group.affinities]
        for task in group.tasks:
            rules += [*task.constraints, *task.affinities]
    if len(rules) > _RULES_MAX:
        yield f"{len(rules)} constraints and affinities; at most {_RULES_MAX} are allowed"
    patterns = {rule.r_target for rule in rules if rule.operand == "regexp"}
    if len(patterns) > _REGEXPS_MAX:
        yield f"{len(patterns)} different regexp constraints; at most {_REGEXPS_MAX} are allowed"
    for group in job.task_groups:
        ports = sum(len(n.dynamic_ports) + len(n.reserved_ports) for n in group.networks)
        if ports > _PORTS_MAX:
            yield f'group "{group.name}": {ports} ports; at most {_PORTS_MAX} are allowed'


def _job(job: Job, limits: Limits, region: str) -> Iterator[str]:
    yield from _name("job ID", job.id, spaces=False)
    if not {".", ".."}.isdisjoint(job.id.split("/")):
        yield "job ID has . or .. between slashes, which clients take out of URLs"
    yield from _name("job name", job.name)
    if job.region != region:
        yield f'region "{job.region}" is not this region; this is "{region}"'
    if job.namespace != "default":
        yield f'nonexistent namespace "{job.namespace}"'
    if job.node_pool not in ("default", "all"):
        yield f'nonexistent node pool "{job.node_pool}"'
    if job.type not in TYPES:
        yield f'invalid job type "{job.type}"; it must be one of {", ".join(TYPES)}'
    if not 1 <= job.priority <= limits.priority_max:
        yield f"priority must be between 1 and {limits.priority_max}, not {job.priority}"
    if any(not dc for dc in job.datacenters):
        yield "a datacenter has an empty name"
    if any(_CONTROLS.search(dc) for dc in job.datacenters):
        yield "a datacenter has a control character"
    if not job.task_groups:
        yield "there must be at least one group"
    total = sum(group.count for group in job.task_groups)
    if total > limits.count_max:
        yield f"the groups' counts add up to {total}; at most {limits.count_max} are allowed"
    if job.type in ("batch", "sysbatch") and job.update.max_parallel > 0:
        yield f"update is not allowed in a {job.type} job"
    yield from _rules(job.constraints, job.affinities)
    yield from _spreads(job.spreads)
    yield from _map("meta", job.meta)


def _group(job: Job, group: TaskGroup) -> Iterator[str]:
    yield from _name("group name", group.name)
    if group.count < 0:
        yield f"count must not be negative, and is {group.count}"
    if not group.tasks:
        yield "there must be at least one task"
    names = Counter(task.name for task in group.tasks)
    yield from (f'task "{name}" is defined {n} times' for name, n in names.items() if n > 1)
    if sum(task.leader for task in group.tasks) > 1:
        yield "only one task may be the leader"
    yield from _rules(group.constraints, group.affinities)
    yield from _spreads((*job.spreads, *group.spreads))
    yield from _update(job, group.update)
    yield from _restart(group.restart_policy)
    yield from _reschedule(job, group.reschedule_policy)
    yield from _ports(group)
    yield from _map("meta", group.meta)
    if group.shutdown_delay_ns is not None and group.shutdown_delay_ns < 0:
        yield "shutdown_delay must not be negative"
    if group.ephemeral_disk is not None and group.ephemeral_disk.size_mb < 10:
        yield f"ephemeral_disk size must be at least 10 MB, and is {group.ephemeral_disk.size_mb}"
    if group.scaling is not None and not 0 <= group.scaling.min <= group.scaling.max:
        yield f"scaling needs 0 <= min <= max, and has {group.scaling.min} and {group.scaling.max}"
    for service in group.services:
        yield from _service(group, service)


def _task(job: Job, group: TaskGroup, task: Task) -> Iterator[str]:
    yield from _name("task name", task.name)
    if task.name.lower() in _RESERVED_TASK_NAMES or "/" in task.name or "\\" in task.name:
        yield "the name is used by the allocation's own folders, or has a slash"
    yield from _name("driver", task.driver)
    if task.kill_timeout_ns < 0:
        yield "kill_timeout must not be negative"
    if task.shutdown_delay_ns < 0:
        yield "shutdown_delay must not be negative"
    if task.resources is None:
        yield "resources are missing"
    else:
        yield from _resources(task.resources)
    logs, disk = task.log_config, group.ephemeral_disk
    if logs is not None and not logs.disabled:
        if logs.max_files < 1 or logs.max_file_size_mb < 1:
            yield "logs needs max_files and max_file_size of at least 1"
        size = logs.max_files * logs.max_file_size_mb
        if disk is not None and size > disk.size_mb:
            yield f"logs may take {size} MB, more than the ephemeral_disk of {disk.size_mb} MB"
    if any(c.operand in ("distinct_hosts", "distinct_property") for c in task.constraints):
        yield "distinct_hosts and distinct_property are not allowed in a task's constraints"
    yield from _rules(task.constraints, task.affinities)
    yield from _restart(task.restart_policy)
    yield from _map("meta", task.meta)
    yield from _map("env", task.env)
    for service in task.services:
        yield from _service(group, service)
    del job


def _name(what: str, name: str, *, spaces: bool = True) -> Iterator[str]:
    if not name:
        yield f"{what} is missing"
    elif len(name.encode(errors="replace")) > _NAME_BYTES_MAX:
        yield f"{what} is longer than {_NAME_BYTES_MAX} bytes"
    elif _CONTROLS.search(name):
        yield f"{what} has a control character"
    elif not spaces and " " in name:
        yield f"{what} has a space"


def _map(what: str, values: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{what} has an empty key" for key in values if not key)
    yield from (
        f'{what} "{key[:60]}" has a NUL character'
        for key, value in values.items()
        if "\0" in key or "\0" in value
    )


def _rules(constraints: tuple[Constraint, ...], affinities: tuple[Affinity, ...]) -> Iterator[str]:
    for rule in constraints:
        operand = rule.operand or "="
        if operand not in OPERANDS:
            yield f'constraint operator "{operand}" is not known'
        yield from _targets("constraint", operand, rule.l_target, rule.r_target)
    for wish in affinities:
        operand = wish.operand or "="
        if operand not in _AFFINITY_OPERANDS:
            yield f'affinity operator "{operand}" is not known'
        if wish.weight == 0 or not -100 <= wish.weight <= 100:
            yield f"affinity weight must be -100 to 100 and not 0, and is {wish.weight}"
        yield from _targets("affinity", operand, wish.l_target, wish.r_target)


def _targets(what: str, operand: str, left: str, right: str) -> Iterator[str]:
    if operand == "distinct_hosts":
        if right not in ("", "true", "false"):
            yield f'{what} distinct_hosts must be true or false, not "{right}"'
        return
    if not left:
        yield f"{what} {operand} has no attribute"
    if operand == "regexp":
        try:
            regex.compiled(right)
        except Invalid as error:
            yield f'{what} regexp "{right[:200]}" is not valid: {error.problem}'
    elif operand == "distinct_property" and right and not right.isdigit():
        yield f'{what} distinct_property must be a number, not "{right}"'
    elif operand in ("version", "semver") and not right:
        yield f"{what} {operand} has no value"
    elif operand in ("version", "semver") and not _readable(right, strict=operand == "semver"):
        yield f'{what} {operand} "{right[:200]}" is not valid'


def _readable(versions: str, *, strict: bool) -> bool:
    return "${" in versions or parse_constraint(versions, strict=strict) is not None


def _spreads(spreads: tuple[Spread, ...]) -> Iterator[str]:
    for spread in spreads:
        if not spread.attribute:
            yield "spread has no attribute"
        if not 0 <= spread.weight <= 100:
            yield f"spread weight must be 0 to 100, and is {spread.weight}"
        if sum(target.percent for target in spread.spread_target) > 100:
            yield f'spread over "{spread.attribute}" adds up to more than 100 percent'


def _update(job: Job, update: UpdateStrategy | None) -> Iterator[str]:
    if update is None:
        return
    if job.type in ("batch", "sysbatch"):
        yield f"update is not allowed in a {job.type} job"
        return
    if update.max_parallel < 0:
        yield "update max_parallel must not be negative"
    if update.health_check not in ("checks", "task_states", "manual", ""):
        yield f'update health_check "{update.health_check}" is not known'
    if min(update.min_healthy_time_ns, update.stagger_ns) < 0:
        yield "update min_healthy_time and stagger must not be negative"
    if update.healthy_deadline_ns <= update.min_healthy_time_ns:
        yield "update healthy_deadline must be more than min_healthy_time"
    if 0 < update.progress_deadline_ns <= update.healthy_deadline_ns:
        yield "update progress_deadline must be 0 or more than healthy_deadline"


def _restart(policy: RestartPolicy | None) -> Iterator[str]:
    if policy is None:
        return
    if policy.mode not in ("fail", "delay"):
        yield f'restart mode must be "fail" or "delay", not "{policy.mode}"'
    if policy.attempts < 0 or policy.delay_ns < 0:
        yield "restart attempts and delay must not be negative"
    if policy.interval_ns < 5 * SECOND_NS:
        yield f"restart interval must be at least 5s, and is {format_duration(policy.interval_ns)}"
    elif policy.attempts * policy.delay_ns > policy.interval_ns:
        yield (
            f"restart cannot make {policy.attempts} attempts with a delay of "
            f"{format_duration(policy.delay_ns)} within {format_duration(policy.interval_ns)}"
        )


def _reschedule(job: Job, policy: ReschedulePolicy | None) -> Iterator[str]:
    if policy is None or job.type in ("system", "sysbatch"):
        return
    if policy.attempts < 0 or policy.interval_ns < 0:
        yield "reschedule attempts and interval must not be negative"
    if not policy.unlimited and policy.attempts == 0:
        return
    if policy.delay_function not in ("constant", "exponential", "fibonacci"):
        yield f'reschedule delay_function "{policy.delay_function}" is not known'
    if policy.delay_ns < 5 * SECOND_NS:
        yield f"reschedule delay must be at least 5s, and is {format_duration(policy.delay_ns)}"
    if policy.delay_function != "constant" and policy.max_delay_ns < policy.delay_ns:
        yield "reschedule max_delay must not be less than delay"
    if not policy.unlimited and policy.interval_ns == 0:
        yield "reschedule attempts need an interval"


def _resources(resources: Resources) -> Iterator[str]:
    if resources.cores == 0 and resources.cpu < 1:
        yield f"resources cpu must be at least 1 MHz, and is {resources.cpu}"
    if resources.memory_mb < 10:
        yield f"resources memory must be at least 10 MB, and is {resources.memory_mb}"
    if 0 < resources.memory_max_mb < resources.memory_mb:
        yield "resources memory_max must not be less than memory"


def _ports(group: TaskGroup) -> Iterator[str]:
    if len(group.networks) > 1:
        yield "only one network block is allowed"
    labels: Counter[str] = Counter()
    static: Counter[int] = Counter()
    for network in group.networks:
        for port in network.reserved_ports:
            labels[port.label] += 1
            static[port.value] += not port.ignore_collision
            if not 1 <= port.value <= 65535:
                yield f'network port "{port.label}": static port {port.value} is not 1 to 65535'
        for port in (*network.dynamic_ports, *network.reserved_ports):
            if not -1 <= port.to <= 65535:
                yield f'network port "{port.label}": to = {port.to} is not -1 to 65535'
            if not port.label or not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", port.label):
                yield f'network port "{port.label[:60]}": a label has letters, digits, _ and -'
        labels.update(port.label for port in network.dynamic_ports)
    yield from (
        f'network port "{label}" is defined {n} times' for label, n in labels.items() if n > 1
    )
    yield from (f"static port {port} is used {n} times" for port, n in static.items() if n > 1)


def _service(group: TaskGroup, service: Service) -> Iterator[str]:
    where = f'service "{service.name}"'
    if "${" not in service.name and not _SERVICE_NAME.match(service.name):
        yield f"{where}: a name has letters, digits and -, and at most 63 of them"
    labels = {
        port.label
        for network in group.networks
        for port in (*network.dynamic_ports, *network.reserved_ports)
    }
    if service.port_label and not service.port_label.isdigit() and service.port_label not in labels:
        yield f'{where}: there is no port "{service.port_label}" in the group\'s network'
    if service.address_mode not in ("", "auto", "host", "driver", "alloc"):
        yield f'{where}: address_mode "{service.address_mode}" is not known'
    if service.task_name and service.task_name not in {task.name for task in group.tasks}:
        yield f'{where}: there is no task "{service.task_name}"'
    for check in service.checks:
        yield from (f'{where} check "{check.name}": {p}' for p in _check(service, check, labels))


def _check(service: Service, check: ServiceCheck, labels: set[str]) -> Iterator[str]:
    if check.type not in ("http", "tcp", "grpc", "script"):
        yield f'type must be http or tcp, not "{check.type}"'
    if check.type == "http" and not check.path:
        yield "an http check needs a path"
    if check.type == "http" and "://" in check.path:
        yield "path must not be a whole URL"
    if check.interval_ns < SECOND_NS:
        yield f"interval must be at least 1s, and is {format_duration(check.interval_ns)}"
    if check.timeout_ns < SECOND_NS:
        yield f"timeout must be at least 1s, and is {format_duration(check.timeout_ns)}"
    label = check.port_label or service.port_label
    if check.type in ("http", "tcp", "grpc") and not label:
        yield "the service has no port, and the check neither"
    elif label and not label.isdigit() and label not in labels:
        yield f'there is no port "{label}" in the group\'s network'
    if check.protocol not in ("", "http", "https"):
        yield f'protocol must be http or https, not "{check.protocol}"'
    if check.check_restart is not None and check.check_restart.limit < 0:
        yield "check_restart limit must not be negative"
