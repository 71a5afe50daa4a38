"""Applies placements, decisions and reports to allocations, and to all that follows from them.

This is the hot path: a plan of a thousand placements is a thousand times what is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from hanse.structs.allocation import (
    Allocation,
    AllocChange,
    PlacementBlock,
    ServiceInstance,
)
from hanse.structs.deployment import Deployment
from hanse.structs.service import ServiceRegistration
from region.state.entries import JobEntry, JobKey, ServiceEntry
from region.state.packing import Reported, packed
from region.state.tables import BlockEntry, Changed, Tables
from region.state.topics import Topic


class Decided(NamedTuple):
    """A decision about one allocation, and its place in the order of all."""

    #: Revision, block, position in the block.
    order: tuple[int, str, int]
    change: AllocChange
    made_ns: int


class Work:
    """What applying one batch of events has changed so far."""

    __slots__ = (
        "changes",
        "decided",
        "deployments",
        "jobs",
        "listed",
        "revision",
        "topics",
        "watched",
    )

    def __init__(self, revision: int, watched: bool, listed: bool) -> None:
        """`watched`: somebody waits for topics, so they are worth collecting."""
        self.revision = revision
        self.watched = watched
        #: Not what happened at one revision, but what differs from an earlier one.
        self.listed = listed
        self.changes: list[Changed] = []
        self.topics: set[Topic] = set()
        #: Jobs whose status may have changed.
        self.jobs: dict[JobKey, JobEntry] = {}
        #: Deployments whose counts change, as they were before.
        self.deployments: dict[str, Deployment | None] = {}
        #: Decisions about allocations that wait to be applied in the order they were made.
        self.decided: list[Decided] = []


def place(tables: Tables, work: Work, block_id: str, block: PlacementBlock, created: int) -> None:
    """Add the allocations of a block, and remove those it held and holds no more."""
    ids = tuple(placed.id for placed in block.placed)
    before = tables.blocks.get(block_id)
    if before is not None:
        kept = set(ids)
        remove(tables, work, [i for i in before.alloc_ids if i not in kept])
    entry = tables.job_entry((block.namespace, block.job_id))
    namespace, job_id = entry.key
    group = tables.shared(block.group)
    fresh: list[Allocation] = []
    for placed in block.placed:
        if placed.id in tables.allocs:
            continue
        alloc = Allocation(
            id=placed.id,
            namespace=namespace,
            job_id=job_id,
            job_version=block.job_version,
            job_create_index=block.job_create_index,
            group=group,
            index=placed.index,
            node_id=tables.shared(placed.node_id),
            eval_id=block.eval_id,
            deployment_id=block.deployment_id,
            previous_id=placed.previous_id,
            ports=placed.ports,
            canary=placed.canary,
            reschedule=placed.reschedule,
            metrics=block.metrics,
            create_index=created,
            modify_index=created,
            alloc_modify_index=created,
            create_ns=block.created_ns,
            modify_ns=block.created_ns,
        )
        fresh.append(alloc)
    tables.blocks[block_id] = BlockEntry(tuple(a.id for a in fresh) if not before else ids, created)
    _add(tables, work, entry, fresh)


def _add(tables: Tables, work: Work, entry: JobEntry, fresh: list[Allocation]) -> None:
    if not fresh:
        return
    first, revision = fresh[0], work.revision
    of_eval = tables.eval_allocs.setdefault(first.eval_id, {})
    deployment = None
    if first.deployment_id:
        _deployment_moves(tables, work, first.deployment_id)
        deployment = tables.deployment_entry(first.deployment_id)
    for alloc in fresh:
        tables.allocs[alloc.id] = alloc
        entry.allocs[alloc.id] = None
        of_eval[alloc.id] = None
        node = tables.node_entry(alloc.node_id)
        node.allocs[alloc.id] = None
        node.allocs_index = revision
        work.changes.append(Changed("allocs", alloc.id, None, alloc))
        if work.watched:
            work.topics |= {("alloc", alloc.id), ("node-allocs", alloc.node_id)}
        if deployment is not None:
            deployment.allocs[alloc.id] = None
            deployment.count(alloc, 1)
    tally = entry.tallies.setdefault(first.group, [0] * 6)
    tally[0] += len(fresh)
    entry.live += len(fresh)
    work.topics.add(("eval-allocs", first.eval_id))
    _job_moved(tables, work, entry)


def change(tables: Tables, work: Work, decided: Decided) -> None:
    """Apply one decision, unless the allocation is gone or has seen it."""
    made, index = decided.change, decided.order[0]
    old = tables.allocs.get(made.alloc_id)
    if old is None or (made.made_index and old.alloc_modify_index > made.made_index):
        return
    fields: dict[str, Any] = {
        name: value
        for name, value in (
            ("desired_status", made.desired_status),
            ("desired_description", made.desired_description),
            ("verdict", made.verdict),
            ("transition", made.transition),
            ("followup_eval_id", made.followup_eval_id),
            ("next_id", made.next_id),
            ("job_version", made.job_version),
            ("deployment_id", made.deployment_id),
            ("eval_id", made.eval_id),
            ("healthy_override", made.healthy),
            ("reschedule", made.reschedule),
        )
        if value is not None
    }
    if made.deployment_id not in (None, old.deployment_id) and made.healthy is None:
        # The operator's word was about the deployment before.
        fields["healthy_override"] = None
    new = replace(
        old,
        **fields,
        modify_index=max(old.modify_index, index),
        alloc_modify_index=index,
        modify_ns=max(old.modify_ns, decided.made_ns),
    )
    if not made.made_index or new != old:
        _update(tables, work, old, new)


def report(
    tables: Tables, work: Work, node_id: str, statuses: Iterable[Reported], index: int
) -> None:
    """Apply what a node says of its allocations; what it says of others' is ignored."""
    for status in statuses:
        old = tables.allocs.get(status.alloc_id)
        if old is None or old.node_id != node_id:
            continue
        at = status.reported_index or index
        if at < old.client_modify_index or 0 < status.reported_index <= old.client_modify_index:
            continue
        new = replace(
            old,
            client=packed(status, old),
            client_modify_index=at,
            modify_index=max(old.modify_index, at),
            modify_ns=max(old.modify_ns, status.modified_ns),
        )
        _update(tables, work, old, new)


