"""The membership machine by hand: this input, exactly these effects."""

from __future__ import annotations

from random import Random

import pytest

from federation.events import (
    AckOverdue,
    Answer,
    Changed,
    Departed,
    Effect,
    Exchange,
    Exchanged,
    ForceLeave,
    GossipDue,
    Input,
    Join,
    Leave,
    LeaveOver,
    NameTaken,
    ProbeDue,
    Received,
    ReconnectDue,
    Refuted,
    RegionTaken,
    RelayOverdue,
    Send,
    SetTags,
    Start,
    StateReceived,
    StreamAnswered,
    StreamProbe,
    SuspicionExpired,
    Wake,
)
from federation.messages import (
    Ack,
    Alive,
    Claim,
    Dead,
    Entry,
    Left,
    Message,
    Nack,
    Packet,
    Ping,
    PingReq,
    State,
    Status,
    Suspect,
)
from federation.profile import LAN
from federation.swim import Swim


def alive(name: str, incarnation: int = 1, **tags: str) -> Alive:
    return Alive(name, name, 4648, incarnation, tags)


def knowing(*names: str) -> Swim:
    swim = Swim(alive("lubeck"), Random(0), LAN)
    for name in names:
        swim.roster.put(alive(name), Status.ALIVE, 0.0)
    return swim


def heard(sender: str, message: Message | None = None, *claims: Claim) -> Received:
    return Received(Packet(sender, "", message, claims), (sender, 4648))


def sent(effects: list[Effect]) -> list[tuple[str, Message | None, tuple[Claim, ...]]]:
    return [(e.to[0], e.packet.message, e.packet.claims) for e in effects if isinstance(e, Send)]


def reports(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Send | Wake)]


def test_a_member_starts_its_three_clocks_at_different_moments() -> None:
    woken = [effect for effect in knowing().handle(Start(), 0.0) if isinstance(effect, Wake)]
    assert len(woken) == 3
    assert len({wake.delay_s for wake in woken}) == 3


def test_each_period_one_member_is_pinged_and_the_answer_given_its_time() -> None:
    assert knowing("bergen").handle(ProbeDue(), 1.0) == [
        Wake(1.0, ProbeDue()),
        Send(("bergen", 4648), Packet("lubeck", "", Ping(1, "bergen"))),
        Wake(0.5, AckOverdue(1)),
    ]


def test_without_an_answer_others_are_asked_and_a_stream_is_tried() -> None:
    swim = knowing("bergen")
    swim.handle(ProbeDue(), 1.0)
    for name in ("tallinn", "riga", "danzig", "visby"):
        swim.roster.put(alive(name), Status.ALIVE, 0.0)
    effects = swim.handle(AckOverdue(1), 1.5)
    helpers = sent(effects)
    assert len(helpers) == 3
    assert {message for _, message, _ in helpers} == {PingReq(1, "bergen", "bergen", 4648)}
    assert "bergen" not in {to for to, _, _ in helpers}
    assert effects[-1] == StreamProbe(("bergen", 4648), 1, "bergen")


def test_an_answer_in_time_ends_the_probe_and_is_measured() -> None:
    swim = knowing("bergen")
    swim.handle(ProbeDue(), 1.0)
    assert swim.handle(heard("bergen", Ack(1)), 1.2) == []
    assert swim.handle(AckOverdue(1), 1.5) == []
    assert reports(swim.handle(ProbeDue(), 2.0)) == []
    member = next(m for m in swim.members() if m.alive.name == "bergen")
    assert member.status is Status.ALIVE
    assert member.round_trip is not None
    assert member.round_trip.mean_s == pytest.approx(0.2)


def test_an_answer_through_a_helper_is_not_measured() -> None:
    swim = knowing("bergen", "tallinn")
    swim.handle(ProbeDue(), 1.0)
    probed = swim.handle(AckOverdue(1), 1.5)
    target = next(effect.target for effect in probed if isinstance(effect, StreamProbe))
    helper = "tallinn" if target == "bergen" else "bergen"
    swim.handle(heard(helper, Ack(1)), 1.7)
    assert reports(swim.handle(ProbeDue(), 2.0)) == []
    assert all(m.round_trip is None for m in swim.members())


