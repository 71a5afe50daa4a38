"""Applies what the store's watch says to the tables: the only code that changes them.

Events of one revision are applied in the order of their families and keys, so that a server
that lists the store and one that followed every event arrive at the same state. Blocks of
changes and status segments are idempotent: each decision carries its revision, and one that
an allocation has seen is skipped. That is what lets garbage collection fold many into one.

A value that cannot be read is set aside with the reason; everything else goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from hanse.store import Deleted, KeyValue, Listing
from hanse.structs.allocation import ChangeBlock, PlacementBlock
from hanse.structs.api import JobSubmission, SchedulerConfiguration
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from region.state import allocs
from region.state.allocs import Decided, Work
from region.state.codec import Unreadable, decode
from region.state.entries import JobEntry, JobKey
from region.state.keys import FAMILIES
from region.state.packing import ReportedSegment
from region.state.records import JobExtra, NodeRecord, NodeState
from region.state.tables import (
    DEFAULT_SCHEDULER_CONFIG,
    Applied,
    BlockEntry,
    Changed,
    Tables,
)
from region.state.topics import Topic

Event = KeyValue | Deleted
Parts = tuple[str, ...]

#: Triggers of evaluations that may be stored in the transaction that stores the version.
_WITH_VERSION = frozenset({"job-register", "job-deregister", "job-scaling", "deployment-watcher"})

_ORDER = {family: number for number, family in enumerate(FAMILIES)}


def difference(tables: Tables, listing: Listing) -> list[Event]:
    """The events that lead from what was applied to a listing of the whole store."""
    stored = tables.stored
    events: list[Event] = [
        item for item in listing.items if stored.get(item.key) != item.mod_revision
    ]
    if len(stored) + len(events) > len(listing.items):
        there = {item.key for item in listing.items}
        events += [Deleted(key, listing.revision) for key in stored if key not in there]
    return events


def apply(
    tables: Tables,
    revision: int,
    events: Sequence[Event],
    *,
    watched: bool = True,
    listed: bool = False,
) -> tuple[Applied, set[Topic]]:
    """Apply the events of one revision, or with `listed` of a listing; tells what changed."""
    work = Work(revision, watched, listed)
    for family, parts, event in _in_order(tables, events):
        if work.decided and family != "changes":
            _decide(tables, work)
        _apply_one(tables, work, family, parts, event)
    if work.decided:
        _decide(tables, work)
    _derive(tables, work)
    tables.revision = revision
    return Applied(revision, tuple(work.changes)), work.topics


def _in_order(tables: Tables, events: Iterable[Event]) -> list[tuple[str, Parts, Event]]:
    split = tables.keys.split
    rows = [(*split(event.key), event) for event in events]
    if len(rows) > 1:
        rows.sort(key=lambda row: (_ORDER.get(row[0], 99), row[2].mod_revision, row[1]))
    return rows


def _apply_one(tables: Tables, work: Work, family: str, parts: Parts, event: Event) -> None:
    handler = _HANDLERS.get(family)
    if handler is None:
        return
    deleted = isinstance(event, Deleted)
    if deleted:
        tables.stored.pop(event.key, None)
        tables.unreadable.pop(event.key, None)
    else:
        tables.stored[event.key] = event.mod_revision
    try:
        handler(tables, work, parts, None if isinstance(event, Deleted) else event)
    except (Unreadable, ValueError, IndexError) as error:
        tables.unreadable[event.key] = str(error)
    else:
        if not deleted and tables.unreadable:
            tables.unreadable.pop(event.key, None)


def _decide(tables: Tables, work: Work) -> None:
    """Apply decisions in the order they were made: a folded block holds old ones."""
    work.decided.sort(key=lambda decided: decided.order)
    for decided in work.decided:
        allocs.change(tables, work, decided)
    work.decided.clear()


def _derive(tables: Tables, work: Work) -> None:
    """Settle what depends on several objects: job statuses, and who goes with whom."""
    for deployment_id, old in work.deployments.items():
        moved = tables.deployments.get(deployment_id)
        new = moved.deployment() if moved is not None else None
        if new is not None:
            key = (new.namespace, new.job_id)
            tables.job_entry(key).deployments_index = work.revision
            tables.table_index["deployments"] = work.revision
            work.changes.append(Changed("deployments", deployment_id, old, new))
            work.topics |= {("deployment", deployment_id), ("deployments",)}
            work.topics.add(("job-deployments", *key))
    for key, entry in work.jobs.items():
        status = entry.derive_status()
        # What was listed may have changed and changed back since it was last seen.
        if status != entry.status or work.listed:
            entry.status = status
            if entry.job is not None:
                entry.index = work.revision
                work.topics.add(("job", *key))
        if entry.empty:
            tables.jobs.pop(key, None)
            for topic in ("job-allocs", "job-evals", "job-deployments"):
                tables.forget((topic, *key), work.revision)
    if work.jobs:
        tables.table_index["jobs"] = work.revision
        work.topics.add(("jobs",))


# Jobs.


def _job(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    key: JobKey = (parts[0], parts[1])
    entry = tables.job_entry(key)
    old = entry.job
    if kv is None:
        entry.job = None
        tables.forget(("job", *key), work.revision)
    else:
        job = replace(
            decode(Job, kv.value),
            create_index=kv.create_revision,
            modify_index=kv.mod_revision,
            job_modify_index=kv.mod_revision,
        )
        entry.versions[job.version] = job
        entry.job = entry.dressed(job)
        entry.index = kv.mod_revision
    work.jobs[key] = entry
    work.changes.append(Changed("jobs", key, old, entry.job))
    work.topics.add(("job", *key))


def _job_version(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    key, version = (parts[0], parts[1]), int(parts[2])
    entry = tables.job_entry(key)
    work.jobs[key] = entry
    if kv is None:
        entry.versions.pop(version, None)
        return
    current = entry.job
    if current is None or current.version != version or current.modify_index < kv.mod_revision:
        entry.versions[version] = (kv.value, kv.mod_revision)


def _job_extra(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    key = (parts[0], parts[1])
    entry = tables.job_entry(key)
    work.jobs[key] = entry
    entry.extra = decode(JobExtra, kv.value) if kv is not None else JobExtra()
    entry.extra_index = kv.mod_revision if kv is not None else 0
    old = entry.job
    if old is not None:
        index = max(old.modify_index, entry.extra_index)
        entry.job = entry.dressed(replace(old, stable=False, version_tag=None, modify_index=index))
        entry.index = max(entry.index, index)
        work.changes.append(Changed("jobs", key, old, entry.job))
        work.topics.add(("job", *key))


def _submission(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    key, version = (parts[0], parts[1]), int(parts[2])
    entry = tables.job_entry(key)
    work.jobs[key] = entry
    if kv is None:
        entry.submissions.pop(version, None)
    else:
        entry.submissions[version] = kv.value


# Nodes.


def _node(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    entry = tables.node_entry(parts[0])
    old = entry.node()
    if kv is None:
        entry.record = None
        tables.forget(("node", parts[0]), work.revision)
    else:
        entry.record = decode(NodeRecord, kv.value)
        entry.create_index = kv.create_revision
        entry.index = max(entry.index, kv.mod_revision)
    _node_changed(tables, work, parts[0], old)


def _node_state(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    entry = tables.node_entry(parts[0])
    old = entry.node()
    entry.state = decode(NodeState, kv.value) if kv is not None else NodeState()
    if kv is not None:
        entry.index = max(entry.index, kv.mod_revision)
    _node_changed(tables, work, parts[0], old)


def _node_changed(tables: Tables, work: Work, node_id: str, old: object | None) -> None:
    entry = tables.nodes[node_id]
    entry.view = None
    work.changes.append(Changed("nodes", node_id, old, entry.node()))
    work.topics.add(("node", node_id))
    work.topics.add(("nodes",))
    tables.table_index["nodes"] = work.revision
    if entry.empty:
        del tables.nodes[node_id]


# Evaluations and deployments.


def _evaluation(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    old = tables.evals.get(parts[0])
    new: Evaluation | None = None
    if kv is not None:
        stored = decode(Evaluation, kv.value)
        # One made together with a new version could not know the version's index.
        spec_index = stored.job_modify_index or kv.create_revision
        new = replace(
            stored,
            id=parts[0],
            job_modify_index=spec_index
            if stored.triggered_by in _WITH_VERSION
            else stored.job_modify_index,
            create_index=kv.create_revision,
            modify_index=kv.mod_revision,
        )
    seen = new or old
    if seen is None:
        return
    key = (seen.namespace, seen.job_id)
    entry = tables.job_entry(key)
    if old is not None:
        entry.count_eval(old, -1)
    if new is not None:
        tables.evals[new.id] = new
        entry.evals[new.id] = None
        entry.count_eval(new, 1)
    else:
        del tables.evals[parts[0]]
        entry.evals.pop(parts[0], None)
        tables.forget(("eval", parts[0]), work.revision)
    entry.evals_index = work.revision if new is None else max(entry.evals_index, new.modify_index)
    tables.table_index["evals"] = work.revision
    work.jobs[key] = entry
    work.changes.append(Changed("evals", parts[0], old, new))
    work.topics |= {("evals",), ("eval", parts[0]), ("job-evals", *key)}


def _deployment(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    entry = tables.deployment_entry(parts[0])
    old = entry.deployment()
    stored: Deployment | None = None
    if kv is not None:
        stored = replace(
            decode(Deployment, kv.value),
            create_index=kv.create_revision,
            modify_index=kv.mod_revision,
        )
        entry.index = max(entry.index, work.revision if work.listed else kv.mod_revision)
    else:
        tables.forget(("deployment", parts[0]), work.revision)
    entry.stored = stored
    entry.view = None
    seen = stored or old
    if seen is not None:
        key = (seen.namespace, seen.job_id)
        job = tables.job_entry(key)
        if stored is None:
            job.deployments.pop(parts[0], None)
        else:
            job.deployments[parts[0]] = None
        job.deployments_index = work.revision
        work.jobs[key] = job
        work.topics.add(("job-deployments", *key))
    if entry.empty:
        del tables.deployments[parts[0]]
    tables.table_index["deployments"] = work.revision
    work.changes.append(Changed("deployments", parts[0], old, entry.deployment()))
    work.topics |= {("deployments",), ("deployment", parts[0])}


# Allocations.


def _block(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    if kv is None:
        gone = tables.blocks.pop(parts[0], None)
        allocs.remove(tables, work, gone.alloc_ids if gone is not None else ())
        return
    allocs.place(tables, work, parts[0], decode(PlacementBlock, kv.value), kv.create_revision)


def _changes(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    if kv is None:
        tables.change_blocks.pop(parts[0], None)
        return
    block = decode(ChangeBlock, kv.value)
    ids = tuple(change.alloc_id for change in block.changes)
    tables.change_blocks[parts[0]] = BlockEntry(ids, kv.mod_revision)
    for position, change in enumerate(block.changes):
        index = change.made_index or kv.mod_revision
        order = (index, parts[0], position)
        work.decided.append(Decided(order, change, change.made_ns or block.made_ns))


def _status(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    node_id, sequence = parts
    entry = tables.node_entry(node_id)
    if kv is None:
        entry.segments.pop(sequence, None)
        if entry.empty:
            del tables.nodes[node_id]
        return
    entry.segments[sequence] = None
    segment = decode(ReportedSegment, kv.value)
    allocs.report(tables, work, node_id, segment.statuses, kv.mod_revision)


def _config(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    if parts != ("scheduler",):
        return
    old = tables.scheduler_config
    tables.scheduler_config = (
        replace(
            decode(SchedulerConfiguration, kv.value),
            create_index=kv.create_revision,
            modify_index=kv.mod_revision,
        )
        if kv is not None
        else DEFAULT_SCHEDULER_CONFIG
    )
    tables.table_index["scheduler-config"] = work.revision
    work.changes.append(Changed("config", "scheduler", old, tables.scheduler_config))
    work.topics.add(("scheduler-config",))


def _leader(tables: Tables, work: Work, parts: Parts, kv: KeyValue | None) -> None:
    del parts
    old = tables.leader
    tables.leader = kv.value if kv is not None else b""
    work.changes.append(Changed("leader", "leader", old, tables.leader))


def decode_version(entry: JobEntry, version: int) -> Job | None:
    """A kept version of a job, decoded when first asked for."""
    if entry.job is not None and entry.job.version == version:
        return entry.job
    held = entry.versions.get(version)
    if isinstance(held, tuple):
        value, index = held
        job = decode(Job, value)
        created = entry.job.create_index if entry.job is not None else index
        held = replace(job, create_index=created, modify_index=index, job_modify_index=index)
        entry.versions[version] = held
    return entry.dressed(held) if held is not None else None


def decode_submission(entry: JobEntry, version: int) -> JobSubmission | None:
    """The source of a version, decoded when first asked for."""
    held = entry.submissions.get(version)
    if isinstance(held, bytes):
        held = decode(JobSubmission, held)
    return held


_HANDLERS: dict[str, Callable[[Tables, Work, Parts, KeyValue | None], Any]] = {
    "config": _config,
    "nodes": _node,
    "node-state": _node_state,
    "jobs": _job,
    "job-versions": _job_version,
    "job-extra": _job_extra,
    "submissions": _submission,
    "deployments": _deployment,
    "blocks": _block,
    "changes": _changes,
    "status": _status,
    "evals": _evaluation,
    "leader": _leader,
}
