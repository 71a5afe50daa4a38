"""What happens in the region, as events: a bounded memory of the last revisions.

Taking in a revision costs almost nothing: what changed is kept as it is. It becomes JSON when the
first follower asks for it, and stays so for the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from hanse.errors import Invalid
from hanse.structs.allocation import Allocation
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from hanse.structs.node import Node
from hanse.structs.service import ServiceRegistration
from region.api.ports import AppliedPort, StatePort
from region.api.views import ApiAllocation, alloc_view, job_of, job_view, node_view

#: Revisions that are remembered, and objects in all of them together.
REVISIONS_MAX = 1000
CHANGES_MAX = 20_000

TOPICS = frozenset(
    "* Job Evaluation Allocation Deployment Node NodePool Service HostVolume CSIVolume CSIPlugin "
    "Variable ACLPolicy ACLToken ACLRole ACLAuthMethod ACLBindingRule Operator".split()
)

_encoder = msgspec.json.Encoder()


class Event(NamedTuple):
    """One event, encoded."""

    topic: str
    key: str
    namespace: str
    filter_keys: tuple[str, ...]
    encoding: bytes


class Revision:
    """What one revision changed, and its events once somebody wanted them."""

    __slots__ = ("applied", "events", "index", "number")

    def __init__(self, number: int, applied: AppliedPort) -> None:
        """`number` counts the revisions that changed something."""
        self.number = number
        self.index = applied.revision
        self.applied: AppliedPort | None = applied
        self.events: tuple[Event, ...] = ()


class Lagged(Exception):
    """A follower was too slow: what it should see next is forgotten."""


class EventBuffer:
    """The last revisions, and who waits for the next."""

    def __init__(self, state: StatePort, loaded: Callable[[], bool] = lambda: True) -> None:
        """Follow the state once it is `loaded`: what was there before is no event."""
        self._state = state
        self._loaded = loaded
        self._revisions: deque[Revision] = deque()
        self._changes = 0
        self._next = 0
        self._waiting: asyncio.Event | None = None
        state.listen(self.on_applied)

    def on_applied(self, applied: AppliedPort) -> None:
        """Take in one revision."""
        if not applied.changes or not self._loaded():
            return
        if len(applied.changes) > CHANGES_MAX:
            # So much at once is a new beginning; whoever follows must begin anew as well.
            self._revisions.clear()
            self._changes = 0
            self._next += 1
            self._wake()
            return
        self._revisions.append(Revision(self._next, applied))
        self._next += 1
        self._changes += len(applied.changes)
        while len(self._revisions) > 1 and (
            len(self._revisions) > REVISIONS_MAX or self._changes > CHANGES_MAX
        ):
            gone = self._revisions.popleft()
            self._changes -= len(gone.applied.changes) if gone.applied else len(gone.events)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    def start(self, index: int) -> int:
        """The number of the first revision from `index` on that is remembered; 0: of the first."""
        for revision in self._revisions:
            if revision.index >= index:
                return revision.number
        return self._next

    def after(self, number: int) -> list[Revision]:
        """The revisions from `number` on. Raises Lagged."""
        if number >= self._next:
            return []
        if not self._revisions or number < self._revisions[0].number:
            raise Lagged
        first = self._revisions[0].number
        found = [self._revisions[i] for i in range(number - first, len(self._revisions))]
        for revision in found:
            self._encode(revision)
        return found

    async def wait(self, number: int) -> None:
        """Return when there is a revision from `number` on."""
        while number >= self._next:
            if self._waiting is None:
                self._waiting = asyncio.Event()
            await self._waiting.wait()

    def _encode(self, revision: Revision) -> None:
        if revision.applied is None:
            return
        events: list[Event] = []
        for change in revision.applied.changes:
            events += events_of(self._state, revision.index, change.old, change.new)
        self._changes += len(events) - len(revision.applied.changes)
        revision.events = tuple(events)
        revision.applied = None


class _Noun(NamedTuple):
    """Whose event it is."""

    topic: str
    key: str
    namespace: str
    filter_keys: tuple[str, ...] = ()


def events_of(
    state: StatePort, index: int, old: object | None, new: object | None
) -> Iterator[Event]:
    """The events that a change of one object is: at most one."""
    subject = new if new is not None else old
    gone = new is None
    match subject:
        case Job(id=key, namespace=namespace):
            kind, payload = _job(state, old, subject, gone=gone)
            yield _event(index, _Noun("Job", key, namespace), kind, payload)
        case Evaluation(id=key, namespace=namespace) if not gone:
            noun = _Noun("Evaluation", key, namespace, (subject.job_id, subject.deployment_id))
            yield _event(index, noun, "EvaluationUpdated", {"Evaluation": subject})
        case Allocation(id=key, namespace=namespace) if not gone:
            noun = _Noun("Allocation", key, namespace, (subject.job_id, subject.deployment_id))
            payload = {"Allocation": _allocation(state, subject)}
            yield _event(index, noun, _allocation_type(old, subject), payload)
        case Deployment(id=key, namespace=namespace) if not gone:
            noun = _Noun("Deployment", key, namespace, (subject.job_id,))
            yield _event(index, noun, _deployment_type(old, subject), {"Deployment": subject})
        case Node(id=key):
            kind = "NodeDeregistration" if gone else _node_type(old, subject)
            payload = {"Node": node_view(subject)}
            yield _event(index, _Noun("Node", key, ""), kind, payload)
        case ServiceRegistration(id=key, namespace=namespace):
            noun = _Noun("Service", key, namespace, (subject.job_id, subject.service_name))
            kind = "ServiceDeregistration" if gone else "ServiceRegistration"
            yield _event(index, noun, kind, {"Service": subject})
        case _:
            return


def _job(
    state: StatePort, old: object | None, job: Job, *, gone: bool
) -> tuple[str, dict[str, Any]]:
    stopped = job.stop and not (isinstance(old, Job) and old.stop)
    kind = "JobDeregistered" if gone or stopped else "JobRegistered"
    if gone:
        return kind, {"Job": job, "Deleted": True}
    return kind, {"Job": job_view(state, job)}


def _allocation(state: StatePort, alloc: Allocation) -> ApiAllocation:
    node = state.node(alloc.node_id)
    name = node.name if node is not None else ""
    return alloc_view(alloc, job_of(state, alloc), name, embed_job=False)


def _allocation_type(old: object | None, alloc: Allocation) -> str:
    if not isinstance(old, Allocation):
        return "PlanResult"
    if old.transition != alloc.transition:
        return "AllocationUpdateDesiredStatus"
    if old.alloc_modify_index != alloc.alloc_modify_index:
        return "PlanResult"
    return "AllocationUpdated"


def _deployment_type(old: object | None, new: Deployment) -> str:
    if not isinstance(old, Deployment):
        return "PlanResult"
    if (old.status, old.status_description) != (new.status, new.status_description):
        return "DeploymentStatusUpdate"

    def promoted(item: Deployment) -> list[bool]:
        return [group.promoted for group in item.task_groups.values()]

    if promoted(old) != promoted(new):
        return "DeploymentPromotion"
    return "DeploymentAllocHealth"


def _node_type(old: object | None, new: Node) -> str:
    if not isinstance(old, Node):
        return "NodeRegistration"
    if old.drain_strategy != new.drain_strategy:
        return "NodeDrain"
    if old.scheduling_eligibility != new.scheduling_eligibility:
        return "NodeEligibility"
    if (old.status, old.events) != (new.status, new.events):
        return "NodeStreamEvent"
    return "NodeRegistration"


def _event(index: int, noun: _Noun, kind: str, payload: dict[str, Any]) -> Event:
    keys = tuple(key for key in noun.filter_keys if key)
    fields = {
        "Topic": noun.topic,
        "Type": kind,
        "Key": noun.key,
        "Namespace": noun.namespace,
        "FilterKeys": keys,
        "Index": index,
        "Payload": payload,
    }
    return Event(noun.topic, noun.key, noun.namespace, keys, _encoder.encode(fields))


def wanted(topics: Sequence[str], namespace: str) -> Callable[[Event], bool]:
    """A test of events by `Topic` or `Topic:Key` and namespace. Raises Invalid."""
    keys: dict[str, set[str]] = {}
    for text in topics or ("*",):
        topic, colon, key = text.partition(":")
        if colon and (not key or key.startswith(":")):
            raise Invalid("topic", f"Invalid key value pair for topic, topic: {text[:128]!r}")
        if topic not in TOPICS:
            raise Invalid("topic", f"invalid event topic {text[:128]!r}")
        keys.setdefault(topic, set()).add(key or "*")
    anything = keys.get("*", set())

    def test(event: Event) -> bool:
        if namespace != "*" and event.namespace not in ("", namespace):
            return False
        asked = keys.get(event.topic, anything) | anything
        return bool(asked) and (
            "*" in asked or event.key in asked or not asked.isdisjoint(event.filter_keys)
        )

    return test