def test_an_answer_over_a_stream_saves_the_member_and_is_reported_once() -> None:
    swim = knowing("bergen")
    found: list[Effect] = []
    for period in range(3):
        effects = swim.handle(ProbeDue(), float(period))
        found += reports(effects)
        seq = next(
            e.timer.seq for e in effects if isinstance(e, Wake) and isinstance(e.timer, AckOverdue)
        )
        swim.handle(AckOverdue(seq), period + 0.5)
        swim.handle(StreamAnswered(seq), period + 0.6)
    assert [type(effect).__name__ for effect in found] == ["StreamOnly"]
    assert swim.roster.status("bergen") is Status.ALIVE


def suspecting(swim: Swim, name: str = "bergen") -> list[Effect]:
    return swim.handle(heard("tallinn", None, Suspect(name, 1, "tallinn")), 10.0)


def expiry(effects: list[Effect]) -> tuple[float, SuspicionExpired]:
    return next(
        (e.delay_s, e.timer)
        for e in effects
        if isinstance(e, Wake) and isinstance(e.timer, SuspicionExpired)
    )


def test_a_member_that_answers_nobody_is_suspected_then_dead() -> None:
    swim = knowing("bergen")
    swim.handle(ProbeDue(), 1.0)
    effects = swim.handle(ProbeDue(), 2.0)
    assert reports(effects) == [Changed(alive("bergen"), Status.ALIVE, Status.SUSPECT)]
    wait, timer = expiry(effects)
    # Two members: nobody could confirm, so it has the shortest time at once.
    assert wait == pytest.approx(4.0)
    assert swim.health == 1
    assert reports(swim.handle(timer, 2.0 + wait)) == [
        Changed(alive("bergen"), Status.SUSPECT, Status.DEAD)
    ]


def test_suspicion_shrinks_with_each_new_accuser_and_not_with_the_same_one_again() -> None:
    swim = knowing("bergen", "tallinn", "riga", "danzig", "visby")
    wait, _ = expiry(suspecting(swim))
    assert wait == pytest.approx(24.0)
    assert suspecting(swim) == []
    first, _ = expiry(swim.handle(heard("riga", None, Suspect("bergen", 1, "riga")), 10.0))
    assert 4.0 < first < 24.0
    second, timer = expiry(swim.handle(heard("riga", None, Suspect("bergen", 1, "visby")), 10.0))
    assert second == pytest.approx(4.0)
    # The longer timers of the same suspicion come later and find it over; this one ends it.
    assert reports(swim.handle(timer, 14.0))[0] == Changed(
        alive("bergen"), Status.SUSPECT, Status.DEAD
    )
    assert swim.handle(timer, 34.0) == []


def test_the_timer_of_an_earlier_suspicion_ends_nothing() -> None:
    swim = knowing("bergen", "tallinn", "riga", "danzig", "visby")
    _, old = expiry(suspecting(swim))
    swim.handle(heard("bergen", None, alive("bergen", 2)), 11.0)
    swim.handle(heard("riga", None, Suspect("bergen", 2, "riga")), 12.0)
    assert swim.handle(old, 40.0) == []
    assert swim.roster.status("bergen") is Status.SUSPECT


def test_a_suspect_is_told_so_when_it_is_pinged() -> None:
    swim = knowing("bergen")
    swim.roster.put(alive("bergen"), Status.SUSPECT, 1.0)
    [(_, message, claims)] = sent(swim.handle(ProbeDue(), 2.0))
    assert message == Ping(1, "bergen")
    assert claims[0] == Suspect("bergen", 1, "lubeck")


