"""Plans as transactions."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.store import KeyIs, Put
from hanse.structs.allocation import AllocChange, ChangeBlock, PlacementBlock
from hanse.structs.deployment import Deployment
from hanse.structs.evaluation import Evaluation
from hanse.structs.ids import IdStream
from hanse.structs.plan import Placement, Plan
from region.broker.plans import Made, Seen, nothing_new, transactions
from region.broker.queue import Ticket
from region.state.codec import decode
from region.state.keys import Keys
from region.writer import TXN_OPS_MAX

KEYS = Keys("global")
EVAL = Evaluation(id="e1", namespace="default", job_id="web", status="pending")
DONE = replace(EVAL, status="complete", queued_allocations={"g": 0}, blocked_eval="b2")
TICKET = Ticket(("default", "web"), EVAL, (), (), 0)
NOW = 7 * 10**9
SEEN = Seen(3, 5)


def placements(count: int, group: str = "g") -> tuple[Placement, ...]:
    return tuple(
        Placement(id=f"{group}{n:05d}", group=group, index=n, node_id="n") for n in range(count)
    )


def made(plan: Plan, ticket: Ticket = TICKET, seen: Seen = SEEN) -> Made:
    return transactions(plan, ticket, seen, KEYS, IdStream(1), NOW)


def puts(found: Made, family: str) -> list[bytes]:
    return [
        write.value
        for part in found.parts
        for write in part.writes
        if isinstance(write, Put) and write.key.startswith(f"{KEYS.prefix}{family}/")
    ]


def test_a_small_plan_is_one_transaction_that_compares_job_and_evaluation() -> None:
    found = made(Plan(revision=9, evaluation=DONE, placements=placements(3)))
    (part,) = found.parts
    assert part.compares == (KeyIs(KEYS.job("default", "web"), 3), KeyIs(KEYS.evaluation("e1"), 5))
    (block,) = puts(found, "blocks")
    placed = decode(PlacementBlock, block)
    assert [p.id for p in placed.placed] == ["g00000", "g00001", "g00002"]
    assert (placed.created_ns, placed.eval_id, placed.group) == (NOW, "e1", "g")
    (evaluation,) = puts(found, "evals")
    assert decode(Evaluation, evaluation) == replace(DONE, modify_time=NOW)


def test_placements_are_packed_a_hundred_to_a_block_and_by_group() -> None:
    plan = Plan(revision=9, evaluation=DONE, placements=(*placements(250), *placements(10, "h")))
    blocks = [decode(PlacementBlock, value) for value in puts(made(plan), "blocks")]
    assert [(b.group, len(b.placed)) for b in blocks] == [
        ("g", 100),
        ("g", 100),
        ("g", 50),
        ("h", 10),
    ]
    assert len({b.id for b in blocks}) == 4


def test_a_large_plan_completes_its_evaluation_in_the_last_transaction() -> None:
    plan = Plan(revision=9, evaluation=DONE, placements=placements(30_000))
    found = made(plan)
    assert len(found.parts) > 1
    states = [decode(Evaluation, value).status for value in puts(found, "evals")]
    assert states == ["pending"] * (len(found.parts) - 1) + ["complete"]
    assert all(len(part.writes) <= TXN_OPS_MAX for part in found.parts)
    assert (
        sum(len(decode(PlacementBlock, value).placed) for value in puts(found, "blocks")) == 30_000
    )
    assert [part.compares[0] for part in found.parts] == [
        KeyIs(KEYS.job("default", "web"), 3)
    ] * len(found.parts)


def test_other_evaluations_get_the_same_outcome_and_blocked_ones_are_canceled() -> None:
    other = replace(EVAL, id="e0")
    old = replace(EVAL, id="b1", status="blocked")
    ticket = TICKET._replace(others=(other,), blocked=(old,))
    found = made(Plan(revision=9, evaluation=DONE), ticket)
    stored = {e.id: e for e in (decode(Evaluation, value) for value in puts(found, "evals"))}
    assert (stored["e0"].status, stored["e0"].blocked_eval) == ("complete", "b2")
    assert (stored["b1"].status, stored["b1"].status_description) == (
        "canceled",
        "superseded by evaluation e1",
    )


def test_a_plan_that_changes_a_deployment_compares_it() -> None:
    seen = Seen(3, 5, "d1", 4)
    changed = Plan(revision=9, evaluation=DONE, deployment=Deployment(id="d1"))
    assert KeyIs(KEYS.deployment("d1"), 4) in made(changed, seen=seen).parts[0].compares
    ended = Plan(revision=9, evaluation=DONE, ended_deployments=(Deployment(id="d1"),))
    assert KeyIs(KEYS.deployment("d1"), 4) in made(ended, seen=seen).parts[0].compares
    untouched = Plan(revision=9, evaluation=DONE)
    assert len(made(untouched, seen=seen).parts[0].compares) == 2


def test_stops_come_before_the_placements_that_take_their_room() -> None:
    changes = tuple(AllocChange(alloc_id=f"a{n}", desired_status="stop") for n in range(150))
    plan = Plan(revision=9, evaluation=DONE, placements=placements(1), changes=changes)
    found = made(plan)
    families = [write.key.split("/")[3] for write in found.parts[0].writes]
    assert families == ["changes", "changes", "blocks", "evals"]
    sizes = [len(decode(ChangeBlock, value).changes) for value in puts(found, "changes")]
    assert sizes == [100, 50]


def test_a_pass_in_vain_over_a_blocked_evaluation_writes_nothing() -> None:
    blocked = replace(EVAL, status="blocked", class_eligibility={"a": True})
    ticket = TICKET._replace(evaluation=blocked)
    again = replace(EVAL, id="b9", status="blocked", class_eligibility={"a": True, "b": False})
    plan = Plan(revision=9, evaluation=DONE, evaluations=(again,))
    sleeps_on = nothing_new(plan, ticket)
    assert sleeps_on == replace(blocked, class_eligibility={"a": True, "b": False})
    assert nothing_new(replace(plan, placements=placements(1)), ticket) is None
    assert nothing_new(replace(plan, evaluations=()), ticket) is None
    assert nothing_new(plan, TICKET) is None
