"""`hanse job validate`."""

from __future__ import annotations

from hanse.cli.command import Context, Failed
from hanse.cli.job_source import read_job, show_warnings, use_region_of
from hanse.cli.text import bold, green, red, yellow
from hanse.sdk.transport import ApiError, Unreachable


def run(context: Context) -> int:
    """Check a job file: here, and with the servers where they can be reached."""
    source = read_job(context)
    use_region_of(context, source)
    try:
        answer = context.client.jobs.validate(source.job).value
    except Unreachable as error:
        context.err(yellow(f"The file is well formed; the job was not checked further: {error}"))
        context.out(green(bold("Job validation successful")))
        return 0
    except ApiError as error:
        raise Failed(f"Error validating job: {error}") from error
    if not answer.driver_config_validated and not answer.validation_errors:
        context.out(yellow("The drivers' configuration was not validated.") + "\n")
    problems = answer.validation_errors or ((answer.error,) if answer.error else ())
    if problems:
        lines = "\n".join(f"  * {problem.removeprefix('* ')}" for problem in problems)
        context.err(f"{bold(red('Job validation errors:'))}\n{lines}")
        return 1
    show_warnings(context, answer.warnings)
    context.out(green(bold("Job validation successful")))
    return 0
