"""Hashes, passwords, keys and UUIDs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any

from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import FunctionFailed, function, number, text, whole
from hanse.jobspec.limits import BCRYPT_COST_MAX
from hanse.jobspec.numbers import Number
from hanse.jobspec.values import Value, string

_BCRYPT_COST_DEFAULT = 10
_PASSWORD_BYTES_MAX = 72
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", re.DOTALL)
_KEY_BITS_MAX = 8192
_NAMESPACES = {
    "dns": uuid.NAMESPACE_DNS,
    "url": uuid.NAMESPACE_URL,
    "oid": uuid.NAMESPACE_OID,
    "x500": uuid.NAMESPACE_X500,
}


def _hasher(name: str) -> Callable[[Scope, str], Value]:
    def run(scope: Scope, value: str) -> Value:
        scope.budget.charge(len(value) // 64)
        return hashlib.new(name, value.encode(), usedforsecurity=False).hexdigest()

    return run


def _bcrypt(scope: Scope, value: str, *costs: Number) -> Value:
    if len(costs) > 1:
        raise FunctionFailed("bcrypt() takes no more than two arguments")
    cost = whole(costs[0]) if costs else _BCRYPT_COST_DEFAULT
    if cost < 4:
        cost = _BCRYPT_COST_DEFAULT
    if cost > BCRYPT_COST_MAX:
        raise FunctionFailed(f"a cost over {BCRYPT_COST_MAX} is refused: it takes too long")
    password = value.encode()
    if len(password) > _PASSWORD_BYTES_MAX:
        raise FunctionFailed(f"the password is longer than {_PASSWORD_BYTES_MAX} bytes")
    import bcrypt  # noqa: PLC0415 - seldom needed

    scope.budget.check()
    hashed: bytes = bcrypt.hashpw(password, bcrypt.gensalt(cost, prefix=b"2a"))
    scope.budget.check()
    return hashed.decode()


def _uuidv4(_: Scope) -> Value:
    return str(uuid.uuid4())


def _uuidv5(_: Scope, namespace: str, name: str) -> Value:
    space = _NAMESPACES.get(namespace)
    if space is None:
        try:
            space = uuid.UUID(namespace)
        except ValueError:
            raise FunctionFailed(
                f"uuidv5() doesn't support namespace {namespace}: expected dns, url, oid, x500"
                " or a UUID"
            ) from None
    return str(uuid.uuid5(space, name))


def _rsadecrypt(_: Scope, ciphertext: str, key: str) -> Value:
    """PKCS #1 v1.5. The key is an unencrypted PEM, PKCS #1 or PKCS #8."""
    try:
        encrypted = base64.b64decode(ciphertext.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise FunctionFailed("failed to decode the ciphertext: it must be base64") from None
    modulus, exponent = _private_key(key)
    size = (modulus.bit_length() + 7) // 8
    if len(encrypted) != size or int.from_bytes(encrypted) >= modulus:
        raise FunctionFailed("failed to decrypt: the ciphertext is not of this key")
    padded = pow(int.from_bytes(encrypted), exponent, modulus).to_bytes(size)
    end = padded.find(b"\0", 2)
    if padded[:2] != b"\0\x02" or end < 10:
        raise FunctionFailed("failed to decrypt: the ciphertext is not of this key")
    try:
        return string(padded[end + 1 :].decode())
    except UnicodeDecodeError:
        raise FunctionFailed("the decrypted text is not valid UTF-8") from None


def _private_key(key: str) -> tuple[int, int]:
    match = _PEM.search(key)
    bad = FunctionFailed("failed to parse key: no unencrypted RSA private key in PEM was found")
    if match is None or "ENCRYPTED" in match[1] or "DEK-Info" in match[2]:
        raise bad
    try:
        fields = _der_sequence(base64.b64decode("".join(match[2].split())))
        if match[1] == "PRIVATE KEY":
            fields = _der_sequence(fields[2])
        modulus, private = (int.from_bytes(fields[i]) for i in (1, 3))
    except (ValueError, IndexError):
        raise bad from None
    if not 0 < modulus < 1 << _KEY_BITS_MAX or not 0 < private < modulus or modulus % 2 == 0:
        raise bad
    return modulus, private


def _der_sequence(data: bytes) -> list[bytes]:
    """The contents of the fields of one DER sequence."""
    content, rest = _der_field(data)
    if data[0] != 0x30 or rest.strip(b"\0"):
        raise ValueError("not a sequence")
    fields: list[bytes] = []
    while content:
        field, content = _der_field(content)
        fields.append(field)
    return fields


def _der_field(data: bytes) -> tuple[bytes, bytes]:
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start])
    if start + length > len(data):
        raise ValueError("cut short")
    return data[start : start + length], data[start + length :]


FUNCTIONS: dict[str, Any] = {
    "bcrypt": function(_bcrypt, text("str"), rest=number("cost")),
    "md5": function(_hasher("md5"), text("str")),
    "rsadecrypt": function(_rsadecrypt, text("ciphertext"), text("privatekey")),
    "sha1": function(_hasher("sha1"), text("str")),
    "sha256": function(_hasher("sha256"), text("str")),
    "sha512": function(_hasher("sha512"), text("str")),
    "uuidv4": function(_uuidv4),
    "uuidv5": function(_uuidv5, text("namespace"), text("name")),
}
