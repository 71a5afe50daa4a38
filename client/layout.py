"""Where an allocation's files lie on this node.

`<root>/<allocation>/alloc/{data,logs,tmp}` is shared by its tasks, `<root>/<allocation>/<task>/`
holds each task's `local`, `secrets` and `tmp`. Functions that touch the disk block: call them in
a thread.
"""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

SHARED = "alloc"
SECRETS = "secrets"
#: Others may pass through an allocation's folder but not list it.
_PASS_MODE = 0o711
#: What tasks share, whatever users they run as.
_SHARED_MODE = 0o777
_SECRETS_MODE = 0o700


@dataclass(frozen=True, slots=True)
class TaskFolders:
    """One task's folders."""

    task: Path

    @property
    def local(self) -> Path:
        """The task's own files."""
        return self.task / "local"

    @property
    def secrets(self) -> Path:
        """What nobody else may read."""
        return self.task / SECRETS

    @property
    def complete(self) -> bool:
        """They are all there: the one made last is."""
        return (self.task / "tmp").is_dir()

    def make(self, user: str = "") -> None:
        """Create what is missing; the secrets are `user`'s, if there is one. Raises OSError."""
        _folder(self.task, _SHARED_MODE)
        _folder(self.local, _SHARED_MODE)
        _folder(self.secrets, _SECRETS_MODE, user)
        _folder(self.task / "tmp", _SHARED_MODE)


@dataclass(frozen=True, slots=True)
class AllocFolders:
    """One allocation's folders."""

    root: Path

    @property
    def shared(self) -> Path:
        """What the tasks share."""
        return self.root / SHARED

    @property
    def logs(self) -> Path:
        """The tasks' output."""
        return self.shared / "logs"

    def of_task(self, task: str) -> TaskFolders:
        """One task's folders. Raises ValueError if the name would lead elsewhere."""
        if task in ("", ".", "..", SHARED) or "/" in task or "\0" in task:
            raise ValueError(f"{task!r} cannot be the name of a task's folder")
        return TaskFolders(self.root / task)

    def make(self) -> None:
        """Create what is missing of the shared part. Raises OSError."""
        _folder(self.root, _PASS_MODE)
        _folder(self.shared, _SHARED_MODE)
        for name in ("data", "logs", "tmp"):
            _folder(self.shared / name, _SHARED_MODE)

    def remove(self) -> None:
        """Delete all of it; links are removed, never followed."""
        shutil.rmtree(self.root, ignore_errors=True)


def alloc_folders(root: Path, alloc_id: str) -> AllocFolders:
    """The folders of an allocation. Raises ValueError if the id would lead elsewhere."""
    if not alloc_id or "/" in alloc_id or "\0" in alloc_id or alloc_id.startswith("."):
        raise ValueError(f"{alloc_id!r} is not an allocation id")
    return AllocFolders(root / alloc_id)


def _folder(path: Path, mode: int, user: str = "") -> None:
    """Create a folder that is not there yet.

    Tasks that run already can write beside it, so its mode and owner are set through the open
    folder: a link put in its place is not followed.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owner = _user_id(user)
        if owner is not None:
            os.fchown(descriptor, owner, -1)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _user_id(user: str) -> int | None:
    """The number of a user of this machine; None if it is not one (an image may have its own)."""
    name = user.partition(":")[0]
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if name else None
    except KeyError:
        return None
