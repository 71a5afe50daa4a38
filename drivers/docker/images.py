"""Getting images: pulled once however many tasks ask, with progress, credentials and a limit.

Pulled images are remembered in the driver's folder and removed when no task has used them for a
while; images that were there before are never removed.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from drivers.docker.body import NAME
from drivers.docker.config import Auth, PluginAuth
from drivers.docker.engine import Engine, failed
from drivers.docker.http import EngineAway, EngineRefused, json_lines, open_stream
from hanse.clock import Clock
from hanse.driver import DriverEvent, EventSink
from hanse.errors import DriverFailed

_PROGRESS_EVERY_S = 5.0
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An image a task asks for."""

    reference: str
    force: bool = False
    auth: Auth | None = None
    auth_soft_fail: bool = False
    timeout_s: float = 300.0
    activity_timeout_s: float = 120.0


def split_reference(reference: str) -> tuple[str, str]:
    """Repository and tag or digest; `latest` where there is none."""
    text = re.sub(r"^(?:https?|docker)://", "", reference.strip())
    if found := _DIGEST.search(text):
        return text[: found.start()], found[0][1:]
    head, colon, tag = text.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return text, "latest"


def join_reference(repository: str, tag: str) -> str:
    """The full name of an image."""
    return f"{repository}@{tag}" if tag.startswith("sha256:") else f"{repository}:{tag}"


class Progress:
    """Adds up what the engine says about the layers of a pull."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()

    def take(self, line: dict[str, object]) -> None:
        """Take one line of the pull's output. Raises EngineRefused when it says that it failed."""
        if "error" in line:
            raise EngineRefused(500, str(line["error"]))
        layer, status = str(line.get("id", "")), str(line.get("status", ""))
        detail = line.get("progressDetail")
        if not layer or status.startswith("Pulling from"):
            return
        self._layers.setdefault(layer, (0, 0))
        if status in ("Pull complete", "Already exists"):
            self._done.add(layer)
        if status == "Downloading" and isinstance(detail, dict):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail.get("total", 0)))
        if status == "Download complete":
            self._layers[layer] = (self._layers[layer][1], self._layers[layer][1])

    def __str__(self) -> str:
        got = sum(current for current, _ in self._layers.values())
        total = sum(size for _, size in self._layers.values())
        return (
            f"Pulled {len(self._done)}/{len(self._layers)} layers ({_size(got)} of {_size(total)})"
        )


def _size(value: float) -> str:
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


