"""Who this node is: an id and a secret, made once and kept in the state folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from hanse.config.model import AgentConfig
from hanse.errors import Invalid
from hanse.structs.ids import uuid_text

_FILE = "node.json"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The node's id, and what proves to servers that it is this node."""

    node_id: str
    secret: str


def state_folder(config: AgentConfig) -> Path:
    """Where the agent keeps what it must not forget. Raises Invalid if none is configured."""
    if config.client.state_dir:
        return Path(config.client.state_dir)
    if not config.data_dir:
        raise Invalid("data_dir", "a client needs a data_dir, or client.state_dir and alloc_dir")
    return Path(config.data_dir) / "client"


def alloc_folder(config: AgentConfig) -> Path:
    """Where the allocations' folders are. Raises Invalid if none is configured."""
    if config.client.alloc_dir:
        return Path(config.client.alloc_dir)
    if not config.data_dir:
        raise Invalid("data_dir", "a client needs a data_dir, or client.state_dir and alloc_dir")
    return Path(config.data_dir) / "alloc"


def node_identity(folder: Path) -> Identity:
    """The identity kept in the folder, made if there is none. Blocks.

    Raises Invalid if the file is damaged: a new identity would abandon the node's allocations.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        pass
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Invalid(str(path), f"the node's identity is damaged: {error}") from error
    identity = Identity(
        node_id=uuid_text(secrets.randbits(128)), secret=uuid_text(secrets.randbits(128))
    )
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(identity))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return identity
