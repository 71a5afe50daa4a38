"""What is decided around the quorum on values: deposing, seats, addresses, the record on disk."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from hanse.config.model import Addresses, AgentConfig, Ports, ServerConfig
from hanse.errors import Invalid, Unsupported
from hanse.structs.quorum import AutopilotBody
from region.api.quorum import configuration_of
from region.quorum import disk
from region.quorum.cards import card_of, meeting
from region.quorum.keeper import member_of
from region.quorum.membership import Known, Seat, seats
from region.quorum.model import Alone, Card, Decided, Greeting, Health, Record
from region.quorum.neighbours import FAILED_S, SILENT_S, Sight
from region.quorum.watchman import cut_off, deposed
from region.store.maintain import MemberInfo
from region.store.member import MemberConfig, Peer


def card(name: str, **more: object) -> Card:
    fields = {
        "id": f"id-{name}",
        "region": "us",
        "rpc": f"{name}:1",
        "peer": f"{name}:2",
        "client": f"{name}:3",
        "expect": 3,
    }
    return Card(name=name, **{**fields, **more})  # type: ignore[arg-type]


def sight(
    name: str, *, now: float = 100.0, failing_s: float | None = None, **more: object
) -> Sight:
    health = Health(member_id=1, raft_index=90, **more)  # type: ignore[arg-type]
    greeting = Greeting(card=card(name), boot="b", health=health)
    since = None if failing_s is None else now - failing_s
    return Sight(card(name), greeting, now - 0.1, 10.0, failing_since=since)


# Deposing.


def test_a_leader_is_deposed_when_a_majority_cannot_reach_it() -> None:
    leader = sight("a", failing_s=SILENT_S + 0.1)
    witness = sight("b", unreachable=("id-a",))
    assert deposed(leader, [leader, witness], servers=3, now=100.0)


def test_one_server_alone_deposes_nobody() -> None:
    leader = sight("a", failing_s=SILENT_S + 0.1)
    content = sight("b")
    assert not deposed(leader, [leader, content], servers=3, now=100.0)
    assert not deposed(leader, [leader], servers=3, now=100.0)


def test_old_opinions_and_those_of_the_unreachable_do_not_count() -> None:
    leader = sight("a", failing_s=SILENT_S + 0.1)
    old = sight("b", unreachable=("id-a",))
    old.heard_at = 90.0
    gone = sight("c", failing_s=1.0, unreachable=("id-a",))
    assert not deposed(leader, [leader, old, gone], servers=3, now=100.0)


def test_a_leader_that_misses_one_greeting_stays() -> None:
    witness = sight("b", unreachable=("id-a",))
    assert not deposed(sight("a", failing_s=0.5), [witness], servers=3, now=100.0)
    refused = sight("a", failing_s=0.1)
    refused.refused = True
    assert deposed(refused, [witness], servers=3, now=100.0)


def test_nodes_are_sent_away_long_before_they_are_taken_for_dead() -> None:
    assert not cut_off(2.9, ttl_s=4.0)
    assert cut_off(3.0, ttl_s=4.0)
    assert not cut_off(3.9, ttl_s=10.0)
    assert cut_off(4.0, ttl_s=10.0)


def test_a_server_is_shown_as_failed_after_a_while() -> None:
    assert sight("a", failing_s=FAILED_S - 0.1).standing(100.0) == "alive"
    assert sight("a", failing_s=FAILED_S + 0.1).standing(100.0) == "failed"


# Seats.


def info(number: int, name: str, peer: str, *, learner: bool = False) -> MemberInfo:
    return MemberInfo(number, name, (f"http://{peer}",), ("http://c",) if name else (), learner)


def found(infos: list[MemberInfo], **cards: Card) -> list[Seat]:
    own = Greeting(
        card=card("a"), boot="b", health=Health(member_id=1, raft_index=100, raft_leader=2)
    )
    sights = {s.card.id: s for s in (sight("b"), sight("c", failing_s=50.0))}
    listed = {c.id: c for c in cards.values()}
    return seats(infos, Known(own=own, started_at=20.0, now=100.0, sights=sights, cards=listed))


def test_members_of_etcd_are_joined_with_their_servers() -> None:
    own, leader, dead = found([info(1, "a", "a:2"), info(2, "b", "b:2"), info(3, "c", "c:2")])
    assert (own.member.own, own.member.alive, own.member.since_s) == (True, True, 80.0)
    assert (leader.member.alive, leader.member.lag, leader.raft_leads) == (True, 10, True)
    assert leader.card == card("b")
    assert (dead.member.alive, dead.member.since_s, dead.reachable) == (False, 50.0, False)


def test_a_member_that_has_not_started_is_known_by_its_address() -> None:
    (seat,) = found([info(4, "", "b:2", learner=True)])
    assert seat.card == card("b")
    assert not seat.member.voter


def test_a_member_whose_server_was_never_met_is_dead_since_we_began() -> None:
    (listed,) = found([info(5, "d", "d:2")], d=card("d"))
    assert listed.card == card("d")
    assert (listed.member.alive, listed.member.since_s) == (False, 80.0)
    (unknown,) = found([info(6, "e", "e:2")])
    assert unknown.card is None


# The record on disk.


def test_a_record_is_read_as_it_was_saved(tmp_path: Path) -> None:
    record = Record(id="x", region="us", epoch=3, phase=Decided("c", (card("a"),)))
    disk.save(tmp_path, record)
    assert disk.load(tmp_path, "us", Random(1)) == record
    assert [path.name for path in tmp_path.iterdir()] == ["quorum.json"]


def test_a_new_folder_gives_a_new_server(tmp_path: Path) -> None:
    record = disk.load(tmp_path, "us", Random(1))
    assert record.phase == Alone()
    assert record.id != disk.load(tmp_path, "us", Random(2)).id


def test_records_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    record = Record(id="x", region="us", epoch=1, phase=Decided("c", (card("a"),)))
    disk.save(tmp_path, record)
    with pytest.raises(Invalid, match="of region 'us', not 'eu'"):
        disk.load(tmp_path, "eu", Random(1))
    disk.save(tmp_path, replace(record, started=True))
    with pytest.raises(Invalid, match="etcd member are gone"):
        disk.load(tmp_path, "us", Random(1))
    (tmp_path / "quorum.json").write_text('{"id": 5}')
    with pytest.raises(Invalid, match=r"quorum\.json: cannot be read"):
        disk.load(tmp_path, "us", Random(1))


def test_who_was_let_in_but_never_started_asks_again(tmp_path: Path) -> None:
    joined = Decided("c", (card("a"),), joined=True)
    disk.save(tmp_path, Record(id="x", region="us", epoch=1, phase=joined))
    assert disk.load(tmp_path, "us", Random(1)).phase == Alone()


def test_data_from_before_there_were_records_are_taken_over(tmp_path: Path) -> None:
    fresh = Record(id="x", region="us")
    assert disk.adopted(fresh, card("a"), tmp_path, Random(1)) is fresh
    (tmp_path / "etcd/member").mkdir(parents=True)
    adopted = disk.adopted(fresh, card("a"), tmp_path, Random(1))
    assert isinstance(adopted.phase, Decided)
    assert adopted.phase.members == (card("a"),)
    assert adopted.started


def test_the_data_of_a_removed_member_are_kept_aside(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "etcd/member").mkdir(parents=True)
        record = Record(id="x", region="us")
        disk.save(tmp_path, record)
        assert disk.retire(tmp_path, record) == tmp_path / f"etcd.removed-{number}"
        assert not (tmp_path / "quorum.json").exists()


# etcd's command line.


def test_the_member_is_told_the_cluster_that_was_agreed_on(tmp_path: Path) -> None:
    base = MemberConfig(name="a", region="us", data_dir=tmp_path)
    first = member_of(base, Decided("c1", (card("a"), card("b"))))
    assert (first.state, first.token) == ("new", "c1")
    assert first.peers == (Peer("a", "a:2"), Peer("b", "b:2"))
    joined = Decided("c1", (), joined=True, peers=(("a", "a:2"), ("z", "z:9")))
    later = member_of(base, joined)
    assert later.state == "existing"
    assert later.peers == (Peer("a", "a:2"), Peer("z", "z:9"))


# Addresses.


CONFIG = AgentConfig(
    name="a",
    bind_addr="10.0.0.1",
    ports=Ports(rpc=5647, serf=5648),
    server=ServerConfig(enabled=True, bootstrap_expect=3),
)


@pytest.mark.parametrize(
    ("given", "met"),
    [
        ("10.0.0.2", "10.0.0.2:5647"),
        ("10.0.0.2:9000", "10.0.0.2:9000"),
        ("10.0.0.2:5648", "10.0.0.2:5647"),
        ("server-2.example", "server-2.example:5647"),
        ("::1", "[::1]:5647"),
        ("[::1]:9000", "[::1]:9000"),
    ],
)
def test_servers_are_met_at_their_agents_port(given: str, met: str) -> None:
    assert meeting(given, CONFIG) == met


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="'host:port' is not an address"):
        meeting("host:port", CONFIG)


def test_others_are_told_the_advertised_address() -> None:
    assert card_of(CONFIG).peer == "10.0.0.1:4650"
    told = replace(CONFIG, advertise=Addresses(rpc="192.0.2.7:7000"))
    assert (card_of(told).rpc, card_of(told).client) == ("192.0.2.7:7000", "192.0.2.7:4649")
    alone = replace(CONFIG, bind_addr="0.0.0.0")
    assert card_of(alone).peer == "127.0.0.1:4650"


# Autopilot over HTTP.


def test_durations_of_autopilot_are_texts_or_nanoseconds() -> None:
    config = configuration_of(
        AutopilotBody(last_contact_threshold="500ms", server_stabilization_time=3_000_000_000)
    )
    assert config.last_contact_threshold_ns == 500_000_000
    assert config.server_stabilization_time_ns == 3_000_000_000


def test_what_autopilot_cannot_do_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="EnableRedundancyZones"):
        configuration_of(AutopilotBody(enable_redundancy_zones=True))
    with pytest.raises(Invalid, match="LastContactThreshold"):
        configuration_of(AutopilotBody(last_contact_threshold="soon"))
    with pytest.raises(Invalid, match="at least 100ms"):
        configuration_of(AutopilotBody(last_contact_threshold=5))
    with pytest.raises(Invalid, match="negative"):
        configuration_of(AutopilotBody(min_quorum=-1))


def test_the_body_of_autopilot_has_nomads_names() -> None:
    body = json.loads(msgspec.json.encode(AutopilotBody()))
    assert body["CleanupDeadServers"] is True
    assert body["ServerStabilizationTime"] == "10s"
