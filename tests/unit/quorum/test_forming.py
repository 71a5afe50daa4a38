"""Forming: who is refused and why, and the orders of events that matter one by one."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from region.quorum.forming import Effect, Enter, Formed, Forming, Heard, Refused, Save, Tick
from region.quorum.model import Alone, Bound, Card, Decided, Greeting, Proposal, Proposing, Record


def card(name: str, **more: object) -> Card:
    fields = {"id": f"id-{name}", "region": "us", "rpc": f"{name}:1", "peer": "p", "client": "c"}
    return Card(name=name, **{"expect": 3, **fields, **more})  # type: ignore[arg-type]


A, B, C = card("a"), card("b"), card("c")
LIST = Proposal(cluster="x", coordinator="id-a", members=(A, B, C))


def machine(own: Card = A, record: Record | None = None) -> Forming:
    return Forming(own, record or Record(id=own.id, region="us"), boot="boot", rng=Random(1))


def hears(server: Forming, other: Card, **more: object) -> list[Effect]:
    greeting = Greeting(card=other, boot=f"boot of {other.name}", **more)  # type: ignore[arg-type]
    return server.handle(Heard(greeting, 0.0))


def refusal(effects: list[Effect]) -> str:
    (effect,) = effects
    assert isinstance(effect, Refused)
    return effect.text


def test_the_lowest_name_proposes_once_all_expected_servers_are_seen() -> None:
    server = machine(A)
    hears(server, B)
    assert server.handle(Tick(0.0)) == []
    hears(server, C)
    (saved,) = server.handle(Tick(0.0))
    assert isinstance(saved, Save)
    assert isinstance(saved.record.phase, Proposing)
    assert saved.record.phase.proposal.members == (A, B, C)


def test_nobody_proposes_before_every_address_was_tried() -> None:
    server = machine(card("a", expect=1))
    assert server.handle(Tick(0.0, searched=False)) == []
    assert any(isinstance(effect, Formed) for effect in server.handle(Tick(0.0)))


def test_a_server_that_expects_nobody_never_begins_a_cluster() -> None:
    assert machine(card("a", expect=0)).handle(Tick(0.0)) == []


def test_the_coordinator_decides_when_all_others_are_bound() -> None:
    server = machine(A, Record(id="id-a", region="us", epoch=1, phase=Proposing(LIST)))
    assert hears(server, B, epoch=1, phase=Bound(LIST, 1)) == []
    saved, formed = hears(server, C, epoch=1, phase=Bound(LIST, 1))
    assert isinstance(saved, Save)
    assert formed == Formed(Decided("x", (A, B, C)))


def test_a_bound_server_is_free_only_by_later_news_of_its_coordinator() -> None:
    bound = Record(id="id-b", region="us", epoch=1, phase=Bound(LIST, 5))
    server = machine(B, bound)
    assert hears(server, A, epoch=4, phase=Alone()) == []
    assert hears(server, C, epoch=9, phase=Alone()) == []
    assert server.phase == Bound(LIST, 5)
    hears(server, A, epoch=6, phase=Alone())
    assert server.phase == Alone()


def test_a_bound_server_binds_itself_to_nothing_else() -> None:
    server = machine(B, Record(id="id-b", region="us", epoch=1, phase=Bound(LIST, 5)))
    other = Proposal(cluster="y", coordinator="id-0", members=(card("0"), B, C))
    assert hears(server, card("0"), epoch=1, phase=Proposing(other)) == []
    assert server.phase == Bound(LIST, 5)


def test_a_proposal_that_nobody_answers_is_given_up() -> None:
    server = machine(A, Record(id="id-a", region="us", epoch=1, phase=Proposing(LIST)))
    server.handle(Tick(0.0))
    assert server.handle(Tick(9.0)) == []
    (saved,) = server.handle(Tick(11.0))
    assert isinstance(saved, Save)
    assert saved.record.phase == Alone()
    assert saved.record.epoch == 2


def test_a_proposal_with_a_member_that_is_another_server_now_is_given_up() -> None:
    for other in (card("b", id="another"), card("b", peer="elsewhere")):
        server = machine(A, Record(id="id-a", region="us", epoch=1, phase=Proposing(LIST)))
        hears(server, other)
        assert server.phase == Alone()


def test_a_server_of_another_cluster_is_refused_with_both_ids() -> None:
    server = machine(A, Record(id="id-a", region="us", phase=Decided("cluster-1", (A, B, C))))
    text = refusal(hears(server, card("z"), phase=Decided("cluster-2", (card("z"),))))
    assert "cluster-1" in text
    assert "cluster-2" in text
    assert "z:1" in text


def test_addresses_that_lead_to_two_clusters_are_refused_with_both_ids() -> None:
    server = machine(A)
    assert hears(server, B, phase=Decided("cluster-1", (B,))) == [Enter("cluster-1", B)]
    text = refusal(hears(server, C, phase=Decided("cluster-2", (C,))))
    assert "cluster-1 (b:1) and cluster-2 (c:1)" in text


def test_servers_that_cannot_go_together_are_refused_with_the_reason() -> None:
    server = machine(A)
    assert "belongs to region 'eu', this one (a) to 'us'" in refusal(
        hears(server, card("b", region="eu"))
    )
    assert "two servers are called 'a'" in refusal(hears(server, replace(A, id="other")))
    assert "copy of the data" in refusal(hears(server, replace(A, rpc="elsewhere:1")))
    assert "bootstrap_expect = 5, this one (a) 3" in refusal(hears(server, card("b", expect=5)))


def test_an_old_copy_of_a_members_data_is_refused() -> None:
    text = refusal(hears(machine(A), B, phase=Decided("x", (A, B, C))))
    assert "old copy" in text
    assert "empty data_dir" in text


def test_a_server_does_not_mind_to_meet_itself() -> None:
    server = machine(A)
    assert server.handle(Heard(Greeting(card=A, boot="boot"), 0.0)) == []


def test_it_decides_once_and_for_all() -> None:
    server = machine(B, Record(id="id-b", region="us", epoch=1, phase=Bound(LIST, 5)))
    effects = hears(server, A, epoch=6, phase=Decided("x", LIST.members))
    assert effects[-1] == Formed(Decided("x", LIST.members))
    assert hears(server, A, epoch=7, phase=Alone()) == []
    assert server.cluster == "x"
