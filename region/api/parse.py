"""Job files to JSON, off the event loop."""

from __future__ import annotations

import msgspec

from hanse.errors import Invalid, TooLarge
from hanse.structs.job import Job
from hanse.structs.wire import Wire
from region.api import params
from region.api.bodies import Workers, decode
from region.api.endpoint import Answer, Call, Routes, encode

routes = Routes("Jobs")

SOURCE_BYTES_MAX = 1024 * 1024


class JobsParseRequest(Wire, frozen=True, kw_only=True):
    """A job file, and values for its variables as the text of a variable file."""

    job_hcl: str = msgspec.field(default="", name="JobHCL")
    variables: str = ""
    canonicalize: bool = False


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
)
async def parse_job_file(call: Call) -> Answer:
    """Turn a job file into the API's job. Functions that read files are off."""
    request = await decode(call, JobsParseRequest)
    if not request.job_hcl:
        raise Invalid("", "Job spec is empty")
    for text in (request.job_hcl, request.variables):
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > SOURCE_BYTES_MAX:
            raise TooLarge("job file", size=size, size_max=SOURCE_BYTES_MAX)
    workers: Workers = call.context.part(Workers)
    return Answer(body=await workers.run(parsed, request))
