"""A process that hosts a driver, to be killed. Reads tasks, starts and waits, prints handles."""

import asyncio
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import msgspec

from hanse.clock import SystemClock
from hanse.driver import DriverContext, TaskSpec

DRIVERS = {"raw_exec": "drivers.raw_exec:RawExecDriver", "docker": "drivers.docker:DockerDriver"}


async def main(name: str) -> None:
    request = json.loads(sys.stdin.readline())
    module, _, kind = DRIVERS[name].partition(":")
    make = getattr(importlib.import_module(module), kind)
    config = {"enabled": True} if name == "raw_exec" else {}
    driver = make(DriverContext(config=config, state_dir=request["state_dir"], clock=SystemClock()))
    tasks = msgspec.convert(request["tasks"], list[TaskSpec])
    handles = await asyncio.gather(*(driver.start(task, lambda _: None) for task in tasks))
    async with asyncio.TaskGroup() as group:
        for handle in handles:
            group.create_task(driver.wait(handle))
        await asyncio.sleep(0)
        sys.stdout.write(msgspec.json.encode(handles).decode() + "\n")
        sys.stdout.flush()


asyncio.run(main(sys.argv[1]))