@pytest.mark.parametrize(
    "claim", [Suspect("lubeck", 1, "riga"), Dead("lubeck", 4, "riga"), Left("lubeck", 1, "riga")]
)
def test_who_is_called_gone_objects_under_a_higher_incarnation(claim: Claim) -> None:
    swim = knowing("bergen")
    effects = swim.handle(heard("bergen", Ping(9, "lubeck"), claim), 1.0)
    assert isinstance(claim, Suspect | Dead | Left)
    assert swim.me.incarnation == claim.incarnation + 1
    assert Refuted("riga") in effects
    # In the same answer, so that the accuser knows at once.
    assert sent(effects) == [("bergen", Ack(9), (swim.me,))]
    assert swim.health == 1


def test_a_stale_accusation_is_answered_with_the_present_word() -> None:
    swim = knowing("bergen")
    swim.handle(SetTags({"turn": "2"}), 0.5)
    effects = swim.handle(heard("bergen", Ping(9, "lubeck"), Suspect("lubeck", 1, "riga")), 1.0)
    assert swim.me.incarnation == 2
    assert reports(effects) == []
    assert sent(effects) == [("bergen", Ack(9), (swim.me,))]


def test_a_death_of_somebody_just_heard_is_only_an_accusation() -> None:
    swim = knowing("bergen", "tallinn")
    swim.handle(heard("bergen", Ack(77)), 10.0)
    effects = swim.handle(heard("tallinn", None, Dead("bergen", 1, "tallinn")), 11.0)
    assert reports(effects) == [Changed(alive("bergen"), Status.ALIVE, Status.SUSPECT)]


def test_a_death_of_somebody_not_heard_is_believed() -> None:
    swim = knowing("bergen", "tallinn")
    effects = swim.handle(heard("tallinn", None, Dead("bergen", 1, "tallinn")), 11.0)
    assert reports(effects) == [Changed(alive("bergen"), Status.ALIVE, Status.DEAD)]


@pytest.mark.parametrize(
    "stale",
    [
        Suspect("bergen", 1, "x"),
        Dead("bergen", 1, "x"),
        Left("bergen", 1, "bergen"),
        alive("bergen", 1, turn="1"),
    ],
)
def test_claims_of_an_earlier_incarnation_change_nothing(stale: Claim) -> None:
    swim = knowing("tallinn")
    swim.roster.put(alive("bergen", 2), Status.ALIVE, 0.0)
    assert swim.handle(heard("tallinn", None, stale), 1.0) == []
    assert swim.roster.known["bergen"] == alive("bergen", 2)


def test_a_ping_for_another_member_at_our_address_is_not_answered() -> None:
    assert knowing("bergen").handle(heard("bergen", Ping(1, "somebody")), 1.0) == []


def test_a_probe_for_another_is_relayed_and_its_answer_brought_back() -> None:
    swim = knowing("bergen", "tallinn")
    asked = swim.handle(heard("bergen", PingReq(41, "tallinn", "tallinn", 4648)), 1.0)
    assert sent(asked) == [("tallinn", Ping(1, "tallinn"), ())]
    assert Wake(0.4, RelayOverdue(1)) in asked
    assert sent(swim.handle(heard("tallinn", Ack(1)), 1.1)) == [("bergen", Ack(41), ())]
    assert swim.handle(RelayOverdue(1), 1.4) == []


def test_a_helper_that_hears_nothing_says_so() -> None:
    swim = knowing("bergen", "tallinn")
    swim.handle(heard("bergen", PingReq(41, "tallinn", "tallinn", 4648)), 1.0)
    assert sent(swim.handle(RelayOverdue(1), 1.4)) == [("bergen", Nack(41), ())]


def test_health_suffers_by_the_nacks_that_are_missing() -> None:
    for nacks, health in ((0, 3), (2, 1), (3, 0)):
        swim = knowing("bergen")
        swim.handle(ProbeDue(), 1.0)
        helpers = ("tallinn", "riga", "visby")
        for name in helpers:
            swim.roster.put(alive(name), Status.ALIVE, 0.0)
        swim.handle(AckOverdue(1), 1.5)
        for name in helpers[:nacks]:
            swim.handle(heard(name, Nack(1)), 1.9)
        effects = swim.handle(ProbeDue(), 2.0)
        assert swim.health == health
        assert Wake(1.0 + health, ProbeDue()) in effects


