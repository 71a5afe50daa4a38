"""The watch of regions by hand."""

from __future__ import annotations

from random import Random

import pytest

from federation.events import Effect, LookDue, Received, Send, Start, Verdicts, Wake
from federation.messages import Alive, Dead, Look, Opinion, Packet, Ping, Seen, Status, Suspect
from federation.profile import LAN
from federation.regions import Membership, RegionWatch, WatchProfile
from federation.swim import Swim
from federation.verdicts import Verdict


def server(name: str) -> Alive:
    return Alive(name, name, 4648, 1, {"region": name.split(".")[1]})


def watching(*names: str) -> Membership:
    """0.west, which knows these."""
    swim = Swim(server("0.west"), Random(0), LAN)
    for name in names:
        swim.roster.put(server(name), Status.ALIVE, 0.0)
    member = Membership(swim, RegionWatch(swim))
    member.handle(Start(), 0.0)
    return member


def heard(sender: str, message: Look | Seen | Ping | None = None) -> Received:
    return Received(Packet(sender, sender.split(".")[1], message), (sender, 4648))


def sends(effects: list[Effect]) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send)]


def test_each_second_one_server_of_each_region_is_looked_at_in_turn() -> None:
    member = watching("1.west", "0.east", "1.east", "0.eu")
    asked = [
        {send.to[0] for send in sends(member.handle(LookDue(), float(second)))}
        for second in range(2)
    ]
    assert all("1.west" in names and "0.eu" in names and len(names) == 3 for names in asked)
    assert {name for names in asked for name in names if "east" in name} == {"0.east", "1.east"}
    assert Wake(1.0, LookDue()) in member.handle(LookDue(), 2.0)


def test_a_look_is_answered_with_opinions_and_the_answer_measured() -> None:
    member = watching("0.east")
    [send] = sends(member.handle(LookDue(), 10.0))
    assert isinstance(send.packet.message, Look)
    member.handle(heard("0.east", Seen(send.packet.message.seq)), 10.2)
    known = {m.alive.name: m.round_trip for m in member.swim.members()}["0.east"]
    assert known is not None
    assert known.mean_s == pytest.approx(0.2)
    [answer] = sends(member.handle(heard("0.east", Look(77)), 10.3))
    assert answer.packet.message == Seen(
        77, (Opinion("east", 1, 1, 0.0), Opinion("west", 1, 1, 0.0))
    )


def test_an_answer_to_another_is_not_measured() -> None:
    member = watching("0.east", "0.eu")
    looks = {send.to[0]: send.packet.message for send in sends(member.handle(LookDue(), 10.0))}
    east = looks["0.east"]
    assert isinstance(east, Look)
    member.handle(heard("0.eu", Seen(east.seq)), 10.2)
    assert all(m.round_trip is None for m in member.swim.members())


@pytest.mark.parametrize(("status", "claim"), [(Status.SUSPECT, Suspect), (Status.DEAD, Dead)])
def test_who_is_doubted_is_told_so_at_each_look(
    status: Status, claim: type[Suspect] | type[Dead]
) -> None:
    member = watching("0.east")
    member.swim.roster.put(server("0.east"), status, 1.0)
    [send] = sends(member.handle(LookDue(), 2.0))
    assert send.packet.claims == (claim("0.east", 1, "0.west"),)


def test_who_left_is_neither_looked_at_nor_counted() -> None:
    member = watching("0.east")
    member.swim.roster.put(server("0.east"), Status.LEFT, 1.0)
    assert sends(member.handle(LookDue(), 2.0)) == []
    assert set(member.watch.judgements) == {"west"}


def test_a_region_is_not_heard_after_its_silence_and_at_once_at_its_first_word() -> None:
    member = watching("1.west", "0.east")
    member.handle(heard("1.west"), 0.5)
    member.handle(heard("0.east"), 0.5)
    member.handle(LookDue(), 4.4)
    assert member.watch.judgements["east"].verdict is Verdict.ALIVE
    [change] = [e for e in member.handle(LookDue(), 4.5) if isinstance(e, Verdicts)]
    assert change.changes["east"][0] is Verdict.ALIVE
    assert change.changes["east"][1].verdict is Verdict.UNREACHABLE
    # Any packet is a word, and the mates hear of it without waiting for a look.
    effects = member.handle(heard("0.east", Ping(1, "0.west")), 5.0)
    [told] = [send for send in sends(effects) if send.to[0] == "1.west"]
    assert isinstance(told.packet.message, Look)
    assert Opinion("east", 1, 1, 0.0) in told.packet.message.opinions
    assert member.watch.judgements["east"].verdict is Verdict.ALIVE


def test_one_that_just_started_takes_the_others_to_be_there() -> None:
    member = watching("0.east", "0.eu")
    member.handle(LookDue(), 1.0)
    assert {j.verdict for j in member.watch.judgements.values()} == {Verdict.ALIVE}
    member.handle(LookDue(), 6.0)
    assert member.watch.judgements["east"].verdict is Verdict.UNREACHABLE


def test_opinions_of_many_regions_fit_a_packet_the_bad_ones_first() -> None:
    member = watching(*(f"0.{'r' * 40}{number}" for number in range(60)))
    member.handle(heard(f"0.{'r' * 40}0"), 9.0)
    looks = sends(member.handle(LookDue(), 10.0))
    message = looks[0].packet.message
    assert isinstance(message, Look)
    assert 10 < len(message.opinions) < 20
    assert all(opinion.heard == 0 for opinion in message.opinions)


def test_strangers_have_no_vote() -> None:
    member = watching("0.east", "0.eu")
    for second in range(8):
        member.handle(heard("0.east"), float(second))
        for number in range(5):
            opinions = (Opinion("east", 0, 1, 60.0),)
            stranger = Packet(f"s{number}.eu", "eu", Look(1, opinions))
            member.handle(Received(stranger, ("x", 1)), float(second))
        member.handle(LookDue(), float(second))
    assert member.watch.judgements["east"].deaf == ()


def test_a_watch_that_one_lost_packet_upsets_is_refused() -> None:
    with pytest.raises(ValueError, match="look_s"):
        WatchProfile(look_s=1.0, silence_s=1.5)
