"""`${...}` in job files, replaced by what it means on this node. Pure.

Only what is known is replaced: `${HOME}` in the argument of a shell stays for the shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hanse.structs.node import Node

_REFERENCE = re.compile(r"\$\{\s*([^{}$]{1,200}?)\s*\}")
_ENV = re.compile(r'env\[\s*"?([^"\]]+)"?\s*\]$')


def node_names(node: Node, region: str) -> dict[str, str]:
    """Every name under which a job file can mean something of the node, with its value."""
    names = {
        "node.unique.id": node.id,
        "node.unique.name": node.name,
        "node.region": region,
        "node.datacenter": node.datacenter,
        "node.class": node.node_class,
        "node.pool": node.node_pool,
    }
    names.update((f"attr.{key}", value) for key, value in node.attributes.items())
    names.update((f"meta.{key}", value) for key, value in node.meta.items())
    return names


def replace(text: str, names: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The text with every reference that is known replaced, once: values are not read again."""
    if "${" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name = match[1]
        named = _ENV.match(name)
        if named is not None:
            return environment.get(named[1], match[0])
        if name in names:
            return names[name]
        return environment.get(name, match[0])

    return _REFERENCE.sub(value, text)


def replace_in(value: object, names: Mapping[str, str], environment: Mapping[str, str]) -> object:
    """The same in every text of a value made of lists and maps, keys included."""
    match value:
        case str():
            return replace(value, names, environment)
        case list() | tuple():
            return [replace_in(item, names, environment) for item in value]
        case dict():
            return {
                replace(key, names, environment) if isinstance(key, str) else key: replace_in(
                    item, names, environment
                )
                for key, item in value.items()
            }
        case _:
            return value