def remove(tables: Tables, work: Work, alloc_ids: Iterable[str]) -> None:
    """Forget allocations."""
    for alloc_id in alloc_ids:
        old = tables.allocs.pop(alloc_id, None)
        if old is None:
            continue
        entry = tables.job_entry((old.namespace, old.job_id))
        entry.allocs.pop(alloc_id, None)
        entry.tally(old, -1)
        _drop(tables.eval_allocs, old.eval_id, alloc_id)
        node = tables.nodes.get(old.node_id)
        if node is not None:
            node.allocs.pop(alloc_id, None)
            node.allocs_index = work.revision
            if node.empty:
                del tables.nodes[old.node_id]
        _leave_deployment(tables, work, old)
        if old.client is not None and old.client.services:
            _services(tables, work, old, None)
        tables.forget(("alloc", alloc_id), work.revision)
        work.changes.append(Changed("allocs", alloc_id, old, None))
        work.topics |= {("alloc", alloc_id), ("node-allocs", old.node_id)}
        work.topics.add(("eval-allocs", old.eval_id))
        _job_moved(tables, work, entry)


def _update(tables: Tables, work: Work, old: Allocation, new: Allocation) -> None:
    tables.allocs[new.id] = new
    entry = tables.job_entry((new.namespace, new.job_id))
    entry.tally(old, -1)
    entry.tally(new, 1)
    if old.deployment_id != new.deployment_id:
        _leave_deployment(tables, work, old)
        _deployment_moves(tables, work, new.deployment_id)
        tables.deployment_entry(new.deployment_id).allocs[new.id] = None
        tables.deployment_entry(new.deployment_id).count(new, 1)
    elif new.deployment_id and old.healthy != new.healthy:
        _deployment_moves(tables, work, new.deployment_id)
        deployment = tables.deployment_entry(new.deployment_id)
        deployment.count(old, -1)
        deployment.count(new, 1)
    if old.eval_id != new.eval_id:
        _drop(tables.eval_allocs, old.eval_id, new.id)
        tables.eval_allocs.setdefault(new.eval_id, {})[new.id] = None
    if (old.client is not None and old.client.services) or (
        new.client is not None and new.client.services
    ):
        _services(tables, work, old, new)
    node = tables.node_entry(new.node_id)
    node.allocs_index = work.revision
    work.changes.append(Changed("allocs", new.id, old, new))
    if work.watched:
        work.topics |= {("alloc", new.id), ("node-allocs", new.node_id)}
        work.topics.add(("eval-allocs", new.eval_id))
    _job_moved(tables, work, entry)