def test_whoever_is_dead_and_speaks_is_told_and_asked_for_all_it_knows() -> None:
    swim = knowing("bergen")
    swim.roster.put(alive("bergen"), Status.DEAD, 1.0)
    effects = swim.handle(heard("bergen"), 50.0)
    assert sent(effects) == [("bergen", None, (Dead("bergen", 1, "lubeck"),))]
    assert [effect.to for effect in effects if isinstance(effect, Exchange)] == [("bergen", 4648)]
    # A second word at once does not open a second stream.
    again = swim.handle(heard("bergen"), 50.1)
    assert not [effect for effect in again if isinstance(effect, Exchange)]


def test_a_join_brings_what_we_know_and_takes_over_what_they_know() -> None:
    swim = knowing()
    [exchange] = swim.handle(Join((("bergen", 4648),)), 1.0)
    assert exchange == Exchange(
        ("bergen", 4648), State("lubeck", "", True, (Entry(alive("lubeck"), Status.ALIVE),))
    )
    theirs = State(
        "bergen",
        "",
        False,
        (
            Entry(alive("bergen"), Status.ALIVE),
            Entry(alive("tallinn"), Status.SUSPECT),
            Entry(alive("riga"), Status.DEAD),
            Entry(alive("visby"), Status.LEFT),
        ),
    )
    swim.handle(Exchanged(theirs), 2.0)
    assert {m.alive.name: m.status for m in swim.members()} == {
        "bergen": Status.ALIVE,
        "lubeck": Status.ALIVE,
        "tallinn": Status.SUSPECT,
    }


def test_who_asks_to_join_gets_all_we_know() -> None:
    swim = knowing("bergen")
    mine = State("riga", "", True, (Entry(alive("riga"), Status.ALIVE),))
    effects = swim.handle(StateReceived(mine, 5), 1.0)
    [answer] = [effect for effect in effects if isinstance(effect, Answer)]
    assert answer.token == 5
    assert [entry.alive.name for entry in answer.state.entries] == ["lubeck", "bergen", "riga"]


def test_a_death_learnt_by_an_exchange_is_an_accusation() -> None:
    swim = knowing("bergen", "tallinn")
    theirs = State("tallinn", "", False, (Entry(alive("bergen"), Status.DEAD),))
    assert reports(swim.handle(Exchanged(theirs), 1.0)) == [
        Changed(alive("bergen"), Status.ALIVE, Status.SUSPECT)
    ]


def test_a_name_moves_with_its_server_and_with_nobody_else() -> None:
    swim = Swim(alive("lubeck"), Random(0), LAN)
    swim.roster.put(alive("bergen", 1, id="b"), Status.ALIVE, 0.0)
    other = Alive("bergen", "elsewhere", 4648, 2, {"id": "another"})
    assert swim.handle(heard("x", None, other), 1.0) == [NameTaken("bergen", other.address)]
    assert swim.handle(heard("x", None, other), 1.0) == [], "each conflict is reported once"
    same = Alive("bergen", "elsewhere", 4648, 2, {"id": "b"})
    assert reports(swim.handle(heard("x", None, same), 1.0)) == [
        Changed(same, Status.ALIVE, Status.ALIVE)
    ]


@pytest.mark.parametrize(("dead_for_s", "moves"), [(29.0, False), (31.0, True)])
def test_the_name_of_the_dead_is_free_after_a_while(dead_for_s: float, moves: bool) -> None:
    swim = knowing()
    swim.roster.put(alive("bergen", 1, id="b"), Status.DEAD, 100.0)
    other = Alive("bergen", "elsewhere", 4648, 2, {"id": "another"})
    swim.handle(heard("x", None, other), 100.0 + dead_for_s)
    assert (swim.roster.known["bergen"] == other) is moves


