"""Pulling images from a registry on loopback, by a real engine."""

import asyncio
import base64
import contextlib
import importlib.util
import io
import itertools
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.docker import DockerDriver
from hanse.driver import DriverEvent
from hanse.errors import DriverFailed

# Not a package: a test's neighbours are loaded by path.
_spec = importlib.util.spec_from_file_location("registry", Path(__file__).with_name("registry.py"))
assert _spec
assert _spec.loader
registry_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(registry_module)

_tags = itertools.count(1)


@pytest.fixture
def registry(box) -> Iterator:
    with registry_module.serve() as served:
        yield served
        engine = box.engine()
        for image in engine.images(name=served.image):
            with contextlib.suppress(Exception):
                engine.remove_image(image["Id"], force=True)


def wanted(box, registry, **config: object):
    """A task with an image that cannot run: it has no program. Pulling it is what counts."""
    image = f"{registry.image}:{next(_tags)}"
    return box.task("", config={"image": image, **config})


async def pull(driver: DockerDriver, task, events) -> str:
    """Start, which fails after the pull; return the failure."""
    with pytest.raises(DriverFailed) as caught:
        await driver.start(task, events)
    return str(caught.value)


async def test_an_image_is_pulled_with_an_event_and_then_started(box, registry) -> None:
    events: list[DriverEvent] = []
    task = wanted(box, registry)
    problem = await pull(box.driver(), task, events.append)
    assert problem.startswith("Failed to start container")
    assert "/one" in problem
    assert events == [
        DriverEvent(message="Downloading image", details={"image": task.config["image"]})
    ]
    # Nothing is left of the container, and what is there is not pulled again.
    assert not box.engine().containers(all=True, filters={"label": f"hanse.task_id={task.id}"})
    pulled = len(registry.pulls)
    await pull(box.driver(), task, events.append)
    assert len(registry.pulls) == pulled


async def test_force_pull_asks_the_registry_each_time(box, registry) -> None:
    task = wanted(box, registry, force_pull=True)
    driver = box.driver()
    for _ in range(2):
        before = len(registry.pulls)
        await pull(driver, task, lambda _: None)
        assert len(registry.pulls) > before


async def test_many_tasks_that_want_one_image_pull_it_once(box, registry) -> None:
    driver = box.driver()
    first = wanted(box, registry)
    tasks = [first, *(box.task("", config=first.config) for _ in range(4))]
    events: list[DriverEvent] = []
    await asyncio.gather(*(pull(driver, task, events.append) for task in tasks))
    assert [event.message for event in events] == ["Downloading image"]


async def test_a_pull_may_be_given_up(box, registry, until) -> None:
    driver = box.driver()
    registry.open.clear()
    task = wanted(box, registry)
    starting = asyncio.create_task(driver.start(task, lambda _: None))
    await until(lambda: registry.pulls)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    registry.open.set()
    assert "Failed to start" in await pull(driver, task, lambda _: None)


async def test_a_pull_that_takes_too_long_is_given_up(box, registry) -> None:
    registry.open.clear()
    task = wanted(box, registry, image_pull_timeout="300ms")
    problem = await pull(box.driver(), task, lambda _: None)
    assert problem == f"Failed to pull `{task.config['image']}`: not done after 0.3 s"


async def test_an_image_that_is_not_there_is_an_error_with_its_name(box, registry) -> None:
    image = f"127.0.0.1:{registry.port}/hanse/other:1"
    problem = await pull(box.driver(), box.task("", config={"image": image}), lambda _: None)
    assert problem.startswith(f"Failed to pull `{image}`")
    assert "not found" in problem or "unknown" in problem


async def test_credentials_are_those_of_the_task(box, registry) -> None:
    registry.needs_auth = True
    good = {"username": registry_module.USER, "password": registry_module.PASSWORD}
    assert "Failed to pull" in await pull(box.driver(), wanted(box, registry), lambda _: None)
    bad = {**good, "password": "wrong-one"}
    problem = await pull(box.driver(), wanted(box, registry, auth=bad), lambda _: None)
    assert "Failed to pull" in problem
    assert "wrong-one" not in problem
    assert "Failed to start" in await pull(
        box.driver(), wanted(box, registry, auth=[good]), lambda _: None
    )


async def test_credentials_may_be_in_a_file_of_the_operators(box, registry) -> None:
    registry.needs_auth = True
    token = base64.b64encode(f"{registry_module.USER}:{registry_module.PASSWORD}".encode()).decode()
    path = box.root / "config.json"
    path.write_text(json.dumps({"auths": {f"127.0.0.1:{registry.port}": {"auth": token}}}))
    driver = box.driver(auth={"config": str(path)})
    assert "Failed to start" in await pull(driver, wanted(box, registry), lambda _: None)


async def test_wrong_credentials_may_be_forgiven(box, registry) -> None:
    wrong = {"username": "x", "password": "y"}
    broken = box.driver(auth={"config": str(box.root / "none.json"), "helper": "none"})
    task = wanted(box, registry, auth_soft_fail=True)
    assert "Failed to start" in await pull(broken, task, lambda _: None)
    task = wanted(box, registry, auth=wrong, auth_soft_fail=True)
    assert "Failed to start" in await pull(box.driver(), task, lambda _: None)


async def test_a_moving_tag_that_cannot_be_pulled_falls_back_to_what_is_here(box, registry) -> None:
    driver = box.driver()
    task = box.task("", config={"image": registry.image})
    await pull(driver, task, lambda _: None)
    registry.needs_auth = True
    events: list[DriverEvent] = []
    assert "Failed to start" in await pull(driver, task, events.append)
    assert [event.message.split(":")[0] for event in events] == [
        "Downloading image",
        "Using the local image 127.0.0.1",
    ]


def borrow(box) -> Path:
    """A program without libraries, out of the image that the tests have."""
    engine = box.engine()
    container = engine.create_container("localhost/hanse-busybox:1")["Id"]
    chunks, _ = engine.get_archive(container, "/bin/busybox")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        archive.extractall(box.root, filter="data")
    engine.remove_container(container)
    return box.root / "busybox"


async def test_an_image_we_pulled_is_removed_some_time_after_its_last_task(
    box, registry, until
) -> None:
    engine = box.engine()
    driver = box.driver(gc={"image_delay": "100ms"})
    # The registry's image has no program, so it borrows one.
    image = f"{registry.image}:{next(_tags)}"
    await pull(driver, box.task("", config={"image": image}), lambda _: None)
    busybox = box.driver(gc={"image_delay": "100ms"}, volumes={"enabled": True})
    task = box.task(
        "",
        config={"image": image, "command": "/true", "volumes": [f"{borrow(box)}:/true"]},
    )
    handle = await box.start(busybox, task)
    await busybox.wait(handle)
    assert engine.images(name=registry.image)
    await busybox.destroy(handle)
    await until(lambda: not engine.images(name=registry.image))


async def test_an_image_that_was_here_before_is_never_removed(box) -> None:
    driver = box.driver(gc={"image_delay": "0s"})
    handle = await box.start(driver, box.task("true"))
    await driver.wait(handle)
    await driver.destroy(handle)
    await box.clock.sleep(0.3)
    assert box.engine().images(name="localhost/hanse-busybox")