def _job_moved(tables: Tables, work: Work, entry: JobEntry) -> None:
    entry.allocs_index = tables.table_index["allocs"] = work.revision
    work.jobs[entry.key] = entry
    work.topics.add(("job-allocs", *entry.key))
    work.topics.add(("allocs",))


def _leave_deployment(tables: Tables, work: Work, alloc: Allocation) -> None:
    deployment = tables.deployments.get(alloc.deployment_id)
    if deployment is None or alloc.id not in deployment.allocs:
        return
    _deployment_moves(tables, work, alloc.deployment_id)
    deployment.allocs.pop(alloc.id)
    deployment.count(alloc, -1)
    if deployment.empty:
        del tables.deployments[alloc.deployment_id]


def _deployment_moves(tables: Tables, work: Work, deployment_id: str) -> None:
    """Call before the counts of a deployment change: remembers how it was."""
    entry = tables.deployment_entry(deployment_id)
    entry.index = max(entry.index, work.revision)
    if deployment_id not in work.deployments:
        work.deployments[deployment_id] = entry.deployment()


def _drop(groups: dict[str, dict[str, None]], key: str, member: str) -> None:
    members = groups.get(key)
    if members is not None:
        members.pop(member, None)
        if not members:
            del groups[key]


# Services.


def _offered(alloc: Allocation | None) -> tuple[ServiceInstance, ...]:
    if alloc is None or alloc.client is None or alloc.terminal:
        return ()
    return alloc.client.services if alloc.client_status == "running" else ()


def _services(tables: Tables, work: Work, old: Allocation, new: Allocation | None) -> None:
    before = {instance.id: instance for instance in _offered(old)}
    after = {instance.id: instance for instance in _offered(new)}
    for gone in before.keys() - after.keys():
        _service(tables, work, old, before[gone], None)
    for key, instance in after.items():
        if new is not None and before.get(key) != instance:
            _service(tables, work, new, instance, instance)


def _service(
    tables: Tables,
    work: Work,
    alloc: Allocation,
    seen: ServiceInstance,
    new: ServiceInstance | None,
) -> None:
    key = (alloc.namespace, seen.service)
    entry = tables.services.get(key)
    if entry is None:
        entry = tables.services[key] = ServiceEntry()
    old = entry.registrations.pop(seen.id, None)
    registration: ServiceRegistration | None = None
    if new is not None:
        node = tables.node_entry(alloc.node_id).node()
        registration = ServiceRegistration(
            id=new.id,
            service_name=new.service,
            namespace=alloc.namespace,
            node_id=alloc.node_id,
            datacenter=node.datacenter if node is not None else "",
            job_id=alloc.job_id,
            alloc_id=alloc.id,
            tags=new.tags,
            address=new.address,
            port=new.port,
            create_index=old.create_index if old is not None else work.revision,
            modify_index=work.revision,
        )
        entry.registrations[new.id] = registration
    entry.index = work.revision
    topic: Topic = ("service", *key)
    if not entry.registrations:
        del tables.services[key]
        tables.forget(topic, work.revision)
    tables.table_index["services"] = work.revision
    work.changes.append(Changed("services", seen.id, old, registration))
    work.topics |= {topic, ("services",)}
