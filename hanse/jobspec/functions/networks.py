"""Functions on address prefixes."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import (
    BadArgument,
    FunctionFailed,
    function,
    number,
    text,
    whole,
)
from hanse.jobspec.numbers import Number
from hanse.jobspec.values import STRING, ListValue, Value

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_EXTENSION_MAX = 32


def _network(value: str) -> _Network:
    try:
        if "/" not in value or not value.rpartition("/")[2].isdigit():
            raise ValueError(value)
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise FunctionFailed(f"invalid CIDR expression: invalid CIDR address: {value}") from None


def _host(_: Scope, prefix: str, host: Number) -> Value:
    index = whole(host)
    network = _network(prefix)
    room = network.num_addresses
    if not -room <= index < room:
        raise FunctionFailed(
            f"prefix of {network.prefixlen} does not accommodate a host numbered {index}"
        )
    return str(network[index])


def _netmask(_: Scope, prefix: str) -> Value:
    return str(_network(prefix).netmask)


def _extended(network: _Network, bits: int) -> int:
    """The longer prefix. Raises FunctionFailed."""
    if bits > _EXTENSION_MAX:
        raise FunctionFailed(f"may not extend prefix by more than {_EXTENSION_MAX} bits")
    length = network.prefixlen + bits
    if not 0 <= length <= network.max_prefixlen:
        raise FunctionFailed(
            f"insufficient address space to extend prefix of {network.prefixlen} by {bits}"
        )
    return length


def _subnet(_: Scope, prefix: str, bits: Number, index: Number) -> Value:
    network = _network(prefix)
    extra, place = whole(bits), whole(index)
    length = _extended(network, extra)
    if place < 0 or place >= 1 << max(extra, 0):
        raise FunctionFailed(
            f"prefix extension of {extra} does not accommodate a subnet numbered {place}"
        )
    base = int(network.network_address) + (place << (network.max_prefixlen - length))
    return str(_make(network, base, length))


def _make(like: _Network, base: int, length: int) -> _Network:
    if isinstance(like, ipaddress.IPv4Network):
        return ipaddress.IPv4Network((base, length), strict=False)
    return ipaddress.IPv6Network((base, length), strict=False)


def _subnets(scope: Scope, prefix: str, *sizes: Number) -> Value:
    network = _network(prefix)
    end = int(network.network_address) + network.num_addresses
    at = int(network.network_address)
    results: list[Value] = []
    for position, size in enumerate(sizes, 1):
        scope.budget.charge()
        extra = whole(size)
        if extra < 1:
            raise BadArgument(position, "must extend prefix by at least one bit")
        try:
            length = _extended(network, extra)
        except FunctionFailed as problem:
            raise BadArgument(position, str(problem)) from None
        block = 1 << (network.max_prefixlen - length)
        at = -(-at // block) * block
        if at + block > end:
            raise BadArgument(
                position,
                f"not enough remaining address space for a subnet with a prefix of {length} bits"
                + (f" after {results[-1]}" if results else ""),
            )
        results.append(str(_make(network, at, length)))
        at += block
    return ListValue(STRING, results)


FUNCTIONS = {
    "cidrhost": function(_host, text("prefix"), number("hostnum")),
    "cidrnetmask": function(_netmask, text("prefix")),
    "cidrsubnet": function(_subnet, text("prefix"), number("newbits"), number("netnum")),
    "cidrsubnets": function(_subnets, text("prefix"), rest=number("newbits")),
}
