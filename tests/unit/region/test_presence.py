"""Who is silent, and who only could not be heard."""

from hanse.testing.clock import HandClock
from region.nodes.presence import Presence


def ticks(presence: Presence, clock: HandClock, seconds: int) -> list[str]:
    """Tick every second; the nodes that are silent at the end."""
    silent: list[str] = []
    for _ in range(seconds):
        clock.advance(1.0)
        silent = presence.tick()
    return silent


def test_a_node_is_silent_after_its_time_to_live_and_not_before() -> None:
    clock = HandClock()
    presence = Presence(clock, ttl_s=10.0)
    presence.start(["a", "b"])
    assert ticks(presence, clock, 9) == []
    presence.heard("b")
    assert ticks(presence, clock, 2) == ["a"]


def test_a_server_that_was_stopped_does_not_blame_the_nodes() -> None:
    clock = HandClock()
    presence = Presence(clock, ttl_s=10.0)
    presence.start(["a"])
    ticks(presence, clock, 5)
    clock.advance(600.0)
    assert presence.tick() == []
    presence.heard("a")
    assert ticks(presence, clock, 9) == []


def test_a_node_that_is_gone_is_not_missed() -> None:
    clock = HandClock()
    presence = Presence(clock, ttl_s=10.0)
    presence.start(["a"])
    presence.forget("a")
    assert ticks(presence, clock, 60) == []