def test_our_own_name_at_another_address_is_reported_and_not_fought_over() -> None:
    swim = knowing("bergen")
    thief = Alive("lubeck", "elsewhere", 4648, 9)
    assert swim.handle(heard("bergen", None, thief), 1.0) == [NameTaken("lubeck", thief.address)]
    assert swim.me.incarnation == 1


def test_leaving_is_told_then_done() -> None:
    swim = knowing("bergen")
    effects = swim.handle(Leave(), 1.0)
    assert Wake(LAN.leave_s, LeaveOver()) in effects
    assert Wake(LAN.gossip_s, GossipDue()) in effects
    farewell = Left("lubeck", 1, "lubeck")
    assert sent(swim.handle(GossipDue(), 1.2)) == [("bergen", None, (farewell,))]
    # It does not object to being called gone.
    assert reports(swim.handle(heard("bergen", None, farewell), 1.3)) == []
    assert swim.handle(LeaveOver(), 2.0) == [Departed()]


def test_alone_one_leaves_at_once() -> None:
    assert Wake(0.0, LeaveOver()) in knowing().handle(Leave(), 1.0)


def test_news_is_told_so_many_times_and_no_more() -> None:
    swim = knowing("bergen")
    swim.handle(SetTags({"turn": "1"}), 0.0)
    told = 0
    for _ in range(30):
        told += sum(swim.me in claims for _, _, claims in sent(swim.handle(GossipDue(), 1.0)))
    assert told == 4  # retransmit_mult x ceil(log10(2 + 1))


def test_the_dead_are_tried_again_until_they_are_forgotten() -> None:
    swim = knowing()
    swim.roster.put(alive("bergen"), Status.DEAD, 0.0)
    tried = swim.handle(ReconnectDue(), 60.0)
    assert [effect.to for effect in tried if isinstance(effect, Exchange)] == [("bergen", 4648)]
    effects = swim.handle(ReconnectDue(), LAN.reconnect_for_s)
    assert reports(effects) == [Changed(alive("bergen"), Status.DEAD, None)]
    # Old news does not bring it back, its own new word does.
    assert swim.handle(heard("x", None, alive("bergen", 1)), LAN.reconnect_for_s) == []
    swim.handle(heard("x", None, alive("bergen", 2)), LAN.reconnect_for_s)
    assert swim.roster.status("bergen") is Status.ALIVE


def test_a_pruned_member_is_forgotten_and_all_are_told() -> None:
    swim = knowing("tallinn")
    swim.roster.put(alive("bergen"), Status.DEAD, 0.0)
    effects = swim.handle(ForceLeave("bergen", prune=True), 1.0)
    assert reports(effects) == [
        Changed(alive("bergen"), Status.DEAD, Status.LEFT),
        Changed(alive("bergen"), Status.LEFT, None),
    ]
    [(_, _, claims)] = sent(swim.handle(GossipDue(), 1.2))
    assert claims == (Left("bergen", 1, "lubeck", prune=True),)


def test_more_tags_than_a_packet_holds_are_refused_and_nothing_changes() -> None:
    swim = knowing()
    with pytest.raises(ValueError, match="bytes of 900"):
        swim.handle(SetTags({f"k{n}": "x" * 100 for n in range(10)}), 1.0)
    assert swim.me == alive("lubeck")


@pytest.mark.parametrize(
    "event",
    [AckOverdue(5), RelayOverdue(5), SuspicionExpired("x", 1), StreamAnswered(3), ForceLeave("x")],
)
def test_what_belongs_to_nothing_present_changes_nothing(event: Input) -> None:
    assert knowing("bergen").handle(event, 1.0) == []


