"""Job files to JSON, off the event loop.

The parser bounds its own work (`hanse.jobspec.limits`): a second of CPU at most. What is bounded
here is how much of that there can be at once: a few threads, and a short queue before them.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec

from hanse.errors import Invalid, TooLarge
from hanse.structs.job import Job
from hanse.structs.wire import Wire
from region.api import params
from region.api.endpoint import Answer, Call, Routes, encode
from region.api.errors import HTTPFailure
from region.jobs.decode import decode_body

routes = Routes("Jobs")

THREADS = 2
WAITING_MAX = 32
DEADLINE_S = 30.0
SOURCE_BYTES_MAX = 1024 * 1024


class JobsParseRequest(Wire, frozen=True, kw_only=True):
    """A job file, and values for its variables as the text of a variable file."""

    job_hcl: str = msgspec.field(default="", name="JobHCL")
    variables: str = ""
    canonicalize: bool = False


class Parsing:
    """The threads that parse."""

    def __init__(self) -> None:
        """No thread is started before the first job file."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="parse")
        self._waiting = 0

    async def parse(self, request: JobsParseRequest) -> bytes:
        """The job as JSON. Raises Invalid for a wrong file, HTTPFailure when there are too many."""
        if self._waiting >= WAITING_MAX:
            raise HTTPFailure(429, "too many job files are being parsed; try again")
        self._waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, parsed, request)
        except TimeoutError:
            raise HTTPFailure(429, "too many job files are being parsed; try again") from None
        finally:
            self._waiting -= 1


def parsed(request: JobsParseRequest) -> bytes:
    """Parse a job file. Raises Invalid."""
    from hanse.jobspec import canonicalize, parse_job  # noqa: PLC0415  (large, and rarely needed)

    var_files = [("variables.hcl", request.variables)] if request.variables else []
    try:
        result = parse_job(request.job_hcl, filename="input.hcl", var_files=var_files, strict=False)
    except Invalid as error:
        raise Invalid("", f"Failed to parse job: {error}") from error
    job = canonicalize(result.job) if request.canonicalize else result.job
    return encode(job)


@routes.write(
    "/v1/jobs/parse",
    body=JobsParseRequest,
    response=Job,
    params=(params.NAMESPACE,),
    statuses={429: "Too many job files are being parsed."},
)
async def parse_job_file(call: Call) -> Answer:
    """Turn a job file into the API's job. Functions that read files are off."""
    request, _ = decode_body(JobsParseRequest, call.body)
    if not request.job_hcl:
        raise Invalid("", "Job spec is empty")
    for text in (request.job_hcl, request.variables):
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > SOURCE_BYTES_MAX:
            raise TooLarge("job file", size=size, size_max=SOURCE_BYTES_MAX)
    parsing: Parsing = call.context.part(Parsing)
    return Answer(body=await parsing.parse(request))
