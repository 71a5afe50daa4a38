"""The one file in which a server keeps where it stands (`region.quorum.model.Record`)."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import msgspec
from msgspec.structs import replace

from hanse.errors import Invalid
from hanse.structs.ids import uuid_text
from region.quorum.model import Alone, Card, Decided, Record

FILE = "quorum.json"
ETCD = "etcd"


def load(folder: Path, region: str, rng: Random) -> Record:
    """Read the record of the server whose data are in `folder`; a new one if there is none.

    Raises Invalid if it cannot be read, is another region's, or etcd's data are gone.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Record(id=uuid_text(rng.getrandbits(128)), region=region)
    try:
        record = msgspec.json.decode(data, type=Record)
    except msgspec.MsgspecError as error:
        raise Invalid(str(path), f"cannot be read: {error}") from error
    if record.region != region:
        raise Invalid(
            "data_dir",
            f"{folder} has the data of a server of region {record.region!r}, not {region!r}",
        )
    if record.started and not has_data(folder):
        raise Invalid(
            "data_dir",
            f"the data of this server's etcd member are gone from {folder / ETCD}. A member "
            "without its data must not come back as itself: remove "
            f"{path}, and the server joins anew",
        )
    if isinstance(record.phase, Decided) and record.phase.joined and not record.started:
        # Let in, but never started: the list of members may be an old one by now.
        return replace(record, phase=Alone(), epoch=record.epoch + 1)
    return record


def has_data(folder: Path) -> bool:
    """Whether etcd has been started here."""
    return (folder / ETCD / "member").is_dir()


def adopted(record: Record, card: Card, folder: Path, rng: Random) -> Record:
    """Take over the data of an etcd that ran here alone before there was such a record."""
    if record.epoch or not has_data(folder):
        return record
    decided = Decided(uuid_text(rng.getrandbits(128)), (card,))
    return replace(record, phase=decided, epoch=1, started=True)


def save(folder: Path, record: Record) -> None:
    """Write the record; it is on disk, whole, when this returns."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=2))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def retire(folder: Path, record: Record) -> Path:
    """Set aside the data of a member that its cluster removed; gives where they are now."""
    number = 1
    while (aside := folder / f"{ETCD}.removed-{number}").exists():
        number += 1
    (folder / ETCD).replace(aside)
    (folder / FILE).unlink(missing_ok=True)
    del record
    return aside
