"""Request bodies, read without holding up anybody.

What a body may ask of us is bounded before it is looked at: its size, and how many objects and
fields it can hold. A body that is more than small is read in a thread. So is a job file: the
parser bounds its own work (`hanse.jobspec.limits`) to a second of CPU time. There are only a few
threads, with a short queue before them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from hanse.errors import Invalid, TooLarge
from region.api.endpoint import Call
from region.api.errors import HTTPFailure
from region.jobs.decode import decode_body, decode_job_body, parse_json

T = TypeVar("T")

BODY_BYTES_MAX = 4 * 1024 * 1024
#: Braces and colons bound the objects and fields; those in strings are counted too.
OBJECTS_MAX = 50_000
FIELDS_MAX = 250_000
GROUPS_MAX = 2000
TASKS_MAX = 4000

#: Smaller bodies are read at once.
SMALL_BYTES = 16 * 1024
THREADS = 2
WAITING_MAX = 32
DEADLINE_S = 30.0


class Workers:
    """The threads that read what takes long."""

    def __init__(self) -> None:
        """No thread is started before there is something to do."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        self._waiting = 0

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Do it in a thread. Raises what it raises, and HTTPFailure when there is too much."""
        if self._waiting >= WAITING_MAX:
            raise _too_many()
        self._waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, work, *args)
        except TimeoutError:
            raise _too_many() from None
        finally:
            self._waiting -= 1


def _too_many() -> HTTPFailure:
    return HTTPFailure(429, "too many large requests are being read; try again")


def check(body: bytes) -> None:
    """Refuse what would take too long to read. Raises TooLarge and Invalid."""
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge("request body", size=len(body), size_max=BODY_BYTES_MAX)
    if len(body) <= SMALL_BYTES:
        return
    for sign, what, count_max in (
        (b"{", "objects", OBJECTS_MAX),
        (b":", "fields", FIELDS_MAX),
    ):
        if body.count(sign) > count_max:
            raise Invalid("request body", f"more than {count_max} {what}")


async def decode(call: Call, kind: type[T]) -> T:
    """The body as `kind`. Raises Invalid and TooLarge."""
    check(call.body)
    if len(call.body) <= SMALL_BYTES:
        return decode_body(kind, call.body)[0]
    workers: Workers = call.context.part(Workers)
    decoded: tuple[T, list[str]] = await workers.run(decode_body, kind, call.body)
    return decoded[0]


async def decode_job(call: Call, kind: type[T]) -> tuple[T, list[str]]:
    """The body as `kind`, which holds a job; and warnings. Raises Invalid and TooLarge."""
    check(call.body)
    if len(call.body) <= SMALL_BYTES:
        return decode_job_body(kind, call.body)
    workers: Workers = call.context.part(Workers)
    return await workers.run(_decode_large_job, kind, call.body)


def _decode_large_job(kind: type[T], body: bytes) -> tuple[T, list[str]]:
    groups = _items(_field(_field(parse_json(body), "job"), "taskgroups"))
    if len(groups) > GROUPS_MAX:
        raise Invalid("Job.TaskGroups", f"more than {GROUPS_MAX} groups")
    if sum(len(_items(_field(group, "tasks"))) for group in groups) > TASKS_MAX:
        raise Invalid("Job.TaskGroups", f"more than {TASKS_MAX} tasks")
    return decode_job_body(kind, body)


def _field(raw: object, name: str) -> object:
    """A field by its lower-case name."""
    if isinstance(raw, dict):
        for key, value in cast("dict[str, object]", raw).items():
            if key.lower() == name:
                return value
    return None


def _items(raw: object) -> list[object]:
    return cast("list[object]", raw) if isinstance(raw, list) else []