class Images:
    """The images on one engine."""

    def __init__(self, engine: Engine, clock: Clock, folder: Path, auth: PluginAuth) -> None:
        self._engine = engine
        self._clock = clock
        self._folder = folder
        self._auth = auth
        self._locks: dict[str, asyncio.Lock] = {}
        #: How often each image has been pulled: who waited for a pull need not do it again.
        self._pulls: Counter[str] = Counter()

    async def get(self, wanted: Wanted, events: EventSink) -> str:
        """The id of the image, pulled if need be. Raises DriverFailed."""
        name = join_reference(*split_reference(wanted.reference))
        always = wanted.force or name.endswith(":latest")
        present = await self._find(name)
        if present and not always:
            return present
        pulls = self._pulls[name]
        async with self._locks.setdefault(name, asyncio.Lock()):
            if self._pulls[name] == pulls:
                try:
                    await self._pull(name, wanted, events)
                except DriverFailed as error:
                    if not present or wanted.force:
                        raise
                    # A tag that may move is looked for each time, but what is here will do.
                    events(
                        DriverEvent(
                            message=f"Using the local image {name}: {error}",
                            details={"image": name},
                        )
                    )
        found = await self._find(name)
        if not found:
            raise DriverFailed(NAME, f"the engine has no image {name} after pulling it")
        return found

    async def _find(self, name: str) -> str:
        try:
            found = await self._engine.call(lambda client: client.inspect_image(name))
        except EngineRefused as error:
            if error.status == 404:
                return ""
            raise failed(f"cannot look for image {name}", error) from error
        except EngineAway as error:
            raise failed(f"cannot look for image {name}", error) from error
        return str(found["Id"])

    async def _pull(self, name: str, wanted: Wanted, events: EventSink) -> None:
        events(DriverEvent(message="Downloading image", details={"image": name}))
        try:
            async with asyncio.timeout(wanted.timeout_s):
                await self._pull_with_auth(name, wanted, events)
        except TimeoutError as error:
            problem = f"Failed to pull `{name}`: not done after {wanted.timeout_s:g} s"
            raise DriverFailed(NAME, problem, recoverable=True) from error
        except (EngineAway, EngineRefused) as error:
            raise failed(f"Failed to pull `{name}`", error) from error
        self._pulls[name] += 1
        if found := await self._find(name):
            await asyncio.to_thread(self._remember, found)

    async def _pull_with_auth(self, name: str, wanted: Wanted, events: EventSink) -> None:
        try:
            auth = await asyncio.to_thread(self._credentials, name, wanted)
        except DriverFailed:
            if not wanted.auth_soft_fail:
                raise
            auth = {}
        try:
            await self._stream_pull(name, wanted, events, auth)
        except EngineRefused:
            if not auth or not wanted.auth_soft_fail:
                raise
            await self._stream_pull(name, wanted, events, {})

    async def _stream_pull(
        self, name: str, wanted: Wanted, events: EventSink, auth: dict[str, str]
    ) -> None:
        address = await self._engine.address()
        quote = importlib.import_module("urllib.parse").quote
        repository, tag = split_reference(name)
        path = (
            f"{self._engine.prefix}/images/create"
            f"?fromImage={quote(repository, safe='')}&tag={quote(tag, safe='')}"
        )
        token = base64.urlsafe_b64encode(json.dumps(auth).encode()).decode() if auth else ""
        headers = {"X-Registry-Auth": token} if token else {}
        stream = await open_stream(address, "POST", path, headers=headers)
        # Closing the connection, as a cancelled start does, makes the engine give up the pull.
        try:
            await self._report(name, json_lines(stream), wanted.activity_timeout_s, events)
        finally:
            stream.close()

    async def _report(self, name: str, lines: Any, activity_s: float, events: EventSink) -> None:
        progress = Progress()
        said_at = self._clock.now()
        while True:
            try:
                async with asyncio.timeout(activity_s):
                    line = await anext(lines, None)
            except TimeoutError as error:
                raise EngineRefused(504, f"no progress in {activity_s:g} s") from error
            if line is None:
                return
            progress.take(line)
            if self._clock.now() - said_at >= _PROGRESS_EVERY_S:
                said_at = self._clock.now()
                message = f"Docker image pull progress: {progress}"
                events(DriverEvent(message=message, details={"image": name}))

    def _credentials(self, name: str, wanted: Wanted) -> dict[str, str]:
        """What to say to the registry; empty for nothing. Reads files and runs helpers."""
        if (own := wanted.auth) is not None and own.username:
            return {
                "username": own.username,
                "password": own.password,
                "email": own.email,
                "serveraddress": own.server_address or registry_of(name),
            }
        if not self._auth.config and not self._auth.helper:
            return {}
        docker = importlib.import_module("docker")
        try:
            if self._auth.config:
                known = docker.auth.load_config(self._auth.config)
            else:
                known = docker.auth.AuthConfig({"credsStore": self._auth.helper})
            registry, _ = docker.auth.resolve_repository_name(split_reference(name)[0])
            found = known.resolve_authconfig(registry) or {}
        except (docker.errors.DockerException, OSError, ValueError) as error:
            raise DriverFailed(NAME, f"cannot read credentials for `{name}`: {error}") from error
        return {str(key).lower(): str(value) for key, value in found.items() if value}

    async def load(self, archive: Path) -> None:
        """Load an image archive into the engine. Raises DriverFailed."""

        def read(client: Any) -> None:
            with archive.open("rb") as file:
                for line in client.load_image(file):
                    if "error" in line:
                        raise DriverFailed(NAME, f"cannot load {archive.name}: {line['error']}")

        try:
            await self._engine.call(read)
        except (EngineAway, EngineRefused, OSError) as error:
            raise failed(f"cannot load {archive.name}", error) from error

    # --- removal --------------------------------------------------------------------------

    def _remember(self, image_id: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / image_id.replace(":", "-")).touch()

    def is_ours(self, image_id: str) -> bool:
        """Whether this driver pulled the image."""
        return (self._folder / image_id.replace(":", "-")).exists()

    async def remove_after(self, image_id: str, delay_s: float, in_use: Callable[[], bool]) -> None:
        """Remove a pulled image after a while, unless it is in use by then."""
        if not self.is_ours(image_id):
            return
        await self._clock.sleep(delay_s)
        if in_use() or not self.is_ours(image_id):
            return
        try:
            await self._engine.call(lambda client: client.remove_image(image_id))
        except EngineRefused as error:
            if error.status != 404:
                # Used by a container that is not ours: then it is not ours to remove.
                return
        except EngineAway:
            return
        (self._folder / image_id.replace(":", "-")).unlink(missing_ok=True)


def registry_of(name: str) -> str:
    """The registry's host in an image's name; Docker's own where there is none."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "https://index.docker.io/v1/"
