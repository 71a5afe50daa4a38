"""The keys that gossip is encrypted with: install a new one, use it, remove the old one.

A keyring is a value; changing it gives another. Packets are encrypted with the primary key and
opened with any installed one. So a rotation has no moment without understanding: install
everywhere, use everywhere, remove everywhere, each step once the one before has reached all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from hanse.errors import Invalid

KEY_BYTES = (16, 24, 32)
KEYS_MAX = 16


def key_from_text(text: str) -> bytes:
    """Return the key in a text of base64. Raises Invalid, which never shows the text."""
    try:
        key = base64.b64decode(text.strip().encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("key", "a gossip key is base64 of 16, 24 or 32 bytes") from error
    if len(key) not in KEY_BYTES:
        raise Invalid("key", f"a gossip key has 16, 24 or 32 bytes, not {len(key)}")
    return key


def key_to_text(key: bytes) -> str:
    """Return a key as operators see and give it."""
    return base64.b64encode(key).decode()


def key_id(key: bytes) -> bytes:
    """Name a key in a packet, so that its reader need not try all. Tells nothing about it."""
    return hashlib.sha256(b"hanse gossip key" + key).digest()[:4]


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """The primary key first. Empty: gossip is not encrypted."""

    keys: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        """Names, no keys: this may end up in a log."""
        return f"Keyring({', '.join(key_id(key).hex() for key in self.keys)})"

    @property
    def primary(self) -> bytes | None:
        """What packets are encrypted with."""
        return self.keys[0] if self.keys else None

    def install(self, key: bytes) -> Keyring:
        """Return a keyring that understands this key, too. Raises Invalid."""
        if len(key) not in KEY_BYTES:
            raise Invalid("key", f"a gossip key has 16, 24 or 32 bytes, not {len(key)}")
        if key in self.keys:
            return self
        if len(self.keys) >= KEYS_MAX:
            raise Invalid("key", f"a keyring holds {KEYS_MAX} keys; remove one first")
        return Keyring((*self.keys, key))

    def use(self, key: bytes) -> Keyring:
        """Return a keyring that encrypts with this key. Raises Invalid if not installed."""
        if key not in self.keys:
            raise Invalid("key", "the key is not in the keyring; install it first")
        return Keyring((key, *(other for other in self.keys if other != key)))

    def remove(self, key: bytes) -> Keyring:
        """Return a keyring without this key. Raises Invalid for the primary one."""
        if key == self.primary:
            raise Invalid("key", "the primary key cannot be removed; use another one first")
        return Keyring(tuple(other for other in self.keys if other != key))
