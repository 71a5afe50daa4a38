"""What the state makes of the store's events."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.store import Batch, Deleted, KeyValue, Listing, Relisted
from hanse.structs.allocation import (
    AllocChange,
    AllocStatus,
    ChangeBlock,
    Placed,
    PlacementBlock,
    ServiceInstance,
    StatusSegment,
)
from hanse.structs.deployment import Deployment, DeploymentState
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job, TaskGroup
from hanse.structs.times import rfc3339
from hanse.testing.clock import HandClock
from hanse.testing.nodes import simulated_node
from region.state.codec import encode
from region.state.records import JobExtra, NodeRecord, NodeState
from region.state.state import State
from region.state.tables import Applied

JOB = Job(
    id="web", namespace="default", type="service", task_groups=(TaskGroup(name="g", count=2),)
)
NODE = simulated_node(1)
SECOND = 10**9


class Written:
    """A state, and a small store behind it that tells it everything."""

    def __init__(self) -> None:
        self.state = State("global", HandClock())
        self.keys = self.state.keys
        self.now: dict[str, KeyValue] = {}
        self.revision = 1
        self.applied: list[Applied] = []
        self.state.listen(self.applied.append)

    def write(self, *writes: tuple[str, object | None]) -> int:
        """Put values (None deletes) in one revision."""
        self.revision += 1
        events: list[KeyValue | Deleted] = []
        for key, value in writes:
            if value is None:
                del self.now[key]
                events.append(Deleted(key, self.revision))
                continue
            old = self.now.get(key)
            created = old.create_revision if old is not None else self.revision
            data = value if isinstance(value, bytes) else encode(value)
            self.now[key] = KeyValue(key, data, created, self.revision, 1)
            events.append(self.now[key])
        self.state.apply(Batch(self.revision, tuple(events)))
        return self.revision

    def listing(self) -> Relisted:
        return Relisted(Listing(self.revision, [self.now[key] for key in sorted(self.now)]))

    def fresh(self) -> State:
        """A server that begins now."""
        state = State("global", HandClock())
        state.apply(self.listing())
        return state

    # Shorthands.

    def job(self, job: Job = JOB) -> int:
        key = self.keys.job_version(job.namespace, job.id, job.version)
        return self.write((self.keys.job(job.namespace, job.id), job), (key, job))

    def place(self, *alloc_ids: str, deployment_id: str = "", eval_id: str = "e1") -> int:
        block = PlacementBlock(
            id="b-" + alloc_ids[0],
            namespace="default",
            job_id="web",
            job_version=0,
            job_create_index=2,
            group="g",
            eval_id=eval_id,
            deployment_id=deployment_id,
            created_ns=SECOND,
            placed=tuple(Placed(i, n, NODE.id) for n, i in enumerate(alloc_ids)),
        )
        return self.write((self.keys.block(block.id), block))

    def report(self, *statuses: AllocStatus, node_id: str = NODE.id) -> int:
        segment = StatusSegment(node_id=node_id, statuses=statuses)
        return self.write((self.keys.status(node_id, f"{self.revision:08d}"), segment))

    def decide(self, *changes: AllocChange) -> int:
        block = ChangeBlock(id=f"c{self.revision}", made_ns=2 * SECOND, changes=changes)
        return self.write((self.keys.changes(block.id), block))


def running(alloc_id: str, **fields: object) -> AllocStatus:
    return AllocStatus(alloc_id=alloc_id, client_status="running", **fields)  # type: ignore[arg-type]


def test_indexes_of_a_job_are_the_revisions_of_its_key() -> None:
    w = Written()
    first = w.job()
    second = w.job(replace(JOB, version=1, meta={"a": "b"}))
    job = w.state.job("default", "web")
    assert job is not None
    assert (job.create_index, job.modify_index, job.job_modify_index) == (first, second, second)
    versions = w.state.job_versions("default", "web")
    assert [(v.version, v.create_index, v.job_modify_index) for v in versions] == [
        (1, first, second),
        (0, first, first),
    ]
    assert w.fresh().job_versions("default", "web") == versions


def test_a_stable_flag_changes_the_job_and_not_its_spec_index() -> None:
    w = Written()
    made = w.job()
    marked = w.write((w.keys.job_extra("default", "web"), JobExtra(stable=(0,))))
    job = w.state.job("default", "web")
    assert job is not None
    assert (job.stable, job.modify_index, job.job_modify_index) == (True, marked, made)
    assert w.fresh().job("default", "web") == job


def test_a_job_is_pending_then_running_then_dead() -> None:
    w = Written()
    evaluation = Evaluation(id="e1", namespace="default", job_id="web", status="pending")
    w.job()
    w.write((w.keys.evaluation("e1"), evaluation))
    statuses = [w.state.job_status(JOB)]
    w.write((w.keys.evaluation("e1"), replace(evaluation, status="complete")))
    w.place("a1")
    statuses.append(w.state.job_status(JOB))
    w.report(AllocStatus(alloc_id="a1", client_status="complete"))
    statuses.append(w.state.job_status(JOB))
    assert statuses == ["pending", "running", "dead"]


def test_a_change_of_status_moves_the_jobs_index_and_an_unrelated_one_does_not() -> None:
    w = Written()
    w.job()
    placed = w.place("a1", "a2")
    assert w.state.index(("job", "default", "web")) == placed
    w.report(running("a1"))
    assert w.state.index(("job", "default", "web")) == placed
    assert w.state.index(("job-allocs", "default", "web")) == w.revision


def test_summaries_follow_reports_and_queued_counts_the_last_evaluation() -> None:
    w = Written()
    w.job()
    w.place("a1", "a2", "a3")
    w.report(running("a1"), AllocStatus(alloc_id="a2", client_status="failed"))
    done = Evaluation(
        id="e1", namespace="default", job_id="web", status="complete", queued_allocations={"g": 4}
    )
    w.write((w.keys.evaluation("e1"), done))
    for state in (w.state, w.fresh()):
        summary = state.summary("default", "web")
        assert summary is not None
        group = summary.summary["g"]
        assert (group.starting, group.running, group.failed, group.queued) == (1, 1, 1, 4)


def test_a_node_may_report_only_for_its_own_allocations() -> None:
    w = Written()
    w.place("a1")
    w.report(running("a1"), node_id=simulated_node(2).id)
    alloc = w.state.allocation("a1")
    assert alloc is not None
    assert alloc.client is None


def test_a_verdict_overrides_a_client_that_is_away() -> None:
    w = Written()
    w.place("a1")
    w.report(running("a1"))
    w.decide(AllocChange(alloc_id="a1", desired_status="stop", verdict="lost"))
    alloc = w.state.allocation("a1")
    assert alloc is not None
    assert (alloc.client_status, alloc.desired_status) == ("lost", "stop")
    assert w.fresh().allocation("a1") == alloc


def test_a_folded_decision_changes_nothing_for_who_saw_it_and_all_for_who_did_not() -> None:
    w = Written()
    w.place("a1")
    early = w.decide(AllocChange(alloc_id="a1", desired_status="stop"))
    late = w.decide(AllocChange(alloc_id="a1", followup_eval_id="e9"))
    before = w.state.allocation("a1")
    assert before is not None
    assert (before.alloc_modify_index, before.modify_index) == (late, late)
    folded = AllocChange(
        alloc_id="a1",
        desired_status="stop",
        followup_eval_id="e9",
        made_index=late,
        made_ns=2 * SECOND,
    )
    del w.now[w.keys.changes(f"c{early - 1}")]
    del w.now[w.keys.changes(f"c{late - 1}")]
    w.decide(folded)
    assert w.state.allocation("a1") == before
    assert w.fresh().allocation("a1") == before


def test_an_old_decision_in_a_new_block_does_not_undo_a_later_one() -> None:
    w = Written()
    w.place("a1")
    w.decide(AllocChange(alloc_id="a1", desired_description="later"))
    made = w.revision - 1
    w.decide(AllocChange(alloc_id="a1", desired_description="earlier", made_index=made, made_ns=1))
    for state in (w.state, w.fresh()):
        alloc = state.allocation("a1")
        assert alloc is not None
        assert alloc.desired_description == "later"


def test_a_merged_report_does_not_undo_a_later_one() -> None:
    w = Written()
    w.place("a1")
    first = w.report(running("a1"))
    w.report(AllocStatus(alloc_id="a1", client_status="complete"))
    w.report(running("a1", reported_index=first))
    for state in (w.state, w.fresh()):
        alloc = state.allocation("a1")
        assert alloc is not None
        assert alloc.client_status == "complete"


def test_counts_of_a_deployment_follow_its_allocations() -> None:
    w = Written()
    deployment = Deployment(
        id="d1",
        namespace="default",
        job_id="web",
        status="running",
        create_time=SECOND,
        task_groups={"g": DeploymentState(desired_total=3, progress_deadline_ns=60 * SECOND)},
    )
    w.job()
    w.write((w.keys.deployment("d1"), deployment))
    w.place("a1", "a2", "a3", deployment_id="d1")
    w.report(running("a1", healthy=True, healthy_at_ns=9 * SECOND), running("a2", healthy=False))
    for state in (w.state, w.fresh()):
        found = state.deployment("d1")
        assert found is not None
        group = found.task_groups["g"]
        assert (group.placed_allocs, group.healthy_allocs, group.unhealthy_allocs) == (3, 1, 1)
        assert group.require_progress_by == rfc3339(69 * SECOND)
    assert w.state.index(("deployment", "d1")) == w.revision


def test_an_in_place_update_takes_an_allocation_into_another_deployment() -> None:
    w = Written()
    for name in ("d1", "d2"):
        stored = Deployment(
            id=name, namespace="default", job_id="web", task_groups={"g": DeploymentState()}
        )
        w.write((w.keys.deployment(name), stored))
    w.place("a1", deployment_id="d1")
    w.decide(AllocChange(alloc_id="a1", job_version=1, deployment_id="d2", eval_id="e2"))
    for state in (w.state, w.fresh()):
        counts = [
            d.task_groups["g"].placed_allocs for d in map(state.deployment, ("d1", "d2")) if d
        ]
        assert counts == [0, 1]
        assert [a.id for a in state.allocations_of_eval("e2")] == ["a1"]
        assert state.allocations_of_eval("e1") == []


def test_services_are_those_of_running_allocations() -> None:
    w = Written()
    offer = ServiceInstance(id="s1", service="web", address="10.0.0.1", port=80)
    w.write(
        (w.keys.node(NODE.id), NodeRecord(node=NODE, secret_sha256="")),
        (w.keys.node_state(NODE.id), NodeState(status="ready")),
    )
    w.place("a1")
    made = w.report(running("a1", services=(offer,)))
    (registration,) = w.state.services()
    assert (registration.service_name, registration.node_id, registration.datacenter) == (
        "web",
        NODE.id,
        "dc1",
    )
    assert registration.create_index == made
    moved = ServiceInstance(id="s1", service="web", address="10.0.0.1", port=81)
    w.report(running("a1", services=(moved,)))
    (registration,) = w.state.services()
    assert (registration.port, registration.create_index) == (81, made)
    w.report(AllocStatus(alloc_id="a1", client_status="complete", services=(moved,)))
    assert w.state.services() == []
    assert w.state.index(("service", "default", "web")) == w.revision


def test_a_block_that_is_rewritten_with_less_forgets_the_rest() -> None:
    w = Written()
    made = w.place("a1", "a2")
    w.place("a1")  # the same block, with one allocation only
    for state in (w.state, w.fresh()):
        assert [a.id for a in state.allocations()] == ["a1"]
        alloc = state.allocation("a1")
        assert alloc is not None
        assert alloc.create_index == made
    assert w.state.index(("alloc", "a2")) == w.revision


def test_a_relisting_applies_the_difference_and_tells_who_listens() -> None:
    w = Written()
    w.job()
    w.place("a1", "a2")
    copy = w.fresh()
    told: list[Applied] = []
    copy.listen(told.append)
    w.report(running("a1"))
    w.job(replace(JOB, id="other"))
    w.write((w.keys.block("b-a1"), None))
    copy.apply(w.listing())
    assert copy.revision == w.revision
    assert list(copy.allocations()) == []
    assert [job.id for job in copy.jobs()] == ["other", "web"]
    changed = {(c.table, c.key) for c in told[0].changes}
    assert {("allocs", "a1"), ("allocs", "a2"), ("jobs", ("default", "other"))} <= changed


def test_a_relisting_of_the_same_tells_nothing() -> None:
    w = Written()
    w.job()
    copy = w.fresh()
    told: list[Applied] = []
    copy.listen(told.append)
    copy.apply(w.listing())
    assert told == []


def test_a_value_that_cannot_be_read_is_set_aside_and_the_rest_goes_on() -> None:
    w = Written()
    bad = w.keys.evaluation("bad")
    w.write((bad, b"\x09garbage"), (w.keys.job("default", "web"), JOB))
    for state in (w.state, w.fresh()):
        assert list(state.tables.unreadable) == [bad]
        assert state.job("default", "web") is not None
        assert state.evaluation("bad") is None
    w.write((bad, None))
    assert w.state.tables.unreadable == {}


def test_the_secret_of_a_node_is_in_no_view() -> None:
    w = Written()
    w.write(
        (w.keys.node(NODE.id), NodeRecord(node=replace(NODE, secret_id="x"), secret_sha256="y"))
    )
    node = w.state.node(NODE.id)
    assert node is not None
    assert node.secret_id == ""


def test_an_index_does_not_sink_when_an_object_goes() -> None:
    w = Written()
    w.job()
    w.place("a1")
    topics = [
        ("job", "default", "web"),
        ("job-allocs", "default", "web"),
        ("alloc", "a1"),
        ("jobs",),
    ]
    before = [w.state.index(topic) for topic in topics]
    w.write((w.keys.block("b-a1"), None))
    w.write((w.keys.job("default", "web"), None), (w.keys.job_version("default", "web", 0), None))
    after = [w.state.index(topic) for topic in topics]
    assert all(new >= old for old, new in zip(before, after, strict=True))
    assert w.state.tables.jobs == {}
