"""The small parts of the fleet."""

from __future__ import annotations

from msgspec.structs import replace

from hanse.structs.node import DriverInfo
from region.scheduler.fleet import Codes, Memo, order_of
from region.scheduler.nodes import computed_class, has_driver, port_set
from tests.unit.scheduler.world import make_node, node_id


def test_a_memo_keeps_the_latest_that_fit() -> None:
    memo = Memo(bytes_max=100)
    for name in "abc":
        memo.put(name, 1, name.upper(), 40)
    assert memo.get("a") is None
    assert memo.get("b") == (1, "B")
    memo.put("b", 2, "new", 40)
    memo.put("b", 1, "old", 40)
    assert memo.get("b") == (2, "new")
    memo.put("d", 3, "D", 40)
    assert memo.get("c") is None
    assert memo.get("b") == (2, "new")


def test_numbers_never_change_their_meaning() -> None:
    codes = Codes(None)
    assert [codes.number(v) for v in ("a", "b", None, "a")] == [1, 2, 0, 1]
    assert codes.values == [None, "a", "b"]
    assert (codes.find("b"), codes.find("z")) == (2, -1)


def test_the_order_of_nodes_is_that_of_their_ids() -> None:
    ids = [node_id(n) for n in (3, 1, 2, 255)]
    assert sorted(ids, key=order_of) == sorted(ids)
    assert order_of("not a uuid") != order_of("another one")


def test_a_text_of_ports_is_read_leniently() -> None:
    assert port_set("22, 80,8000-8002") == {22, 80, 8000, 8001, 8002}
    assert port_set("") == port_set("x,-,5-y") == frozenset()
    assert max(port_set("65000-99999")) == 65535


def test_a_class_is_what_nodes_of_one_make_share() -> None:
    one, other = make_node(1), make_node(2)
    assert computed_class(one) == computed_class(other)
    assert computed_class(one) != computed_class(replace(one, node_class="big"))
    assert computed_class(one) != computed_class(replace(one, meta={"a": "b"}))
    assert computed_class(one) == computed_class(replace(one, meta={"unique.a": "b"}))
    sick = {"raw_exec": DriverInfo(detected=True, healthy=False)}
    assert computed_class(one) != computed_class(replace(one, drivers=sick))


def test_a_driver_is_there_if_it_is_healthy_or_an_attribute_says_so() -> None:
    node = make_node(1, drivers={}, attributes={"driver.exec": "1", "driver.java": "0"})
    assert has_driver(node, "exec")
    assert not has_driver(node, "java")
    assert not has_driver(node, "docker")
