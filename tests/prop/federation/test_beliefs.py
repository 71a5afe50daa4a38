"""What holds of a member's beliefs whatever it hears, in whatever order."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from federation.broadcasts import Broadcasts, size
from federation.codec import Codec
from federation.events import (
    AckOverdue,
    Changed,
    Effect,
    ForceLeave,
    GossipDue,
    Input,
    ProbeDue,
    PushPullDue,
    Received,
    ReconnectDue,
    RelayOverdue,
    Send,
    StateReceived,
    SuspicionExpired,
    Wake,
)
from federation.keyring import Keyring
from federation.messages import (
    GONE,
    Ack,
    Alive,
    Claim,
    Dead,
    Entry,
    Left,
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

NAMES = ("me", "a", "b", "c", "d")
names = st.sampled_from(NAMES)
numbers = st.integers(0, 5)
alive = st.builds(
    Alive,
    names,
    st.sampled_from(["h1", "h2"]),
    st.just(4648),
    numbers,
    st.dictionaries(st.sampled_from(["id", "region", "cluster"]), st.sampled_from("xy")),
)
claims = st.one_of(
    alive,
    st.builds(Suspect, names, numbers, names),
    st.builds(Dead, names, numbers, names),
    st.builds(Left, names, numbers, names, st.booleans()),
)
messages = st.one_of(
    st.none(),
    st.builds(Ping, numbers, names),
    st.builds(PingReq, numbers, names, names, st.just(4648)),
    st.builds(Ack, numbers),
    st.builds(Nack, numbers),
)
packets = st.builds(Packet, names, st.just(""), messages, st.lists(claims, max_size=3).map(tuple))
states = st.builds(
    State,
    names,
    st.just(""),
    st.booleans(),
    st.lists(st.builds(Entry, alive, st.sampled_from(Status)), max_size=4).map(tuple),
)
inputs = st.one_of(
    st.builds(Received, packets, st.tuples(names, st.just(4648))),
    st.builds(StateReceived, states, numbers),
    st.sampled_from([ProbeDue(), GossipDue(), PushPullDue(), ReconnectDue()]),
    st.builds(AckOverdue, numbers),
    st.builds(RelayOverdue, numbers),
    st.builds(SuspicionExpired, names, numbers),
    st.builds(ForceLeave, names, st.booleans()),
)


@given(events=st.lists(st.tuples(inputs, st.floats(0, 3)), max_size=40))
def test_whatever_comes_the_table_stays_sound(events: list[tuple[Input, float]]) -> None:
    swim = Swim(Alive("me", "h", 4648, 1), Random(1), LAN)
    now = 0.0
    for event, wait in events:
        now += wait
        before = {name: claim.incarnation for name, claim in swim.roster.known.items()}
        mine = swim.me.incarnation
        effects = swim.handle(event, now)
        assert swim.me.incarnation >= mine
        assert "me" not in swim.roster.known
        for name, incarnation in before.items():
            if name in swim.roster.known:
                assert swim.roster.known[name].incarnation >= incarnation
        statuses = [swim.roster.status(name) for name in swim.roster.known]
        assert swim.size == 1 + sum(status not in GONE for status in statuses)
        assert all(effect.delay_s >= 0 for effect in effects if isinstance(effect, Wake))
        assert_changes_lead_to(swim, effects, before)


def assert_changes_lead_to(swim: Swim, effects: list[Effect], before: dict[str, int]) -> None:
    """Who follows the changes knows what the member believes."""
    first: dict[str, Changed] = {}
    for effect in effects:
        if isinstance(effect, Changed):
            first.setdefault(effect.member.name, effect)
    for name, change in first.items():
        assert (change.before is None) is (name not in before)
    last = {e.member.name: e.after for e in effects if isinstance(e, Changed)}
    for name, status in last.items():
        if status is None:
            assert name not in swim.roster.known
        else:
            assert swim.roster.status(name) is status


of_one = st.one_of(
    st.integers(0, 4).map(lambda n: Alive("a", "h", 4648, n, {"turn": str(n)})),
    st.builds(
        Suspect, st.just("a"), numbers.filter(lambda n: n < 5), names.filter(lambda n: n != "a")
    ),
    st.builds(Dead, st.just("a"), numbers.filter(lambda n: n < 5), names),
    st.builds(Left, st.just("a"), numbers.filter(lambda n: n < 5), st.just("a")),
)


@given(heard=st.lists(of_one, max_size=6), data=st.data())
def test_claims_of_a_member_lead_to_one_belief_in_any_order(
    heard: list[Claim], data: st.DataObject
) -> None:
    def believed(claims: list[Claim]) -> tuple[Alive, Status]:
        swim = Swim(Alive("me", "h", 4648, 1), Random(1), LAN)
        swim.roster.put(Alive("a", "h", 4648, 0, {"turn": "0"}), Status.ALIVE, 0.0)
        for claim in claims:
            swim.handle(Received(Packet("b", "", None, (claim,)), ("b", 4648)), 100.0)
        return swim.roster.known["a"], swim.roster.status("a")

    assert believed(heard) == believed(data.draw(st.permutations(heard)))


@settings(max_examples=50)
@given(
    told=st.lists(claims, min_size=1, max_size=30),
    room=st.integers(20, 400),
    times=st.integers(1, 6),
)
def test_news_fits_its_packet_and_is_told_so_often(
    told: list[Claim], room: int, times: int
) -> None:
    news = Broadcasts()
    for claim in told:
        news.add(claim)
    latest = {claim.name: claim for claim in told}
    given_out: list[Claim] = []
    while taken := news.take(room, times):
        assert sum(size(claim) for claim in taken) <= room
        assert len({claim.name for claim in taken}) == len(taken)
        given_out += taken
    for claim in latest.values():
        assert given_out.count(claim) == (times if size(claim) <= room else 0)


@settings(max_examples=50)
@given(events=st.lists(inputs, max_size=25), host=st.text(min_size=1, max_size=100))
def test_every_datagram_fits(events: list[Input], host: str) -> None:
    codec = Codec("prod", Keyring((bytes(16),)), Random(1).randbytes)
    me = Alive("me" * 40, host, 4648, 1, {f"k{n}": "v" * 40 for n in range(8)})
    swim = Swim(me, Random(1), LAN)
    for number in range(12):
        name = f"{number}" * 60
        swim.roster.put(Alive(name, host, 4648, 1, me.tags), Status.ALIVE, 0.0)
        swim.handle(Received(Packet("b", "", None, (Alive(name, host, 4648, 2),)), ("b", 1)), 0.0)
    for number, event in enumerate(events):
        for effect in swim.handle(event, float(number)):
            if isinstance(effect, Send):
                assert len(codec.seal_packet(effect.packet)) <= LAN.packet_bytes_max
