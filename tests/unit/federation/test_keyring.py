"""Keys: install, use, remove, and what is refused."""

from __future__ import annotations

import pytest

from federation.keyring import KEYS_MAX, Keyring, key_from_text, key_to_text
from hanse.errors import Invalid

OLD, NEW = bytes(32), bytes(range(16))


def test_a_key_is_installed_then_used_then_the_old_one_removed() -> None:
    ring = Keyring((OLD,)).install(NEW)
    assert ring.primary == OLD
    ring = ring.use(NEW)
    assert ring.keys == (NEW, OLD)
    assert ring.remove(OLD).keys == (NEW,)


def test_installing_and_removing_twice_is_as_once() -> None:
    ring = Keyring((OLD,)).install(NEW)
    assert ring.install(NEW) == ring
    assert ring.remove(NEW).remove(NEW) == Keyring((OLD,))


@pytest.mark.parametrize(
    "change",
    [
        lambda ring: ring.use(NEW),
        lambda ring: ring.remove(OLD),
        lambda ring: ring.install(b"short"),
    ],
)
def test_what_would_cut_the_member_off_is_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(Invalid):
        change(Keyring((OLD,)))


def test_a_keyring_has_a_limit() -> None:
    ring = Keyring(tuple(bytes([n]) * 16 for n in range(KEYS_MAX)))
    with pytest.raises(Invalid, match="16 keys"):
        ring.install(NEW)


def test_keys_are_read_and_written_as_base64() -> None:
    assert key_from_text(key_to_text(NEW) + "\n") == NEW


@pytest.mark.parametrize("text", ["", "!!!", "c2hvcnQ=", "ä", "A" * 44])
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        key_from_text(text)
    assert not text or text not in str(refused.value)


def test_a_keyring_shows_names_of_keys_and_no_keys() -> None:
    shown = repr(Keyring((NEW,)))
    assert key_to_text(NEW) not in shown
    assert NEW.hex() not in shown
    assert repr(NEW) not in shown