def test_a_state_that_would_mix_two_clusters_of_one_region_is_refused_whole() -> None:
    swim = Swim(alive("lubeck", region="north", cluster="one"), Random(0), LAN)
    entries = (
        Entry(alive("bergen", region="west", cluster="three"), Status.ALIVE),
        Entry(alive("impostor", region="north", cluster="two"), Status.ALIVE),
    )
    effects = swim.handle(StateReceived(State("bergen", "west", True, entries), 5), 1.0)
    assert effects == [RegionTaken("north", "impostor", ("impostor", 4648))]
    assert [m.alive.name for m in swim.members()] == ["lubeck"]
    # Without the impostor it is welcome, and gets its answer.
    welcome = StateReceived(State("bergen", "west", True, entries[:1]), 6)
    assert any(isinstance(effect, Answer) for effect in swim.handle(welcome, 2.0))
    assert [m.alive.name for m in swim.members()] == ["bergen", "lubeck"]


def test_a_regions_name_is_free_once_its_servers_have_left() -> None:
    swim = knowing()
    old = alive("old", region="north", cluster="one")
    new = alive("new", region="north", cluster="two")
    swim.roster.put(old, Status.DEAD, 0.0)
    assert swim.handle(heard("x", None, new), 1.0) == [RegionTaken("north", "new", ("new", 4648))]
    swim.handle(ForceLeave("old"), 2.0)
    swim.handle(heard("x", None, new), 3.0)
    assert swim.roster.status("new") is Status.ALIVE


def test_a_member_does_not_move_to_a_region_whose_name_is_taken() -> None:
    swim = Swim(alive("lubeck", region="north", cluster="one"), Random(0), LAN)
    swim.roster.put(alive("bergen", 1, region="west", cluster="two"), Status.ALIVE, 0.0)
    moved = alive("bergen", 2, region="north", cluster="two")
    assert swim.handle(heard("bergen", None, moved), 1.0) == [
        RegionTaken("north", "bergen", ("bergen", 4648))
    ]
    assert swim.roster.known["bergen"].region == "west"


@pytest.mark.parametrize(("dead_for_s", "told"), [(10.0, True), (31.0, False)])
def test_news_goes_to_the_lately_dead_too_with_the_news_of_their_death(
    dead_for_s: float, told: bool
) -> None:
    swim = knowing("tallinn")
    swim.roster.put(alive("bergen"), Status.DEAD, 100.0)
    swim.handle(SetTags({"turn": "1"}), 100.0)
    said = {to: claims for to, _, claims in sent(swim.handle(GossipDue(), 100.0 + dead_for_s))}
    assert ("bergen" in said) is told
    assert not told or said["bergen"] == (Dead("bergen", 1, "lubeck"), swim.me)


def test_with_measured_round_trips_others_are_asked_sooner() -> None:
    swim = knowing("bergen")
    for _ in range(20):
        swim.measure("bergen", 0.01)
    assert Wake(LAN.ack_min_s, AckOverdue(1)) in swim.handle(ProbeDue(), 1.0)


def test_probes_for_others_are_bounded() -> None:
    swim = knowing("bergen", "tallinn")
    request = PingReq(41, "tallinn", "tallinn", 4648)
    asked = [sent(swim.handle(heard("bergen", request), 1.0)) for _ in range(300)]
    assert sum(map(bool, asked)) == 256


def test_each_round_probes_all_once_in_another_order() -> None:
    swim = knowing(*"abcdefgh")
    rounds = [
        [
            to
            for _ in range(8)
            for to, message, _ in sent(swim.handle(ProbeDue(), 0.0))
            if isinstance(message, Ping)
        ]
        for _ in range(4)
    ]
    # Nobody answers, so they are suspect; suspects are probed as well.
    assert all(sorted(names) == list("abcdefgh") for names in rounds)
    assert len({tuple(names) for names in rounds}) == 4


def test_one_sent_away_by_another_and_alive_here_is_accused_and_not_gone() -> None:
    swim = knowing("bergen", "tallinn")
    effects = swim.handle(heard("tallinn", None, Left("bergen", 1, "tallinn")), 10.0)
    assert reports(effects) == [Changed(alive("bergen"), Status.ALIVE, Status.SUSPECT)]
    farewell = swim.handle(heard("bergen", None, Left("bergen", 1, "bergen")), 11.0)
    assert reports(farewell) == [Changed(alive("bergen"), Status.SUSPECT, Status.LEFT)]
