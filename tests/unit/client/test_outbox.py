"""Statuses on their way."""

from hypothesis import given
from hypothesis import strategies as st

from client.outbox import BATCH_MAX, UNDER_WAY_MAX, Outbox
from hanse.rpc.messages import Statuses
from hanse.structs.allocation import AllocStatus


def status(alloc_id: str = "a", word: str = "running", at: int = 0) -> AllocStatus:
    return AllocStatus(alloc_id=alloc_id, client_status=word, modified_ns=at)


def taken(outbox: Outbox) -> tuple[int, list[tuple[str, str]]]:
    batch = outbox.take()
    assert isinstance(batch, Statuses)
    return batch.number, [(s.alloc_id, s.client_status) for s in batch.statuses]


def test_only_the_newest_of_each_allocation_goes_out() -> None:
    outbox = Outbox(7)
    outbox.put(status("a", "pending"))
    outbox.put(status("b", "running"))
    outbox.put(status("a", "running"))
    assert taken(outbox) == (8, [("a", "running"), ("b", "running")])
    assert outbox.take() is None


def test_what_the_servers_know_is_not_said_again() -> None:
    outbox = Outbox(0)
    assert outbox.put(status(at=1))
    assert not outbox.put(status(at=2)), "it waits"
    taken(outbox)
    assert not outbox.put(status(at=3)), "it is under way"
    outbox.acknowledge(1)
    assert not outbox.put(status(at=4)), "it is known"
    assert outbox.put(status(word="complete"))


def test_a_new_session_says_again_what_was_under_way_unless_there_is_newer() -> None:
    outbox = Outbox(0)
    outbox.put(status("a"))
    outbox.put(status("b"))
    taken(outbox)
    outbox.put(status("a", "complete"))
    outbox.reconnect()
    assert taken(outbox) == (2, [("a", "complete"), ("b", "running")])
    outbox.acknowledge(1)  # Of the session before: it means nothing now.
    assert not outbox.settled("a")
    outbox.acknowledge(2)
    assert outbox.settled("a")


def test_an_acknowledgement_is_of_all_before_it() -> None:
    outbox = Outbox(0)
    for name in "abc":
        outbox.put(status(name))
        taken(outbox)
    outbox.acknowledge(2)
    assert [outbox.settled(name) for name in "abc"] == [True, True, False]


def test_batches_and_what_is_under_way_are_bounded() -> None:
    outbox = Outbox(0)
    for number in range(BATCH_MAX * (UNDER_WAY_MAX + 1)):
        outbox.put(status(str(number)))
    batches = []
    while (batch := outbox.take()) is not None:
        batches.append(len(batch.statuses))
    assert batches == [BATCH_MAX] * UNDER_WAY_MAX
    outbox.acknowledge(1)
    assert outbox.take() is not None


def test_a_forgotten_allocation_is_not_spoken_of() -> None:
    outbox = Outbox(0)
    outbox.put(status("a"))
    outbox.forget("a")
    assert outbox.take() is None
    outbox.put(status("b"))
    taken(outbox)
    outbox.forget("b")
    outbox.reconnect()
    assert outbox.take() is None


@given(st.lists(st.sampled_from(["put", "take", "ack", "break"]), max_size=40), st.randoms())
def test_in_the_end_the_servers_have_the_newest_of_everything(
    steps: list[str], rng: object
) -> None:
    assert hasattr(rng, "choice")
    outbox, stored, ours, under_way = Outbox(0), {}, {}, []
    numbers: list[int] = []
    for count, step in enumerate([*steps, "break"]):
        match step:
            case "put":
                name = rng.choice("abc")
                ours[name] = str(count)
                outbox.put(status(name, str(count)))
            case "take":
                if (batch := outbox.take()) is not None:
                    numbers.append(batch.number)
                    under_way.append(batch)
            case "ack" if under_way:
                batch = under_way.pop(0)
                stored |= {s.alloc_id: s.client_status for s in batch.statuses}
                outbox.acknowledge(batch.number)
            case "break":
                under_way.clear()
                outbox.reconnect()
    while (batch := outbox.take()) is not None:
        numbers.append(batch.number)
        stored |= {s.alloc_id: s.client_status for s in batch.statuses}
        outbox.acknowledge(batch.number)
    assert stored == ours
    assert numbers == sorted(set(numbers))
